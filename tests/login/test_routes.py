"""`LoginRoutes`: the two login routes of a web app, requested by a browser."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

import anyio
import attrs
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

import worksection_async
from tests.support.constants import DOCS
from tests.support.secrecy import Log, assert_no_secret
from tests.support.vaults import MemoryVault
from worksection_async import AccessToken, MemoryTokenStore, OAuth2, OAuthApp, Token
from worksection_async.errors import InvalidCall, ReauthorizationRequired, TokenStoreError
from worksection_async.login import LoginRoutes
from worksection_async.models import Identity
from worksection_async.testing import Simulator, faults

SITE = "https://app.example"
CALLBACK = f"{SITE}/auth/callback"
COOKIE = "__Secure-worksection-login"


@attrs.define
class Site:
    """A web app with `LoginRoutes`, its browser, and the identities of the logins."""

    sim: Simulator
    logged_in: anyio.Event = attrs.field(factory=anyio.Event)
    vault: MemoryVault = attrs.field(factory=MemoryVault)
    seen: list[Identity] = attrs.field(factory=list)
    pages: list[httpx.Response] = attrs.field(factory=list)
    """All responses of the app to the browser."""

    async def user_of(self, scope: Any, identity: Identity) -> str:
        self.seen.append(identity)
        self.logged_in.set()
        return str(identity.id)

    async def saved_token(self) -> Token:
        """Return the token of the only user in the vault."""
        ((_, store),) = self.vault.stores.items()
        token = await store.load()
        assert token is not None
        return token

    def routes(self, redirect_uri: str = CALLBACK, **options: Any) -> LoginRoutes:
        return LoginRoutes(self.app(redirect_uri), self.vault, **{"user_of": self.user_of, **options})

    def app(self, redirect_uri: str = CALLBACK) -> OAuthApp:
        return self.sim.oauth_app(redirect_uri, ["users_read"], login_url=urljoin(redirect_uri, "login"))

    def browser(self, app: Any = None) -> httpx.AsyncClient:
        async def record(response: httpx.Response) -> None:
            await response.aread()
            self.pages.append(response)

        app = app or Starlette(routes=[Mount("/auth", app=self.routes())])
        hooks: Any = {"response": [record]}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE, event_hooks=hooks)

    async def decide(self, url: str, decision: str = "allow") -> str:
        """Return the redirect of the service after the user opens *url* and clicks."""
        form = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        form |= {"user": str(self.sim.owner.id), "decision": decision}
        async with httpx.AsyncClient(transport=self.sim.transport(), base_url="http://127.0.0.1") as http:
            return (await http.post("/oauth2/authorize", data=form)).headers["location"]

    def requested_actions(self) -> list[str]:
        """Return the actions of the requests to the service, without those for the login page."""
        return [it.action for it in self.sim.requests if it.action != "oauth2_authorize"]


@pytest.fixture
def site() -> Site:
    return Site(Simulator())


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with site.browser() as browser:
        yield browser


async def log_in(site: Site, browser: httpx.AsyncClient, came_from: str = "", *, referer: str = "") -> httpx.Response:
    """Log in with *came_from* as the parameter ``next``, or with the header *referer*."""
    params, headers = {"next": came_from} if came_from else {}, {"Referer": referer} if referer else {}
    start = await browser.get("/auth/login", params=params, headers=headers)
    assert start.status_code == 302
    return await browser.get(await site.decide(start.headers["location"]))


@pytest.mark.anyio
async def test_a_user_logs_in(site: Site, browser: httpx.AsyncClient) -> None:
    response = await log_in(site, browser)
    (identity,) = site.seen
    owner = site.sim.owner
    assert (response.status_code, identity.email, identity.id) == (200, owner.email, owner.id)
    assert "You are logged in" in response.text
    assert owner.name in response.text
    async with site.sim.session(AccessToken((await site.saved_token()).access_token)) as ws:
        assert (await ws.me()).email == owner.email


@pytest.mark.anyio
async def test_the_token_is_in_the_vault_of_the_session(site: Site, browser: httpx.AsyncClient) -> None:
    """The visitor's next call uses it, without any further code."""
    owner = site.sim.owner
    async with site.sim.session(OAuth2(site.app(), vault=site.vault)) as ws:
        with pytest.raises(ReauthorizationRequired):
            await ws.as_user(str(owner.id)).me()
        await log_in(site, browser)
        assert (await ws.as_user(str(owner.id)).me()).email == owner.email


