"""All records of an account, one by one, although an answer holds 10 000 at most and there are no pages.

One wide call, if that will do. Where it would not, a call for each project, and where even a project has too many, one
for each span of days, halved until it fits. What `Stream.plan` says is therefore a lower bound until the end.
"""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Self, TypeVar, get_args

import attrs

from .._endpoints import Endpoints
from .._limits.limiter import Limiter
from .._limits.queue import Lane
from .._protocol.formats import to_date
from .._protocol.service import RECORDS, REQUESTS_PER_SECOND
from ..errors import TooManyRecords
from ..models import AllTasksExtra, Cost, Project, SearchExtra, Task, TaskExtra, TaskFilter, TaskStatus

R = TypeVar("R", Task, Cost)


@attrs.frozen(kw_only=True)
class Plan:
    """How far a stream has come."""

    calls: int
    """Calls that are needed, as far as is known; a part that has too many records adds two."""
    done: int = 0
    """Calls that were made."""
    records: int = 0
    """Records that were found."""
    eta: float
    """Seconds until the last call can be sent, as things stand."""


@attrs.frozen
class Span:
    """Days from *first* to *last*, both included; None is open."""

    first: dt.date | None = None
    last: dt.date | None = None

    def halves(self, around: dt.date) -> tuple[Span, Span] | None:
        """The span in two, or None where it is one day. *around* is a day near which most things happen."""
        if self.first is not None and self.first == self.last:
            return None
        first = self.first or min(around, self.last or around) - dt.timedelta(days=366)
        last = self.last or max(around, self.first or around) + dt.timedelta(days=366)
        middle = first + (last - first) // 2
        return Span(self.first, middle), Span(middle + dt.timedelta(days=1), self.last)

    def __str__(self) -> str:
        return f"from {self.first or 'the beginning'} to {self.last or 'the end'}"


@attrs.frozen
class Part:
    """What one call may cover: everything, a project, or some days of one."""

    project: Project | None = None
    span: Span | None = None
    status: TaskStatus | None = None


class Stream(ABC, Generic[R]):
    """Records of one kind, each once: ``async for record in stream``. It can be gone through once.

    ``plan`` says how many calls it takes, as far as that is known; it is told to *progress* before the first call and
    after each. Memory is bounded by the largest single answer and the numbers of all records. After an error the next
    step asks for the same part again.
    """

    def __init__(self, ws: Streams, progress: Callable[[Plan], object] | None) -> None:
        self._ws = ws
        self._progress = progress
        self._seen: set[int] = set()
        self._parts: list[Part] = [Part()]
        self._done = 0
        self._fresh: Iterator[R] = iter(())

    @property
    def plan(self) -> Plan:
        """How far it has come."""
        left = len(self._parts)
        limiter = self._ws.limiter if self._done else None  # before the first call the account may not be known
        eta = limiter.eta(self._ws._lane) + (left - 1) / limiter.rate if limiter else left / REQUESTS_PER_SECOND
        return Plan(calls=self._done + left, done=self._done, records=len(self._seen), eta=eta if left else 0.0)

    def __aiter__(self) -> Self:
        if not self._done:
            self._tell()
        return self

    async def __anext__(self) -> R:
        while True:
            for record in self._fresh:
                return record
            if not self._parts:
                raise StopAsyncIteration
            await self._advance()

    async def _advance(self) -> None:
        """Have what the next part has that no part before it had."""
        part = self._parts[0]
        records = await self._complete(part)
        self._parts[:1] = await self._divided(part) if records is None else []
        self._done += 1
        fresh = [record for record in records or () if record.id not in self._seen and self._is_wanted(record)]
        self._seen.update(record.id for record in fresh)
        self._fresh = iter(fresh)
        self._tell()

    @abstractmethod
    async def _ask(self, part: Part) -> Sequence[R]:
        """The records of *part*; raises `TooManyRecords`."""

    @abstractmethod
    def _includes(self, project: Project) -> bool:
        """Whether the wide call would have covered *project*."""

    def _is_wanted(self, record: R) -> bool:  # noqa: ARG002
        """Whether *record* is one of those the wide call would have returned."""
        return True

    async def _complete(self, part: Part) -> Sequence[R] | None:
        """The records of *part*, or None where there may be more than one answer holds."""
        try:
            records = await self._ask(part)
        except TooManyRecords:
            return None
        return records if len(records) < RECORDS else None

    async def _divided(self, part: Part) -> list[Part]:
        if part.project is None:
            return [Part(project) for project in await self._ws.get_projects() if self._includes(project)]
        halves = (part.span or Span()).halves(_middle_day(part.project))
        if halves is None:
            raise TooManyRecords(self._action, f"more than {RECORDS} records of project {part.project.id} {part.span}")
        return [attrs.evolve(part, span=half) for half in halves]

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.plan)

    _action = ""


