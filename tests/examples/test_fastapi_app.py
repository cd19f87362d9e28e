"""The dashboard of docs/examples/fastapi_app in a real browser."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import anyio
import attrs
import httpx
import pytest
from playwright.sync_api import Page, Response, expect

from docs.examples.fastapi_app.demo import make_certificate
from tests.support import readme
from tests.support.chromium import Chromium, needs_chromium
from tests.support.constants import DOCS
from tests.support.login_harness import free_port
from worksection_async.testing import Simulator, faults

INSTALL_AND_DEMO, COMMENT = readme.console_blocks(DOCS / "examples" / "fastapi_app" / "README.md")
SERVE, REGISTER = readme.real_account_blocks("FastAPI")

PASSWORD = "a long secret"

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


def log_in(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name="Log in with Worksection").click()
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(f"{url}/")


# With the demo


def test_the_demo_shows_tasks_and_the_news_of_a_comment(browser: Chromium, tmp_path: Path) -> None:
    install, demo = INSTALL_AND_DEMO.splitlines()
    port, simulator_port = free_port(), free_port()
    url = f"https://localhost:{port}"

    def visit(page: Page) -> None:
        log_in(page, url)
        expect(page.get_by_role("heading")).to_have_text("Henry’s tasks")
        names = page.get_by_role("listitem").get_by_role("link").all_inner_texts()
        assert names == ["Team meetup", "Development", "Sprint 1", "Read the documentation", "Subsprint 1.1"]
        readme.run(COMMENT.replace(":8010", f":{simulator_port}"))
        development = page.get_by_role("listitem").filter(has_text="Development")
        running.wait_until(lambda: page.reload() and "Kate Greenway commented at" in development.inner_text())
        check_layout(page)

    assert readme.missing_requirements(install) == []
    with readme.program(f"{demo} {port} {simulator_port}", tmp_path / "log") as running:
        running.wait_for_port(port)
        browser.run(visit)
        assert running.interrupt() == 0
        assert "Traceback" not in running.output()


def test_the_demo_deletes_its_folder_when_it_is_terminated(tmp_path: Path) -> None:
    _, demo = INSTALL_AND_DEMO.splitlines()
    port, simulator_port = free_port(), free_port()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = f"{demo} {port} {simulator_port}"
    with readme.program(script, tmp_path / "log", TMPDIR=str(temporary)) as running:
        running.wait_for_port(port)
        assert list(temporary.iterdir())
        assert running.terminate() == 0
    assert not list(temporary.iterdir())


def check_layout(page: Page) -> None:
    """The page fits into 360 pixels, and has dark colours if the browser asks for them."""
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    backgrounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(22, 25, 29)"]


# As in production, with a simulator in the place of the service


@attrs.frozen
class Site:
    """The app as the documentation starts it, and the account behind it."""

    sim: Simulator
    url: str
    folder: Path
    variables: dict[str, str]


@contextlib.contextmanager
def served(tmp_path: Path, login_host: str = "127.0.0.1") -> Iterator[Site]:
    sim, port = Simulator(rate=1.0), free_port()
    url = f"https://localhost:{port}"
    sim.oauth.redirect_uri = f"{url}/auth/callback"
    with sim.serve() as service:
        variables = {
            "ACCOUNT": service,
            "SITE_URL": url,
            "CLIENT_ID": sim.oauth.client_id,
            "CLIENT_SECRET": sim.oauth.client_secret,
            "API_KEY": sim.api_key,
            "SESSION_SECRET": PASSWORD,
            "WEBHOOK_PASSWORD": PASSWORD,
        }
        # The proxy of the documentation, which would serve HTTPS.
        key, certificate = make_certificate(tmp_path)
        script = f"{filled(SERVE, variables)} --port {port} --ssl-keyfile {key} --ssl-certfile {certificate}"
        folder = tmp_path / "tokens"
        hidden = {"WORKSECTION_LOGIN": service.replace("127.0.0.1", login_host), "TOKEN_FOLDER": str(folder)}
        with readme.program(script, tmp_path / "log", **hidden) as program:
            program.wait_for_port(port)
            yield Site(sim, url, folder, variables)


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path) as site:
        yield site


def filled(script: str, variables: dict[str, str]) -> str:
    """Return a script of the documentation with real values in the place of the examples."""
    script = script.replace("https://acme.worksection.com", variables["ACCOUNT"])
    script = script.replace("https://tasks.example.com", variables["SITE_URL"])
    return re.sub(r"(?:WORKSECTION_)?(\w+)=…", lambda found: f"{found[0][:-1]}'{variables[found[1]]}'", script)


def test_a_busy_account_is_a_503_with_the_time_to_wait(site: Site, browser: Chromium) -> None:
    """Both when the service refuses calls and when the queue is too long."""

    def visit(page: Page) -> list[Response]:
        pages: list[Response] = []
        page.on("response", lambda it: pages.append(it) if it.url == f"{site.url}/" else None)
        log_in(page, site.url)
        expect(page.get_by_role("heading")).to_have_text("Worksection is busy")
        page.reload()
        expect(page.get_by_role("heading")).to_have_text("Worksection is busy")
        return pages

    site.sim.fail("search_tasks", faults.too_many_requests(status=429, retry_after=50))
    welcome, refused, queued = browser.run(visit)
    assert [page.status for page in (welcome, refused, queued)] == [200, 503, 503]
    assert 5 < int(queued.headers["retry-after"]) <= int(refused.headers["retry-after"]) <= 50


def test_an_outage_is_a_502_and_the_visitor_stays_logged_in(site: Site, browser: Chromium) -> None:
    def visit(page: Page) -> None:
        site.sim.fail("search_tasks", "unreachable", times=4)
        log_in(page, site.url)
        expect(page.get_by_role("heading")).to_have_text("Worksection is out of reach")
        page.reload()
        expect(page.get_by_role("heading")).to_have_text("Henry’s tasks")

    browser.run(visit)
    assert site.sim.unused_faults == []


def test_a_visitor_whose_login_is_lost_logs_in_again_and_comes_back(site: Site, browser: Chromium) -> None:
    def visit(page: Page) -> None:
        log_in(page, site.url)
        shutil.rmtree(site.folder)
        page.reload()
        page.get_by_role("button", name="Allow").click()
        expect(page.get_by_role("heading")).to_have_text("Henry’s tasks")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("link")).to_have_text("Log in with Worksection")
        assert not list(site.folder.rglob("token.json"))

    browser.run(visit)


def test_a_visitor_from_another_account_is_refused(tmp_path: Path, browser: Chromium) -> None:
    def visit(page: Page) -> None:
        page.goto(f"{site.url}/auth/login")
        page.get_by_role("button", name="Allow").click()
        expect(page.get_by_role("heading")).to_have_text("You are not logged in")
        page.goto(site.url)
        expect(page.get_by_role("link")).to_have_text("Log in with Worksection")

    with served(tmp_path, "localhost") as site:  # to the app that is another account than 127.0.0.1
        browser.run(visit)


VISITORS = """
import app
from worksection_async.models import Identity

