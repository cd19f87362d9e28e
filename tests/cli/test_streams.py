"""Commands that run for long: JSON lines, closed pipes, the line about a wait, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.terminal import open_terminal
from worksection_async import FileCursor, Lease, Session, Waiting
from worksection_async.__main__ import main
from worksection_async._cli._exit_codes import ExitCode
from worksection_async._cli._journal import Journal
from worksection_async._cli._waiting_line import WaitingLine
from worksection_async._transport.call_events import CallEvent
from worksection_async.models import Task, from_dict
from worksection_async.testing import Simulator

COMMAND = [sys.executable, "-m", "worksection_async"]


# JSON lines


def test_tasks_are_printed_one_per_line(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    simulator.update(simulator.tasks[2601], text="a\nb")
    assert main(["tasks", "filter=active", "extra=text"]) == 0
    tasks = [from_dict(Task, json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    active = {task.id for task in simulator.tasks.values() if task.status == "active" and not task.parent}
    assert {task.id for task in tasks} == active
    assert {task.id: task.text for task in tasks}[2601] == "a\nb"


def test_the_large_account_needs_more_than_one_reply(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = Simulator(seed="large")
    monkeypatch.setattr(Session, "from_env", simulator.session)
    assert main(["tasks"]) == 0
    ids = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    assert len(ids) == len(set(ids)) > 12_000
    assert "get_tasks" in {request.action for request in simulator.requests}


def test_the_end_of_the_reader_ends_the_stream_silently(simulator: Simulator) -> None:
    """As in ``worksection tasks | head -1``."""
    with subprocess.Popen([*COMMAND, "tasks"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == ExitCode.CLOSED_PIPE


def test_watch_prints_events_and_continues_where_it_stopped(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each run is interrupted at its second poll, and finds what happened since the first run stopped."""
    monkeypatch.setattr(anyio, "sleep", _interrupting(after=1))
    cursor = tmp_path / "cursor.json"

    def watch() -> list[int]:
        assert main(["watch", "--project", "26", "--cursor", str(cursor)]) == ExitCode.INTERRUPTED
        return [json.loads(line)["object"]["id"] for line in capsys.readouterr().out.splitlines()]

    assert watch() == []
    for name in ("first", "second"):
        task = simulator.add_task(26, name)
        anyio.run(simulator.emit, "post", task)
        assert watch() == [task.id]
    assert {path.name for path in tmp_path.iterdir()} == {"cursor.json", "cursor.json.lock"}


@pytest.mark.usefixtures("simulator")
def test_a_watch_that_waits_for_another_program_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(anyio, "sleep", _interrupting(after=1))
    path, lease = tmp_path / "cursor.json", Lease(60)
    other = FileCursor(path)
    assert anyio.run(other.acquire, lease)
    assert main(["watch", "--cursor", str(path)]) == ExitCode.INTERRUPTED
    message = f"Another program watches with {path}: waiting for its end.\n"
    assert capsys.readouterr().err == f"{message}\nInterrupted. No request was sent.\n"


def _interrupting(after: int) -> Callable[[float], Any]:
    """Return a replacement of `anyio.sleep`: the sleep number *after* + 1 of every event loop is Ctrl-C."""
    sleeps: dict[object, int] = {}
    original = anyio.sleep

    async def sleep(seconds: float) -> None:
        if seconds == 0.0 and sleeps.setdefault(anyio.lowlevel.current_token(), 0) < after:
            sleeps[anyio.lowlevel.current_token()] += 1
            return
        os.kill(os.getpid(), signal.SIGINT)
        await original(30)

    return sleep