class TaskStream(Stream[Task]):
    """The tasks of an account."""

    _action = "get_tasks"

    def __init__(
        self,
        ws: Streams,
        progress: Callable[[Plan], object] | None,
        *,
        filter: TaskFilter | None = None,
        extra: Sequence[AllTasksExtra],
        flat: bool = False,
    ) -> None:
        super().__init__(ws, progress)
        self._filter: TaskFilter | None = filter
        self._extra = tuple(extra)
        self._flat = flat  # whether subtasks may come as tasks of their own, where they cannot come inside others

    def _includes(self, project: Project) -> bool:
        return project.status != "archive" or "archive" in self._extra

    async def _ask(self, part: Part) -> Sequence[Task]:
        if part.project is None:
            return await self._ws.get_all_tasks(filter=self._filter, extra=self._extra)
        if part.span is None:
            extra = self._extra_in(TaskExtra)
            return await self._ws.get_tasks(part.project.id, filter=self._filter, extra=extra)
        extra = self._extra_in(SearchExtra)
        condition = " and ".join(_conditions(part.span)) or None
        return await self._ws.search_tasks(
            id_project=part.project.id, filter=condition, status=part.status, extra=extra
        )

    def _extra_in(self, known: object) -> list[Any]:
        return [name for name in self._extra if name in get_args(known)]

    def _is_wanted(self, record: Task) -> bool:
        """A search finds subtasks as well, which the lists have inside their parents."""
        return self._flat or re.fullmatch(r"/project/\d+/\d+/\d+/", record.page) is None

    async def _divided(self, part: Part) -> list[Part]:
        parts = await super()._divided(part)
        if part.project is None or part.span is not None:
            return parts
        known = (*get_args(SearchExtra), "archive", *(["subtasks"] if self._flat else []))
        if unknown := [name for name in self._extra if name not in known]:
            message = f"more than {RECORDS} tasks of project {part.project.id}; by date they come without {unknown[0]}"
            raise TooManyRecords(self._action, message)
        statuses: tuple[TaskStatus, ...] = (self._filter,) if self._filter else get_args(TaskStatus)
        return [attrs.evolve(part, status=status) for part in parts for status in statuses]


class CostStream(Stream[Cost]):
    """The costs of an account."""

    _action = "get_costs"

    def __init__(
        self,
        ws: Streams,
        progress: Callable[[Plan], object] | None,
        *,
        span: Span,
        is_timer: bool | None,
    ) -> None:
        super().__init__(ws, progress)
        self._span = span
        self._is_timer = is_timer

    def _includes(self, project: Project) -> bool:  # noqa: ARG002
        return True

    async def _ask(self, part: Part) -> Sequence[Cost]:
        span = part.span or self._span
        costs = await self._ws.get_costs(
            id_project=part.project.id if part.project else None,
            datestart=span.first,
            dateend=span.last,
            is_timer=self._is_timer,
        )
        return costs.data

    async def _divided(self, part: Part) -> list[Part]:
        return await super()._divided(attrs.evolve(part, span=part.span or self._span) if part.project else part)


class Streams(Endpoints):
    """What a session can go through record by record."""

    @property
    @abstractmethod
    def limiter(self) -> Limiter:
        """The bucket calls wait at; it knows how long the queue is."""

    @property
    @abstractmethod
    def _lane(self) -> Lane:
        """The lane in which this view makes its calls."""

    def iter_tasks(
        self,
        *,
        filter: TaskFilter | None = None,
        extra: Sequence[AllTasksExtra] = (),
        progress: Callable[[Plan], object] | None = None,
    ) -> TaskStream:
        """All tasks `get_all_tasks` would return, however many there are: ``async for task in ws.iter_tasks()``.

        Args:
            filter: Only tasks in this state.
            extra: Parts to include. In a project of more than 10 000 tasks only those that `search_tasks` knows.
            progress: Called with a `Plan` before the first call and after each one.

        On the way it raises what `get_all_tasks` raises, and `TooManyRecords` where nothing narrower can be asked.
        """
        return TaskStream(self, progress, filter=filter, extra=extra)

    def iter_costs(
        self,
        *,
        datestart: dt.date | None = None,
        dateend: dt.date | None = None,
        is_timer: bool | None = None,
        progress: Callable[[Plan], object] | None = None,
    ) -> CostStream:
        """All costs `get_costs` would return, however many there are: ``async for cost in ws.iter_costs()``.

        Args:
            datestart: First day, included.
            dateend: Last day, included.
            is_timer: Only costs entered by a timer (true) or by hand (false).
            progress: Called with a `Plan` before the first call and after each one.

        On the way it raises what `get_costs` raises, and `TooManyRecords` where nothing narrower can be asked.
        """
        span = Span(datestart, dateend)
        return CostStream(self, progress, span=span, is_timer=is_timer)


def _middle_day(project: Project) -> dt.date:
    """A day that halves what is likely to be in *project*."""
    today = dt.datetime.now(dt.UTC).date()
    begun = project.date_added.date() if project.date_added else today
    return begun + (today - begun) // 2


def _conditions(span: Span) -> Iterator[str]:
    """What a search asks about tasks that were added in *span*."""
    if span.first:
        yield f"dateadd>='{to_date(span.first)}'"
    if span.last:
        # Not <= the day itself: should the service compare moments, that would be its first.
        yield f"dateadd<'{to_date(span.last + dt.timedelta(days=1))}'"