@pytest.mark.anyio
async def test_the_state_is_stored_in_a_cookie_and_deleted_after_the_login(
    site: Site, browser: httpx.AsyncClient
) -> None:
    await log_in(site, browser)
    start, callback = site.pages
    state = parse_qs(urlsplit(start.headers["location"]).query)["state"][0]
    attributes = "Path=/auth; Max-Age={}; Secure; HttpOnly; SameSite=Lax"
    assert start.headers["set-cookie"] == f"{COOKIE}={state}; {attributes.format(600)}"
    assert callback.headers["set-cookie"] == f"{COOKIE}=; {attributes.format(0)}"
    assert len(state) >= 43
    assert not list(browser.cookies.jar)
    again = await browser.get("/auth/login")
    assert parse_qs(urlsplit(again.headers["location"]).query)["state"] != [state]


# The way back


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/"),
        ("/projects?sort=name&open=1#top", "/projects?sort=name&open=1#top"),
        ("/проєкти/100% %20\r\nx: y", "/%D0%BF%D1%80%D0%BE%D1%94%D0%BA%D1%82%D0%B8/100%%20%20%0D%0Ax:%20y"),
        ('/a;b,"c"\\d=e.f', '/a;b,"c"\\d=e.f'),
        ("/\t/evil.example", "/%09/evil.example"),
        ("/%2F/evil.example", "/%2F/evil.example"),
        ("/" + "x" * 999, "/" + "x" * 999),
    ],
)
async def test_the_visitor_returns_to_the_path_in_next(
    site: Site, browser: httpx.AsyncClient, path: str, location: str
) -> None:
    response = await log_in(site, browser, path)
    assert (response.status_code, response.headers["location"]) == (303, location)
    assert f"{COOKIE}=;" in response.headers["set-cookie"]


OTHER_SITES = [
    "projects",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
    "\t//evil.example",
    " //evil.example",
    "\x00//evil.example",
    "@evil.example",
    ".evil.example",
    "%2F%2Fevil.example",
    f"{SITE}/projects",
    "/" + "x" * 1000,
]


@pytest.mark.anyio
@pytest.mark.parametrize("path", OTHER_SITES)
async def test_next_cannot_lead_to_another_site(site: Site, browser: httpx.AsyncClient, path: str) -> None:
    response = await log_in(site, browser, path)
    assert (response.status_code, "location" in response.headers) == (200, False)


@pytest.mark.anyio
@pytest.mark.parametrize("path", OTHER_SITES)
async def test_a_forged_cookie_cannot_lead_to_another_site(site: Site, browser: httpx.AsyncClient, path: str) -> None:
    start = await browser.get("/auth/login")
    back = await site.decide(start.headers["location"])
    cookie = f"{start.headers['set-cookie'].partition(';')[0]}.{quote(path, safe='')}"
    response = await browser.get(back, headers={"Cookie": cookie})
    assert (response.status_code, "location" in response.headers) == (200, False)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("referer", "location"),
    [
        (f"{SITE}/projects?open=1", "/projects?open=1"),
        (f"{SITE}/", "/"),
        (SITE, None),
        (f"{SITE}//evil.example/", None),
        (f"{SITE}.evil.example/projects", None),
        (f"{SITE}:8443/projects", None),
        ("https://evil.example/projects", None),
        ("http://app.example/projects", None),
        ("/projects", "/projects"),
    ],
)
async def test_the_visitor_returns_to_the_page_with_the_link(
    site: Site, browser: httpx.AsyncClient, referer: str, location: str | None
) -> None:
    assert (await log_in(site, browser, referer=referer)).headers.get("location") == location
    assert (await log_in(site, browser, "/next", referer=referer)).headers["location"] == "/next"


@pytest.mark.anyio
async def test_the_service_does_not_see_where_the_visitor_came_from(site: Site, browser: httpx.AsyncClient) -> None:
    response = await browser.get("/auth/login", params={"next": "/secret-project"})
    assert "secret-project" not in response.headers["location"]
    assert f".{'/secret-project'}; Path=/auth" in response.headers["set-cookie"]


