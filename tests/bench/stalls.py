"""How long the event loop is blocked while a session reads 10 000 tasks, compared with ``json.loads`` in the loop.
A worker thread decodes the reply and lets the loop run, except in two steps that hold the GIL: the conversion of 10 MB
of UTF-8 to text, and a full garbage collection, which takes longest. The collector belongs to the whole program, so a
session does not suspend it.

It is measured in a process of its own, which has no other garbage to collect.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import anyio
import httpx

from tests.bench.measure import Comparison
from tests.bench.replies import COUNT, reply, task
from worksection_async import ApiKey, Session, TokenBucket

RUNS = 9


def compare() -> Iterator[Comparison]:
    output = subprocess.run([sys.executable, "-m", __name__], check=True, capture_output=True, text=True).stdout
    stall, decoding = map(float, output.split())
    yield Comparison("event loop blocked by 10 000 tasks / by json.loads of the reply", stall, decoding, "ms", 0.5)


def main() -> None:
    """Print the medians in milliseconds: the longest stall of the event loop, and the time of ``json.loads``."""
    body = reply(task)
    stalls, decodings = [], []
    for _ in range(RUNS):
        stalls.append(anyio.run(longest_stall, body) * 1e3)
        start = time.perf_counter()
        json.loads(body)
        decodings.append((time.perf_counter() - start) * 1e3)
    print(statistics.median(stalls), statistics.median(decodings))


async def longest_stall(body: bytes) -> float:
    """Return the longest time in seconds that a task had to wait for the loop while a session read *body*."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            start = time.perf_counter()
            await anyio.sleep(0.001)
            worst = max(worst, time.perf_counter() - start - 0.001)

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with (
        Session("acme", ApiKey("key"), transport=transport, limiter=TokenBucket(1e6)) as ws,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(tick)
        await anyio.sleep(0.05)
        worst = 0.0
        assert len(await ws.get_all_tasks()) == COUNT
        tasks.cancel_scope.cancel()
    return worst


if __name__ == "__main__":
    main()
