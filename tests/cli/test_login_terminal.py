"""``python -m worksection_async login`` in a terminal: invalid options, prompts, output, and terminal settings."""

from __future__ import annotations

import getpass
import re
import signal
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.login_harness import LoginHarness
from tests.support.secrecy import Log, assert_no_secret
from tests.support.terminal import Terminal, open_terminal
from worksection_async.__main__ import main

COMMAND = [sys.executable, "-m", "worksection_async", "login"]


# Invalid options


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--client-id", " "], "Set WORKSECTION_CLIENT_ID to the client id"),
        (["--redirect-uri", "http://localhost/"], "redirect_uri must be the registered https URL"),
        (["--scopes", "tasks_read,timers_read"], "scopes must be among projects_read,"),
        (["--base-url", "http://example.com"], "base_url must be an https URL"),
        (["--store", "."], "--store must be a file, but . is a folder."),
    ],
)
def test_invalid_options_are_reported_before_the_login(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert harness.login(*options) == 2
    output = capsys.readouterr()
    assert (output.out, harness.opened, harness.sim.requests) == ("", [], [])
    assert output.err.startswith(complaint)
    assert output.err.count("\n") == 1
    assert "s3 cret" not in output.err


@pytest.mark.parametrize("name", ["WORKSECTION_CLIENT_ID", "WORKSECTION_CLIENT_SECRET"])
def test_a_missing_credential_of_the_application_is_reported(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    assert harness.login() == 2
    assert capsys.readouterr().err.startswith(f"Set {name} to ")


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [(" ", "Set WORKSECTION_CLIENT_SECRET to"), ("s3 cret", "client_secret must contain only visible ASCII")],
)
def test_an_invalid_secret_is_reported_and_not_shown(
    harness: LoginHarness,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    secret: str,
    complaint: str,
) -> None:
    monkeypatch.setenv("WORKSECTION_CLIENT_SECRET", secret)
    assert harness.login() == 2
    printed = capsys.readouterr().err
    assert printed.startswith(complaint)
    assert "s3 cret" not in printed


def test_the_secret_is_never_an_argument(harness: LoginHarness, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.login("--client-secret=s3cret") == 2
    output = capsys.readouterr()
    assert output.err.startswith("No such option '--client-secret'.")
    assert "s3cret" not in output.out + output.err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_an_invalid_timeout_is_a_usage_error(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    assert main(["login", "--timeout", seconds]) == 2
    assert "Invalid value for '--timeout'" in capsys.readouterr().err


def test_an_unwritable_token_file_fails_before_the_login(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert harness.login("--store", str(tmp_path / "file" / "token.json")) == 1
    output = capsys.readouterr()
    assert output.err.startswith(f"token store: {tmp_path / 'file'}")
    assert (output.out, harness.opened) == ("", [])


# Secrets, paths and output


def test_the_prompt_for_the_secret_hides_the_input(harness: LoginHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(prompt: str) -> str:
        prompts.append(prompt)
        return f"{harness.sim.oauth.client_secret}\r"

    prompts: list[str] = []
    monkeypatch.delenv("WORKSECTION_CLIENT_SECRET")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", typed)
    assert harness.login() == 0
    assert prompts == ["Client secret (input is hidden): "]


def test_the_client_id_can_be_an_option(harness: LoginHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSECTION_CLIENT_ID", "another")
    assert harness.login("--client-id", harness.sim.oauth.client_id) == 0


@pytest.mark.parametrize("named", ["", "relative/folder"])
def test_default_path_of_the_token_is_in_the_home_folder(
    harness: LoginHarness, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    home = harness.folder / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", named)
    monkeypatch.setenv("HOME", str(home))
    assert harness.login() == 0
    assert (home / ".config" / "worksection-async" / "token.json").exists()


def test_control_characters_of_names_are_not_printed(harness: LoginHarness, capsys: pytest.CaptureFixture[str]) -> None:
    harness.sim.update(harness.sim.owner, first_name="\x1b[31mЇжак\x07\n")
    assert harness.login() == 0
    printed = capsys.readouterr().out
    assert not [char for char in printed if not char.isprintable() and char != "\n"]
    assert "Logged in as  [31mЇжак" in printed


@pytest.mark.parametrize("outcome", ["ok", "state", "token", "resource", "deny"])
def test_no_secret_is_printed_or_logged(
    harness: LoginHarness, capsys: pytest.CaptureFixture[str], log: Log, outcome: str
) -> None:
    """The only exception is the state in the printed login URL."""
    addresses: list[str] = []
    if outcome in ("token", "resource"):
        harness.sim.fail(f"oauth2_{outcome}", "reset")

    def behave(url: str) -> None:
        back = harness.decide(url, "deny" if outcome == "deny" else "allow")
        addresses.append(back)
        if outcome == "state":
            harness.visit(back.replace("state=", "state=x"))
        harness.visit(back)

    harness.set_browser(behave)
    assert harness.login() == {"ok": 0, "state": 0, "deny": 3}.get(outcome, 4)
    output = capsys.readouterr()
    secrets = {harness.sim.oauth.client_secret, *re.findall(r"code=([^&]+)", addresses[0])}
    for pair in harness.sim.oauth.live_pairs():
        secrets |= {pair.access_token, pair.refresh_token}
    (state,) = re.findall(r"state=([^&]+)", addresses[0])
    assert_no_secret([output.out, output.err, *[page.text for page in harness.pages]], secrets)
    assert_no_secret(
        [output.out.replace(harness.opened[0], ""), output.err, *[page.text for page in harness.pages]], {state}
    )
    browsers = [text for text in log.texts if f":{harness.port}/" in text]
    assert_no_secret([text for text in log.texts if text not in browsers], secrets | {state})


# In a pseudo-terminal


def terminal(harness: LoginHarness) -> AbstractContextManager[Terminal]:
    options = ["--base-url", harness.url, "--redirect-uri", harness.redirect_uri, "--no-browser"]
    return open_terminal([*COMMAND, *options])


def test_a_pasted_address_can_exceed_the_line_limit_of_the_terminal(harness: LoginHarness) -> None:
    with terminal(harness) as screen:
        back = harness.decide(screen.until(r"http://\S+/oauth2/authorize\S+"))
        screen.until(r"press Enter\.")
        assert not screen.is_canonical
        screen.type(f"{back}&padding={'x' * 6000}\n")
        screen.until(r"The token is saved in\s")
        assert screen.process.wait(60) == 0
        assert screen.is_canonical


@pytest.mark.parametrize("typed", ["\x04", None])
def test_ctrl_d_ends_the_input_and_ctrl_c_ends_the_command(harness: LoginHarness, typed: str | None) -> None:
    with terminal(harness) as screen:
        screen.until(r"press Enter\.")
        if typed:
            screen.type(typed)
            time.sleep(0.2)
            assert screen.process.poll() is None  # the callback of the browser is still possible
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(60) == 130
        assert screen.is_canonical
        assert "Traceback" not in screen.printed