@pytest.mark.anyio
async def test_logging_in_again_after_a_failure_leads_back_too(site: Site, browser: httpx.AsyncClient) -> None:
    start = await browser.get("/auth/login", params={"next": "/a?b=1&c=2"})
    page = (await browser.get(await site.decide(start.headers["location"], "deny"))).text
    (link,) = re.findall('<a href="(.*?)">', page)
    start = await browser.get(urljoin("/auth/callback", html.unescape(link)))
    response = await browser.get(await site.decide(start.headers["location"]))
    assert response.headers["location"] == "/a?b=1&c=2"


# The key of the visitor


@pytest.mark.anyio
async def test_user_of_may_be_an_ordinary_function_and_gets_the_scope_of_the_request(site: Site) -> None:
    session: dict[str, Any] = {}

    def user_of(scope: Any, identity: Identity) -> str:
        scope["session"]["user"] = "ada"
        return "ada"

    async def with_session(scope: Any, *rest: Any) -> None:
        await site.routes(user_of=user_of)({**scope, "session": session}, *rest)

    async with site.browser(Starlette(routes=[Mount("/auth", app=with_session)])) as browser:
        await log_in(site, browser)
    assert session == {"user": "ada"}
    assert list(site.vault.stores) == ["ada"]


@pytest.mark.anyio
async def test_a_visitor_can_be_refused(site: Site) -> None:
    """Users of any account can log in at the service, and their ids can be equal to those of this account."""
    async with site.browser(Mount("/auth", app=site.routes(user_of=lambda *_: None))) as browser:
        response = await log_in(site, browser, "/projects")
    assert (response.status_code, site.vault.stores) == (403, {})
    assert "You are not logged in" in response.text
    assert f"{COOKIE}=;" in response.headers["set-cookie"]


@pytest.mark.anyio
async def test_a_key_that_is_no_text_is_an_error_of_the_program(site: Site) -> None:
    routes: Any = site.routes(user_of=lambda _, identity: identity.id)
    async with site.browser(Mount("/auth", app=routes)) as browser:
        with pytest.raises(InvalidCall, match="user_of must return text or None, got int"):
            await log_in(site, browser)


@pytest.mark.anyio
async def test_an_error_of_user_of_is_passed_on(site: Site) -> None:
    async def failing(*_: object) -> str:
        raise OSError("disk full")

    async with site.browser(Mount("/auth", app=site.routes(user_of=failing))) as browser:
        with pytest.raises(OSError, match="disk full"):
            await log_in(site, browser)


@pytest.mark.anyio
async def test_a_vault_that_cannot_be_written_is_not_a_login(
    site: Site, browser: httpx.AsyncClient, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise TokenStoreError("the disk is full")

    monkeypatch.setattr(MemoryTokenStore, "save", fail)
    response = await log_in(site, browser, "/projects")
    assert response.status_code == 503
    assert '<a href="login?next=/projects">' in response.text
    assert any("login failed: token store: the disk is full" in text for text in log.texts)


@pytest.mark.anyio
async def test_the_token_of_a_login_is_not_replaced_by_a_refresh_in_progress(
    site: Site, browser: httpx.AsyncClient
) -> None:
    store = site.vault.store(str(site.sim.owner.id))
    start = await browser.get("/auth/login")
    back = await site.decide(start.headers["location"])
    async with anyio.create_task_group() as tasks, store.lock():  # as during a refresh
        tasks.start_soon(browser.get, back)
        await site.logged_in.wait()
        await store.save(Token(access_token="refreshed", expires_at=1.0))
    assert (await site.saved_token()).access_token != "refreshed"


# Failures


@pytest.mark.anyio
async def test_a_login_cannot_be_finished_in_another_browser(site: Site, browser: httpx.AsyncClient) -> None:
    """Login CSRF: the link of an attacker would log the victim into the attacker's account."""
    link = await site.decide((await browser.get("/auth/login")).headers["location"])
    async with site.browser() as victim:
        for _ in range(2):
            response = await victim.get(link)
            assert (response.status_code, site.seen, site.requested_actions()) == (400, [], [])
            assert "set-cookie" not in response.headers
            assert '<a href="login">' in response.text
            await victim.get("/auth/login")
    assert (await browser.get(link)).status_code == 200


@pytest.mark.anyio
async def test_a_callback_of_an_older_login_does_not_end_the_latest_one(site: Site, browser: httpx.AsyncClient) -> None:
    first = (await browser.get("/auth/login")).headers["location"]
    second = (await browser.get("/auth/login")).headers["location"]
    assert (await browser.get(await site.decide(first))).status_code == 400
    assert (await browser.get(await site.decide(second))).status_code == 200


@pytest.mark.anyio
async def test_a_user_who_denies_is_not_logged_in(site: Site, browser: httpx.AsyncClient, log: Log) -> None:
    start = await browser.get("/auth/login")
    response = await browser.get(await site.decide(start.headers["location"], "deny"))
    assert (response.status_code, site.seen, site.requested_actions()) == (400, [], [])
    assert "Worksection reports: access_denied." in response.text
    assert f"{COOKIE}=;" in response.headers["set-cookie"]
    assert any("oauth2_authorize: the service refused: access_denied" in text for text in log.texts)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["error", "error_description", "errorDescription", "code", "state"])
