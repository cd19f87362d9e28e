"""The programs of the page about task queues: every event is handled at least once while workers are killed.

Two receivers get each event, as behind a load balancer that repeats requests. The handlers of some events fail once,
and those of others hang until their worker is killed.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import redis

from tests.support.constants import DOCS, ROOT
from tests.support.examples import is_test, programs, python_blocks
from tests.support.webhook_deliveries import OK, body, record

EVENTS = frozenset(range(1, 61))

STREAM: dict[str, dict[str, str]] = {
    "stream_receiver.py": {},
    "stream_worker.py": {"CLAIM_AFTER_MS = 60_000": "CLAIM_AFTER_MS = 1_000"},
}
SWEEP = '"visibility_timeout": 2, "unacked_restore_interval": 0.5, "unacked_restore_throttle": 1'
CELERY: dict[str, dict[str, str]] = {
    "celery_receiver.py": {},
    "celery_worker.py": {
        '"visibility_timeout": 600': SWEEP,
        "task_acks_late=True": "task_acks_late=True, worker_lost_wait=0.5",
    },
}
"""The programs of an example, with shorter times than the page recommends."""

HANDLERS = """
import asyncio, os, time

def write(word, number):
    with open("log", "a") as log:
        log.write(f"{word} {number} {os.getpid()}\\n")

def start(event):
    number = event.object.id
    is_first = f"start {number} " not in open("log").read()
    write("start", number)
    if is_first and str(number) in os.environ["FAILING"].split(","):
        raise RuntimeError("an error of the handler")
    return 60 if is_first and str(number) in os.environ["HANGING"].split(",") else 0.02

"""

ASYNC_HANDLER = """
async def on_event(event):
    await asyncio.sleep(start(event))
    write("end", event.object.id)
"""

HANDLER = """
def on_event(event):
    time.sleep(start(event))
    write("end", event.object.id)
"""


class Machines:
    """The processes of an example, each in a group of its own, and the log of its handlers."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOOK_PASSWORD": "secret", **variables}
        self._commands: dict[int, tuple[list[str], dict[str, str]]] = {}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        (folder / "log").touch()

    def start(self, *arguments: str, **variables: str) -> int:
        """Start ``python -m`` or a file, and return the ID of the process, which is that of its group, too."""
        command = [sys.executable, *arguments]
        environment = {**self._environment, **variables}
        process = subprocess.Popen(
            command, cwd=self._folder, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
        )
        self._processes[process.pid] = process
        self._commands[process.pid] = command[1:], variables
        return process.pid

    def kill_group(self, pid: int) -> int:
        """Kill a process with its children, start its command again, and return the ID of the new process."""
        self._end(pid)
        arguments, variables = self._commands[pid]
        return self.start(*arguments, **variables)

    def log(self, word: str) -> list[tuple[int, int]]:
        """Return the number of the event and the ID of the process of each log line with *word*."""
        lines = [line.split() for line in (self._folder / "log").read_text().splitlines()]
        return [(int(number), int(pid)) for kind, number, pid in lines if kind == word]

    def stop(self) -> None:
        for pid in list(self._processes):
            self._end(pid)

    def _end(self, pid: int) -> None:
        os.killpg(pid, signal.SIGKILL)
        self._processes.pop(pid).wait()


@pytest.fixture
def server(valkey: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey) as server:
        server.flushall()
        yield server


@pytest.fixture
def chance() -> random.Random:
    return random.Random(5)


@pytest.fixture
def odd_events(chance: random.Random) -> tuple[list[int], list[int]]:
    """The events whose handler hangs at first, and those whose handler fails at first."""
    odd = chance.sample(sorted(EVENTS), 7)
    return odd[:4], odd[4:]


@pytest.fixture
def machines(tmp_path: Path, valkey: str, odd_events: tuple[list[int], list[int]]) -> Iterator[Machines]:
    names = ("HANGING", "FAILING")
    variables = {name: ",".join(map(str, numbers)) for name, numbers in zip(names, odd_events, strict=True)}
    machines = Machines(tmp_path, {"REDIS_URL": valkey, **variables})
    yield machines
    machines.stop()


def write_programs(folder: Path, changes: Mapping[str, Mapping[str, str]], handler: str) -> None:
    """Write the programs of the page, with *changes* of their text, and the handlers."""
    for name, replacements in changes.items():
        code = programs(DOCS / "task-queues.md")[name]
        for old, new in replacements.items():
            assert old in code
            code = code.replace(old, new)
        (folder / name).write_text(code)
    (folder / "handlers.py").write_text(HANDLERS + handler)


