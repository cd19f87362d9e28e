"""Iterators over events, without a public URL. What is new in a reply is decided in `event_tracker`."""

from __future__ import annotations

import datetime as dt
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

import anyio

from .._protocol.formats import sequence, to_id
from .._protocol.values import as_number, plain_number, shown
from .._transport.caller import Caller
from .._transport.tasks import call_handler
from ..errors import EventsLost, InvalidCall
from ..models import Event
from .cursor import Cursor
from .cursor_stores import CursorStore, StoredPosition
from .doorbell import Doorbell
from .event_reader import EventReader
from .event_tracker import RETENTION, EventTracker

logger = logging.getLogger("worksection_async")

LISTING_DELAY_SECONDS = 60.0
"""Time after which a watch looks again if it found nothing when the doorbell was rung: events are listed late."""

JOB_LEASE_SECONDS = 90.0
"""Lease of a job that looks once. It is extended with each event."""


class EventLog(ABC):
    """The base of the iterators over events: it looks for new events, and keeps the position.

    Args:
        caller: Makes the calls.
        cursor: Where to continue: a position, or a store that may contain one.
        period_start: Age of the first events, if there is no position.
        projects: Only events of these projects; None means all.
        lease_seconds: Seconds after which another program may take over, if this one has saved no position.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        cursor: Cursor | CursorStore | None,
        period_start: dt.timedelta,
        projects: Iterable[int] | None,
        lease_seconds: float,
    ) -> None:
        if not isinstance(period_start, dt.timedelta):
            raise InvalidCall("get_events", f"period_start: must be a timedelta, got {shown(period_start)}")
        if not dt.timedelta(0) <= period_start <= RETENTION:
            problem = (
                f"must not be negative, and at most {RETENTION.days} days: the service stores events for that long"
            )
            raise InvalidCall("get_events", f"period_start: {problem}")
        self._caller = caller
        self._projects = None if projects is None else checked_projects(projects)
        self._begins_at = caller.clock.time() - period_start.total_seconds()
        self._is_closed = False
        self._stored = None
        if cursor is not None and not isinstance(cursor, Cursor):
            if isinstance(cursor, type) or not isinstance(cursor, CursorStore):
                raise InvalidCall(
                    "watch", f"cursor must be a Cursor or a store such as FileCursor, got {shown(cursor)}"
                )
            self._stored = StoredPosition(cursor, lease_seconds)
            cursor = None
        self._start(cursor)

    def _start(self, cursor: Cursor | None) -> None:
        """Continue at *cursor*, or begin."""
        begins_at = self._begins_at if cursor is None else None
        cursor = cursor or Cursor(looked_at=self._begins_at, since=self._begins_at)
        self._tracker = EventTracker(cursor, self._projects)
        self._reader = EventReader(self._caller, self._tracker, begins_at)
        self._has_looked = False
        self._loss: EventsLost | None = None

    @property
    def cursor(self) -> Cursor:
        """The position after the last yielded event. Save it after the event was handled.

        A store saves it for you.
        """
        return self._tracker.cursor

    async def aclose(self) -> None:
        """End the iteration, and the lease, if there is a store. The position is not saved once more."""
        self._is_closed = True
        if self._stored is not None:
            await self._stored.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            await self._keep_position()
            if self._loss is not None:
                loss, self._loss = self._loss, None
                raise loss
            if (event := self._tracker.take()) is not None:
                return event
            await self._wait_for_look()
            await self._keep_position()
            await self._look()

    @abstractmethod
    async def _wait_for_look(self) -> None:
        """Wait until the next look is due; raises `StopAsyncIteration` after the last one."""

    async def _look(self) -> None:
        """Look for new events. Lost ones are reported when the position behind them was saved."""
        self._loss = await self._reader.look()
        self._has_looked = True

    async def _keep_position(self) -> None:
        """Store the position, and extend the lease. If it was lost, wait for it and start again from the store."""
        if self._is_closed:
            raise StopAsyncIteration
        if self._stored is None:
            return
        # Not before the first look: until then the clock of the service is not known.
        if self._stored.is_held and self._has_looked:
            await self._stored.save(self.cursor)
        if not self._stored.is_held:
            self._start(await self._stored.begin())


class EventWatch(EventLog):
    """An endless iterator over events: ``async for event in watch``. It polls in ``__anext__`` and starts no task.

    With a store, the position is saved when the loop asks for the next event: an event is yielded again if the program
    ends while it handles it. ``async with watch:`` lets another program that waits for the store continue at once.

    Without a store, ``cursor`` covers the events that were yielded. Save it after an event has been handled: after a
    crash the events that were not yielded yet are returned again.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        cursor: Cursor | CursorStore | None,
        period_start: dt.timedelta,
        projects: Iterable[int] | None,
        every: float,
        doorbell: Doorbell | None,
    ) -> None:
        self._every = checked_interval(every)
        if doorbell is not None and (isinstance(doorbell, type) or not isinstance(doorbell, Doorbell)):
            raise InvalidCall("watch", f"doorbell needs a method wait(), got {shown(doorbell)}")
        # Another program takes over within twice the interval: it asks for the lease every sixth part of this time.
        super().__init__(caller, cursor=cursor, period_start=period_start, projects=projects, lease_seconds=1.5 * every)
        self._doorbell = doorbell
        self._last_try = float("-inf")
        self._is_rung = False
        """Whether the doorbell was rung after the last successful look."""
        self._looks_again = False
        """Whether the look after a call found nothing."""

    async def _wait_for_look(self) -> None:
        interval = min(self._every, LISTING_DELAY_SECONDS) if self._is_rung or self._looks_again else self._every
        pause = max(0.0, self._last_try + interval - anyio.current_time())
        if self._doorbell is None or not pause:
            await anyio.sleep(pause)
        else:
            with anyio.move_on_after(pause):
                await self._doorbell.wait()
                self._is_rung = True
        self._last_try = anyio.current_time()

    async def _look(self) -> None:
        await super()._look()
        self._looks_again = self._is_rung and not self._tracker.has_new
        self._is_rung = False

    async def dispatch_to(self, handler: Callable[[Event], Awaitable[object]]) -> None:
        """Call *handler* with each event, one after the other, without end: a coroutine function, or a `Router`.

        An error of the handler is logged (logger ``worksection_async``), and the next event is handled, as by a
        `WebhookReceiver`. An error of a poll is raised; another call continues at the same position.
        """
        async for event in self:
            try:
                await call_handler(handler, event)
            except Exception:
                logger.exception("the handler of the watch failed for %s %s", event.kind, event.object.id)


class EventsSince(EventLog):
    """An iterator over the events up to now: ``async for event in events``. It looks once, in the first step.

    ``cursor`` covers the events that were yielded, at the end all of them: the next run starts there.
    """

    async def _wait_for_look(self) -> None:
        if self._has_looked:
            await self.aclose()
            raise StopAsyncIteration


def checked_projects(projects: Iterable[int]) -> frozenset[int]:
    """Return the ids *projects*, which may be text; raises `InvalidCall` if one of them is no positive integer."""
    if isinstance(projects, str):
        raise InvalidCall("watch", "projects: must be a sequence of ids, got text")
    try:
        return frozenset(map(to_id, sequence(projects)))
    except ValueError as exc:
        raise InvalidCall("watch", f"projects: {exc}") from None


def checked_interval(every: float) -> float:
    """Return *every*; raises `InvalidCall` if it is not a positive number of seconds."""
    seconds = plain_number(every)
    if not as_number(seconds) > 0:
        raise InvalidCall("watch", f"every must be a positive number of seconds, not {shown(every)}")
    return seconds
