"""Polls for events and changes of tags, without a public URL. What is new in a reply is decided in `cursor`."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Self

import anyio
import attrs

from .._protocol.endpoints import Endpoints
from .._protocol.service import MAX_RECORDS
from .._protocol.values import as_number, shown
from .._transport.caller import Caller
from ..errors import InvalidCall, TooManyRecords
from ..models import Event, Task
from .cursor import Cursor, EventTracker
from .streams import TaskStream

logger = logging.getLogger("worksection_async")


class EventLog:
    """Looks for new events; the base of the iterators over events.

    Args:
        caller: Makes the calls.
        start: A cursor, or the age of the first events.
        projects: Only events of these projects; None means all.
    """

    def __init__(self, caller: Caller, start: Cursor | dt.timedelta, projects: Iterable[int] | None) -> None:
        self._caller = caller
        self._endpoints = Endpoints(caller)
        self._clock_offset = 0.0
        """Seconds by which the service's clock is ahead of this machine's; known after the first reply."""
        self._waited = 0.0
        """Seconds from the last request for a slot to its reply."""
        self._begins_at: float | None = None
        """The start on this machine's clock, until the first look."""
        if isinstance(start, dt.timedelta):
            if start < dt.timedelta(0):
                raise InvalidCall("get_events", "period_start: must not be negative")
            self._begins_at = caller.clock.time() - start.total_seconds()
            start = Cursor(looked_at=self._begins_at, since=self._begins_at)
        self._tracker = EventTracker(start, projects)

    @property
    def cursor(self) -> Cursor:
        """The position after the last yielded event. Save it after the event was handled."""
        return self._tracker.cursor

    def __aiter__(self) -> Self:
        return self

    async def _look(self) -> None:
        """Request the events since the position."""
        projects = self._tracker.projects
        only = next(iter(projects)) if projects and len(projects) == 1 else None
        while True:
            period = self._tracker.period(self._now(), self._waited)
            started_at = anyio.current_time()
            events = await self._endpoints.get_events(period, id_project=only)
            self._waited = anyio.current_time() - started_at
            self._set_clock()
            # The period ended when the service made the reply. It was too short if the call waited in the queue for
            # long, or if the clock of this machine is wrong, which the first reply shows.
            if self._tracker.covers(period, now := self._now()):
                break
        if len(events) >= MAX_RECORDS:
            raise TooManyRecords("get_events", f"{MAX_RECORDS} events or more in {period}")
        self._tracker.add(events, period=period, looked_at=now - self._waited, now=now)
        self._begins_at = None

    def _now(self) -> float:
        """Return the time on the service's clock; before the first reply, on this machine's clock."""
        return self._caller.clock.time() + self._clock_offset

    def _set_clock(self) -> None:
        """Adopt the service's clock from the last reply; all times of the cursor are on it."""
        replied_at = self._caller.replied_at()
        if replied_at is not None:
            # Too low by the delay of the reply, never too high.
            self._clock_offset = replied_at - self._caller.clock.time()
        if self._begins_at is not None:
            self._tracker.begin_at(self._begins_at + self._clock_offset)


class EventWatch(EventLog):
    """An endless iterator over events: ``async for event in watch``. It polls in ``__anext__`` and starts no task.

    ``cursor`` covers the events that were yielded. Save it after an event has been handled: after a crash the events
    that were not yielded yet are returned again.
    """

    def __init__(
        self, caller: Caller, start: Cursor | dt.timedelta, projects: Iterable[int] | None, every: float
    ) -> None:
        super().__init__(caller, start, projects)
        self._every = _interval(every)
        self._last_try = float("-inf")

    async def __anext__(self) -> Event:
        while (event := self._tracker.take()) is None:
            await anyio.sleep(max(0.0, self._last_try + self._every - anyio.current_time()))
            self._last_try = anyio.current_time()
            await self._look()
        return event

    async def dispatch_to(self, handler: Callable[[Event], Awaitable[object]]) -> None:
        """Call *handler* with each event, one after the other, without end: a coroutine function, or a `Router`.

        An error of the handler is logged (logger ``worksection_async``), and the next event is handled, as by a
        `WebhookReceiver`. An error of a poll is raised; another call continues at the same position.
        """
        async for event in self:
            try:
                await handler(event)
            except Exception:
                logger.exception("the handler of the watch failed for %s %s", event.kind, event.object.id)


class EventsSince(EventLog):
    """An iterator over the events up to now: ``async for event in events``. It looks once, in the first step.

    ``cursor`` covers the events that were yielded, at the end all of them: the next run starts there.
    """

    _has_looked = False

    async def __anext__(self) -> Event:
        if not self._has_looked:
            await self._look()
            self._has_looked = True
        if (event := self._tracker.take()) is None:
            raise StopAsyncIteration
        return event


def _interval(every: float) -> float:
    if not as_number(every) > 0:
        raise InvalidCall("watch", f"every must be a positive number of seconds, not {shown(every)}")
    return every


@attrs.frozen(kw_only=True)
class TagChange:
    """A change of the tags of a task; the service has no event for it."""

    task: Task
    """The current task, with its tags."""
    added: Mapping[int, str]
    """The new tags: id to name."""
    removed: Mapping[int, str]
    """The removed tags: id to name."""


class TagWatch:
    """An endless iterator over changes of tags: ``async for change in watch``.

    Each poll compares the tags of all tasks with the previous poll. A tag that is added and removed between two polls
    is not reported, and neither are the tags of a new task.
    """

    def __init__(self, caller: Caller, every: float) -> None:
        self._caller = caller
        self._every = _interval(every)
        self._tags: dict[int, Mapping[int, str]] = {}
        self._position = float("-inf")
        self._pending: list[TagChange] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TagChange:
        while not self._pending:
            await anyio.sleep(max(0.0, self._position + self._every - anyio.current_time()))
            self._position = anyio.current_time()
            await self._poll()
        return self._pending.pop(0)

    async def _poll(self) -> None:
        tags: dict[int, Mapping[int, str]] = {}
        changes = []
        async for top in TaskStream(self._caller, None, extra=["tags", "subtasks"], flat=True):
            for task in _with_subtasks(top):
                before = self._tags.get(task.id)
                now = before if "tags" in task.extra else task.tags  # tags that could not be read are no change
                if now is not None:
                    tags[task.id] = now
                if before is not None and now is not None and before.keys() != now.keys():
                    changes.append(_change(task, before))
        self._tags, self._pending = tags, changes


def _with_subtasks(task: Task) -> Iterator[Task]:
    yield task
    for child in task.child:
        yield from _with_subtasks(child)


def _change(task: Task, before: Mapping[int, str]) -> TagChange:
    added: dict[int, Any] = {number: name for number, name in task.tags.items() if number not in before}
    removed = {number: name for number, name in before.items() if number not in task.tags}
    return TagChange(task=task, added=added, removed=removed)
