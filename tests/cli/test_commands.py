"""The command line, as its users meet it: what it prints, and its exit codes."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
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
from worksection_async._cli import _words as words
from worksection_async._cli import call, demo, simulate
from worksection_async._cli._guide import Guide
from worksection_async._cli._pacing import Race, Runner
from worksection_async._cli._screen import Screen
from worksection_async._protocol.actions import ACTIONS
from worksection_async.errors import InvalidCall
from worksection_async.testing import Simulator, faults
from worksection_async.testing._reply import json_reply

WRITES = [action for action in ACTIONS.values() if action.kind != "read"]
COMMAND = [sys.executable, "-m", "worksection_async"]


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKSECTION_ACCOUNT", "WORKSECTION_API_KEY", "WORKSECTION_ACCESS_TOKEN", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator on a socket, named by the environment as the account."""
    simulator = Simulator()
    with simulator.serve() as url:
        monkeypatch.setenv("WORKSECTION_ACCOUNT", url)
        monkeypatch.setenv("WORKSECTION_API_KEY", simulator.api_key)
        yield simulator


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# call


def test_call_prints_the_envelope(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    simulator.world.projects[26].name = "Перші кроки"
    assert main(["call", "get_project", "id_project=26"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["data"]["name"] == "Перші кроки"
    assert '\n  "data": {\n' in printed
    assert "Перші кроки" in printed


def test_call_with_a_token(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKSECTION_API_KEY")
    monkeypatch.setenv("WORKSECTION_ACCESS_TOKEN", simulator.issue_token())
    assert main(["call", "me"]) == 0


def test_refused_call_is_one_sentence(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "get_task", "id_task=5"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("get_task: the service refused: Task is invalid.")
    assert output.err.count("\n") == 1
    assert simulator.api_key not in output.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["get_task"], "get_task: id_task is required"),
        (["get_task", "5"], "get_task: name=value expected, not '5'"),
        (["get_task", "=5"], "get_task: name=value expected, not '=5'"),
        (["get_task", "id_task=5", "id_task=6"], "get_task: id_task: "),
        (["get_task", "id=5"], "get_task: there is no parameter 'id'"),
        (["me"], "me: an access token is needed"),
    ],
)
def test_misused_call(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["call", *arguments]) == 2
    assert capsys.readouterr().err.startswith(complaint)
    assert not simulator.requests


@pytest.mark.parametrize("command", [["call", "get_projects"], ["demo", "--live"]])
@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"API_KEY": "k"}, "Set WORKSECTION_ACCOUNT to the name"),
        ({"ACCOUNT": "acme"}, "Set WORKSECTION_API_KEY to the account's"),
        ({"ACCOUNT": "http://acme.com", "API_KEY": "k"}, "WORKSECTION_ACCOUNT: Session: account: https is required"),
        ({"ACCOUNT": "acme", "API_KEY": "se cret"}, "WORKSECTION_API_KEY: key must be of visible ASCII"),
        ({"ACCOUNT": "acme", "ACCESS_TOKEN": "se cret"}, "WORKSECTION_ACCESS_TOKEN: token must be of visible ASCII"),
    ],
)
def test_account_that_is_none(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    environment: dict[str, str],
    complaint: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"WORKSECTION_{name}", value)
    assert main(command) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(complaint)
    assert output.err.count("\n") == 1
    assert "cret" not in output.err


def test_parameters_stay_text() -> None:
    parsed = call.parsed("post_task", ["title=a=b", "todo=x, y", "attach=plan.pdf", "text=", "nobody=1", "nobody=2"])
    assert parsed == {"title": "a=b", "todo": ["x, y"], "attach": ["plan.pdf"], "text": "", "nobody": ["1", "2"]}
    assert call.parsed("no_such_action", ["x=1"]) == {"x": "1"}


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", '"Ж"'), ("latin-1", r'"\u0416"')])
def test_json_in_the_characters_there_are(encoding: str, expected: str) -> None:
    text = call.as_json({"name": "Ж"}, encoding)
    assert expected in text
    assert json.loads(text) == {"name": "Ж"}


# simulate