async def test_the_error_page_shows_no_text_from_the_query(site: Site, browser: httpx.AsyncClient, name: str) -> None:
    response = await browser.get("/auth/callback", params={name: "<script>Call 555-1234</script>"})
    assert (response.status_code, response.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "555" not in response.text
    assert "script" not in response.text


@pytest.mark.anyio
async def test_user_names_are_escaped(site: Site, browser: httpx.AsyncClient) -> None:
    site.sim.update(site.sim.owner, first_name="<b>Ada</b> & Їжак")
    response = await log_in(site, browser)
    assert "&lt;b&gt;Ada&lt;/b&gt; &amp; Їжак" in response.text


@pytest.mark.anyio
async def test_a_code_can_be_used_once(site: Site, browser: httpx.AsyncClient, log: Log) -> None:
    start = await browser.get("/auth/login")
    back = await site.decide(start.headers["location"])
    cookie = {"Cookie": start.headers["set-cookie"].partition(";")[0]}
    answers = [await browser.get(back, headers=cookie) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert len(site.seen) == 1
    assert any("Authorization code has been revoked" in text for text in log.texts)


@pytest.mark.anyio
@pytest.mark.parametrize("action", ["oauth2_token", "oauth2_resource"])
@pytest.mark.parametrize("fault", [faults.unreachable(), faults.reset(), faults.html_page(), faults.server_error()])
async def test_a_failure_of_the_service_is_not_reported_as_a_refusal(
    site: Site, browser: httpx.AsyncClient, action: str, fault: faults.Fault, log: Log
) -> None:
    site.sim.fail(action, fault)
    response = await log_in(site, browser)
    assert (response.status_code, site.seen) == (502, [])
    assert "did not confirm your identity" in response.text
    assert any(f"login failed: {action}: " in text for text in log.texts)


@pytest.mark.anyio
async def test_other_paths_and_methods_are_refused(site: Site, browser: httpx.AsyncClient) -> None:
    for path in ("/auth", "/auth/", "/auth/logout", "/auth/login/", "/auth/auth/login"):
        assert (await browser.get(path, follow_redirects=True)).status_code == 404
    for path in ("/auth/login", "/auth/callback"):
        for method in ("POST", "HEAD", "DELETE"):
            response = await browser.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, "GET")


@pytest.mark.anyio
async def test_responses_are_not_cached_and_send_no_referrer(site: Site, browser: httpx.AsyncClient) -> None:
    await log_in(site, browser)
    await log_in(site, browser, "/")
    await browser.get("/auth/callback")
    await browser.get("/auth/nothing")
    await browser.post("/auth/login")
    site.sim.fail("oauth2_token", "unreachable")
    await log_in(site, browser)
    assert {page.status_code for page in site.pages} == {200, 302, 303, 400, 404, 405, 502}
    for page in site.pages:
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert int(page.headers["content-length"]) == len(page.content)


# Mounting


ROOTS = [("/auth/login", "/auth"), ("/auth/login", "/auth/"), ("/login", "/auth"), ("/login", ""), ("/login", "/log")]


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "root"), ROOTS)
async def test_the_path_may_contain_the_root_path(site: Site, path: str, root: str) -> None:
    assert (await request(site.routes(), path=path, root_path=root))[0]["status"] == 302
    assert (await request(site.routes(), path=f"/x{path}", root_path=root))[0]["status"] == 404