def test_an_unreadable_cursor_is_reported(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("{}")
    assert main(["watch", "--cursor", str(path)]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith(f"watch: {path} does not contain a cursor.")


@pytest.mark.parametrize("place", ["its folder is a file", "its temporary file is a folder"])
def test_a_cursor_that_cannot_be_saved_ends_the_watch(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], tmp_path: Path, place: str
) -> None:
    path = tmp_path / "folder" / "cursor"
    if place == "its folder is a file":
        path.parent.write_text("")
    else:
        (path.parent / "cursor.new").mkdir(parents=True)
    assert main(["watch", "--cursor", str(path)]) == ExitCode.FAILED
    assert capsys.readouterr().err.startswith(f"watch: {path}: ")


# Ctrl-C


def event(
    kind: Any, outcome: str = "ok", action: str = "post_task", attempt: int = 1, answer: Any = "none"
) -> CallEvent:
    return CallEvent(
        kind=kind, action=action, account="", lane="normal", seconds_waited=0.0, seconds_on_wire=0.0, attempt=attempt,
        status=None, outcome=outcome, answer=answer,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("events", "summary"),
    [
        ([], "No request was sent."),
        ([event("call", "Cancelled", attempt=0)], "post_task was not sent."),
        (
            [event("attempt", answer="reply"), event("call"), event("call", "Cancelled", "get_tasks", attempt=0)],
            "1 request was sent and answered. get_tasks was not sent.",
        ),
        ([event("attempt", answer="reply"), event("call")] * 2, "2 requests were sent and answered."),
        (
            [event("attempt", "Cancelled"), event("call", "Cancelled")],
            "post_task was sent, and its reply did not arrive. It may have been executed: check before you repeat it.",
        ),
        (
            [event("attempt", "Cancelled", "get_tasks"), event("call", "Cancelled", "get_tasks")],
            "get_tasks was sent, and its reply did not arrive. It only reads.",
        ),
        (
            [event("attempt", "RateLimited", answer="refused"), event("call", "Cancelled")],
            "post_task was refused as too early, and not executed.",
        ),
    ],
)
def test_the_message_after_ctrl_c_says_what_was_sent(events: list[CallEvent], summary: str) -> None:
    journal = Journal()
    for each in events:
        journal.add(each)
    assert journal.summary() == f"Interrupted. {summary}"


def test_ctrl_c_during_a_write_says_that_it_may_have_been_executed(simulator: Simulator) -> None:
    simulator.fail("post_task", "timeout")
    with subprocess.Popen(
        [*COMMAND, "call", "post_task", "id_project=26", "title=t"], stderr=subprocess.PIPE, text=True
    ) as process:
        while not simulator.requests:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        printed = process.stderr.read()
    assert process.returncode == ExitCode.INTERRUPTED
    assert printed == (
        "\nInterrupted. post_task was sent, and its reply did not arrive. It may have been executed: check before you "
        "repeat it.\n"
    )


# The line about a wait


class Terminal(StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


def show(eta: float) -> WaitingLine:
    """Show a wait with this forecast, and let two seconds pass."""
    now = [0.0]
    line = WaitingLine(clock=lambda: now[0])

    async def run() -> None:
        line.show(Waiting("normal", 2, eta))
        for _ in range(2):
            now[0] += 1.0
            if line._timer is not None:
                line._timer._run()

    anyio.run(run)
    return line


def test_a_wait_shows_position_and_time_and_counts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    show(12.3)
    lines = [text.strip() for text in screen.getvalue().split("\r") if text]
    assert lines == [f"Waiting: position 3, about {seconds} s left" for seconds in (13, 12, 11)]


def test_the_line_is_removed_when_the_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    line = show(1.5)
    assert screen.getvalue().endswith(f"\r{' ' * len('Waiting: position 3, about 2 s left')}\r")
    printed = screen.getvalue()
    line.clear()
    assert screen.getvalue() == printed


def test_a_short_wait_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    show(1.0)
    assert screen.getvalue() == ""


def test_the_line_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("COLUMNS", "20")
    show(12.3)
    assert max(len(text) for text in screen.getvalue().split("\r")) == 19


def test_a_wait_is_not_shown_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", printed := StringIO())
    show(12.3)
    assert printed.getvalue() == ""


def test_a_call_that_waits_shows_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal, after another process has used the slots of the next seconds; then Ctrl-C: nothing was sent."""
    simulator = Simulator()
    with simulator.serve() as url:
        variables = {"WORKSECTION_ACCOUNT": url, "WORKSECTION_API_KEY": simulator.api_key}
        code = (
            "import sys, anyio; from worksection_async import Session; from worksection_async.__main__ import main\n"
            "async def hold():\n"
            "    async with Session.from_env() as ws:\n"
            "        await ws.get_users()\n"
            "        await ws.limiter.hold(20)\n"
            "anyio.run(hold); sys.exit(main(['call', 'post_task', 'id_project=26', 'title=t']))"
        )
        with open_terminal([sys.executable, "-c", code], 40, variables) as screen:
            screen.until(r"Waiting: position 1, about \d+ s left")
            screen.process.send_signal(signal.SIGINT)
            screen.until(r"Interrupted\. post_task was not sent\.")
            assert screen.process.wait(60) == ExitCode.INTERRUPTED
    assert [request.action for request in simulator.requests] == ["get_users"]
    assert re.search(r"\r +\r", screen.printed)
