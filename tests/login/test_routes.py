"""The two routes a web app has for logging in, as a browser meets them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import worksection_async
from tests.support.constants import DOCS
from tests.support.secrecy import Log, assert_no_secret
from worksection_async import AccessToken, Token
from worksection_async.login import LoginRoutes
from worksection_async.models import Identity
from worksection_async.testing import Simulator, faults

SITE = "https://app.example"
CALLBACK = f"{SITE}/auth/callback"
COOKIE = "__Secure-worksection-login"


@attrs.define
class Site:
    """A web app that is mounted somewhere, a browser, and what the app was told."""

    sim: Simulator
    seen: list[tuple[Identity, Token]] = attrs.field(factory=list)
    goes_on_to: str | None = None
    pages: list[httpx.Response] = attrs.field(factory=list)
    """All the browser was answered, by the app."""

    async def on_login(self, identity: Identity, token: Token) -> str | None:
        self.seen.append((identity, token))
        return self.goes_on_to

    def routes(self, redirect_uri: str = CALLBACK, **options: Any) -> LoginRoutes:
        return LoginRoutes(self.sim.oauth_app(redirect_uri, ["users_read"]), self.on_login, **options)

    def browser(self, app: Any = None) -> httpx.AsyncClient:
        async def keep(response: httpx.Response) -> None:
            await response.aread()
            self.pages.append(response)

        app = app or Starlette(routes=[Mount("/auth", app=self.routes())])
        hooks: Any = {"response": [keep]}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE, event_hooks=hooks)

    async def decided(self, url: str, decision: str = "allow") -> str:
        """Where the service sends a browser that came to *url*, after the click."""
        form = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        form |= {"user": str(self.sim.world.owner.id), "decision": decision}
        async with httpx.AsyncClient(transport=self.sim.transport(), base_url="http://127.0.0.1") as http:
            return (await http.post("/oauth2/authorize", data=form)).headers["location"]

    def asked(self) -> list[str]:
        """Which requests reached the service beside the login page's."""
        return [it.action for it in self.sim.requests if it.action != "oauth2_authorize"]


@pytest.fixture
def site() -> Site:
    return Site(Simulator())


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with site.browser() as browser:
        yield browser


async def came_back(site: Site, browser: httpx.AsyncClient, login: str = "/auth/login") -> httpx.Response:
    departure = await browser.get(login)
    assert departure.status_code == 302
    return await browser.get(await site.decided(departure.headers["location"]))


@pytest.mark.anyio
async def test_somebody_logs_in(site: Site, browser: httpx.AsyncClient) -> None:
    response = await came_back(site, browser)
    ((identity, token),) = site.seen
    owner = site.sim.world.owner
    assert (response.status_code, identity.email, identity.id) == (200, owner.email, owner.id)
    assert "You are logged in" in response.text
    assert owner.name in response.text
    async with site.sim.session(AccessToken(token.access_token)) as ws:
        assert (await ws.me()).email == owner.email


@pytest.mark.anyio
async def test_the_state_is_in_a_cookie_for_this_site_alone_and_is_taken_back(
    site: Site, browser: httpx.AsyncClient
) -> None:
    await came_back(site, browser)
    departure, arrival = site.pages
    state = parse_qs(urlsplit(departure.headers["location"]).query)["state"][0]
    attributes = "Path=/auth; Max-Age={}; Secure; HttpOnly; SameSite=Lax"
    assert departure.headers["set-cookie"] == f"{COOKIE}={state}; {attributes.format(600)}"
    assert arrival.headers["set-cookie"] == f"{COOKIE}=; {attributes.format(0)}"
    assert len(state) >= 43
    assert not list(browser.cookies.jar)
    again = await browser.get("/auth/login")
    assert parse_qs(urlsplit(again.headers["location"]).query)["state"] != [state]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/"),
        ("/projects?sort=name&open=1#top", "/projects?sort=name&open=1#top"),
        ("/проєкти/100% %20\r\nx: y", "/%D0%BF%D1%80%D0%BE%D1%94%D0%BA%D1%82%D0%B8/100%%20%20%0D%0Ax:%20y"),
        ("/\t/evil.example", "/%09/evil.example"),
    ],
)
async def test_the_browser_goes_on_to_a_path_of_the_site(
    site: Site, browser: httpx.AsyncClient, path: str, location: str
) -> None:
    site.goes_on_to = path
    response = await came_back(site, browser)
    assert (response.status_code, response.headers["location"]) == (303, location)
    assert f"{COOKIE}=;" in response.headers["set-cookie"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["", "projects", "//evil.example", "/\\evil.example", "https://evil.example/", "\t//x"]
)
async def test_the_browser_goes_nowhere_else(site: Site, browser: httpx.AsyncClient, path: str) -> None:
    site.goes_on_to = path
    with pytest.raises(ValueError, match="a path of this site"):
        await came_back(site, browser)


