"""How long the event loop waits while 10 000 tasks are read, in a process with no garbage but theirs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import anyio
import httpx

from tests.bench.measure import Figure
from tests.bench.replies import COUNT, reply, task
from worksection_async import ApiKey, Session, TokenBucket


def figures() -> list[Figure]:
    worst = subprocess.run([sys.executable, __file__], check=True, capture_output=True, text=True).stdout
    what = "longest wait of the event loop meanwhile, median of 9"
    return [Figure(what, float(worst), 0.0, "ms", 20.0, absolute=True)]


def main() -> None:
    body = reply(task)
    print(statistics.median(anyio.run(longest_stall, body) * 1e3 for _ in range(9)))


async def longest_stall(body: bytes) -> float:
    """Seconds the event loop kept a ticking task waiting at worst while a session read *body*."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            asked = time.perf_counter()
            await anyio.sleep(0.001)
            worst = max(worst, time.perf_counter() - asked - 0.001)

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