for account in ("acme", "other"):
    visitor = Identity(id=7, account_url=f"https://{account}.worksection.com")
    print(account, app.user_of({"session": {}}, visitor))
print(app.ws.account_url)
"""


@pytest.mark.parametrize("account", ["Acme", "https://acme.worksection.com/"])
def test_the_account_is_a_name_or_a_url(account: str, tmp_path: Path) -> None:
    """In both cases the visitors from it, and only they, are let in, and links lead to its pages."""
    variables = dict.fromkeys(re.findall(r"(\w+)=…", SERVE), "secret")
    variables |= {
        "WORKSECTION_ACCOUNT": account,
        "SITE_URL": "https://tasks.example.com",
        "TOKEN_FOLDER": str(tmp_path),
    }
    output = readme.run(f"cd docs/examples/fastapi_app && python -c '{VISITORS}'", **variables)
    assert output.splitlines() == ["acme 7", "other None", "https://acme.worksection.com"]


def test_the_webhook_is_registered_and_takes_no_event_from_strangers(site: Site) -> None:
    readme.run(filled(REGISTER, site.variables))
    *_, webhook = site.sim.webhooks.values()
    assert (webhook.url, webhook.events) == (f"{site.url}/webhook/", ("post_comment", "update_task"))
    delivered = anyio.run(site.sim.emit, "update", site.sim.tasks[2601])
    assert [delivery.ok for delivery in delivered] == [True]
    assert httpx.post(webhook.url, json=[], verify=False).status_code == 401
