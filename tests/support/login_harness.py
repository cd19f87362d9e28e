"""A person at a machine, who logs in with ``python -m worksection_async login``: his browser and his keyboard."""

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
class Desk:
    """A person at a machine: the command, the service it talks to, and a browser."""

    sim: Simulator
    url: str
    port: int
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    opened: list[str] = attrs.field(factory=list)
    pages: list[httpx.Response] = attrs.field(factory=list)
    threads: list[threading.Thread] = attrs.field(factory=list)

    @property
    def redirect_uri(self) -> str:
        return f"https://localhost:{self.port}/callback"

    @property
    def token_file(self) -> Path:
        return self.folder / "worksection-async" / "token.json"

    def login(self, *options: str) -> int:
        try:
            where = ["--base-url", self.url, "--redirect-uri", self.redirect_uri]
            return main(["login", *where, "--timeout", "60", *options])
        finally:
            for thread in self.threads:
                thread.join(10)

    def decided(self, url: str, decision: str = "allow") -> str:
        """Where the service sends a browser that came to *url*, after the click."""
        form = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        form |= {"user": str(self.sim.world.owner.id), "decision": decision}
        return httpx.post(f"{self.url}/oauth2/authorize", data=form).headers["location"]

    def visit(self, url: str) -> httpx.Response:
        """Open an address in the browser, whatever its certificate."""
        page = httpx.get(url, verify=False)
        self.pages.append(page)
        return page

    def has_browser(self, behaviour: Callable[[str], object]) -> None:
        def open_(url: str) -> bool:
            self.opened.append(url)
            self.threads.append(threading.current_thread())
            behaviour(url)
            return True

        self.monkeypatch.setattr(webbrowser, "open", open_)

    def has_keyboard(self) -> int:
        """Where what is typed has to be written to."""
        reading, writing = os.pipe()
        self.monkeypatch.setattr(sys, "stdin", os.fdopen(reading))
        return writing


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    sim = Simulator()
    with sim.serve() as url, Path(os.devnull).open() as nothing:
        desk = Desk(sim, url, free_port(), tmp_path / "config", monkeypatch)
        sim.oauth.redirect_uri = desk.redirect_uri
        monkeypatch.setenv("WORKSECTION_CLIENT_ID", sim.oauth.client_id)
        monkeypatch.setenv("WORKSECTION_CLIENT_SECRET", sim.oauth.client_secret)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(desk.folder))
        desk.has_browser(lambda url: desk.visit(desk.decided(url)))
        monkeypatch.setattr(sys, "stdin", nothing)
        yield desk
    sys.stdin.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def whose(desk: Desk) -> str:
    """Whom a program that uses the file stands for."""
    auth = OAuth2(desk.sim.oauth_app(desk.redirect_uri, base_url=desk.url), FileTokenStore(desk.token_file))
    async with Session(None, auth, limiter=TokenBucket(1e6)) as ws:
        return (await ws.me()).email


def when_printed(monkeypatch: pytest.MonkeyPatch, then: Callable[[str], None]) -> None:
    """Do something with the address once it is printed."""

    def say(*lines: str) -> None:
        before(*lines)
        for line in lines:
            if "/oauth2/authorize" in line:
                then(line.strip())

    before = _callback.say
    monkeypatch.setattr(_callback, "say", say)
