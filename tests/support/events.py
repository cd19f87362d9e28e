"""A simulated account on virtual time, and what its watches yield."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import anyio

from tests.support.clocks import SkewedClock
from tests.support.virtual_time import run_on_virtual_clock
from worksection_async._sync.watch import EventsSince, EventWatch
from worksection_async.models import Event
from worksection_async.testing import Simulator, VirtualClock
from worksection_async.testing._transport import SimulatorTransport

START = 1_780_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


class Service(Simulator):
    """A simulator on virtual time. The clock of this machine, which its sessions read, can be wrong."""

    def __init__(self) -> None:
        self.machine = SkewedClock(0.0, VirtualClock(START))
        super().__init__(clock=self.machine.clock)

    def transport(self) -> SimulatorTransport:
        return SimulatorTransport(self.app, self.machine)


def with_simulator(main: Callable[[Service], Awaitable[None]]) -> None:
    """Run *main* on virtual time, with a simulator on the same clock."""
    run_on_virtual_clock(lambda: main(Service()))


async def create_events(sim: Simulator, count: int = 1, project: int | None = None) -> None:
    """Create and complete *count* tasks of the same name: two events each."""
    id_project = project or next(iter(sim.projects))
    async with sim.session() as ws:
        for _ in range(count):
            task = await ws.post_task(id_project, "Something")
            await ws.complete_task(task.id)


async def events_within(seconds: float, watch: EventWatch) -> list[Event]:
    """Return the events that *watch* yields within *seconds*."""
    events: list[Event] = []
    with anyio.move_on_after(seconds):
        async for event in watch:
            events.append(event)
    return events


def keys(events: list[Event]) -> Counter[tuple[str, int]]:
    return Counter((str(event.action), event.object.id) for event in events)


def stored_events(sim: Simulator) -> Counter[tuple[str, int]]:
    return keys(sim.events)


async def collect(events: EventsSince) -> list[Event]:
    return [event async for event in events]
