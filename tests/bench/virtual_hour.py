"""The CPU time of a job of an hour on a virtual clock: 3 600 calls at one request per second. It never sleeps."""

from __future__ import annotations

import time
from collections.abc import Iterator

import anyio

from tests.bench.measure import Comparison
from worksection_async.testing import Simulator, VirtualClock

CALLS = 3600


def compare() -> Iterator[Comparison]:
    for backend in ("asyncio", "trio"):
        seconds = min(anyio.run(seconds_of_job, backend=backend) for _ in range(2))
        yield Comparison(f"3 600 calls in a virtual hour on {backend} / 8 s", seconds, 8.0, "s", 1.0)


async def seconds_of_job() -> float:
    """Return the CPU seconds; all calls wait in the queue from the beginning."""
    async with Simulator(rate=1.0, clock=VirtualClock()) as sim, sim.session(coalesce=False) as ws:
        start = time.process_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(CALLS):
                tasks.start_soon(ws.get_tasks, 26)
        seconds = time.process_time() - start
    if not CALLS <= sim.clock.monotonic() + 1 < CALLS * 1.1 or not all(request.accepted for request in sim.requests):
        raise RuntimeError("the job did not take a virtual hour")
    return seconds
