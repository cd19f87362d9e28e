"""The login page: its content, the redirect after a decision, and the requests that get no redirect."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import httpx
import pytest

from worksection_async.testing import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

REDIRECT_URI = "https://localhost:33443/callback"
HOSTILE = """"><script>alert(1)</script><b id='x">&amp;"""
VOID = {"meta", "input"}

Attrs = dict[str, str | None]


@attrs.define(slots=False)
class Page(HTMLParser):
    """The parsed page; parsing fails if tags do not match."""

    tags: list[tuple[str, Attrs]] = attrs.field(factory=list)
    texts: dict[str, list[str]] = attrs.field(factory=dict)
    """Texts by the name of their tag."""
    _open: list[str] = attrs.field(factory=list)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.setdefault(self._open[-1], []).append(data)

    def close(self) -> None:
        super().close()
        assert self._open == []

    def all(self, tag: str) -> list[Attrs]:
        return [found for name, found in self.tags if name == tag]

    def form(self, button: str, **changes: str) -> dict[str, str]:
        """Return the form data that a browser sends after a click on the button with this text."""
        fields = {str(field["name"]): str(field["value"]) for field in self.all("input")}
        (chosen,) = [str(option["value"]) for option in self.all("option") if "selected" in option]
        buttons = dict(zip(self.texts["button"], self.all("button"), strict=True))
        clicked = buttons[button]
        return {**fields, "user": chosen, str(clicked["name"]): str(clicked["value"]), **changes}


@attrs.define
class Browser:
    """Opens the page and clicks buttons; does not follow redirects."""

    http: httpx.AsyncClient
    sim: Simulator

    async def get(self, **changes: str | None) -> httpx.Response:
        params = {"client_id": self.sim.oauth.client_id, "response_type": "code", "redirect_uri": REDIRECT_URI}
        params |= {"state": "a state", "scope": "tasks_read,users_read"}
        params |= changes  # type: ignore[arg-type]
        given = {name: value for name, value in params.items() if value is not None}
        return await self.http.get("/oauth2/authorize", params=given)

    async def open(self, **changes: str | None) -> Page:
        response = await self.get(**changes)
        assert response.status_code == 200
        return read(response)

    async def click(self, page: Page, button: str, **changes: str) -> httpx.Response:
        (form,) = page.all("form")
        assert form["method"] == "post"
        return await self.http.post(str(form["action"]), data=page.form(button, **changes))


def read(response: httpx.Response) -> Page:
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page()
    page.feed(response.text)
    page.close()
    return page


def redirect_params(response: httpx.Response, at: str = REDIRECT_URI) -> dict[str, str]:
    """Check that *response* redirects to *at*; return the parameters in its query."""
    assert response.status_code == 302
    uri, _, query = response.headers["location"].partition("?")
    assert uri == at
    return dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))


@pytest.fixture
async def browser(sim: Simulator) -> Any:
    async with httpx.AsyncClient(transport=sim.transport(), base_url="http://127.0.0.1") as http:
        yield Browser(http, sim)


# The page


async def test_page_shows_the_application_the_scopes_and_the_members(browser: Browser) -> None:
    page = await browser.open()
    assert browser.sim.oauth.client_id in page.texts["strong"]
    assert page.texts["code"] == ["tasks_read", "users_read"]
    assert page.texts["option"] == [
        "Henry Gardner (henry.gardner@ws.com)",
        "Frank Harper (frank.harper@ws.com)",
        "Kate Greenway (kate.greenway@ws.com)",
    ]
    assert page.texts["button"] == ["Allow", "Deny"]
    assert page.form("Allow")["user"] == str(browser.sim.owner.id)


async def test_page_is_accessible_and_needs_no_script(browser: Browser) -> None:
    """The page has a language, a title, one heading and a labelled list, and loads no other resources."""
    response = await browser.get()
    page = read(response)
    assert page.all("html") == [{"lang": "en"}]
    assert page.texts["title"] == page.texts["h1"]
    assert [label["for"] for label in page.all("label")] == [select["id"] for select in page.all("select")] == ["user"]
    assert {button["type"] for button in page.all("button")} == {"submit"}
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert not {"src", "href", "onclick", "style"} & {name for _, found in page.tags for name in found}
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "scope", ["tasks_read,users_read", "tasks_read users_read", " tasks_read, users_read,tasks_read"]
)
async def test_scopes_are_separated_by_commas_or_spaces(browser: Browser, scope: str) -> None:
    assert (await browser.open(scope=scope)).texts["code"] == ["tasks_read", "users_read"]


async def test_deactivated_members_cannot_log_in(browser: Browser) -> None:
    kate = browser.sim.members[5686]
    page = await browser.open()
    browser.sim.update(kate, active=False)
    assert len((await browser.open()).texts["option"]) == 2
    assert (await browser.click(page, "Allow", user="5686")).status_code == 400


# The decision


async def test_allow_redirects_with_a_code_for_the_requested_scopes(browser: Browser) -> None:
    answer = redirect_params(await browser.click(await browser.open(), "Allow", user="5686"))
    assert answer.keys() == {"code", "state"}
    assert answer["state"] == "a state"
    token = await browser.sim.oauth_app().exchange(answer["code"])
    pair = browser.sim.oauth.live_pair(5686)
    assert pair.access_token == token.access_token
    assert pair.scopes == {"tasks_read", "users_read"}


async def test_deny_redirects_with_an_error(browser: Browser) -> None:
    answer = redirect_params(await browser.click(await browser.open(), "Deny"))
    assert answer == {"error": "access_denied", "state": "a state"}


async def test_client_and_browser_complete_a_login(browser: Browser) -> None:
    """From the authorization URL of the client to its tokens."""
    app = browser.sim.oauth_app("https://localhost/back", ["users_read"])
    url, state = app.authorization_url()
    page = read(await browser.http.get(url))
    answer = redirect_params(await browser.click(page, "Allow"), "https://localhost/back")
    assert answer["state"] == state
    identity = await app.identity(await app.exchange(answer["code"]))
    assert identity.id == browser.sim.owner.id


@pytest.mark.parametrize("decision", ["Allow", "Deny"])
@pytest.mark.parametrize("state", [HOSTILE, "", "1+1 = 2&code=no#x", "состояние", "\r\nSet-Cookie: no"])
async def test_state_is_returned_unchanged(browser: Browser, state: str, decision: str) -> None:
    answer = redirect_params(await browser.click(await browser.open(state=state), decision))
    assert answer["state"] == state
    assert answer.get("code") != "no"


async def test_without_a_state_the_redirect_has_no_state(browser: Browser) -> None:
    assert redirect_params(await browser.click(await browser.open(state=None), "Allow")).keys() == {"code"}


async def test_query_of_the_redirect_uri_is_kept(browser: Browser) -> None:
    uri = "https://localhost/back?tenant=7&x=%20"
    browser.sim.oauth_app(uri)
    response = await browser.click(await browser.open(redirect_uri=uri), "Deny")
    assert response.headers["location"] == f"{uri}&error=access_denied&state=a+state"


@pytest.mark.parametrize("changes", [{"user": "1"}, {"user": ""}, {"decision": "perhaps"}, {"decision": ""}])
async def test_an_invalid_decision_is_refused(browser: Browser, changes: dict[str, str]) -> None:
    response = await browser.click(await browser.open(), "Allow", **changes)
    assert response.status_code == 400
    assert "location" not in response.headers
    read(response)


# Refused requests


BY_GET: Callable[..., Any] = Browser.get


async def by_post(browser: Browser, **changes: str | None) -> httpx.Response:
    """Submit a manipulated form."""
    form = (await browser.open()).form("Allow")
    return await browser.http.post(
        "/oauth2/authorize", data={k: v for k, v in (form | changes).items() if v is not None}
    )


@pytest.mark.parametrize("send", [BY_GET, by_post], ids=["get", "post"])
@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "another"},
        {"client_id": None},
        {"client_id": HOSTILE},
        {"redirect_uri": None},
        {"redirect_uri": ""},
        {"redirect_uri": REDIRECT_URI + "/"},
        {"redirect_uri": REDIRECT_URI + "?"},
        {"redirect_uri": REDIRECT_URI.upper()},
        {"redirect_uri": " " + REDIRECT_URI},
        {"redirect_uri": "https://localhost:33443.evil.example/callback"},
        {"redirect_uri": HOSTILE},
    ],
)
async def test_an_unregistered_client_or_address_gets_no_redirect(
    browser: Browser, send: Callable[..., Any], changes: Any
) -> None:
    """The error is shown on the page; nothing is sent to an unregistered address."""
    response = await send(browser, **changes)
    assert response.status_code == 400
    assert "location" not in response.headers
    page = read(response)
    assert page.all("form") == page.all("script") == page.all("b") == []


@pytest.mark.parametrize("send", [BY_GET, by_post], ids=["get", "post"])
@pytest.mark.parametrize("scope", ["timers_read", "tasks_read,everything", "", None, HOSTILE])
async def test_unknown_scopes_are_refused(browser: Browser, send: Callable[..., Any], scope: str | None) -> None:
    """A request without scopes is refused, too."""
    assert redirect_params(await send(browser, scope=scope)) == {"error": "invalid_scope", "state": "a state"}


async def test_scopes_that_are_not_enabled_for_the_application_are_refused(browser: Browser) -> None:
    browser.sim.oauth.scopes = {"users_read"}
    assert redirect_params(await browser.get())["error"] == "invalid_scope"
    assert (await browser.open(scope="users_read")).texts["code"] == ["users_read"]


@pytest.mark.parametrize("response_type", ["token", None])
async def test_only_the_response_type_code_is_supported(browser: Browser, response_type: str | None) -> None:
    assert redirect_params(await browser.get(response_type=response_type))["error"] == "unsupported_response_type"


async def test_texts_on_the_page_are_escaped(browser: Browser) -> None:
    """Values of requests and records do not become HTML tags."""
    sim = browser.sim
    sim.oauth.client_id, uri = HOSTILE, f"https://localhost/{HOSTILE}"
    sim.oauth.redirect_uri = uri
    sim.update(sim.owner, first_name=HOSTILE)
    plain = await browser.open(state=HOSTILE, redirect_uri=uri)
    assert plain.all("script") == plain.all("b") == []
    fields = plain.form("Deny")
    assert (fields["client_id"], fields["redirect_uri"], fields["state"]) == (HOSTILE, uri, HOSTILE)
    assert plain.texts["option"][0].startswith(HOSTILE)
    assert plain.texts["strong"] == [HOSTILE]


async def test_login_works_over_a_socket() -> None:
    sim = Simulator()
    async with sim.serve() as url, httpx.AsyncClient(base_url=url) as http:
        browser = Browser(http, sim)
        app = sim.oauth_app(base_url=url)
        page = read(await http.get(app.authorization_url()[0]))
        code = redirect_params(await browser.click(page, "Allow"))["code"]
        assert (await app.exchange(code)).account_url == url
    assert urlsplit(url).hostname == "127.0.0.1"
