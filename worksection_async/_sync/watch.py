"""Events without a public URL: asking every so often, so that none is lost and none comes twice.

The service says what happened in a period up to now, to the minute, and events have no numbers. So each period reaches
back a little further than the last look, and what had come by then is counted off.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import anyio
import attrs

from .._endpoints import Endpoints
from .._protocol.service import MAX_RECORDS
from .._transport.caller import Caller
from ..errors import InvalidCall, TooManyRecords
from ..models import Event, Task
from .streams import TaskStream

OVERLAP = dt.timedelta(minutes=3)
"""How much further a period reaches back: events carry minutes, and clocks differ."""

KEPT = dt.timedelta(days=1) + 2 * OVERLAP
"""How long an event can come again: the longest periods are whole days."""

LONGEST = dt.timedelta(days=30)
"""What the service remembers."""


@attrs.frozen(kw_only=True)
class Cursor:
    """How far a watch has come, to be saved and gone on from: after a restart no event is lost and none comes twice."""

    looked_at: float
    """When the service was asked last (Unix seconds)."""
    seen: Mapping[str, tuple[str, int]] = attrs.field(factory=dict, repr=False)
    """Keys of events that may come again: when each was, and how often it came."""

    def to_json(self) -> str:
        """The cursor as text."""
        return json.dumps({"looked_at": self.looked_at, "seen": self.seen})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The cursor `to_json` made *text* of; raises `ValueError`."""
        try:
            told = json.loads(text)
            seen = {str(key): (str(when), int(count)) for key, (when, count) in told["seen"].items()}
            return cls(looked_at=float(told["looked_at"]), seen=seen)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        raise ValueError("that is no cursor as to_json writes it")


def cursor_at(age: dt.timedelta) -> Cursor:
    """Return a cursor for a watch that starts *age* before now."""
    return Cursor(looked_at=time.time() - age.total_seconds())


class EventWatch:
    """Events as they happen: ``async for event in watch``, for ever. It keeps no task of its own running.

    ``cursor`` has all events that were handed out: save it when one has been dealt with. Events of a look that were not
    handed out yet are not in it, so that after a crash they come again.
    """

    def __init__(self, caller: Caller, cursor: Cursor, projects: Iterable[int] | None, every: float) -> None:
        self._endpoints = Endpoints(caller)
        self._projects = None if projects is None else frozenset(projects)
        self._every = _rhythm(every)
        self._seen = dict(cursor.seen)
        self._looked_at = cursor.looked_at
        self._looks_at: float | None = None
        self._tried_at = float("-inf")
        self._waiting: list[Event] = []

    @property
    def cursor(self) -> Cursor:
        """How far it has come."""
        return Cursor(looked_at=self._looked_at, seen=dict(self._seen))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._looks_at is not None:
                self._looked_at, self._looks_at = self._looks_at, None
                self._forget()
            await anyio.sleep(max(0.0, self._tried_at + self._every - anyio.current_time()))
            await self._look()
        event = self._waiting.pop(0)
        when, count = self._seen.get(key := event.key, ("", 0))
        self._seen[key] = str(event.date_added or when), count + 1
        return event

    async def _look(self) -> None:
        now, last_try = time.time(), self._tried_at
        self._tried_at = anyio.current_time()
        gap = dt.timedelta(seconds=now - self._looked_at)
        if now < self._looked_at:  # a clock was set back, here or where the cursor comes from: by a day at most
            gap = dt.timedelta(days=1)
        if math.isfinite(last_try):
            gap = max(gap, dt.timedelta(seconds=self._tried_at - last_try))
        if gap > LONGEST + OVERLAP:
            raise InvalidCall("get_events", f"the service remembers 30 days, and it was asked {gap.days} days ago")
        period = min(LONGEST, gap + OVERLAP)
        only = next(iter(self._projects)) if self._projects and len(self._projects) == 1 else None
        events = await self._endpoints.get_events(period, id_project=only)
        if len(events) >= MAX_RECORDS:
            raise TooManyRecords("get_events", f"{MAX_RECORDS} events or more in {period}")
        self._waiting = list(self._new(sorted(events, key=_when)))
        self._looks_at = now

    def _new(self, events: Sequence[Event]) -> Iterator[Event]:
        """Those of *events* that have not come before, oldest first."""
        counts: Counter[str] = Counter()
        for event in events:
            counts[key := event.key] += 1
            if counts[key] > self._seen.get(key, ("", 0))[1] and self._is_wanted(event):
                yield event

    def _is_wanted(self, event: Event) -> bool:
        if self._projects is None or len(self._projects) == 1:
            return True
        return event.id_project in self._projects

    def _forget(self) -> None:
        """What is older than the longest reach of the next look cannot come again."""
        newest = max((when for when, _ in self._seen.values()), default="")
        if newest:
            oldest = str(dt.datetime.fromisoformat(newest) - KEPT)
            self._seen = {key: kept for key, kept in self._seen.items() if not kept[0] or kept[0] >= oldest}


def _rhythm(every: float) -> float:
    if not every > 0:
        raise ValueError(f"every must be a positive number of seconds, not {every!r}")
    return every


def _when(event: Event) -> dt.datetime:
    moment = event.date_added or dt.datetime.min
    return moment.replace(tzinfo=None)


@attrs.frozen(kw_only=True)
class TagChange:
    """Tags of a task that came and went; the service tells of this in no event."""

    task: Task
    """The task as it is now, with its tags."""
    added: Mapping[int, str]
    """Number to name of the tags it has now and had not before."""
    removed: Mapping[int, str]
    """Number to name of the tags it had."""


class TagWatch:
    """Changes of tags as they are noticed: ``async for change in watch``, for ever.

    Tags are compared to those of the look before; what came and went in between is not noticed. The first look at a
    task says nothing: a task that is new has no changes.
    """

    def __init__(self, caller: Caller, every: float) -> None:
        self._caller = caller
        self._every = _rhythm(every)
        self._tags: dict[int, Mapping[int, str]] = {}
        self._looked_at = float("-inf")
        self._waiting: list[TagChange] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TagChange:
        while not self._waiting:
            await anyio.sleep(max(0.0, self._looked_at + self._every - anyio.current_time()))
            self._looked_at = anyio.current_time()
            await self._look()
        return self._waiting.pop(0)

    async def _look(self) -> None:
        tags: dict[int, Mapping[int, str]] = {}
        changes = []
        async for top in TaskStream(self._caller, None, extra=["tags", "subtasks"], flat=True):
            for task in _with_subtasks(top):
                tags[task.id] = task.tags
                if (before := self._tags.get(task.id)) is not None and before.keys() != task.tags.keys():
                    changes.append(_change(task, before))
        self._tags, self._waiting = tags, changes


def _with_subtasks(task: Task) -> Iterator[Task]:
    yield task
    for child in task.child:
        yield from _with_subtasks(child)


def _change(task: Task, before: Mapping[int, str]) -> TagChange:
    added: dict[int, Any] = {number: name for number, name in task.tags.items() if number not in before}
    removed = {number: name for number, name in before.items() if number not in task.tags}
    return TagChange(task=task, added=added, removed=removed)
