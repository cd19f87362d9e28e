"""Polls for events and changes of tags, without a public URL.

The service returns the events of a period that ends now. Its times have minute precision and its events have no ids.
So the period of each poll overlaps the previous one, and events that were yielded before are recognised by their
content and their number, and skipped.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import anyio
import attrs

from .._endpoints import Endpoints
from .._protocol.service import MAX_RECORDS
from .._protocol.values import as_number, shown
from .._transport.caller import Caller
from ..errors import InvalidCall, TooManyRecords
from ..models import Event, Task
from .streams import TaskStream

logger = logging.getLogger("worksection_async")

OVERLAP = dt.timedelta(minutes=3)
"""How much the periods of two polls overlap: times have minute precision, and clocks differ."""

MEMORY = dt.timedelta(days=1) + 2 * OVERLAP
"""For how long an event can be returned again: long periods are rounded up to whole days."""

RETENTION = dt.timedelta(days=30)
"""For how long the service stores events."""


@attrs.frozen(kw_only=True)
class Cursor:
    """The position of a watch. A watch that starts from a saved cursor loses no event and repeats none."""

    looked_at: float
    """Time of the last poll (Unix seconds)."""
    seen: Mapping[str, tuple[str, int]] = attrs.field(factory=dict, repr=False)
    """Keys of events that may be returned again, with their time and how often they were yielded."""

    def to_json(self) -> str:
        """Return the cursor as JSON."""
        return json.dumps({"looked_at": self.looked_at, "seen": self.seen})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the cursor from the JSON of `to_json`; raises `InvalidCall`."""
        try:
            data = json.loads(text)
            seen = {str(key): (str(when), int(count)) for key, (when, count) in data["seen"].items()}
            return cls(looked_at=float(data["looked_at"]), seen=seen)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        raise InvalidCall("Cursor", "the text is not a cursor that Cursor.to_json wrote")


def cursor_at(age: dt.timedelta) -> Cursor:
    """Return a cursor for a watch that starts *age* before now."""
    return Cursor(looked_at=time.time() - age.total_seconds())


class EventWatch:
    """An endless iterator over events: ``async for event in watch``. It polls in ``__anext__`` and starts no task.

    ``cursor`` covers the events that were yielded. Save it after an event has been handled: after a crash the events
    that were not yielded yet are returned again.
    """

    def __init__(self, caller: Caller, cursor: Cursor, projects: Iterable[int] | None, every: float) -> None:
        self._endpoints = Endpoints(caller)
        self._projects = None if projects is None else frozenset(projects)
        self._every = _interval(every)
        self._seen = dict(cursor.seen)
        self._position = cursor.looked_at
        self._polled_at: float | None = None
        self._last_try = float("-inf")
        self._pending: list[Event] = []

    @property
    def cursor(self) -> Cursor:
        """The position after the last yielded event."""
        return Cursor(looked_at=self._position, seen=dict(self._seen))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._pending:
            if self._polled_at is not None:
                self._position, self._polled_at = self._polled_at, None
                self._prune()
            await anyio.sleep(max(0.0, self._last_try + self._every - anyio.current_time()))
            await self._poll()
        event = self._pending.pop(0)
        when, count = self._seen.get(key := event.key, ("", 0))
        self._seen[key] = str(event.date_added or when), count + 1
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

    async def _poll(self) -> None:
        now, last_try = time.time(), self._last_try
        self._last_try = anyio.current_time()
        gap = dt.timedelta(seconds=now - self._position)
        if now < self._position:  # a clock was set back, here or on the machine of the cursor; assume a day at most
            gap = dt.timedelta(days=1)
        if math.isfinite(last_try):
            gap = max(gap, dt.timedelta(seconds=self._last_try - last_try))
        if gap > RETENTION + OVERLAP:
            problem = f"the service stores events for {RETENTION.days} days; the last poll was {gap.days} days ago"
            raise InvalidCall("get_events", problem)
        period = min(RETENTION, gap + OVERLAP)
        only = next(iter(self._projects)) if self._projects and len(self._projects) == 1 else None
        events = await self._endpoints.get_events(period, id_project=only)
        if len(events) >= MAX_RECORDS:
            raise TooManyRecords("get_events", f"{MAX_RECORDS} events or more in {period}")
        self._pending = list(self._new(sorted(events, key=_when)))
        self._polled_at = now

    def _new(self, events: Sequence[Event]) -> Iterator[Event]:
        """Yield those of *events* that were not yielded before."""
        counts: Counter[str] = Counter()
        for event in events:
            counts[key := event.key] += 1
            if counts[key] > self._seen.get(key, ("", 0))[1] and self._is_wanted(event):
                yield event

    def _is_wanted(self, event: Event) -> bool:
        if self._projects is None or len(self._projects) == 1:
            return True
        return event.id_project in self._projects

    def _prune(self) -> None:
        """Drop the keys of events that are too old to be returned again."""
        newest = max((when for when, _ in self._seen.values()), default="")
        if newest:
            oldest = str(dt.datetime.fromisoformat(newest) - MEMORY)
            self._seen = {key: kept for key, kept in self._seen.items() if not kept[0] or kept[0] >= oldest}


def _interval(every: float) -> float:
    if not as_number(every) > 0:
        raise InvalidCall("watch", f"every must be a positive number of seconds, not {shown(every)}")
    return every


def _when(event: Event) -> dt.datetime:
    moment = event.date_added or dt.datetime.min
    return moment.replace(tzinfo=None)


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
                tags[task.id] = task.tags
                if (before := self._tags.get(task.id)) is not None and before.keys() != task.tags.keys():
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
