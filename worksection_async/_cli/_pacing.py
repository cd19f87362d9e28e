"""Eight calls at once, and how the limiter spaces them."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise

import anyio
import attrs
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column
from rich.text import Text

from .._limits.limiter import Limiter
from .._limits.queue import LANES, Lane
from ..errors import WorksectionError
from ._guide import Guide
from ._screen import Screen, number, table

BAR = 28
LATEST_TURN = 2
"""One turn in eight goes to whoever has waited longest, so that the first is not certain."""

STYLES: dict[Lane, str] = {"interactive": "bold magenta", "normal": "", "bulk": "cyan"}


@attrs.frozen
class Door:
    """Where requests come in, for those who can see it."""

    arrivals: Callable[[], Sequence[float]]
    """When they came in up to now, in seconds."""
    interval: float
    """Seconds that have to lie between two of them."""


@attrs.define(eq=False)
class Runner:
    """One of the eight."""

    lane: Lane
    name: str
    run: Callable[[], Awaitable[object]] = attrs.field(repr=False)
    asked: float = 0.0
    waited: float | None = None
    """Seconds until the answer; None before it."""
    place: int = 0
    trouble: WorksectionError | None = None


@attrs.define
class Race:
    """The eight, as they stand now: a picture that `rich` can draw again and again."""

    runners: list[Runner]
    limiter: Limiter
    interval: float
    _finished: int = attrs.field(default=0, init=False)

    async def run(self) -> None:
        """Start all at once, in the order of the list."""
        async with anyio.create_task_group() as group:
            for runner in self.runners:
                group.start_soon(self._run, runner)

    async def _run(self, runner: Runner) -> None:
        runner.asked = time.monotonic()
        try:
            await runner.run()
        except WorksectionError as error:
            runner.trouble = error
        runner.waited = time.monotonic() - runner.asked
        self._finished += 1
        runner.place = self._finished

    def ahead_of(self, runner: Runner) -> int:
        """How many of the waiting go before *runner*: better lanes first, then who came first."""

        def rank(other: Runner) -> tuple[int, int]:
            return LANES.index(other.lane), self.runners.index(other)

        return sum(other.waited is None and rank(other) < rank(runner) for other in self.runners)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lanes = table(
            "lane",
            "call",
            Column("time in the queue", min_width=BAR),
            Column(justify="right", min_width=8),
            number("turn"),
        )
        for runner in self.runners:
            lanes.add_row(*self._row(runner))
        yield lanes
        if self._finished < len(self.runners):
            yield from self._forecast()

    def _row(self, runner: Runner) -> Iterator[Text]:
        style = STYLES[runner.lane]
        yield Text(runner.lane, style)
        yield Text(f"{runner.name}()")
        elapsed = time.monotonic() - runner.asked if runner.waited is None else runner.waited
        length = round(BAR * elapsed / self.interval / len(self.runners))
        yield Text("━" * min(length, BAR) or "╸", style)
        if runner.waited is None:
            ahead = self.ahead_of(runner)
            yield Text(f"in {self.limiter.statistics().next_slot + ahead * self.interval:.1f} s", "dim")
            yield Text(str(self._finished + ahead + 1), "dim")
        else:
            yield Text(f"{runner.waited:.1f} s")
            yield Text(str(runner.place), style)

    def _forecast(self) -> Iterator[Text]:
        standing = self.limiter.statistics()
        waiting = ", ".join(f"{count} {lane}" for lane, count in standing.waiting.items() if count) or "none"
        yield Text("")
        yield Text(f"waiting: {waiting} · next turn in {standing.next_slot:.1f} s", "dim")
        etas = ", ".join(f"{self.limiter.eta(lane):.1f} s {lane}" for lane in ("interactive", "bulk"))
        yield Text(f"a newcomer would wait {etas}", "dim")


async def pacing(ws: Guide, screen: Screen, interval: float, door: Door | None = None) -> None:
    screen.step("Eight calls at once: seven in lane bulk, then one interactive")
    race = Race(list(_runners(ws)), ws.limiter, interval)
    refused = ws.limiter.statistics().refused
    with screen.moving(race):
        await race.run()
    screen.show(race)
    troubles = [runner.trouble for runner in race.runners if runner.trouble]
    screen.check("all eight were answered", not troubles, "; ".join(map(str, troubles)))
    place = race.runners[-1].place
    screen.check(f"the interactive one, asked last, had turn {place}", place <= LATEST_TURN)
    refused = ws.limiter.statistics().refused - refused
    screen.check("none came too soon for the service", refused == 0, f"{refused} refused")
    if door is not None:
        _check_gaps(screen, door, len(race.runners))


def _check_gaps(screen: Screen, door: Door, count: int) -> None:
    gap = min((later - earlier for earlier, later in pairwise(door.arrivals()[-count:])), default=0.0)
    screen.check(f"at the service they arrived at least {gap:.2f} s apart", gap >= door.interval)


def _runners(ws: Guide) -> Iterator[Runner]:
    bulk, urgent = ws.aside("bulk"), ws.aside("interactive")
    yield Runner("bulk", "get_projects", bulk.get_projects)
    yield Runner("bulk", "get_users", bulk.get_users)
    yield Runner("bulk", "get_user_groups", bulk.get_user_groups)
    yield Runner("bulk", "get_contacts", bulk.get_contacts)
    yield Runner("bulk", "get_task_tags", bulk.get_task_tags)
    yield Runner("bulk", "get_project_tags", bulk.get_project_tags)
    yield Runner("bulk", "get_webhooks", bulk.get_webhooks)
    yield Runner("interactive", "get_timers", urgent.get_timers)
