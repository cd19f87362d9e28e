"""``python -m worksection_async login``, as its users meet it: real sockets and certificates, no real browser."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import stat
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest

from tests.support.login_harness import Desk, when_printed, whose
from worksection_async import FileTokenStore
from worksection_async.__main__ import main
from worksection_async._auth.oauth_app import SCOPES
from worksection_async._cli import _certificate, simulate
from worksection_async.testing import faults

# With a browser


def test_somebody_logs_in(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.login() == 0
    output = capsys.readouterr()
    owner = desk.sim.world.owner
    assert output.err == ""
    assert output.out.endswith(
        f"\nYou are {owner.name} <{owner.email}>, at {desk.url}.\nThe token is in {desk.token_file}.\n"
    )
    assert f"\n  {desk.opened[0]}\n" in output.out
    assert desk.pages[0].status_code == 200
    assert "close this window" in desk.pages[0].text
    assert anyio.run(whose, desk) == owner.email


def test_what_is_left_is_the_token_and_it_is_private(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = desk.folder.with_name("temporary")
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert desk.login() == 0
    assert stat.S_IMODE(desk.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.token_file.parent.stat().st_mode) == 0o700
    assert not list(temporary.iterdir())
    with socket.create_server(("127.0.0.1", desk.port)):
        pass


def test_the_token_goes_where_it_is_told(desk: Desk, tmp_path: Path) -> None:
    assert desk.login("--store", str(tmp_path / "a" / "b.json")) == 0
    assert anyio.run(FileTokenStore(tmp_path / "a" / "b.json").load) is not None
    assert not desk.token_file.exists()


def test_what_a_simulator_prints_logs_in_to_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = simulate.greeting(desk.sim, desk.url, 0)
    for name, value in re.findall(r"^  export (\S+)=(\S+)$", told, re.MULTILINE):
        monkeypatch.setenv(name, value)
    command = told.partition("through:")[2].replace("\\\n", "").split()
    assert main([*command[command.index("login") :], "--redirect-uri", desk.redirect_uri]) == 0
    assert f"at {desk.url}.\n" in capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "scopes"), [([], SCOPES), (["--scopes", "tasks_read, users_read"], ("tasks_read", "users_read"))]
)
def test_all_is_asked_for_unless_scopes_are_named(desk: Desk, options: list[str], scopes: tuple[str, ...]) -> None:
    assert desk.login(*options) == 0
    (asked,) = parse_qs(urlsplit(desk.opened[0]).query)["scope"]
    assert asked == ",".join(scopes)
    assert desk.sim.oauth.live_pair().scopes == frozenset(scopes)


@pytest.mark.parametrize(
    ("decision", "scopes", "complaint"),
    [
        ("deny", None, "oauth2_authorize: the service refused: access_denied. The user did not allow the login."),
        ("allow", {"tasks_read"}, "oauth2_authorize: the service refused: invalid_scope. Request only scopes"),
    ],
)
def test_a_refusal_ends_it(
    desk: Desk, capsys: pytest.CaptureFixture[str], decision: str, scopes: set[str] | None, complaint: str
) -> None:
    desk.sim.oauth.scopes = scopes or desk.sim.oauth.scopes
    desk.has_browser(lambda url: desk.visit(desk.decided(url, decision)))
    assert desk.login() == 1
    assert capsys.readouterr().err.startswith(complaint)
    assert desk.pages[0].status_code == 400
    assert not desk.token_file.exists()


@pytest.mark.parametrize("action", ["oauth2_token", "oauth2_resource"])
@pytest.mark.parametrize("fault", [faults.html_page(), faults.reset()])
def test_a_service_that_fails_leaves_no_token(
    desk: Desk, capsys: pytest.CaptureFixture[str], action: str, fault: faults.Fault
) -> None:
    desk.sim.faults.add(action, fault)
    assert desk.login() == 1
    output = capsys.readouterr()
    assert output.err.startswith(f"{action}: ")
    assert "You are" not in output.out
    assert not desk.token_file.exists()


def test_a_wrong_state_is_refused_and_the_wait_goes_on(desk: Desk) -> None:
    """Anybody can knock at a port of this machine."""

    def behave(url: str) -> None:
        back = desk.decided(url)
        desk.visit(re.sub(r"state=[^&]+", "state=guessed", back))
        desk.visit(re.sub(r"&state=[^&]+", "", back))
        desk.visit(desk.redirect_uri)
        desk.visit(f"https://localhost:{desk.port}/favicon.ico")
        desk.pages.append(httpx.post(back, verify=False))
        desk.visit(back)

    desk.has_browser(behave)
    assert desk.login() == 0
    assert [page.status_code for page in desk.pages] == [400, 400, 400, 404, 405, 200]
    assert all(page.headers["cache-control"] == "no-store" for page in desk.pages)
    assert [request.action for request in desk.sim.requests].count("oauth2_token") == 1


def test_it_does_not_wait_for_ever(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.has_browser(lambda _: None)
    assert desk.login("--timeout", "0.2") == 1
    assert capsys.readouterr().err == "Nobody came back within 0.2 s: begin again, maybe with --timeout.\n"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_alone_is_listened_to_by_a_certificate_in_its_name(desk: Desk, host: str) -> None:
    certificates: list[str] = []

    def behave(url: str) -> None:
        back = desk.decided(url)
        certificates.append(ssl.get_server_certificate((host.strip("[]"), desk.port)))
        context = ssl.create_default_context(cadata=certificates[0])
        desk.pages.append(httpx.get(back, verify=context))

    try:
        socket.create_server((host.strip("[]"), 0), family=socket.AF_INET6 if "[" in host else socket.AF_INET).close()
    except OSError as exc:
        pytest.skip(f"{host}: {exc}")
    desk.has_browser(behave)
    redirect_uri = f"https://{host}:{desk.port}/a%20b?tenant=1"
    desk.sim.oauth.redirect_uri = redirect_uri
    assert desk.login("--redirect-uri", redirect_uri) == 0
    assert desk.pages[0].status_code == 200


def test_certificates_are_never_the_same() -> None:
    assert _certificate._pem("localhost") != _certificate._pem("localhost")


# Without


def test_the_address_is_pasted(desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard = desk.has_keyboard()

    def type_(address: str) -> None:
        back = desk.decided(address)
        for line in ("", "what?", re.sub("state=[^&]+", "state=guessed", back), f"  {back}"):
            os.write(keyboard, f"{line}\n".encode())
        os.close(keyboard)

    when_printed(monkeypatch, type_)
    assert desk.login("--no-browser") == 0
    printed = capsys.readouterr().out
    assert printed.count("That is not it: the callback has no state.") == 1
    assert printed.count("That is not it: the state does not match") == 1
    assert not desk.opened
    assert anyio.run(whose, desk) == desk.sim.world.owner.email


@pytest.mark.parametrize("last", ["", "\n"])
def test_a_taken_port_leaves_the_keyboard(desk: Desk, capsys: pytest.CaptureFixture[str], last: str) -> None:
    keyboard = desk.has_keyboard()

    def behave(url: str) -> None:
        os.write(keyboard, f"{desk.decided(url)}{last}".encode())
        os.close(keyboard)

    desk.has_browser(behave)
    with socket.create_server(("127.0.0.1", desk.port)):
        assert desk.login() == 0
    reason = os.strerror(errno.EADDRINUSE)
    assert f"cannot come back to port {desk.port} of this machine: {reason}.\n" in capsys.readouterr().out


def test_a_port_taken_at_the_other_address_of_localhost_is_taken(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has it could get the code."""
    desk.has_browser(lambda _: None)
    try:
        other = socket.create_server(("::1", desk.port), family=socket.AF_INET6)
    except OSError as exc:
        pytest.skip(f"::1: {exc}")
    with other:
        assert desk.login() == 1
    assert f"cannot come back to port {desk.port} of" in capsys.readouterr().out


