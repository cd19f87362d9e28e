"""A harness for ``python -m worksection_async login``: a simulator, a simulated browser, and terminal input."""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest

from worksection_async import FileTokenStore, OAuth2, Session, TokenBucket
from worksection_async.__main__ import main
from worksection_async._cli import _callback
from worksection_async.testing import Simulator


@attrs.define
class LoginHarness:
    """Runs the login command against a simulator, with a simulated browser and keyboard."""

    sim: Simulator
    url: str
    port: int
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    opened: list[str] = attrs.field(factory=list)
    """URLs that the command opened in the browser."""
    pages: list[httpx.Response] = attrs.field(factory=list)
    """Pages that the browser received from the callback."""
    threads: list[threading.Thread] = attrs.field(factory=list)

    @property
    def redirect_uri(self) -> str:
        return f"https://localhost:{self.port}/callback"

    @property
    def token_file(self) -> Path:
        return self.folder / "worksection-async" / "token.json"

    def login(self, *options: str) -> int:
        """Run the command; return its exit code."""
        try:
            addresses = ["--base-url", self.url, "--redirect-uri", self.redirect_uri]
            return main(["login", *addresses, "--timeout", "60", *options])
        finally:
            for thread in self.threads:
                thread.join(10)

    def decide(self, url: str, decision: str = "allow") -> str:
        """Submit the decision on the login page *url*; return the URL of the redirect."""
        form = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        form |= {"user": str(self.sim.owner.id), "decision": decision}
        return httpx.post(f"{self.url}/oauth2/authorize", data=form).headers["location"]

    def visit(self, url: str) -> httpx.Response:
        """Open *url* in the browser, without a check of the certificate."""
        page = httpx.get(url, verify=False)
        self.pages.append(page)
        return page

    def set_browser(self, behaviour: Callable[[str], object]) -> None:
        """Call *behaviour* with each URL that the command opens in the browser."""

        def open_(url: str) -> bool:
            self.opened.append(url)
            self.threads.append(threading.current_thread())
            behaviour(url)
            return True

        self.monkeypatch.setattr(webbrowser, "open", open_)

    def open_keyboard(self) -> int:
        """Return a file descriptor: bytes written to it are the standard input of the command."""
        reading, writing = os.pipe()
        self.monkeypatch.setattr(sys, "stdin", os.fdopen(reading))
        return writing


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoginHarness]:
    sim = Simulator()
    with sim.serve() as url, Path(os.devnull).open() as no_input:
        harness = LoginHarness(sim, url, free_port(), tmp_path / "config", monkeypatch)
        sim.oauth.redirect_uri = harness.redirect_uri
        monkeypatch.setenv("WORKSECTION_CLIENT_ID", sim.oauth.client_id)
        monkeypatch.setenv("WORKSECTION_CLIENT_SECRET", sim.oauth.client_secret)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(harness.folder))
        harness.set_browser(lambda url: harness.visit(harness.decide(url)))
        monkeypatch.setattr(sys, "stdin", no_input)
        yield harness
    sys.stdin.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def email_of_token(harness: LoginHarness) -> str:
    """Return the email address of the user to whom the saved token belongs."""
    auth = OAuth2(harness.sim.oauth_app(harness.redirect_uri, base_url=harness.url), FileTokenStore(harness.token_file))
    async with Session(None, auth, limiter=TokenBucket(1e6)) as ws:
        return (await ws.me()).email


def call_when_printed(monkeypatch: pytest.MonkeyPatch, then: Callable[[str], None]) -> None:
    """Call *then* with the login URL when the command prints it."""

    def print_lines(*lines: str) -> None:
        original(*lines)
        for line in lines:
            if "/oauth2/authorize" in line:
                then(line.strip())

    original = _callback.print_lines
    monkeypatch.setattr(_callback, "print_lines", print_lines)
