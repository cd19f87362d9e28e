"""``python -m worksection_async login`` at a terminal: what it refuses, asks for, and leaves behind."""

from __future__ import annotations

import getpass
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.support.login_harness import Desk
from tests.support.secrecy import Log, assert_no_secret
from worksection_async.__main__ import main
from worksection_async.testing import faults

COMMAND = [sys.executable, "-m", "worksection_async", "login"]


# What makes no sense


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--client-id", " "], "Set WORKSECTION_CLIENT_ID to the number"),
        (["--client-secret", " "], "Set WORKSECTION_CLIENT_SECRET to the secret"),
        (["--client-secret", "s3 cret"], "client_secret must be of visible ASCII"),
        (["--redirect-uri", "http://localhost/"], "redirect_uri must be an https URL"),
        (["--scopes", "tasks_read,timers_read"], "scopes are projects_read,"),
        (["--base-url", "http://example.com"], "base_url must be an https URL"),
        (["--store", "."], "--store: . is a folder, and a file is expected."),
    ],
)
def test_misused_login(desk: Desk, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str) -> None:
    assert desk.login(*options) == 2
    output = capsys.readouterr()
    assert (output.out, desk.opened, desk.sim.requests) == ("", [], [])
    assert output.err.startswith(complaint)
    assert output.err.count("\n") == 1
    assert "s3 cret" not in output.err


@pytest.mark.parametrize("name", ["WORKSECTION_CLIENT_ID", "WORKSECTION_CLIENT_SECRET"])
def test_an_application_that_is_not_named(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    assert desk.login() == 2
    assert capsys.readouterr().err.startswith(f"Set {name} to ")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_is_a_time(seconds: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["login", "--timeout", seconds])
    assert stopped.value.code == 2


def test_a_token_that_could_not_be_saved_is_not_asked_for(
    desk: Desk, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert desk.login("--store", str(tmp_path / "file" / "token.json")) == 1
    output = capsys.readouterr()
    assert output.err.startswith(f"token store: {tmp_path / 'file'}")
    assert (output.out, desk.opened) == ("", [])


@pytest.mark.parametrize("absent", ["cryptography", "uvicorn"])
def test_extra_that_is_not_installed(absent: str) -> None:
    program = f"import sys; sys.modules[{absent!r}] = None; from worksection_async.__main__ import main; "
    done = subprocess.run(
        [sys.executable, "-c", f"{program}sys.exit(main(['login']))"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f'{absent} is not installed, and login needs it: pip install "worksection-async[cli]"\n'


# Names and places


def test_the_secret_is_asked_for_and_not_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(prompt: str) -> str:
        asked.append(prompt)
        return f"{desk.sim.oauth.client_secret}\r"

    asked: list[str] = []
    monkeypatch.delenv("WORKSECTION_CLIENT_SECRET")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", typed)
    assert desk.login() == 0
    assert asked == ["Secret of the application (it is not shown): "]


def test_options_go_before_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKSECTION_CLIENT_ID", "WORKSECTION_CLIENT_SECRET"):
        monkeypatch.setenv(name, "another")
    assert desk.login("--client-id", desk.sim.oauth.client_id, "--client-secret", desk.sim.oauth.client_secret) == 0


@pytest.mark.parametrize("named", ["", "relative/folder"])
def test_without_a_folder_for_it_the_token_is_at_home(desk: Desk, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    home = desk.folder / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", named)
    monkeypatch.setenv("HOME", str(home))
    assert desk.login() == 0
    assert (home / ".config" / "worksection-async" / "token.json").exists()


def test_names_cannot_command_the_terminal(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.sim.world.owner.first_name = "\x1b[31mЇжак\x07\n"
    assert desk.login() == 0
    printed = capsys.readouterr().out
    assert not [char for char in printed if not char.isprintable() and char != "\n"]
    assert "You are  [31mЇжак" in printed


@pytest.mark.parametrize("outcome", ["ok", "state", "token", "resource", "deny"])
def test_no_secret_is_seen(desk: Desk, capsys: pytest.CaptureFixture[str], log: Log, outcome: str) -> None:
    """But for the state in the address that has to be opened."""
    addresses: list[str] = []
    if outcome in ("token", "resource"):
        desk.sim.faults.add(f"oauth2_{outcome}", faults.reset())

    def behave(url: str) -> None:
        back = desk.decided(url, "deny" if outcome == "deny" else "allow")
        addresses.append(back)
        if outcome == "state":
            desk.visit(back.replace("state=", "state=x"))
        desk.visit(back)

    desk.has_browser(behave)
    assert desk.login() == (0 if outcome in ("ok", "state") else 1)
    output = capsys.readouterr()
    secrets = {desk.sim.oauth.client_secret, *re.findall(r"code=([^&]+)", addresses[0])}
    for pair in desk.sim.oauth.live_pairs():
        secrets |= {pair.access_token, pair.refresh_token}
    (state,) = re.findall(r"state=([^&]+)", addresses[0])
    assert_no_secret([output.out, output.err, *[page.text for page in desk.pages]], secrets)
    assert_no_secret([output.out.replace(desk.opened[0], ""), output.err, *[page.text for page in desk.pages]], {state})
    browsers = [text for text in log.texts if f":{desk.port}/" in text]
    assert_no_secret([text for text in log.texts if text not in browsers], secrets | {state})


# At the end


@attrs.define
class Terminal:
    """What a program that runs in a terminal has printed so far."""

    process: subprocess.Popen[bytes]
    master: int
    slave: int
    printed: str = ""

    def until(self, pattern: str) -> str:
        """Wait for it to print what *pattern* describes."""
        end = time.monotonic() + 30
        while not (match := re.search(pattern, self.printed)):
            assert time.monotonic() < end, self.printed
            self.printed += os.read(self.master, 65536).decode()
        return match[0]

    def type(self, text: str) -> None:
        """In pieces, as a terminal's buffer is small; what comes back is taken meanwhile."""
        data = text.encode()
        while data:
            data = data[os.write(self.master, data[:512]) :]
            if select.select([self.master], [], [], 0)[0]:
                self.printed += os.read(self.master, 65536).decode()

    @property
    def collects_lines(self) -> bool:
        return bool(termios.tcgetattr(self.slave)[3] & termios.ICANON)


@contextmanager
def terminal(desk: Desk) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    options = ["--base-url", desk.url, "--redirect-uri", desk.redirect_uri, "--no-browser"]
    with subprocess.Popen(
        [*COMMAND, *options], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        try:
            yield Terminal(process, master, slave)
        finally:
            process.kill()
            os.close(master)
            os.close(slave)


def test_a_pasted_address_may_be_longer_than_a_line(desk: Desk) -> None:
    with terminal(desk) as screen:
        back = desk.decided(screen.until(r"http://\S+/oauth2/authorize\S+"))
        screen.until(r"press Enter\.")
        assert not screen.collects_lines
        screen.type(f"{back}&padding={'x' * 6000}\n")
        screen.until(r"The token is in ")
        assert screen.process.wait(10) == 0
        assert screen.collects_lines


@pytest.mark.parametrize("typed", ["\x04", None])
def test_ctrl_d_ends_the_pasting_and_ctrl_c_the_waiting(desk: Desk, typed: str | None) -> None:
    with terminal(desk) as screen:
        screen.until(r"press Enter\.")
        if typed:
            screen.type(typed)
            time.sleep(0.2)
            assert screen.process.poll() is None  # the browser may still come
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(10) == 130
        assert screen.collects_lines
        assert "Traceback" not in screen.printed
