"""The iterators of a blocking session: each steps an asynchronous iterator in the background loop."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from .._sync.cursor import Cursor
from .._sync.streams import Plan
from .._sync.tag_watch import TagChange, TagWatch
from .._sync.watch import EventLog, EventsSince, EventWatch
from .._transport.callbacks import checked
from .._transport.fork import reset_now_and_after_fork
from ..models import Event
from .loop import background

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("worksection_async")


class BlockingIterator(Generic[T]):
    """An iterator that threads can share: each item goes to one of them."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._source = source
        reset_now_and_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()

    def __iter__(self) -> Self:
        aiter(self._source)
        return self

    def __next__(self) -> T:
        with self._lock:
            try:
                return self._step()
            except StopAsyncIteration:
                pass
        raise StopIteration

    def _step(self) -> T:
        return background.run(self._source.__anext__)


class _Stream(Protocol[T]):
    """A `Stream` of records; its type variable has constraints, with which mypy cannot check this module."""

    @property
    def plan(self) -> Plan: ...

    def rest_of_reply(self) -> list[T]: ...

    def __aiter__(self) -> AsyncIterator[T]: ...

    async def __anext__(self) -> T: ...


class BlockingStream(BlockingIterator[T]):
    """An iterator over all records of one kind: ``for record in stream`` yields each record once.

    It can be iterated once. After an error the next step requests the same segment again. Memory is limited by the
    largest single reply and the ids of all records. ``plan`` forecasts the number of calls.
    """

    def __init__(self, stream: _Stream[T]) -> None:
        super().__init__(stream)
        self._stream = stream
        self._received: deque[T] = deque()

    @property
    def plan(self) -> Plan:
        """The progress so far."""
        return self._stream.plan

    def _step(self) -> T:
        if not self._received:
            self._received.append(super()._step())
            self._received.extend(self._stream.rest_of_reply())
        return self._received.popleft()


class _BlockingEventLog(BlockingIterator[Event]):
    def __init__(self, events: EventWatch | EventsSince) -> None:
        super().__init__(events)
        self._events: EventLog = events

    @property
    def cursor(self) -> Cursor:
        """The position after the last yielded event. Save it after the event was handled.

        A store saves it for you.
        """
        return self._events.cursor

    def close(self) -> None:
        """Let another program watch, if there is a store: end the lease. The position is not saved once more."""
        background.run(self._events.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class BlockingEventWatch(_BlockingEventLog):
    """An endless iterator over events: ``for event in watch``. It polls in ``__next__`` and starts no task.

    With a store, the position is saved when the loop asks for the next event: an event is yielded again if the program
    ends while it handles it. ``with watch:`` lets another program that waits for the store continue at once.

    Without a store, ``cursor`` covers the events that were yielded. Save it after an event has been handled: after a
    crash the events that were not yielded yet are returned again.
    """

    def dispatch_to(self, handler: Callable[[Event], object]) -> None:
        """Call *handler* with each event, one after the other, without end: an ordinary function; an ``async``
        one raises `InvalidCall`.

        An error of the handler is logged (logger ``worksection_async``), and the next event is handled, as by a
        `WebhookReceiver`. An error of a poll is raised; another call continues at the same position.
        """
        handle = checked("dispatch_to", "handler", handler, sent=True) or handler
        for event in self:
            try:
                handle(event)
            except Exception:
                logger.exception("the handler of the watch failed for %s %s", event.kind, event.object.id)


class BlockingEventsSince(_BlockingEventLog):
    """An iterator over the events up to now: ``for event in events``. It looks once, in the first step.

    ``cursor`` covers the events that were yielded, at the end all of them: the next run starts there.
    """


class BlockingTagWatch(BlockingIterator[TagChange]):
    """An endless iterator over changes of tags: ``for change in watch``.

    Each poll compares the tags of all tasks with the previous poll. A tag that is added and removed between two polls
    is not reported, and neither are the tags of a new task.
    """

    def __init__(self, watch: TagWatch) -> None:
        super().__init__(watch)
