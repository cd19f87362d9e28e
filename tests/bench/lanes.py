"""Two lanes on one budget of a call per second: a job of 45 calls beside ten calls of a user, in a virtual minute."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import attrs

from tests.bench.measure import Comparison
from worksection_async import Session
from worksection_async.testing import Simulator, VirtualClock

SECONDS = 60
BULK_CALLS = 45
ASKED_AT = (4.3, 11.6, 12.1, 20.4, 27.8, 33.2, 33.4, 41.7, 48.9, 53.5)
"""Seconds at which the user's calls start."""


@attrs.frozen
class Call:
    """A call: its lane, and the seconds at which it started and was accepted by the service."""

    lane: str
    asked: float
    sent: float


def compare() -> Iterator[Comparison]:
    calls = record()
    longest = max(call.sent - call.asked for call in calls if call.lane == "interactive")
    name = "longest wait of a user's call beside a job / the interval"
    yield Comparison(name, longest, 1.0, "s", 2.2)
    yield Comparison("time of a job and ten other calls / their slots", calls[-1].sent, len(calls) - 1.0, "s", 1.05)


def record() -> list[Call]:
    """Return the calls of both lanes, in the order in which they were sent."""
    return anyio.run(_record)


async def _record() -> list[Call]:
    calls: list[Call] = []
    async with Simulator(rate=1.0, clock=VirtualClock()) as sim, sim.session(coalesce=False) as ws:
        start = sim.clock.monotonic()

        async def call(lane: str, view: Session, after: float) -> None:
            await anyio.sleep(after)
            asked = sim.clock.monotonic()
            await view.get_project(26)
            calls.append(Call(lane, asked - start, sim.clock.monotonic() - start))

        async with anyio.create_task_group() as tasks:
            for _ in range(BULK_CALLS):
                tasks.start_soon(call, "bulk", ws.with_options(lane="bulk"), 0.0)
            for after in ASKED_AT:
                tasks.start_soon(call, "interactive", ws.with_options(lane="interactive"), after)
    return sorted(calls, key=lambda call: call.sent)
