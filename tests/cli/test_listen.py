"""The command ``listen``: a program on this machine gets the events of the account as webhooks."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from click.shell_completion import CompletionItem
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.login_harness import free_port
from worksection_async.__main__ import main
from worksection_async._cli import listen
from worksection_async._cli._exit_codes import ExitCode
from worksection_async._cli._output import print_text
from worksection_async.models import Event, EventObject, User
from worksection_async.testing import Fault, Simulator, faults
from worksection_async.testing._reply import SimulatedReply
from worksection_async.testing._server import Server
from worksection_async.testing._webhook_call import body_of, webhook_record
from worksection_async.testing.faults import FaultName
from worksection_async.webhooks import WebhookReceiver, parse_events

OK = JSONResponse({"status": "OK"})


class Program:
    """A program that records what it is sent."""

    def __init__(self, *answers: Response) -> None:
        self.bodies: list[bytes] = []
        self.authorizations: list[str] = []
        self.paths: list[str] = []
        self._answers = iter(answers)
        app = Starlette(routes=[Route("/{path:path}", self._take, methods=["GET", "POST"])])
        self.port = free_port()
        self.server = Server(app, "127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?key=7"

    @property
    def events(self) -> list[Event]:
        return [event for body in self.bodies for event in parse_events(body)]

    async def _take(self, request: Request) -> Response:
        self.paths.append(f"{request.method} {request.url.path}?{request.url.query} {request.headers['content-type']}")
        self.bodies.append(await request.body())
        self.authorizations.append(request.headers.get("authorization", ""))
        return next(self._answers, OK)


def wait_until(is_done: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.01)


def emit(simulator: Simulator, action: Any, of: Any, **more: Any) -> None:
    anyio.run(lambda: simulator.emit(action, of, **more))


class Command:
    """A run of the command in this thread; *steps* run in another one as soon as it listens, and then Ctrl-C."""

    def __init__(self) -> None:
        self.printed: list[str] = []
        """The lines that the command printed after the first one."""
        self._is_listening = threading.Event()
        self._failures: list[BaseException] = []

    def run(self, steps: Callable[[], None], *arguments: str) -> int:
        """Return the exit code."""
        thread = threading.Thread(target=self._work, args=(steps,))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listen, "print_text", self._print)
            thread.start()
            code = main(["listen", "--every", "0.05", *arguments])
        thread.join()
        for failure in self._failures:
            raise failure
        return code

    def wait_for_lines(self, count: int) -> None:
        wait_until(lambda: len(self.printed) >= count)

    def _print(self, text: str) -> None:
        print_text(text)
        if self._is_listening.is_set():
            self.printed.append(text)
        self._is_listening.set()

    def _work(self, steps: Callable[[], None]) -> None:
        try:
            assert self._is_listening.wait(60)
            steps()
        except BaseException as exc:  # noqa: BLE001  # raised in the thread of the test
            self._failures.append(exc)
        finally:
            os.kill(os.getpid(), signal.SIGINT)


SERVER_ERROR_IN_JSON = faults.answer(SimulatedReply(b'{"status": "error", "message": "Internal error"}', 500))


@pytest.fixture
def command() -> Command:
    return Command()


def test_events_arrive_as_the_service_posts_them(
    simulator: Simulator, command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Basic authentication, and with the bodies that a registered webhook gets."""
    monkeypatch.setenv("WORKSECTION_WEBHOOK_PASSWORD", "geheim☃")
    program, webhook = Program(), Program()

    def steps() -> None:
        task = simulator.add_task(26, "Launch ☃")
        subtask = simulator.add_task(26, "Prepare", parent=task)
        comment = simulator.add_comment(subtask, "Ready?")
        emit(simulator, "post", task, new={"title": "Launch ☃"})
        emit(simulator, "post", subtask)
        emit(simulator, "post", comment, new={"text": "Ready?", "files": []})
        emit(simulator, "update", task, new={"priority": 7}, old={"priority": ""})
        emit(simulator, "update", task)
        emit(simulator, "update", simulator.projects[26], new={"title": "Owl"}, old={"title": "Bird"})
        command.wait_for_lines(6)

    with program.server, webhook.server:
        simulator._world.add_webhook(webhook.url, listen.KINDS)
        assert command.run(steps, "--forward-to", program.url, "--user", "ws") == ExitCode.INTERRUPTED
    assert sorted(program.bodies) == sorted(webhook.bodies)
    assert {event.key for event in program.events} == {event.key for event in simulator.events[-6:]}
    assert {event.object.page for event in program.events} == {
        "/project/26/", *(f"/task/{event.id_task}/" for event in simulator.events[-6:-1])
    }  # fmt: skip
    assert set(program.authorizations) == {httpx.BasicAuth("ws", "geheim☃")._auth_header}
    assert set(program.paths) == {"POST /hooks?key=7 application/json"}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Events are posted to {program.url}. Press Ctrl-C to stop."
    printed = [re.fullmatch(r"\d\d:\d\d:\d\d  (\w+ \d+)  200 OK", line) for line in lines[1:]]
    assert [match and match[1] for match in printed] == [f"{it.kind} {it.object.id}" for it in program.events]


