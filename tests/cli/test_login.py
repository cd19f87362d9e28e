"""``python -m worksection_async login`` with real sockets and certificates, and a simulated browser."""

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
import attrs
import httpx
import pytest

from tests.support.login_harness import LoginHarness, call_when_printed, email_of_token
from worksection_async import FileTokenStore
from worksection_async.__main__ import main
from worksection_async._auth.oauth_app import SCOPES
from worksection_async._cli import _certificate, simulate
from worksection_async.testing import faults

# Callback of a browser


def test_login_prints_the_user_and_saves_the_token(harness: LoginHarness, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.login() == 0
    output = capsys.readouterr()
    owner = harness.sim.owner
    assert output.err == ""
    assert output.out.endswith(
        f"\nLogged in as {owner.name} <{owner.email}> at {harness.url}.\nThe token is saved in {harness.token_file}.\n"
    )
    assert f"\n  {harness.opened[0]}\n" in output.out
    assert harness.pages[0].status_code == 200
    assert "close this window" in harness.pages[0].text
    assert anyio.run(email_of_token, harness) == owner.email


def test_only_a_private_token_file_remains(harness: LoginHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = harness.folder.with_name("temporary")
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert harness.login() == 0
    assert stat.S_IMODE(harness.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(harness.token_file.parent.stat().st_mode) == 0o700
    assert not list(temporary.iterdir())
    with socket.create_server(("127.0.0.1", harness.port)):
        pass


def test_other_commands_use_the_stored_token(
    harness: LoginHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKSECTION_TOKEN_FILE", str(tmp_path / "mine.json"))
    assert harness.login() == 0
    assert (tmp_path / "mine.json").exists()
    capsys.readouterr()
    for name in ("WORKSECTION_CLIENT_ID", "WORKSECTION_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    assert main(["call", "me"]) == 0
    assert harness.sim.owner.email in capsys.readouterr().out


def test_other_commands_refresh_the_stored_token_with_the_saved_application(
    harness: LoginHarness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No variable is needed after the login, not even for a simulator."""
    assert harness.login() == 0
    anyio.run(expire, harness)
    for name in ("WORKSECTION_CLIENT_ID", "WORKSECTION_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    assert main(["call", "me"]) == 0
    assert harness.sim.oauth.refreshes == 1
    assert harness.sim.owner.email in capsys.readouterr().out
    application = harness.token_file.with_name("token.app.json")
    assert stat.S_IMODE(application.stat().st_mode) == 0o600


async def expire(harness: LoginHarness) -> None:
    """Let the access token expire on the clock of the client."""
    store = FileTokenStore(harness.token_file)
    token = await store.load()
    assert token is not None
    await store.save(attrs.evolve(token, expires_at=token.issued_at))


def test_an_expired_login_is_reported_with_the_command_that_renews_it(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    assert harness.login() == 0
    anyio.run(expire, harness)
    harness.sim.oauth._pairs.clear()
    capsys.readouterr()
    assert main(["call", "me"]) == 3
    assert capsys.readouterr().err.endswith(" No request was sent. Run `worksection login`.\n")


def test_store_option_sets_the_path_of_the_token(harness: LoginHarness, tmp_path: Path) -> None:
    assert harness.login("--store", str(tmp_path / "a" / "b.json")) == 0
    assert anyio.run(FileTokenStore(tmp_path / "a" / "b.json").load) is not None
    assert not harness.token_file.exists()


def test_commands_printed_by_the_simulator_log_in_to_it(
    harness: LoginHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = simulate.greeting(harness.sim, harness.url, 0)
    for name, value in re.findall(r"^  export (\S+)=(\S+)$", printed, re.MULTILINE):
        monkeypatch.setenv(name, value)
    command = printed.partition("application:")[2].replace("\\\n", "").split()
    assert main([*command[command.index("login") :], "--redirect-uri", harness.redirect_uri]) == 0
    assert f"at {harness.url}.\n" in capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "scopes"), [([], SCOPES), (["--scopes", "tasks_read, users_read"], ("tasks_read", "users_read"))]
)
def test_all_scopes_are_requested_by_default(
    harness: LoginHarness, options: list[str], scopes: tuple[str, ...]
) -> None:
    assert harness.login(*options) == 0
    (requested,) = parse_qs(urlsplit(harness.opened[0]).query)["scope"]
    assert requested == ",".join(scopes)
    assert harness.sim.oauth.live_pair().scopes == frozenset(scopes)


@pytest.mark.parametrize(
    ("decision", "scopes", "complaint"),
    [
        ("deny", None, "oauth2_authorize: the service refused: access_denied. The user did not allow the login."),
        ("allow", {"tasks_read"}, "oauth2_authorize: the service refused: invalid_scope. Request only scopes"),
    ],
)
def test_a_refusal_ends_the_login(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], decision: str, scopes: set[str] | None, complaint: str
) -> None:
    harness.sim.oauth.scopes = scopes or harness.sim.oauth.scopes
    harness.set_browser(lambda url: harness.visit(harness.decide(url, decision)))
    assert harness.login() == 3
    assert capsys.readouterr().err.startswith(complaint)
    assert harness.pages[0].status_code == 400
    assert not harness.token_file.exists()


@pytest.mark.parametrize("action", ["oauth2_token", "oauth2_resource"])
@pytest.mark.parametrize(("fault", "code"), [(faults.html_page(), 1), (faults.reset(), 4)])
def test_a_failure_of_the_service_saves_no_token(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], action: str, fault: faults.Fault, code: int
) -> None:
    harness.sim.fail(action, fault)
    assert harness.login() == code
    output = capsys.readouterr()
    assert output.err.startswith(f"{action}: ")
    assert "Logged in" not in output.out
    assert not harness.token_file.exists()


def test_the_command_refuses_a_wrong_state_and_continues_to_wait(harness: LoginHarness) -> None:
    """Any program on the machine can send requests to the port."""

    def behave(url: str) -> None:
        back = harness.decide(url)
        harness.visit(re.sub(r"state=[^&]+", "state=guessed", back))
        harness.visit(re.sub(r"&state=[^&]+", "", back))
        harness.visit(harness.redirect_uri)
        harness.visit(f"https://localhost:{harness.port}/favicon.ico")
        harness.pages.append(httpx.post(back, verify=False))
        harness.visit(back)

    harness.set_browser(behave)
    assert harness.login() == 0
    assert [page.status_code for page in harness.pages] == [400, 400, 400, 404, 405, 200]
    assert all(page.headers["cache-control"] == "no-store" for page in harness.pages)
    assert [request.action for request in harness.sim.requests].count("oauth2_token") == 1


def test_login_times_out(harness: LoginHarness, capsys: pytest.CaptureFixture[str]) -> None:
    harness.set_browser(lambda _: None)
    assert harness.login("--timeout", "0.2") == 1
    assert capsys.readouterr().err == "No login within 0.2 s. Try again, or set a longer --timeout.\n"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_the_callback_is_served_on_loopback_with_a_certificate_for_the_host(harness: LoginHarness, host: str) -> None:
    certificates: list[str] = []

    def behave(url: str) -> None:
        back = harness.decide(url)
        certificates.append(ssl.get_server_certificate((host.strip("[]"), harness.port)))
        context = ssl.create_default_context(cadata=certificates[0])
        harness.pages.append(httpx.get(back, verify=context))

    try:
        socket.create_server((host.strip("[]"), 0), family=socket.AF_INET6 if "[" in host else socket.AF_INET).close()
    except OSError as exc:
        pytest.skip(f"{host}: {exc}")
    harness.set_browser(behave)
    redirect_uri = f"https://{host}:{harness.port}/a%20b?tenant=1"
    harness.sim.oauth.redirect_uri = redirect_uri
    assert harness.login("--redirect-uri", redirect_uri) == 0
    assert harness.pages[0].status_code == 200


def test_each_certificate_is_new() -> None:
    assert _certificate.create_pem("localhost") != _certificate.create_pem("localhost")


# Pasted addresses


def test_the_address_of_the_callback_can_be_pasted(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keyboard = harness.open_keyboard()

    def type_(address: str) -> None:
        back = harness.decide(address)
        for line in ("", "what?", re.sub("state=[^&]+", "state=guessed", back), f"  {back}"):
            os.write(keyboard, f"{line}\n".encode())
        os.close(keyboard)

    call_when_printed(monkeypatch, type_)
    assert harness.login("--no-browser") == 0
    printed = capsys.readouterr().out
    assert printed.count("This address is not valid: the callback has no state.") == 1
    assert printed.count("This address is not valid: the state does not match") == 1
    assert not harness.opened
    assert anyio.run(email_of_token, harness) == harness.sim.owner.email


@pytest.mark.parametrize("last", ["", "\n"])
def test_without_the_port_the_address_can_be_pasted(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], last: str
) -> None:
    keyboard = harness.open_keyboard()

    def behave(url: str) -> None:
        os.write(keyboard, f"{harness.decide(url)}{last}".encode())
        os.close(keyboard)

    harness.set_browser(behave)
    with socket.create_server(("127.0.0.1", harness.port)):
        assert harness.login() == 0
    reason = os.strerror(errno.EADDRINUSE)
    assert (
        f"Port {harness.port} of this machine is not available for the callback: {reason}.\n" in capsys.readouterr().out
    )


def test_the_port_must_be_free_on_ipv4_and_ipv6(harness: LoginHarness, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that owns one of the two addresses could receive the code."""
    harness.set_browser(lambda _: None)
    try:
        other = socket.create_server(("::1", harness.port), family=socket.AF_INET6)
    except OSError as exc:
        pytest.skip(f"::1: {exc}")
    with other:
        assert harness.login() == 1
    assert f"Port {harness.port} of this machine is not available" in capsys.readouterr().out


@pytest.mark.parametrize("has_stdin", [True, False])
def test_without_port_and_input_the_login_fails_immediately(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], has_stdin: bool
) -> None:
    harness.set_browser(lambda _: None)
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", harness.port)):
        if not has_stdin:
            patch.setattr("sys.stdin", None)
        assert harness.login() == 1
    assert capsys.readouterr().err == (
        "A login is not possible: the port is not available, and there is no terminal input.\n"
    )


def test_the_address_on_another_machine_can_be_pasted(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.sim.oauth.redirect_uri = "https://app.example/auth/callback"
    keyboard = harness.open_keyboard()
    harness.set_browser(lambda url: os.write(keyboard, f"{harness.decide(url)}\n".encode()))
    assert harness.login("--redirect-uri", "https://app.example/auth/callback") == 0
    os.close(keyboard)
    assert "After the login the browser opens a page of app.example: paste" in capsys.readouterr().out


@pytest.mark.parametrize("failure", [lambda _: False, lambda _: (_ for _ in ()).throw(webbrowser.Error("none"))])
def test_login_continues_without_a_browser(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    monkeypatch.setattr(webbrowser, "open", failure)
    call_when_printed(monkeypatch, lambda url: threading.Timer(0.3, lambda: harness.visit(harness.decide(url))).start())
    assert harness.login() == 0
    assert "No browser was found: open the address above" in capsys.readouterr().out