async def request(app: Any, **scope: Any) -> list[dict[str, Any]]:
    """Call *app* and return the ASGI messages that it sends."""
    sent: list[Any] = []
    base = {"type": "http", "method": "GET", "path": "/login", "root_path": "", "query_string": b"", "headers": []}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the routes read no request body")

    await app({**base, **scope}, receive, send)
    return sent


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("redirect_uri", "mounted", "folder"),
    [
        (f"{SITE}/callback", "", "/"),
        (f"{SITE}/a/b/callback", "/a/b", "/a/b"),
        (f"{SITE}/auth/worksection%20done?x=1", "/auth", "/auth"),
        (f"{SITE}/auth/", "/auth", "/auth"),
        (f"{SITE}/shown/callback", "/hidden", "/shown"),
    ],
)
async def test_the_routes_can_be_mounted_at_any_path(site: Site, redirect_uri: str, mounted: str, folder: str) -> None:
    """In the last row, a proxy in front of the app changes the path."""
    site.sim.update(site.sim.owner, first_name="Ada")
    async with site.browser(Starlette(routes=[Mount(mounted, app=site.routes(redirect_uri))])) as browser:
        start = await browser.get(f"{mounted}/login")
        assert f"; Path={folder};" in start.headers["set-cookie"]
        back = await site.decide(start.headers["location"])
        cookie = start.headers["set-cookie"].partition(";")[0]
        response = await browser.get(back.replace("/shown/", "/hidden/"), headers={"Cookie": f"a=b; {cookie}"})
        assert (response.status_code, len(site.seen)) == (200, 1)


@pytest.mark.anyio
async def test_websockets_are_closed_and_lifespan_is_not_supported(site: Site) -> None:
    assert await request(site.routes(), type="websocket") == [{"type": "websocket.close"}]
    with pytest.raises(RuntimeError, match="lifespan"):
        await request(site.routes(), type="lifespan")


@pytest.mark.anyio
async def test_scopes_replace_those_of_the_application(site: Site) -> None:
    routes = site.routes(scopes=["tasks_read", "costs_read"])
    headers = dict((await request(routes))[0]["headers"])
    assert b"scope=tasks_read%2Ccosts_read" in headers[b"location"]


@pytest.mark.parametrize(
    ("redirect_uri", "scopes", "complaint"),
    [
        (f"{SITE}/auth/login", None, "must not end in /login"),
        (CALLBACK, ["timers_read"], "scopes must be among projects_read"),
    ],
)
def test_invalid_arguments_are_refused_by_the_constructor(
    site: Site, redirect_uri: str, scopes: Any, complaint: str
) -> None:
    with pytest.raises(InvalidCall, match=complaint):
        site.routes(redirect_uri, scopes=scopes)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"vault": MemoryTokenStore()}, "vault must have the method store, got MemoryTokenStore"),
        ({"vault": MemoryVault}, "vault must have the method store, got the class MemoryVault"),
        ({"user_of": "id"}, "user_of must be a function, got str"),
    ],
    ids=["store", "class", "text"],
)
def test_objects_of_other_types_are_refused(site: Site, options: Any, complaint: str) -> None:
    with pytest.raises(InvalidCall, match=complaint):
        LoginRoutes(site.app(), **{"vault": site.vault, "user_of": site.user_of, **options})


@pytest.mark.parametrize(
    "login_url", [None, "/login", "/auth/login/", "https://other.example/auth/login", "/auth/callback"]
)
def test_an_application_that_sends_users_elsewhere_is_refused(site: Site, login_url: str | None) -> None:
    with pytest.raises(ValueError, match="pass login_url='/auth/login' to OAuthApp"):
        LoginRoutes(site.sim.oauth_app(CALLBACK, login_url=login_url), site.vault, user_of=site.user_of)


@pytest.mark.parametrize("login_url", ["login", "/auth/login", "/auth/login?next=/a", f"{SITE}/auth/login"])
def test_the_login_url_can_be_written_as_a_path_or_a_url(site: Site, login_url: str) -> None:
    app = site.sim.oauth_app(CALLBACK, login_url=login_url)
    assert LoginRoutes(app, site.vault, user_of=site.user_of)
    assert app.login_start_url().partition("?")[0] == f"{SITE}/auth/login"