@pytest.mark.parametrize(
    "event",
    [
        Event(action="update", object=EventObject(type="task", id=9, page="/task/9/"), old={"a": [1]}, new={"b": {}}),
        Event(action="delete", object=EventObject(type="comment", id=7, page="/elsewhere/")),
        Event(action="close", object=EventObject(type="milestone", id=7, extra={"x": 1}), extra={"batch": "☃"}),
        Event(action="archive", object=EventObject(id=7), old={"a": 1}),
        Event(
            action="post",
            object=EventObject(type="project", id=5, page="/project/5/"),
            date_added=dt.datetime(2026, 1, 2, 3, 4),
            user_from=User(id=1, email="ada@example.com", name="Ada"),
        ),
        Event(
            action="post", object=EventObject(type="task", id=9, page="/task/9/"), user_from=User(extra={"team": "x"})
        ),
    ],
)
def test_a_receiver_reads_back_an_equal_event(event: Event) -> None:
    assert parse_events(body_of([webhook_record(event)])) == [event]


def test_the_body_is_an_array_of_one_event_with_ids_as_text() -> None:
    event = Event(
        action="post", object=EventObject(type="comment", id=77, page="/project/26/2600/2601/#com77"),
        date_added=dt.datetime(2026, 1, 2, 3, 5), user_from=User(id=42, email="bo@example.com", name="Bo ☃"),
    )  # fmt: skip
    assert body_of([webhook_record(event)]).decode() == (
        '[{"action": "post", "object": {"type": "comment", "id": "77", "page": "/task/2601/"}, '
        '"date_added": "2026-01-02 03:05", "user_from": {"id": "42", "email": "bo@example.com", "name": "Bo ☃"}, '
        '"new": []}]'
    )


def test_a_program_that_is_down_gets_the_later_events(simulator: Simulator, command: Command) -> None:
    """Each event is posted once, as by the service; the failure is printed."""
    program = Program(PlainTextResponse("", 500), RedirectResponse("/login"), JSONResponse({"status": "ok"}))
    tasks = [simulator.add_task(26, f"Task {number}") for number in range(5)]

    def steps() -> None:
        emit(simulator, "post", tasks[0])
        command.wait_for_lines(1)
        with program.server:
            for number, task in enumerate(tasks[1:], 2):
                emit(simulator, "post", task)
                command.wait_for_lines(number)

    assert command.run(steps, "--forward-to", program.url) == ExitCode.INTERRUPTED
    assert [event.object.id for event in program.events] == [task.id for task in tasks[1:]]
    outcomes = [line.rstrip().split("  ")[2] for line in command.printed]
    assert outcomes[0].startswith("failed: ConnectError: ")
    assert "does the program run" in outcomes[0]
    assert outcomes[1:3] == ["failed: HTTP 500", "failed: HTTP 307"]
    assert outcomes[3:] == ['failed: the reply is not {"status":"OK"}', "200 OK"]
    assert set(program.authorizations) == {""}