def test_simulate_until_interrupted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([*COMMAND, "simulate", "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        for line in lines[3:5]:
            name, _, value = line.removeprefix("  export ").strip().partition("=")
            monkeypatch.setenv(name, value)
        assert main(lines[5].split()[3:]) == 0
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert "First steps" in capsys.readouterr().out
    assert all(len(line) <= 81 for line in lines)


@pytest.mark.parametrize("command", ["simulate", "demo"])
def test_taken_port(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with taken_port() as port:
        assert main([command, "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"The simulator cannot listen on 127.0.0.1, port {port}: {os.strerror(errno.EADDRINUSE)}.\n"
    )  # fmt: skip


def test_simulate_warns_where_others_can_reach_it() -> None:
    greeting = simulate.greeting(Simulator(), "http://0.0.0.0:80", 0)
    assert "Other machines can reach it" in greeting
    assert "WORKSECTION_ACCOUNT=http://127.0.0.1:80\n" in greeting
    assert "Other machines" not in simulate.greeting(Simulator(), "http://127.0.0.1:80", 1)


@pytest.mark.parametrize(
    "arguments", [[], ["simulate", "--port", "65536"], ["simulate", "--rate", "nan"], ["simulate", "--rate", "x"]]
)
def test_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("command", "absent", "extra"),
    [("demo", "rich", "cli"), ("demo", "uvicorn", "cli"), ("simulate", "starlette", "testing")],
)
def test_extra_that_is_not_installed(command: str, absent: str, extra: str) -> None:
    program = f"import sys; sys.modules[{absent!r}] = None; from worksection_async.__main__ import main; "
    done = subprocess.run(
        [sys.executable, "-c", f"{program}sys.exit(main([{command!r}]))"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert (
        done.stderr == f'{absent} is not installed, and {command} needs it: pip install "worksection-async[{extra}]"\n'
    )


# demo


def walked(simulator: Simulator) -> tuple[int, str]:
    """The demo on *simulator*, as fast as it goes: its exit code, and what it printed."""
    printed = StringIO()
    screen = Screen(printed)
    with simulator.serve() as url:
        anyio.run(demo.on_simulator, simulator, url, screen, 0.0)
    return demo.verdict(screen), printed.getvalue()


def looked(simulator: Simulator) -> tuple[int, str]:
    """The live demo on *simulator*, as fast as it goes."""
    printed = StringIO()
    screen = Screen(printed)
    session = simulator.session(limiter=TokenBucket(30))
    anyio.run(demo.on_account, session, screen, 1 / 30)
    return demo.verdict(screen), printed.getvalue()


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "✓"), ("latin-1", "ok")])
def test_demo_in_a_pipe(encoding: str, mark: str) -> None:
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


def test_demo_at_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """The eight calls are far enough apart for a simulator that checks."""
    assert main(["demo", "--rate", "5"]) == 0
    assert "FAILED" not in capsys.readouterr().out


def ignored() -> faults.Fault:
    """The service says ok and does nothing."""
    return faults.answer(json_reply({"status": "ok"}))


@pytest.mark.parametrize(
    ("action", "fault", "complaint"),
    [
        ("update_task_tags", ignored(), "the task is tagged To-do"),
        ("complete_task", ignored(), "both are found among the finished"),
        ("post_task", faults.server_error(), "every call is answered"),
        ("get_contacts", faults.html_page(), "all eight were answered"),
        ("download", faults.answer(json_reply({"status": "ok"})), "every call is answered"),
        ("get_projects", faults.too_many_requests(), None),
    ],
)
def test_failed_check(action: str, fault: faults.Fault, complaint: str | None) -> None:
    simulator = Simulator()
    simulator.faults.add(action, fault, times=1 if complaint is None else None)
    code, printed = walked(simulator)
    assert code == (0 if complaint is None else 1)
    assert [line.strip() for line in printed.splitlines() if line.startswith("   ✗")][:1] == [
        f"✗ {complaint}" for _ in [complaint] if complaint
    ]


def test_wrong_total_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = Simulator()
    add_cost = simulator.world.add_cost

    def generous(*args: Any, **more: Any) -> Any:
        cost = add_cost(*args, **more)
        cost.money += 1
        return cost

    monkeypatch.setattr(simulator.world, "add_cost", generous)
    code, printed = walked(simulator)
    assert code == 1
    assert "✗ the total is what was entered" in printed


def test_live_demo_only_reads() -> None:
    simulator = Simulator()
    code, printed = looked(simulator)
    actions = [request.action for request in simulator.requests]
    assert code == 0, printed
    assert {ACTIONS[action].kind for action in actions} == {"read"}
    assert not simulator.world.events
    assert "All 7 checks passed." in printed


def test_live_demo_of_an_empty_account() -> None:
    code, printed = looked(Simulator(seed="empty"))
    assert code == 0, printed


@pytest.mark.anyio
@pytest.mark.parametrize("action", WRITES, ids=lambda action: action.name)
async def test_live_demo_cannot_write(action: Any) -> None:
    simulator = Simulator()
    guide = Guide(simulator.session(), read_only=True)
    for view in (guide, guide.aside("bulk")):
        with pytest.raises(InvalidCall, match="only reads"):
            await view._caller.call(action, {"id_task": 2601})
    assert not hasattr(guide, "call")
    assert not simulator.requests


def test_names_cannot_command_the_terminal() -> None:
    simulator = Simulator(seed="empty")
    project = simulator.world.add_project("\x1b[31m[bold]red\x07\n" + "long " * 30)
    simulator.world.add_task(project, "\x9b2J複数の全角文字の長い名前がここにあります、はい、そうです")
    code, printed = looked(simulator)
    assert code == 0
    assert not [char for char in printed if not char.isprintable() and char != "\n"]
    assert "[31m[bold]red" in printed
    assert max(map(cell_len, printed.splitlines())) <= 80


def test_race_while_it_runs() -> None:
    """A picture of the moment after the first turn."""
    runners = [Runner("bulk", "get_project_tags", anyio.sleep_forever) for _ in range(7)]
    race = Race([*runners, Runner("interactive", "get_timers", anyio.sleep_forever)], TokenBucket(), 1.0)
    for runner in race.runners:
        runner.asked = time.monotonic() - 0.5
    race.runners[-1].waited = 0.4
    screen = Screen(StringIO())
    with screen.console.capture() as capture:
        screen.show(race)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[-4:] for line in lines[1:3]] == [["in", "0.0", "s", "1"], ["in", "1.0", "s", "2"]]


def test_terminal_gets_colour_unless_it_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    printed = StringIO()
    Screen(printed).check("it works", holds=True)
    assert "\x1b[32m✓" in printed.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    printed = StringIO()
    Screen(printed).check("it works", holds=True)
    assert printed.getvalue().strip() == "✓ it works"


def test_calls_in_words() -> None:
    params = {"time": dt.timedelta(minutes=90), "date": dt.date(2026, 12, 1), "text": "a\nb", "extra": None}
    assert words.call("add", params) == "add(time=timedelta(minutes=90), date=date(2026, 12, 1), text='a\\nb')"
    assert [words.result(value) for value in (None, 7, [], ["a"], object())] == [
        "None", "7", "none", "1 × str", "object",
    ]  # fmt: skip