@pytest.mark.anyio
@pytest.mark.parametrize("stored", ["nothing", "an invalid pair"])
async def test_a_user_who_has_to_log_in_again_can_follow_the_login_url(site: Site, stored: str) -> None:
    """A web app redirects the browser to ``login_url``; the visitor returns logged in."""
    void = Token(access_token="void", refresh_token="void", expires_at=0.0)
    vault = MemoryVault(**({"ada": void} if stored == "an invalid pair" else {}))
    app = site.app()

    async def me(_: Request) -> Response:
        try:
            return PlainTextResponse((await ws.as_user("ada").me()).email)
        except ReauthorizationRequired as error:
            return RedirectResponse(f"{error.login_url}?next=/me")

    routes = LoginRoutes(app, vault, user_of=lambda *_: "ada")
    web = Starlette(routes=[Mount("/auth", app=routes), Route("/me", me)])
    async with site.sim.session(OAuth2(app, vault=vault)) as ws, site.browser(web) as browser:
        response = await browser.get("/me")
        while response.is_redirect:
            location = urljoin(str(response.url), response.headers["location"])
            if location.startswith(f"{app.base_url}/oauth2/authorize"):
                location = await site.decide(location)
            response = await browser.get(location)
    assert (response.status_code, response.text) == (200, site.sim.owner.email)
    assert [page.url.path for page in site.pages] == ["/me", "/auth/login", "/auth/callback", "/me"]


@pytest.mark.anyio
async def test_the_example_of_the_documentation(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A visitor opens a page, logs in, and returns to it; a visitor whose tokens are gone logs in again."""
    example = re.findall(r"```python\n(.*?)```", (DOCS / "login.md").read_text(), re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worksection_async, "OAuthApp", lambda *args, **options: site.sim.oauth_app(args[2], **options))
    monkeypatch.setattr(worksection_async, "Session", lambda _, auth: site.sim.session(auth))
    names: dict[str, Any] = {}
    exec(example, names)

    async def visit(browser: httpx.AsyncClient) -> httpx.Response:
        response = await browser.get("/me")
        while response.is_redirect:
            location = urljoin(str(response.url), response.headers["location"])
            if location.startswith(f"{names['app'].base_url}/oauth2/authorize"):
                location = await site.decide(location)
            response = await browser.get(location)
        return response

    async with site.browser(names["site"]) as browser:
        assert (await visit(browser)).status_code == 403, "the simulator has another account"
    names["ACCOUNT"] = "http://127.0.0.1"
    site.pages.clear()
    async with names["ws"], site.browser(names["site"]) as browser:
        for _ in range(2):
            assert (await visit(browser)).json() == {"email": site.sim.owner.email}
            shutil.rmtree(tmp_path / "tokens")
    assert [page.url.path for page in site.pages] == ["/me", "/auth/login", "/auth/callback", "/me"] * 2


# Secrets


@pytest.mark.anyio
async def test_pages_and_log_records_contain_no_secret(site: Site, log: Log) -> None:
    """Code, state, client secret and tokens, after success and after each kind of failure.

    The browser is not httpx, because httpx logs the URLs that it requests.
    """
    secrets, pages, routes = {site.sim.oauth.client_secret}, list[str](), site.routes()
    for fault in (None, "oauth2_token", "oauth2_resource"):
        if fault:
            site.sim.fail(fault, "reset")
        start = dict((await request(routes))[0]["headers"])
        cookie = [(b"cookie", start[b"set-cookie"].partition(b";")[0])]
        back = urlsplit(await site.decide(start[b"location"].decode())).query
        params = {name: values[0] for name, values in parse_qs(back).items()}
        secrets |= set(params.values())
        for wrong in ({"state": ""}, {"code": ""}, {"error": params["code"]}, {}):
            query = urlencode(params | wrong).encode()
            sent = await request(routes, path="/callback", query_string=query, headers=cookie)
            pages.append(str(sent))
    token = await site.saved_token()
    secrets |= {token.access_token, token.refresh_token or ""}
    assert len(secrets) == 1 + 2 * 3 + 2
    assert len([page for page in pages if "You are logged in" in page]) == 1
    assert "worksection_async" in log.loggers
    assert_no_secret([repr(routes), *pages, *log.texts], secrets)
