"""Streams all records of an account, although a reply holds 10 000 records at most and the service has no pages.

A stream starts with one call for the whole account. If the reply is full, it makes one call per project. If the reply
for a project is full, it splits the project by days and halves each span until the reply is not full. The number of
calls in `Stream.plan` is therefore a lower bound until the end.
"""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Self, TypeVar, get_args

import attrs

from .._protocol.endpoints import Endpoints
from .._protocol.formats import to_date
from .._protocol.service import MAX_RECORDS
from .._protocol.values import as_date
from .._transport.callbacks import checked
from .._transport.caller import Caller
from ..errors import InvalidCall, TooManyRecords
from ..models import AllTasksExtra, Cost, Project, SearchExtra, Task, TaskExtra, TaskFilter, TaskStatus

R = TypeVar("R", Task, Cost)


@attrs.frozen(kw_only=True)
class Plan:
    """The progress of a stream."""

    calls: int
    """Calls that are needed, as far as is known; a segment with too many records adds two."""
    done: int = 0
    """Calls that have been made."""
    records: int = 0
    """Records that have been received."""
    eta: float
    """Forecast of the seconds until the last call can be sent."""


@attrs.frozen
class Span:
    """Days from *first* to *last*, both included; None means unlimited."""

    first: dt.date | None = None
    last: dt.date | None = None

    @classmethod
    def of_costs(cls, datestart: dt.date | None, dateend: dt.date | None) -> Span:
        """Return the span of two parameters of `get_costs`; raises `InvalidCall` if one of them is not a day."""
        return cls(_day("datestart", datestart), _day("dateend", dateend))

    def halves(self, around: dt.date) -> tuple[Span, Span] | None:
        """Return the two halves, or None if the span is one day. An open end is placed a year from the day *around*."""
        if self.first is not None and self.first == self.last:
            return None
        first = self.first or min(around, self.last or around) - dt.timedelta(days=366)
        last = self.last or max(around, self.first or around) + dt.timedelta(days=366)
        middle = first + (last - first) // 2
        return Span(self.first, middle), Span(middle + dt.timedelta(days=1), self.last)

    def __str__(self) -> str:
        return f"from {self.first or 'the beginning'} to {self.last or 'the end'}"


@attrs.frozen
class Segment:
    """The part of the account that one call covers: all of it, a project, or some days of a project."""

    project: Project | None = None
    span: Span | None = None
    status: TaskStatus | None = None


class Stream(ABC, Generic[R]):
    """An iterator over all records of one kind: ``async for record in stream`` yields each record once.

    It can be iterated once. After an error the next step requests the same segment again. Memory is limited by the
    largest single reply and the ids of all records. ``plan`` forecasts the number of calls.
    """

    def __init__(self, caller: Caller, progress: Callable[[Plan], object] | None) -> None:
        self._caller = caller
        self._endpoints = Endpoints(caller)
        self._progress = checked(self._action, "progress", progress)
        self._seen: set[int] = set()
        self._segments: list[Segment] = [Segment()]
        self._done = 0
        self._fresh: Iterator[R] = iter(())

    @property
    def plan(self) -> Plan:
        """The progress so far."""
        left = len(self._segments)
        eta = self._caller.eta(left) if left else 0.0
        return Plan(calls=self._done + left, done=self._done, records=len(self._seen), eta=eta)

    def __aiter__(self) -> Self:
        if not self._done:
            self._report()
        return self

    async def __anext__(self) -> R:
        while True:
            for record in self._fresh:
                return record
            if not self._segments:
                raise StopAsyncIteration
            await self._advance()

    def rest_of_reply(self) -> list[R]:
        """Return the records that the next steps would yield without a call, which they then do not yield."""
        return list(self._fresh)

    async def _advance(self) -> None:
        """Request the next segment and keep its records that no earlier segment contained."""
        segment = self._segments[0]
        records = await self._request(segment)
        self._segments[:1] = await self._divide(segment) if records is None else []
        self._done += 1
        fresh = [record for record in records or () if record.id not in self._seen and self._is_wanted(record)]
        self._seen.update(record.id for record in fresh)
        self._fresh = iter(fresh)
        self._report()

    @abstractmethod
    async def _call(self, segment: Segment) -> Sequence[R]:
        """Return the records of *segment* in one call; raises `TooManyRecords`."""

    @abstractmethod
    def _includes(self, project: Project) -> bool:
        """Whether the call for the whole account covers *project*."""

    def _is_wanted(self, record: R) -> bool:  # noqa: ARG002
        """Whether the call for the whole account returns *record*."""
        return True

    async def _request(self, segment: Segment) -> Sequence[R] | None:
        """Return the records of *segment*, or None if the reply is full, so that records may be missing."""
        try:
            records = await self._call(segment)
        except TooManyRecords:
            return None
        return records if len(records) < MAX_RECORDS else None

    async def _divide(self, segment: Segment) -> list[Segment]:
        if segment.project is None:
            return [Segment(project) for project in await self._endpoints.get_projects() if self._includes(project)]
        halves = (segment.span or Span()).halves(self._middle_day(segment.project))
        if halves is None:
            raise TooManyRecords(
                self._action, f"more than {MAX_RECORDS} records of project {segment.project.id} {segment.span}"
            )
        return [attrs.evolve(segment, span=half) for half in halves]

    def _middle_day(self, project: Project) -> dt.date:
        """Return a day that probably divides the records of *project* into halves."""
        today = dt.datetime.fromtimestamp(self._caller.clock.time(), dt.UTC).date()
        start = project.date_added.date() if project.date_added else today
        return start + (today - start) // 2

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.plan)

    _action = ""


