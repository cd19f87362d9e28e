"""A watching program is killed at random moments, and its webhooks are lost and repeated: no event is lost."""

from __future__ import annotations

import functools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis

from tests.support.clocks import SetClock
from tests.support.constants import ROOT
from tests.support.events import DAY, START
from tests.support.valkey import valkey as valkey  # noqa: PLC0414  # a fixture
from worksection_async.testing import Simulator

EVENTS = int(os.environ.get("CRASH_TEST_EVENTS", "300"))
"""5000 in ``nox -s soak``."""

KILLS = EVENTS // 50
DAYS = 30

STEPS = max(100, EVENTS // 12)
"""Steps of a run, at most: events and saves have several each."""


@contextmanager
def crashing_watch(variant: str, url: str, key: str, redis_url: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = [variant, url, key, redis_url, str(folder), str(STEPS)]
    command = [sys.executable, "-m", "tests.sync.crashing_watch", *arguments]
    with (
        (folder / "kills").open("w") as output,
        subprocess.Popen(command, cwd=ROOT, stdout=output, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


class Undisturbed:
    """An application that holds a lock during its requests: the clock that they see stands still."""

    def __init__(self, app: Any, lock: threading.RLock) -> None:
        self._app = app
        self._lock = lock

    async def __call__(self, *connection: Any) -> None:
        with self._lock:  # by the thread of the server, for any number of requests
            await self._app(*connection)


def kills(folder: Path) -> int:
    return len((folder / "kills").read_text().split())


def handled_events(variant: str, folder: Path) -> list[int]:
    if variant != "transaction":
        path = folder / "handled"
        return [int(line) for line in path.read_text().split()] if path.exists() else []
    with closing(sqlite3.connect(folder / "effects.db", timeout=60)) as database:
        try:
            return [number for (number,) in database.execute("SELECT number FROM effects ORDER BY rowid")]
        except sqlite3.OperationalError:
            return []


def has_position(variant: str, folder: Path, client: redis.Redis) -> bool:
    if variant == "file":
        return (folder / "cursor.json").exists()
    if variant == "redis":
        return bool(client.exists("position"))
    with closing(sqlite3.connect(folder / "effects.db", timeout=60)) as database:
        try:
            return bool(database.execute("SELECT * FROM positions").fetchall())
        except sqlite3.OperationalError:
            return False


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for the program, however slow the machine is; the test's own timeout is the limit."""
    while not condition():
        assert process.poll() is None, "the program failed"
        time.sleep(0.02)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("variant", ["file", "redis", "transaction"])
def test_no_event_is_lost_by_a_program_that_is_killed(variant: str, valkey: str, tmp_path: Path) -> None:
    """With the position in the transaction of the effect, none is handled twice, and the order is kept."""
    chance = random.Random(variant)
    bell, clock = redis.Redis.from_url(valkey), SetClock(START)
    bell.flushdb()
    sim, lock = Simulator(clock=clock), threading.RLock()
    sim.app = Undisturbed(sim.app, lock)  # type: ignore[assignment]
    task = next(iter(sim.tasks.values()))
    with sim.serve() as url, crashing_watch(variant, url, sim.api_key, valkey, tmp_path) as process:
        wait_until(lambda: has_position(variant, tmp_path, bell), process)
        for number in range(EVENTS):
            with lock:
                clock.advance(chance.choice([0.0, chance.uniform(0, 2 * DAYS * DAY / EVENTS)]) * 4 / 3)
                anyio.run(functools.partial(sim.emit, "update", task, new={"number": number}))
            if chance.random() < 0.7:  # the others are lost
                for _ in range(chance.choice([1] * 9 + [2])):
                    bell.xadd("bell", {"rung": 1}, maxlen=1, approximate=False)
            if number % 10 == 0:
                seen = kills(tmp_path) + len(sim.requests)
                wait_until(lambda seen=seen: kills(tmp_path) + len(sim.requests) > seen, process)  # type: ignore[misc]
        wait_until(lambda: len(set(handled_events(variant, tmp_path))) == EVENTS, process)
        (tmp_path / "stop").touch()
        assert kills(tmp_path) >= KILLS
    handled = handled_events(variant, tmp_path)
    counts = Counter(handled)
    print(variant, EVENTS, "events,", kills(tmp_path), "kills,", len(handled) - len(counts), "handled again")
    assert set(counts) == set(range(EVENTS))
    if variant == "transaction":
        assert handled == list(range(EVENTS))


TAKEOVERS = 20 if EVENTS >= 5000 else 3


class Programs:
    """Processes that share one position. Each writes the numbers of the events that it handles to one file."""

    def __init__(self, arguments: list[str], output: Path) -> None:
        self._command = [sys.executable, "-m", "tests.sync.waiting_watch", *arguments]
        self._output = output
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        with self._output.open("a") as output:
            process = subprocess.Popen(self._command, cwd=ROOT, stdout=output)
        self._processes[process.pid] = process

    def handled(self) -> list[tuple[int, int]]:
        """Return the number of each handled event, and the process that handled it."""
        return [(int(number), int(pid)) for number, pid in map(str.split, self._output.read_text().splitlines())]

    def wait_for(self, number: int) -> int:
        """Return the process that handles the event."""
        while not (found := [pid for handled, pid in self.handled() if handled == number]):
            assert all(process.poll() is None for process in self._processes.values())
            time.sleep(0.01)
        return found[0]

    def kill(self, pid: int) -> None:
        process = self._processes.pop(pid)
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        for pid in list(self._processes):
            self.kill(pid)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["file", "redis"])
def test_another_program_takes_over_when_the_watching_one_is_killed(kind: str, valkey: str, tmp_path: Path) -> None:
    redis.Redis.from_url(valkey).flushdb()
    sim = Simulator()
    task = next(iter(sim.tasks.values()))
    seconds: list[float] = []
    with sim.serve() as url:
        output = tmp_path / "output"
        output.touch()
        programs = Programs([url, sim.api_key, valkey if kind == "redis" else str(tmp_path / "cursor.json")], output)
        try:
            for _ in range(3):
                programs.start()
            while not sim.requests:
                time.sleep(0.01)
            for number in range(TAKEOVERS + 1):
                emitted_at = time.monotonic()
                anyio.run(functools.partial(sim.emit, "update", task, new={"number": number}))
                holder = programs.wait_for(number)
                seconds.append(time.monotonic() - emitted_at)
                wait_for_requests(sim)  # the position is saved before the next look
                programs.start()
                programs.kill(holder)
        finally:
            programs.kill_all()
    print(f"{kind}: taken over after {sorted(seconds[1:])[len(seconds) // 2]:.2f} s, {max(seconds[1:]):.2f} s at most")
    handled = programs.handled()
    assert [number for number, _ in handled] == list(range(TAKEOVERS + 1))
    assert len({pid for _, pid in handled}) == TAKEOVERS + 1


def wait_for_requests(sim: Simulator) -> None:
    count = len(sim.requests)
    while len(sim.requests) == count:
        time.sleep(0.01)