@pytest.mark.anyio
async def test_what_on_login_raises_goes_on(site: Site) -> None:
    async def full(*_: object) -> None:
        raise OSError("disk full")

    routes = LoginRoutes(site.sim.oauth_app(CALLBACK), full)
    async with site.browser(Mount("/auth", app=routes)) as browser:
        with pytest.raises(OSError, match="disk full"):
            await came_back(site, browser)


@pytest.mark.anyio
async def test_a_browser_that_did_not_begin_cannot_finish(site: Site, browser: httpx.AsyncClient) -> None:
    """Somebody is sent a link that would log him into the sender's account."""
    link = await site.decided((await browser.get("/auth/login")).headers["location"])
    async with site.browser() as victim:
        for _ in range(2):
            response = await victim.get(link)
            assert (response.status_code, site.seen, site.asked()) == (400, [], [])
            assert "set-cookie" not in response.headers
            assert '<a href="login">' in response.text
            await victim.get("/auth/login")
    assert (await browser.get(link)).status_code == 200


@pytest.mark.anyio
async def test_a_login_begun_elsewhere_does_not_end_this_one(site: Site, browser: httpx.AsyncClient) -> None:
    first = (await browser.get("/auth/login")).headers["location"]
    second = (await browser.get("/auth/login")).headers["location"]
    assert (await browser.get(await site.decided(first))).status_code == 400
    assert (await browser.get(await site.decided(second))).status_code == 200


@pytest.mark.anyio
async def test_whoever_says_no_is_not_logged_in(site: Site, browser: httpx.AsyncClient, log: Log) -> None:
    departure = await browser.get("/auth/login")
    response = await browser.get(await site.decided(departure.headers["location"], "deny"))
    assert (response.status_code, site.seen, site.asked()) == (400, [], [])
    assert "Worksection says: access_denied." in response.text
    assert f"{COOKIE}=;" in response.headers["set-cookie"]
    assert any("oauth2_authorize: the service refused: access_denied" in text for text in log.texts)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["error", "error_description", "errorDescription", "code", "state"])
async def test_a_stranger_cannot_put_words_on_the_page(site: Site, browser: httpx.AsyncClient, name: str) -> None:
    response = await browser.get("/auth/callback", params={name: "<script>Call 555-1234</script>"})
    assert (response.status_code, response.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "555" not in response.text
    assert "script" not in response.text


@pytest.mark.anyio
async def test_names_are_text_and_not_html(site: Site, browser: httpx.AsyncClient) -> None:
    site.sim.world.owner.first_name = "<b>Ada</b> & Їжак"
    response = await came_back(site, browser)
    assert "&lt;b&gt;Ada&lt;/b&gt; &amp; Їжак" in response.text


@pytest.mark.anyio
async def test_a_code_is_good_for_one_login(site: Site, browser: httpx.AsyncClient, log: Log) -> None:
    departure = await browser.get("/auth/login")
    back = await site.decided(departure.headers["location"])
    cookie = {"Cookie": departure.headers["set-cookie"].partition(";")[0]}
    answers = [await browser.get(back, headers=cookie) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert len(site.seen) == 1
    assert any("Authorization code has been revoked" in text for text in log.texts)


@pytest.mark.anyio
@pytest.mark.parametrize("action", ["oauth2_token", "oauth2_resource"])
@pytest.mark.parametrize("fault", [faults.unreachable(), faults.reset(), faults.html_page(), faults.server_error()])
async def test_a_service_that_does_not_answer_is_told_from_one_that_refuses(
    site: Site, browser: httpx.AsyncClient, action: str, fault: faults.Fault, log: Log
) -> None:
    site.sim.faults.add(action, fault)
    response = await came_back(site, browser)
    assert (response.status_code, site.seen) == (502, [])
    assert "could not be asked" in response.text
    assert any(f"somebody was not logged in: {action}: " in text for text in log.texts)


@pytest.mark.anyio
async def test_nothing_else_is_served(site: Site, browser: httpx.AsyncClient) -> None:
    for path in ("/auth", "/auth/", "/auth/logout", "/auth/login/", "/auth/auth/login"):
        assert (await browser.get(path, follow_redirects=True)).status_code == 404
    for path in ("/auth/login", "/auth/callback"):
        for method in ("POST", "HEAD", "DELETE"):
            response = await browser.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, "GET")


@pytest.mark.anyio
async def test_no_answer_is_kept_or_tells_where_it_was(site: Site, browser: httpx.AsyncClient) -> None:
    await came_back(site, browser)
    site.goes_on_to = "/"
    await came_back(site, browser)
    await browser.get("/auth/callback")
    await browser.get("/auth/nothing")
    await browser.post("/auth/login")
    site.sim.faults.add("oauth2_token", faults.unreachable())
    await came_back(site, browser)
    assert {page.status_code for page in site.pages} == {200, 302, 303, 400, 404, 405, 502}
    for page in site.pages:
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert int(page.headers["content-length"]) == len(page.content)


# Where it is mounted


ROOTS = [("/auth/login", "/auth"), ("/auth/login", "/auth/"), ("/login", "/auth"), ("/login", ""), ("/login", "/log")]


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "root"), ROOTS)
async def test_the_root_is_in_the_path_or_it_is_not(site: Site, path: str, root: str) -> None:
    assert (await called(site.routes(), path=path, root_path=root))[0]["status"] == 302
    assert (await called(site.routes(), path=f"/x{path}", root_path=root))[0]["status"] == 404