def serve(machines: Machines, app: str) -> str:
    """Start a receiver and return its URL when it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    machines.start("-m", "uvicorn", app, "--port", str(port), "--log-level", "error")
    url = f"http://127.0.0.1:{port}/hooks/7f3c9a/"
    wait_until(lambda: is_up(url))
    return url


def is_up(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 401
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for other processes; the timeout of the test is the limit."""
    while not condition():
        time.sleep(0.02)


class Deliveries(threading.Thread):
    """Delivers each event to all receivers."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__()
        self._urls = urls
        self.refused: list[int] = []
        """The events that were not answered with OK."""

    def run(self) -> None:
        with httpx.Client(auth=("worksection", "secret"), timeout=30) as http:
            for number in sorted(EVENTS):
                answers = [http.post(url, content=body(record(number))) for url in self._urls]
                if [answer.json() for answer in answers] != [OK] * len(answers):
                    self.refused.append(number)


def assert_all_were_handled(machines: Machines, hanging: list[int], failing: list[int], killed: set[int]) -> None:
    started, ended = machines.log("start"), machines.log("end")
    assert {number for number, _ in ended} == EVENTS
    for number in hanging:
        first = next(pid for it, pid in started if it == number)
        assert first in killed
    for number in failing:
        assert len([it for it, _ in started if it == number]) >= 2


def test_streams_lose_no_event_while_workers_are_killed(
    machines: Machines,
    server: redis.Redis,
    tmp_path: Path,
    chance: random.Random,
    odd_events: tuple[list[int], list[int]],
) -> None:
    """Four workers are killed within the handler, and three at random moments, also between two events."""
    write_programs(tmp_path, STREAM, ASYNC_HANDLER)
    workers = [machines.start("stream_worker.py", WORKER=name) for name in ("one", "two")]
    deliveries = Deliveries([serve(machines, "stream_receiver:app") for _ in range(2)])
    deliveries.start()
    hanging, moments = set(odd_events[0]), sorted(chance.sample(range(5, 50), 3))
    killed: set[int] = set()
    while hanging or moments or {number for number, _ in machines.log("end")} < EVENTS:
        victims = [(number, pid) for number, pid in machines.log("start") if number in hanging and pid in workers]
        if victims:
            hanging.discard(victims[0][0])
            victim = victims[0][1]
        elif moments and len(machines.log("end")) >= moments[0]:
            moments.pop(0)
            victim = chance.choice(workers)
        else:
            time.sleep(0.02)
            continue
        killed.add(victim)
        workers[workers.index(victim)] = machines.kill_group(victim)
    deliveries.join()
    assert deliveries.refused == []
    assert len(killed) == 7
    assert_all_were_handled(machines, *odd_events, killed)
    wait_until(lambda: server.xlen("events") == 0 and server.xpending("events", "workers")["pending"] == 0)
    assert server.xinfo_stream("events")["entries-added"] == len(EVENTS), "both receivers published an event"


def test_celery_loses_no_event_while_workers_are_killed(
    machines: Machines, server: redis.Redis, tmp_path: Path, odd_events: tuple[list[int], list[int]]
) -> None:
    """Two processes of the pool are killed within the handler, and two whole workers."""
    write_programs(tmp_path, CELERY, HANDLER)
    options = ["--concurrency", "1", "--loglevel", "CRITICAL", "--without-gossip", "--without-mingle"]
    workers = {machines.start("-m", "celery", "-A", "celery_worker", "worker", "-n", name, *options) for name in "ab"}
    deliveries = Deliveries([serve(machines, "celery_receiver:receiver") for _ in range(2)])
    deliveries.start()
    hanging = set(odd_events[0])
    killed: set[int] = set()
    while hanging or {number for number, _ in machines.log("end")} < EVENTS:
        victims = [(number, pid) for number, pid in machines.log("start") if number in hanging]
        if not victims:
            time.sleep(0.02)
            continue
        number, pid = victims[0]
        hanging.discard(number)
        killed.add(pid)
        if len(hanging) % 2:
            os.kill(pid, signal.SIGKILL)
        else:
            worker = os.getpgid(pid)
            workers = {*workers - {worker}, machines.kill_group(worker)}
    deliveries.join()
    assert deliveries.refused == []
    assert len(killed) == 4
    assert_all_were_handled(machines, *odd_events, killed)
    wait_until(lambda: server.llen("celery") == 0 and server.hlen("unacked") == 0)


def test_each_program_of_the_documentation_is_run_here() -> None:
    """Those on pages with tests are imported by these, in tests/testing/test_plugin.py; `test_django` runs views.py."""
    pages = [page for page in DOCS.glob("*.md") if not any(map(is_test, python_blocks(page)))]
    assert {name for page in pages for name in programs(page)} == {*STREAM, *CELERY, "views.py"}