class TaskStream(Stream[Task]):
    """Streams the tasks of an account."""

    _action = "get_tasks"

    def __init__(
        self,
        caller: Caller,
        progress: Callable[[Plan], object] | None,
        *,
        filter: TaskFilter | None = None,
        extra: Sequence[AllTasksExtra],
        flat: bool = False,
    ) -> None:
        super().__init__(caller, progress)
        self._filter: TaskFilter | None = filter
        self._extra = tuple(extra)
        self._flat = flat  # whether subtasks may be yielded on their own; a search does not nest them in their parents

    def _includes(self, project: Project) -> bool:
        return project.status != "archive" or "archive" in self._extra

    async def _call(self, segment: Segment) -> Sequence[Task]:
        if segment.project is None:
            return await self._endpoints.get_all_tasks(filter=self._filter, extra=self._extra)
        if segment.span is None:
            extra = self._supported_extra(TaskExtra)
            return await self._endpoints.get_tasks(segment.project.id, filter=self._filter, extra=extra)
        extra = self._supported_extra(SearchExtra)
        condition = " and ".join(_conditions(segment.span)) or None
        return await self._endpoints.search_tasks(
            id_project=segment.project.id, filter=condition, status=segment.status, extra=extra
        )

    def _supported_extra(self, known: object) -> list[Any]:
        return [name for name in self._extra if name in get_args(known)]

    def _is_wanted(self, record: Task) -> bool:
        """Drop subtasks that a search returns, because the list actions nest them in their parents."""
        return self._flat or re.fullmatch(r"/project/\d+/\d+/\d+/", record.page) is None

    async def _divide(self, segment: Segment) -> list[Segment]:
        segments = await super()._divide(segment)
        if segment.project is None or segment.span is not None:
            return segments
        known = (*get_args(SearchExtra), "archive", *(["subtasks"] if self._flat else []))
        if unknown := [name for name in self._extra if name not in known]:
            message = (
                f"more than {MAX_RECORDS} tasks of project {segment.project.id}; a search by date has no {unknown[0]}"
            )
            raise TooManyRecords(self._action, message)
        statuses: tuple[TaskStatus, ...] = (self._filter,) if self._filter else get_args(TaskStatus)
        return [attrs.evolve(segment, status=status) for segment in segments for status in statuses]


class CostStream(Stream[Cost]):
    """Streams the costs of an account."""

    _action = "get_costs"

    def __init__(
        self,
        caller: Caller,
        progress: Callable[[Plan], object] | None,
        *,
        span: Span,
        is_timer: bool | None,
    ) -> None:
        super().__init__(caller, progress)
        self._span = span
        self._is_timer = is_timer

    def _includes(self, project: Project) -> bool:  # noqa: ARG002
        return True

    async def _call(self, segment: Segment) -> Sequence[Cost]:
        span = segment.span or self._span
        costs = await self._endpoints.get_costs(
            id_project=segment.project.id if segment.project else None,
            datestart=span.first,
            dateend=span.last,
            is_timer=self._is_timer,
        )
        return costs.data

    async def _divide(self, segment: Segment) -> list[Segment]:
        return await super()._divide(
            attrs.evolve(segment, span=segment.span or self._span) if segment.project else segment
        )


def _day(name: str, value: dt.date | None) -> dt.date | None:
    try:
        return None if value is None else as_date(value)
    except ValueError as exc:
        raise InvalidCall("get_costs", f"{name}: {exc}") from None


def _conditions(span: Span) -> Iterator[str]:
    """Yield the search conditions for tasks that were added in *span*."""
    if span.first:
        yield f"dateadd>='{to_date(span.first)}'"
    if span.last:
        # `<` the next day instead of `<=` the last day: if the service compares times, `<=` means midnight.
        yield f"dateadd<'{to_date(span.last + dt.timedelta(days=1))}'"