def test_a_program_that_does_not_answer_does_not_stop_it(
    simulator: Simulator, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "WEBHOOK_TIMEOUT_SECONDS", 0.2)

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    def steps() -> None:
        for number in range(2):
            emit(simulator, "post", simulator.add_task(26, "Launch"))
            command.wait_for_lines(number + 1)

    with Server(silent, "127.0.0.1", port := free_port()):
        assert command.run(steps, "--forward-to", f"http://127.0.0.1:{port}") == ExitCode.INTERRUPTED
    assert all("failed: no reply within 0.2 s (does the program run" in line for line in command.printed)


@pytest.mark.usefixtures("no_retry_delay")
@pytest.mark.parametrize(
    ("fault", "times"),
    [("reset", 8), ("server_error", 8), (SERVER_ERROR_IN_JSON, 8), ("html_page", 2), ("cut_body", 2)],
)
def test_events_of_a_failed_poll_arrive_with_the_next_one(
    simulator: Simulator, command: Command, capsys: pytest.CaptureFixture[str], fault: FaultName | Fault, times: int
) -> None:
    program = Program()

    def steps() -> None:
        simulator.fail("get_events", fault, times=times)
        emit(simulator, "post", simulator.add_task(26, "Launch"))
        command.wait_for_lines(1)

    with program.server:
        assert command.run(steps, "--forward-to", program.url) == ExitCode.INTERRUPTED
    assert len(program.events) == 1
    assert simulator.unused_faults == []
    assert capsys.readouterr().err.count("The next poll includes these events.") == 2