async def called(app: Any, **scope: Any) -> list[dict[str, Any]]:
    """What *app* sends."""
    sent: list[Any] = []
    base = {"type": "http", "method": "GET", "path": "/login", "root_path": "", "query_string": b"", "headers": []}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("there is nothing to be received")

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
async def test_it_is_mounted_anywhere(site: Site, redirect_uri: str, mounted: str, folder: str) -> None:
    """The last one is behind a proxy that gives it another path."""
    site.sim.world.owner.first_name = "Ada"
    async with site.browser(Starlette(routes=[Mount(mounted, app=site.routes(redirect_uri))])) as browser:
        departure = await browser.get(f"{mounted}/login")
        assert f"; Path={folder};" in departure.headers["set-cookie"]
        back = await site.decided(departure.headers["location"])
        cookie = departure.headers["set-cookie"].partition(";")[0]
        response = await browser.get(back.replace("/shown/", "/hidden/"), headers={"Cookie": f"a=b; {cookie}"})
        assert (response.status_code, len(site.seen)) == (200, 1)


@pytest.mark.anyio
async def test_no_request_no_answer(site: Site) -> None:
    assert await called(site.routes(), type="websocket") == [{"type": "websocket.close"}]
    with pytest.raises(RuntimeError, match="lifespan"):
        await called(site.routes(), type="lifespan")


@pytest.mark.anyio
async def test_other_scopes_than_the_applications_own(site: Site) -> None:
    routes = site.routes(scopes=["tasks_read", "costs_read"])
    headers = dict((await called(routes))[0]["headers"])
    assert b"scope=tasks_read%2Ccosts_read" in headers[b"location"]


@pytest.mark.parametrize(
    ("redirect_uri", "scopes", "complaint"),
    [(f"{SITE}/auth/login", None, "must not end in /login"), (CALLBACK, ["timers_read"], "scopes are projects_read")],
)
def test_routes_that_cannot_work_are_refused_at_once(
    site: Site, redirect_uri: str, scopes: Any, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        site.routes(redirect_uri, scopes=scopes)


@pytest.mark.anyio
async def test_the_example_of_the_documentation(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"```python\n(.*?)```", (DOCS / "login.md").read_text(), re.DOTALL)
    monkeypatch.setattr(worksection_async, "OAuthApp", lambda *args, **_: site.sim.oauth_app(args[2]))
    names: dict[str, Any] = {}
    exec(examples[0], names)
    async with site.browser(names["site"]) as browser:
        assert (await came_back(site, browser)).headers["location"] == "/"
        assert [who.email for who in names["people"]] == [site.sim.world.owner.email]
    exec(examples[1], names)
    session: dict[str, Any] = {}

    async def with_session(scope: Any, *rest: Any) -> None:
        await names["auth"]({**scope, "session": session}, *rest)

    async with site.browser(Starlette(routes=[Mount("/auth", app=with_session)])) as browser:
        assert (await came_back(site, browser)).status_code == 303
    assert session == {"user": site.sim.world.owner.id}


# Secrets


@pytest.mark.anyio
async def test_no_secret_is_seen(site: Site, log: Log) -> None:
    """Neither code, state, client secret nor token: not in a page, not in a record, wherever it goes wrong.

    No httpx is the browser here, for that would log the addresses it opens.
    """
    secrets, pages, routes = {site.sim.oauth.client_secret}, list[str](), site.routes()
    for fault in (None, "oauth2_token", "oauth2_resource"):
        if fault:
            site.sim.faults.add(fault, faults.reset())
        departure = dict((await called(routes))[0]["headers"])
        cookie = [(b"cookie", departure[b"set-cookie"].partition(b";")[0])]
        back = urlsplit(await site.decided(departure[b"location"].decode())).query
        params = {name: values[0] for name, values in parse_qs(back).items()}
        secrets |= set(params.values())
        for wrong in ({"state": ""}, {"code": ""}, {"error": params["code"]}, {}):
            query = urlencode(params | wrong).encode()
            sent = await called(routes, path="/callback", query_string=query, headers=cookie)
            pages.append(str(sent))
    secrets |= {it for _, token in site.seen for it in (token.access_token, token.refresh_token) if it}
    assert len(secrets) == 1 + 2 * 3 + 2
    assert len([page for page in pages if "You are logged in" in page]) == 1
    assert "worksection_async" in log.loggers
    assert_no_secret([repr(routes), *pages, *log.texts], secrets)