@pytest.mark.parametrize("has_stdin", [True, False])
def test_where_there_is_no_way_back_it_ends_at_once(
    desk: Desk, capsys: pytest.CaptureFixture[str], has_stdin: bool
) -> None:
    desk.has_browser(lambda _: None)
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", desk.port)):
        if not has_stdin:
            patch.setattr("sys.stdin", None)
        assert desk.login() == 1
    assert capsys.readouterr().err == (
        "The browser cannot come back here, and nothing can be pasted: nobody can log in.\n"
    )


def test_a_redirect_to_another_machine_is_pasted(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.sim.oauth.redirect_uri = "https://app.example/auth/callback"
    keyboard = desk.has_keyboard()
    desk.has_browser(lambda url: os.write(keyboard, f"{desk.decided(url)}\n".encode()))
    assert desk.login("--redirect-uri", "https://app.example/auth/callback") == 0
    os.close(keyboard)
    assert "When the browser has come back to app.example, paste" in capsys.readouterr().out


@pytest.mark.parametrize("failure", [lambda _: False, lambda _: (_ for _ in ()).throw(webbrowser.Error("none"))])
def test_no_browser_is_no_end(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    monkeypatch.setattr(webbrowser, "open", failure)
    when_printed(monkeypatch, lambda url: threading.Timer(0.3, lambda: desk.visit(desk.decided(url))).start())
    assert desk.login() == 0
    assert "No browser could be opened here: open the address above yourself" in capsys.readouterr().out
