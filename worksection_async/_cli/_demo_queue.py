"""The step of the demo about the rate limit: eight calls at once, and the order in which the limiter sends them."""

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
from ..errors import RateLimited, WorksectionError
from ..testing import ReceivedRequest
from ._demo_session import DemoSession
from ._screen import Screen, number, table

BAR_WIDTH = 27
MAX_INTERACTIVE_POSITION = 2
"""The limiter gives one slot in eight to the call that has waited longest, so that the first slot is not certain."""

STYLES: dict[Lane, str] = {"interactive": "bold magenta", "normal": "", "bulk": "cyan"}


@attrs.frozen
class ArrivalLog:
    """The requests that arrived at the simulator, and the minimum interval between two of them in seconds."""

    requests: Sequence[ReceivedRequest]
    interval: float

    def shortest_gap(self, count: int) -> float:
        """Return the shortest time between two of the last *count* accepted requests, in seconds.

        A refused request does not count: it is too early by definition, and the service does not count it either.
        """
        arrivals = [request.arrived_at for request in self.requests if request.accepted][-count:]
        return min((later - earlier for earlier, later in pairwise(arrivals)), default=0.0)


@attrs.define(eq=False)
class QueuedCall:
    """One of the calls, and its progress."""

    lane: Lane
    name: str
    run: Callable[[], Awaitable[object]] = attrs.field(repr=False)
    started_at: float = 0.0
    waited: float | None = None
    """Seconds until the reply, or None before it."""
    position: int = 0
    """Position in the order of the replies, from 1."""
    error: WorksectionError | None = None


@attrs.define
class QueueView:
    """The calls and their current state, as a table for `rich`."""

    calls: list[QueuedCall]
    limiter: Limiter
    interval: float
    _finished: int = attrs.field(default=0, init=False)

    async def run(self) -> None:
        """Start all calls at once, in the order of the list, and wait for their replies."""
        async with anyio.create_task_group() as group:
            for call in self.calls:
                group.start_soon(self._run, call)

    async def _run(self, call: QueuedCall) -> None:
        call.started_at = time.monotonic()
        try:
            await call.run()
        except WorksectionError as error:
            call.error = error
        call.waited = time.monotonic() - call.started_at
        self._finished += 1
        call.position = self._finished

    def count_ahead_of(self, call: QueuedCall) -> int:
        """Return the number of waiting calls that are sent before *call*: by lane, then in the order of the list."""

        def rank(other: QueuedCall) -> tuple[int, int]:
            return LANES.index(other.lane), self.calls.index(other)

        return sum(other.waited is None and rank(other) < rank(call) for other in self.calls)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = table(
            "lane",
            "call",
            Column("time in the queue", min_width=BAR_WIDTH),
            Column(justify="right", min_width=8),
            number("order"),
        )
        for call in self.calls:
            rows.add_row(*self._row(call))
        yield rows
        if self._finished < len(self.calls):
            yield from self._forecast()

    def _row(self, call: QueuedCall) -> Iterator[Text]:
        style = STYLES[call.lane]
        yield Text(call.lane, style)
        yield Text(f"{call.name}()")
        elapsed = time.monotonic() - call.started_at if call.waited is None else call.waited
        length = round(BAR_WIDTH * elapsed / self.interval / len(self.calls))
        yield Text("━" * min(length, BAR_WIDTH) or "╸", style)
        if call.waited is None:
            ahead = self.count_ahead_of(call)
            yield Text(f"in {self.limiter.statistics().next_slot + ahead * self.interval:.1f} s", "dim")
            yield Text(str(self._finished + ahead + 1), "dim")
        else:
            yield Text(f"{call.waited:.1f} s")
            yield Text(str(call.position), style)

    def _forecast(self) -> Iterator[Text]:
        statistics = self.limiter.statistics()
        waiting = ", ".join(f"{count} {lane}" for lane, count in statistics.waiting.items() if count) or "none"
        yield Text("")
        yield Text(f"waiting: {waiting} · next slot in {statistics.next_slot:.1f} s", "dim")
        etas = ", ".join(f"{self.limiter.eta(lane):.1f} s {lane}" for lane in ("interactive", "bulk"))
        yield Text(f"a new call would wait {etas}", "dim")


async def show_queue(ws: DemoSession, screen: Screen, interval: float, arrivals: ArrivalLog | None = None) -> None:
    """Make eight calls at once, and check their order and, given *arrivals*, their interval (in seconds)."""
    screen.step("Rate limit: seven calls in lane bulk, then one in lane interactive")
    queue = QueueView(list(_calls(ws)), ws.limiter, interval)
    refused_before = ws.limiter.statistics().refused
    with screen.live(queue):
        await queue.run()
    screen.show(queue)
    errors = [call.error for call in queue.calls if call.error]
    screen.check("all eight calls succeeded", not errors, "; ".join(map(str, errors)))
    refused = ws.limiter.statistics().refused - refused_before
    position = queue.calls[-1].position
    # Each refusal uses up a slot, which can be that of the interactive call.
    is_early = position <= MAX_INTERACTIVE_POSITION + refused
    screen.check(f"the interactive call was started last and answered as number {position}", is_early)
    _check_refusals(screen, refused, errors)
    if arrivals is not None:
        gap = arrivals.shortest_gap(len(queue.calls))
        screen.check(f"the simulator accepted requests at least {gap:.2f} s apart", gap >= arrivals.interval)


def _check_refusals(screen: Screen, refused: int, errors: Sequence[WorksectionError]) -> None:
    """Check that no call failed because of the rate limit: a refusal is no failure if a retry succeeded.

    Under load a request can be delayed on its way, so that the next one arrives too early.
    """
    final = [error for error in errors if isinstance(error, RateLimited)]
    if final:
        screen.check("no call failed because of the rate limit", is_true=False, actual=f"{len(final)} failed")
    elif refused:
        claim = "1 request was refused as too early, and its retry succeeded"
        if refused > 1:
            claim = f"{refused} requests were refused as too early, and their retries succeeded"
        screen.check(claim, is_true=True)
    else:
        screen.check("no request was refused by the rate limit", is_true=True)


def _calls(ws: DemoSession) -> Iterator[QueuedCall]:
    bulk, interactive = ws.in_lane("bulk"), ws.in_lane("interactive")
    yield QueuedCall("bulk", "get_projects", bulk.get_projects)
    yield QueuedCall("bulk", "get_users", bulk.get_users)
    yield QueuedCall("bulk", "get_user_groups", bulk.get_user_groups)
    yield QueuedCall("bulk", "get_contacts", bulk.get_contacts)
    yield QueuedCall("bulk", "get_task_tags", bulk.get_task_tags)
    yield QueuedCall("bulk", "get_project_tags", bulk.get_project_tags)
    yield QueuedCall("bulk", "get_webhooks", bulk.get_webhooks)
    yield QueuedCall("interactive", "get_timers", interactive.get_timers)