def test_events_that_the_service_no_longer_lists_do_not_end_it(
    simulator: Simulator, command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worksection_async._sync.event_reader.MAX_RECORDS", 5)
    program = Program()

    def steps() -> None:
        for _ in range(6):
            emit(simulator, "post", simulator.add_task(26, "Launch"))
        command.wait_for_lines(6)
        emit(simulator, "post", simulator.add_task(26, "later"))
        command.wait_for_lines(7)

    with program.server:
        assert command.run(steps, "--forward-to", program.url) == ExitCode.INTERRUPTED
    assert {event.key for event in program.events} == {event.key for event in simulator.events[-7:]}
    assert "may be lost: the project 26 has 5 events or more" in (errors := capsys.readouterr().err)
    assert "The lost events are not posted, the later ones are." in errors


def test_a_refused_credential_ends_it(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSECTION_API_KEY", "wrong")
    assert main(["listen", "--forward-to", "http://127.0.0.1:1"]) == ExitCode.LOGIN


def test_only_the_events_of_webhooks_that_were_asked_for_are_posted(simulator: Simulator, command: Command) -> None:
    program = Program()
    other = simulator.add_project("Mars")

    def steps() -> None:
        emit(simulator, "post", simulator.add_task(26, "not asked for"))
        emit(simulator, "close", simulator.add_task(other, "another project"))
        emit(simulator, "delete", simulator.projects[26])  # listed by get_events, and no event of webhooks
        emit(simulator, "close", simulator.add_task(26, "asked for"))
        command.wait_for_lines(1)

    with program.server:
        command.run(steps, "--forward-to", program.url, "--events", "close_task,reopen_task", "--project", "26")
    assert [(event.kind, event.object.id) for event in program.events] == [
        ("close_task", simulator.events[-1].object.id)
    ]


def test_a_real_process_feeds_a_real_receiver(simulator: Simulator) -> None:
    """The receiver is that of the program in production; Ctrl-C ends the command without a traceback."""
    events: list[Event] = []

    async def handler(event: Event) -> None:
        events.append(event)

    port = free_port()
    receiver = WebhookReceiver(handler, username="ws", password="secret")
    server = uvicorn.Server(uvicorn.Config(receiver, port=port, lifespan="on", log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    program = [sys.executable, "-m", "worksection_async", "listen", "--forward-to", f"http://127.0.0.1:{port}/hooks"]
    variables = os.environ | {"WORKSECTION_WEBHOOK_PASSWORD": "secret"}
    with subprocess.Popen(
        [*program, "--user", "ws", "--every", "0.1"], env=variables, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        wait_until(lambda: server.started)
        task = simulator.add_task(26, "Launch")
        emit(simulator, "post", task)
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    server.should_exit = True
    thread.join()
    assert process.returncode == ExitCode.INTERRUPTED
    assert line.endswith(f"  post_task {task.id}  200 OK\n")
    assert errors.startswith("\nInterrupted. ")
    assert "Traceback" not in errors
    assert [event.key for event in events] == [event.key for event in simulator.events[-1:]]
    assert receiver.statistics().handled == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing option '--forward-to'."),
        (["--forward-to", "127.0.0.1:8000"], "Invalid value for '--forward-to': it must be a URL such as http://"),
        (["--forward-to", "http://[::1"], "Invalid value for '--forward-to': it must be a URL"),
        (["--forward-to", "http://ws:geheim@localhost/"], "Invalid value for '--forward-to': it must be a URL"),
        (["--forward-to", "https://example.com/hooks"], "--forward-to leads to another machine, and events contain"),
        (["--forward-to", "http://localhost", "--user", "a:b"], "--user must not contain a colon"),
        (["--forward-to", "http://localhost", "--user", "a"], "Set WORKSECTION_WEBHOOK_PASSWORD to the password of"),
        (["--forward-to", "http://localhost", "--events", "post_taks"],
         "Invalid value for '--events': 'post_taks' is no event of webhooks, the nearest one is post_task."),
        (["--forward-to", "http://localhost", "--every", "0"], "Invalid value for '--every': 0.0 is not in the range"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["listen", *arguments]) == ExitCode.USAGE
    errors = capsys.readouterr().err
    assert errors.startswith(complaint)
    assert "geheim" not in errors
    assert simulator.requests == []


def test_another_machine_is_possible_on_demand(simulator: Simulator, command: Command) -> None:
    def steps() -> None:
        wait_until(lambda: simulator.requests)

    arguments = ["--forward-to", "https://example.com/hooks", "--allow-remote"]
    assert command.run(steps, *arguments) == ExitCode.INTERRUPTED


def test_the_prompt_for_the_password_hides_the_input(
    simulator: Simulator, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, prompts = Program(), list[str]()

    def typed(prompt: str) -> str:
        prompts.append(prompt)
        return "secret"

    def steps() -> None:
        emit(simulator, "post", simulator.add_task(26, "Launch"))
        wait_until(lambda: program.bodies)

    monkeypatch.setattr(getpass, "getpass", typed)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with program.server:
        command.run(steps, "--forward-to", program.url, "--user", "ws")
    assert prompts == ["Password of the webhook (input is hidden): "]
    assert set(program.authorizations) == {httpx.BasicAuth("ws", "secret")._auth_header}


def test_kinds_are_completed_one_after_the_other() -> None:
    def complete(text: str) -> list[str]:
        param = next(each for each in listen.command.params if each.name == "kinds")
        found = param.type.shell_complete(
            listen.command.make_context("listen", [], resilient_parsing=True), param, text
        )
        assert all(isinstance(item, CompletionItem) for item in found)
        return [item.value for item in found]

    assert complete("post_") == ["post_task", "post_comment", "post_project"]
    assert complete("post_task,close") == ["post_task,close_task"]
