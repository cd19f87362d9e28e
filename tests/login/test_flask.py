"""The login of a site in Flask, from the documentation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest
from werkzeug.test import Client, TestResponse

import worksection_async
import worksection_async.blocking
from tests.support.constants import DOCS
from tests.support.examples import python_blocks
from worksection_async import TokenBucket
from worksection_async.testing import Simulator


@attrs.frozen
class Site:
    """The site, and the account whose users log in."""

    names: dict[str, Any]
    sim: Simulator
    folder: Path

    def browser(self) -> Client:
        return Client(self.names["site"])

    def decide(self, url: str, decision: str = "allow") -> str:
        """Return the redirect of the service after the user opens *url* and clicks."""
        form = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        form |= {"user": str(self.sim.owner.id), "decision": decision}
        return httpx.post(url.partition("?")[0], data=form).headers["location"]

    def log_in(self, browser: Client, decision: str = "allow") -> TestResponse:
        return browser.get(self.decide(browser.get("/login").headers["location"], decision), follow_redirects=True)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    [example] = [code for code in python_blocks(DOCS / "login.md") if "import flask" in code]
    monkeypatch.chdir(tmp_path)
    sim, names = Simulator(), dict[str, Any](__name__="example")
    session = worksection_async.blocking.BlockingSession

    def oauth_app(_: str, __: str, redirect_uri: str, **options: Any) -> worksection_async.OAuthApp:
        return sim.oauth_app(redirect_uri, base_url=url, **options)

    with sim.serve() as url:
        monkeypatch.setattr(worksection_async, "OAuthApp", oauth_app)
        monkeypatch.setattr(
            worksection_async.blocking, "BlockingSession", lambda _, auth: session(url, auth, limiter=TokenBucket(1000))
        )
        exec(example, names)
        names["ACCOUNT"] = url
        yield Site(names, sim, tmp_path)
        names["ws"].close()


def test_a_visitor_logs_in(site: Site) -> None:
    browser = site.browser()
    assert browser.get("/").location == "/login"
    assert site.log_in(browser).text == site.sim.owner.email
    assert browser.get("/").text == site.sim.owner.email
    assert site.browser().get("/").location == "/login", "another browser is not logged in"


def test_a_visitor_whose_tokens_are_gone_logs_in_again(site: Site) -> None:
    browser = site.browser()
    site.log_in(browser)
    shutil.rmtree(site.folder / "tokens")
    assert browser.get("/").location == "https://app.example/login"
    assert site.log_in(browser).text == site.sim.owner.email


def test_a_login_that_was_denied_or_begun_elsewhere_is_refused(site: Site) -> None:
    browser, other = site.browser(), site.browser()
    assert site.log_in(browser, "deny").status_code == 400
    callback = site.decide(other.get("/login").headers["location"])
    browser.get("/login")
    assert browser.get(callback).status_code == 400


def test_a_user_of_another_account_is_refused(site: Site) -> None:
    site.names["ACCOUNT"] = "https://other.worksection.com"
    assert site.log_in(site.browser()).status_code == 403
