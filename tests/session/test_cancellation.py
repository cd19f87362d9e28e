"""Calls that are given up leave nothing behind: no slot, no connection, no place in the queue."""

from __future__ import annotations

import random

import anyio
import pytest

from worksection_async import ApiKey, Session, TokenBucket
from worksection_async.testing import Simulator

pytestmark = pytest.mark.anyio

WORKERS = 20
SECONDS = 3.0


async def test_after_many_cancelled_calls_the_session_still_works() -> None:
    """Twenty workers give up after random times for several seconds, over real connections; then 5 of 5 succeed."""
    sim, limiter = Simulator(), TokenBucket(rate=400)
    given_up = 0

    async def worker(ws: Session, seed: int) -> None:
        nonlocal given_up
        dice = random.Random(seed)
        until = anyio.current_time() + SECONDS
        while anyio.current_time() < until:
            with anyio.move_on_after(dice.uniform(0, 0.08)) as scope:
                await ws.get_projects()
            given_up += scope.cancelled_caught

    async with sim.serve() as url, Session(url, ApiKey(sim.api_key), limiter=limiter) as ws:
        async with anyio.create_task_group() as tasks:
            for seed in range(WORKERS):
                tasks.start_soon(worker, ws, seed)
        assert given_up > WORKERS
        assert limiter.statistics().waiting == {"interactive": 0, "normal": 0, "bulk": 0}
        with anyio.fail_after(10):
            assert all([await ws.get_projects() for _ in range(5)])


async def test_a_call_given_up_while_it_waits_is_never_sent() -> None:
    sim = Simulator()
    async with sim, sim.session(limiter=TokenBucket(rate=0.1)) as ws:
        await ws.get_users()
        with anyio.move_on_after(0.01):
            await ws.get_users()
    assert len(sim.requests) == 1
