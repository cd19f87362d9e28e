"""Cancelled calls leave no slot, no connection and no place in the queue behind."""

from __future__ import annotations

import random

import anyio
import pytest

from worksection_async import ApiKey, Session, TokenBucket
from worksection_async.testing import Simulator

pytestmark = pytest.mark.anyio

WORKERS = 20
CANCELLATIONS = 500
HANG_SECONDS = 60.0


async def test_session_works_after_many_cancelled_calls() -> None:
    """Twenty workers cancel calls on real connections after random times; then 5 of 5 calls succeed."""
    sim, limiter = Simulator(), TokenBucket(rate=400)
    cancelled = 0

    async def worker(ws: Session, seed: int) -> None:
        nonlocal cancelled
        times = random.Random(seed)
        while cancelled < CANCELLATIONS:
            with anyio.move_on_after(times.uniform(0, 0.08)) as scope:
                await ws.get_projects()
            cancelled += scope.cancelled_caught

    async with sim.serve() as url, Session(url, ApiKey(sim.api_key), limiter=limiter) as ws:
        async with anyio.create_task_group() as tasks:
            for seed in range(WORKERS):
                tasks.start_soon(worker, ws, seed)
        assert limiter.statistics().waiting == {"interactive": 0, "normal": 0, "bulk": 0}
        with anyio.fail_after(HANG_SECONDS):
            assert all([await ws.get_projects() for _ in range(5)])


async def test_call_cancelled_while_waiting_is_never_sent() -> None:
    sim = Simulator()
    async with sim, sim.session(limiter=TokenBucket(rate=0.001)) as ws:
        await ws.get_users()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ws.get_users)
            await anyio.wait_all_tasks_blocked()
            assert ws.limiter.statistics().waiting["normal"] == 1
            tasks.cancel_scope.cancel()
    assert len(sim.requests) == 1
