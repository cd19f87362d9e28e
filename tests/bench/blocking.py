"""The cost of the hop to the background loop: a blocking call beside an awaited one, to the simulator on a socket."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator

from tests.bench.measure import Comparison
from worksection_async import ApiKey, Session, TokenBucket
from worksection_async.blocking import BlockingSession
from worksection_async.testing import Simulator

CALLS, RUNS = 20, 60
"""Calls per run: a run is so short that some runs are not disturbed on a busy machine."""

HOP_MICROSECONDS = 1000.0
"""The promised limit."""


def compare() -> Iterator[Comparison]:
    sim = Simulator(seed="empty")
    number = sim.add_project("Moon").id
    with sim.serve() as url:
        ours, awaited = microseconds_per_call(url, ApiKey(sim.api_key), number)
    yield Comparison("a blocking call / the awaited call", ours, awaited, "us", 1.5)
    yield Comparison("the hop of a blocking call / 1 ms", max(0.0, ours - awaited), HOP_MICROSECONDS, "us", 1.0)


def microseconds_per_call(url: str, key: ApiKey, number: int) -> tuple[float, float]:
    """Return the time of a call of a `BlockingSession`, and of a `Session`."""
    ours, awaited, limiter = math.inf, math.inf, TokenBucket(1e9)
    session = Session(url, key, limiter=limiter)

    async def calls() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            await session.get_project(number)
        return time.perf_counter() - start

    with BlockingSession(url, key, limiter=limiter) as ws, asyncio.Runner() as runner:
        for _ in range(RUNS):
            start = time.perf_counter()
            for _ in range(CALLS):
                ws.get_project(number)
            ours = min(ours, time.perf_counter() - start)
            awaited = min(awaited, runner.run(calls()))
        runner.run(session.aclose())
    return ours / CALLS * 1e6, awaited / CALLS * 1e6
