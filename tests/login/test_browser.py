"""The whole login in a real browser, from the login page of the simulator back to the program or web app."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import threading
from collections.abc import Iterator

import anyio
import attrs
import pytest
import uvicorn
from playwright.sync_api import Cookie, Page, Response
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.support.chromium import Chromium, needs_chromium
from tests.support.login_harness import LoginHarness, email_of_token, free_port
from tests.support.vaults import MemoryVault
from worksection_async import AccessToken, Session, TokenBucket
from worksection_async._cli import _certificate
from worksection_async._transport.asgi import local_path
from worksection_async.login import LoginRoutes
from worksection_async.models import Identity
from worksection_async.testing import Simulator

pytestmark = needs_chromium


class Browser(Chromium):
    """A browser that logs in."""

    def origins(self, paths: list[str]) -> set[str]:
        """Return the origins to which redirects from ``https://app.example/auth/callback`` to *paths* lead."""
        script = "paths => paths.map(path => new URL(path, 'https://app.example/auth/callback').origin)"
        return self.run(lambda page: set(page.evaluate(script, paths)))

    def visit(self, url: str, button: str) -> Visit:
        """Open *url* without cookies, click *button* and wait for the redirect."""
        return self.run(lambda page: self._visit(page, url, button))

    @staticmethod
    def _visit(page: Page, url: str, button: str) -> Visit:
        responses: list[Response] = []
        page.on("response", lambda it: responses.append(it) if it.request.is_navigation_request() else None)
        page.goto(url)
        login_page_text = page.inner_text("main")
        cookies = page.context.cookies()
        page.get_by_role("button", name=button).click()
        page.wait_for_url(re.compile("^https://localhost:"), timeout=20_000)
        body, status = page.inner_text("body"), responses[-1].status
        return Visit(login_page_text, page.url, body, status, cookies, page.context.cookies())


@attrs.frozen
class Visit:
    """The pages, status and cookies of one visit."""

    login_page_text: str
    url: str
    text: str
    status: int
    cookies_before: list[Cookie]
    cookies_after: list[Cookie]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


# At a terminal


@pytest.mark.timeout(180)
def test_an_allowed_login_stores_the_token(
    harness: LoginHarness, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    visits: list[Visit] = []
    harness.set_browser(lambda url: visits.append(browser.visit(url, "Allow")))
    assert harness.login("--scopes", "users_read") == 0
    (visit,) = visits
    assert "users_read" in visit.login_page_text
    assert "Worksection accepted the login" in visit.text
    assert harness.sim.owner.email in capsys.readouterr().out
    assert anyio.run(email_of_token, harness) == harness.sim.owner.email


def test_a_denied_login_stores_nothing(
    harness: LoginHarness, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    visits: list[Visit] = []
    harness.set_browser(lambda url: visits.append(browser.visit(url, "Deny")))
    assert harness.login() == 3
    assert "access_denied" in capsys.readouterr().err
    assert visits[0].status == 400
    assert "You are not logged in" in visits[0].text
    assert not harness.token_file.exists()


# In a web app


@attrs.define
class WebApp:
    """A web app with `LoginRoutes`, served over HTTPS."""

    sim: Simulator
    service: str
    url: str
    vault: MemoryVault = attrs.field(factory=MemoryVault)

    @contextlib.contextmanager
    def served(self, port: int) -> Iterator[None]:
        app = self.sim.oauth_app(f"{self.url}/auth/callback", base_url=self.service, login_url="login")
        site = Starlette(routes=[Mount("/auth", app=LoginRoutes(app, self.vault, user_of=_email_in))])
        config = uvicorn.Config(site, "127.0.0.1", port, lifespan="off", log_level="critical", access_log=False)
        config.load()
        config.ssl = _certificate.create_ssl_context("localhost")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=asyncio.run, args=(server.serve(),))
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def web() -> Iterator[WebApp]:
    sim, port = Simulator(), free_port()
    with sim.serve() as service:
        web = WebApp(sim, service, f"https://localhost:{port}")
        with web.served(port):
            yield web


def test_a_web_app_gets_the_identity_and_the_token(web: WebApp, browser: Browser) -> None:
    """The browser keeps the state cookie during the visit to the service; the cookie is limited to the path."""
    visit = browser.visit(f"{web.url}/auth/login", "Allow")
    assert (visit.status, visit.text.split("\n")[0]) == (200, "You are logged in")
    (state_cookie,) = [cookie for cookie in visit.cookies_before if "worksection" in cookie["name"]]
    assert (
        state_cookie["path"],
        state_cookie["secure"],
        state_cookie["httpOnly"],
        state_cookie["sameSite"],
    ) == ("/auth", True, True, "Lax")
    assert not [cookie for cookie in visit.cookies_after if "worksection" in cookie["name"]]
    assert anyio.run(_email_of, web) == web.sim.owner.email


def _email_in(_: object, identity: Identity) -> str:
    return identity.email


async def _email_of(web: WebApp) -> str:
    ((email, store),) = web.vault.stores.items()
    token = await store.load()
    assert token is not None
    async with Session(web.service, AccessToken(token.access_token), limiter=TokenBucket(1e6)) as ws:
        assert (await ws.me()).email == email
        return email


def test_a_web_app_redirects_the_browser(web: WebApp, browser: Browser) -> None:
    visit = browser.visit(f"{web.url}/auth/login?next=/auth/nothing-there%3Fx=1", "Allow")
    assert (visit.url, visit.status) == (f"{web.url}/auth/nothing-there?x=1", 404)


def test_no_accepted_path_leads_the_browser_to_another_site(browser: Browser) -> None:
    """All texts of up to five parts that browsers treat in a special way."""
    parts = ["/", "\\", "\t", "\n", "\x00", " ", ".", "@", ":", "%2F", "%5c", "#", "?", "evil.example"]
    texts = ["/" + "".join(text) for length in range(5) for text in itertools.product(parts, repeat=length)]
    accepted = [path for path in map(local_path, texts) if path]
    assert len(accepted) > 10_000
    assert browser.origins(accepted) == {"https://app.example"}
    assert browser.origins(["//evil.example", "/\\evil.example", "/\t/evil.example"]) == {"https://evil.example"}


def test_a_web_app_does_not_log_in_a_user_who_denies(web: WebApp, browser: Browser) -> None:
    visit = browser.visit(f"{web.url}/auth/login", "Deny")
    assert (visit.status, web.vault.stores) == (400, {})
    assert "You are not logged in" in visit.text
