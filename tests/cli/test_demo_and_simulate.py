"""The commands ``simulate`` and ``demo``: their output and exit codes."""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import anyio
import pytest
from rich.cells import cell_len

from worksection_async import TokenBucket
from worksection_async.__main__ import main
from worksection_async._cli import demo, simulate
from worksection_async._cli._demo_queue import ArrivalLog, QueuedCall, QueueView, show_queue
from worksection_async._cli._demo_session import DemoSession
from worksection_async._cli._screen import Screen
from worksection_async._cli._text import format_call, format_result
from worksection_async._protocol.actions import ACTIONS
from worksection_async.errors import InvalidCall
from worksection_async.testing import ReceivedRequest, Simulator, faults
from worksection_async.testing._rate import RateCheck
from worksection_async.testing._reply import json_reply

WRITES = [action for action in ACTIONS.values() if action.kind != "read"]
COMMAND = [sys.executable, "-m", "worksection_async"]


@contextmanager
def occupied_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# simulate


def test_simulate_serves_until_it_is_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed commands work, and --log prints a line per request without a secret."""
    command = [*COMMAND, "simulate", "--port", "0", "--log", "--redirect-uri", "https://localhost:8443/done"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(14)]
        for line in lines[3:5]:
            name, _, value = line.removeprefix("  export ").strip().partition("=")
            monkeypatch.setenv(name, value)
        assert main(lines[5].split()[1:]) == 0
        logged = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "First steps" in capsys.readouterr().out
    assert lines[13].strip() == "--redirect-uri https://localhost:8443/done"
    assert re.fullmatch(r"\d\d:\d\d:\d\d  get_projects by admin key: ok\n", logged)
    assert rest == ""
    assert all(len(line) <= 81 for line in lines)


@pytest.mark.parametrize("command", ["simulate", "demo"])
def test_an_occupied_port_is_reported(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with occupied_port() as port:
        assert main([command, "--port", str(port)]) == 2
    reason = os.strerror(errno.EADDRINUSE)
    message = f"Simulator: cannot listen on 127.0.0.1, port {port}: {reason}. No request was sent.\n"
    assert capsys.readouterr().err == message


def test_simulate_warns_if_other_machines_can_reach_it() -> None:
    greeting = simulate.greeting(Simulator(), "http://0.0.0.0:80", 0)
    assert "Warning: other machines can reach it" in greeting
    assert "WORKSECTION_ACCOUNT=http://127.0.0.1:80\n" in greeting
    assert "other machines" not in simulate.greeting(Simulator(), "http://127.0.0.1:80", 1)


# demo


def run_demo(simulator: Simulator) -> tuple[int, str]:
    """Run the demo without a rate limit; return its exit code and its output."""
    printed = StringIO()
    screen = Screen(printed)
    with simulator.serve() as url:
        anyio.run(demo.on_simulator, simulator, url, screen, 0.0)
    return demo.print_summary(screen), printed.getvalue()


def run_live_demo(simulator: Simulator) -> tuple[int, str]:
    """Run the live demo with a fast limiter; return its exit code and its output."""
    printed = StringIO()
    screen = Screen(printed)
    session = simulator.session(limiter=TokenBucket(30))
    anyio.run(demo.on_account, session, screen, 1 / 30)
    return demo.print_summary(screen), printed.getvalue()


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "✓"), ("latin-1", "ok")])
def test_demo_prints_plain_text_to_a_pipe(encoding: str, mark: str) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "--rate", "0"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    lines = done.stdout.decode(encoding).splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert not [line for line in lines if "\x1b" in line or len(line) > 80]
    assert sum(line.startswith(f"   {mark} ") for line in lines) == 16
    assert lines[-1] == "All 16 checks passed."


def test_demo_at_a_rate_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """On a slow machine a request can be refused; then its retry succeeds, and the demo passes, too."""
    assert main(["demo", "--rate", "5"]) == 0
    assert "All 16 checks passed." in capsys.readouterr().out


def test_demo_reports_a_refusal_that_a_retry_healed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrivals: list[float] = []
    admits = RateCheck.admits

    def refuse_the_24th(check: RateCheck, arrival: float) -> bool:
        """Refuse one request of the step with eight calls; it has the requests 21 to 28."""
        arrivals.append(arrival)
        return len(arrivals) != 24 and admits(check, arrival)

    monkeypatch.setattr(RateCheck, "admits", refuse_the_24th)
    assert main(["demo", "--rate", "10"]) == 0
    printed = capsys.readouterr().out
    assert "refused as too early, and" in printed
    assert "All 16 checks passed." in printed


@pytest.mark.parametrize(("patience", "is_healed"), [(60, True), (0, False)])
def test_demo_fails_only_if_no_retry_healed_the_refusal(patience: float, is_healed: bool) -> None:
    simulator, screen = Simulator(), Screen(printed := StringIO())
    simulator.fail("get_contacts", "too_many_requests")
    session = simulator.session(limiter=TokenBucket(30), patience=patience)
    anyio.run(show_queue, DemoSession(session), screen, 1 / 30)
    is_healed_line = "1 request was refused as too early, and its retry succeeded" in printed.getvalue()
    is_failed_line = "no call failed because of the rate limit" in printed.getvalue()
    assert (is_healed_line, is_failed_line, screen.failed) == (is_healed, not is_healed, 0 if is_healed else 2)


def test_refused_requests_do_not_count_for_the_gap_between_requests() -> None:
    def received(arrived_at: float, accepted: bool = True) -> ReceivedRequest:
        return ReceivedRequest(
            method="GET",
            path="/",
            query=b"",
            headers={},
            action="me",
            params={},
            arrived_at=arrived_at,
            accepted=accepted,
        )

    requests = [
        received(0.0),
        received(0.1),
        received(1.0),
        received(1.5, accepted=False),
        received(2.0),
        received(3.5),
    ]
    assert ArrivalLog(requests, 1.0).shortest_gap(3) == 1.0
    assert ArrivalLog(requests, 1.0).shortest_gap(5) == 0.1


def ignored_action() -> faults.Fault:
    """Return a fault: the reply is ok, but the action is not carried out."""
    return faults.answer(json_reply({"status": "ok"}))


@pytest.mark.parametrize(
    ("action", "fault", "failed_check"),
    [
        ("update_task_tags", ignored_action(), "the task has the tag To-do"),
        ("complete_task", ignored_action(), "the search finds both closed tasks"),
        ("post_task", faults.server_error(), "every call succeeds"),
        ("get_contacts", faults.html_page(), "all eight calls succeeded"),
        ("download", faults.answer(json_reply({"status": "ok"})), "every call succeeds"),
        ("get_projects", faults.too_many_requests(), None),
    ],
)
def test_demo_reports_the_failed_check(action: str, fault: faults.Fault, failed_check: str | None) -> None:
    simulator = Simulator()
    simulator.fail(action, fault, times=1 if failed_check is None else None)
    code, printed = run_demo(simulator)
    assert code == (0 if failed_check is None else 1)
    assert [line.strip() for line in printed.splitlines() if line.startswith("   ✗")][:1] == [
        f"✗ {failed_check}" for _ in [failed_check] if failed_check
    ]


def test_demo_detects_a_wrong_total(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = Simulator()
    add_cost = simulator._world.add_cost

    def add_wrong_cost(*args: Any, **more: Any) -> Any:
        cost = add_cost(*args, **more)
        cost.money += 1
        return cost

    monkeypatch.setattr(simulator._world, "add_cost", add_wrong_cost)
    code, printed = run_demo(simulator)
    assert code == 1
    assert "✗ the total equals the sum of the entries" in printed


def test_live_demo_only_reads() -> None:
    simulator = Simulator()
    code, printed = run_live_demo(simulator)
    actions = [request.action for request in simulator.requests]
    assert code == 0, printed
    assert {ACTIONS[action].kind for action in actions} == {"read"}
    assert not simulator.events
    assert "All 7 checks passed." in printed


def test_live_demo_passes_with_an_empty_account() -> None:
    code, printed = run_live_demo(Simulator(seed="empty"))
    assert code == 0, printed


@pytest.mark.anyio
@pytest.mark.parametrize("action", WRITES, ids=lambda action: action.name)
async def test_live_demo_refuses_every_write(action: Any) -> None:
    simulator = Simulator()
    session = DemoSession(simulator.session(), read_only=True)
    for view in (session, session.in_lane("bulk")):
        with pytest.raises(InvalidCall, match="only reads"):
            await view._caller.call(action, {"id_task": 2601})
    assert not hasattr(session, "call")
    assert not simulator.requests


def test_demo_prints_no_control_characters_of_names() -> None:
    simulator = Simulator(seed="empty")
    project = simulator.add_project("\x1b[31m[bold]red\x07\n" + "long " * 30)
    simulator.add_task(project, "\x9b2J複数の全角文字の長い名前がここにあります、はい、そうです")
    code, printed = run_live_demo(simulator)
    assert code == 0
    assert not [char for char in printed if not char.isprintable() and char != "\n"]
    assert "[31m[bold]red" in printed
    assert max(map(cell_len, printed.splitlines())) <= 80


def test_queue_view_shows_waiting_calls() -> None:
    """The view after the first reply has the forecasts for the other calls."""
    calls = [QueuedCall("bulk", "get_project_tags", anyio.sleep_forever) for _ in range(7)]
    queue = QueueView([*calls, QueuedCall("interactive", "get_timers", anyio.sleep_forever)], TokenBucket(), 1.0)
    for queued in queue.calls:
        queued.started_at = time.monotonic() - 0.5
    queue.calls[-1].waited = 0.4
    screen = Screen(StringIO())
    with screen.console.capture() as capture:
        screen.show(queue)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[-4:] for line in lines[1:3]] == [["in", "0.0", "s", "1"], ["in", "1.0", "s", "2"]]


def test_terminal_output_has_colours_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    printed = StringIO()
    Screen(printed).check("it works", is_true=True)
    assert "\x1b[32m✓" in printed.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    printed = StringIO()
    Screen(printed).check("it works", is_true=True)
    assert printed.getvalue().strip() == "✓ it works"


def test_calls_and_results_as_text() -> None:
    params = {"time": dt.timedelta(minutes=90), "date": dt.date(2026, 12, 1), "text": "a\nb", "extra": None}
    assert format_call("add", params) == "add(time=timedelta(minutes=90), date=date(2026, 12, 1), text='a\\nb')"
    assert [format_result(value) for value in (None, 7, [], ["a"], object())] == [
        "None", "7", "[]", "1 × str", "object",
    ]  # fmt: skip
