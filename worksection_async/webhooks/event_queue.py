"""The events that wait for the handler, and the workers that call it."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

import anyio
import anyio.abc
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .._transport.tasks import call_handler
from ..models import Event
from .deduplication import EventMemory
from .router import Handler

logger: logging.Logger = logging.getLogger("worksection_async")


class Batch:
    """The events of one delivery that are to be handled; *size* is their number."""

    def __init__(self, size: int) -> None:
        self.has_failed = False
        """Whether the handler failed for one of them."""
        self._left = size
        self._done = anyio.Event()
        if not size:
            self._done.set()

    @property
    def is_done(self) -> bool:
        """Whether all events were handled."""
        return self._done.is_set()

    def finish_one(self) -> None:
        """Count a handled event."""
        self._left -= 1
        if not self._left:
            self._done.set()

    async def wait(self) -> None:
        """Wait until all events were handled, also those for which the handler failed."""
        await self._done.wait()


@attrs.frozen
class _Queued:
    event: Event
    batch: Batch


class EventQueue:
    """Calls the handler with each event, in the order of arrival if there is one worker.

    Args:
        handler: Called with each event.
        counts: The counts of the receiver: ``waiting``, ``handled``, ``failed`` and ``abandoned`` are kept here.
        memory: Told whether the handler returned or failed, before the delivery of the event is answered.
        workers: Number of concurrent handlers.
        drain: Seconds to handle the queued events when the context is left.
    """

    def __init__(self, handler: Handler, counts: Counter[str], memory: EventMemory, workers: int, drain: float) -> None:
        self._handler = handler
        self._counts = counts
        self._memory = memory
        self._workers = workers
        self._drain = drain
        self._stream: MemoryObjectSendStream[_Queued] | None = None

    @property
    def is_open(self) -> bool:
        """True inside of the context."""
        return self._stream is not None

    def put(self, events: Sequence[Event]) -> Batch:
        """Queue *events*. Not a coroutine, so that two deliveries cannot interleave."""
        if self._stream is None:
            raise RuntimeError("the queue is not open")
        batch = Batch(len(events))
        for event in events:
            self._stream.send_nowait(_Queued(event, batch))
        self._counts["waiting"] += len(events)
        return batch

    async def open(self) -> None:
        """Start the workers."""
        if self._stream is not None:
            raise RuntimeError("the receiver is already open")
        # The stream has no limit: the receiver checks its limit, because a delivery is accepted as a whole or refused.
        self._stream, queued = anyio.create_memory_object_stream[_Queued](math.inf)
        self._workers_done = anyio.Event()
        # Shielded: when a server cancels the surrounding scope, accepted events are still handled (see `close`).
        self._worker_scope = anyio.CancelScope(shield=True)
        self._task_group = anyio.create_task_group()
        await self._task_group.__aenter__()
        self._task_group.start_soon(self._run_workers, queued)

    async def close(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Handle the queued events; the arguments and the result are those of ``__aexit__``."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        with anyio.move_on_after(self._drain, shield=True):
            await self._workers_done.wait()
        self._worker_scope.cancel()
        try:
            if isinstance(exc, (anyio.get_cancelled_exc_class(), BaseExceptionGroup)):
                return await self._task_group.__aexit__(exc_type, exc, traceback)
            # Without *exc*: the task group would wrap an unrelated error of the context's body in an ExceptionGroup.
            await self._task_group.__aexit__(None, None, None)
            return None
        finally:
            self._count_abandoned(self._counts.pop("waiting", 0))

    def _count_abandoned(self, count: int) -> None:
        if count:
            self._counts["abandoned"] += count
            logger.error("%d webhook events were not handled within %g s and are lost", count, self._drain)

    async def _run_workers(self, queued: MemoryObjectReceiveStream[_Queued]) -> None:
        """Handle events until the queue is closed and empty."""
        try:
            with self._worker_scope, queued:
                async with anyio.create_task_group() as group:
                    for _ in range(self._workers):
                        group.start_soon(self._handle_events, queued)
        finally:
            self._workers_done.set()

    async def _handle_events(self, queued: MemoryObjectReceiveStream[_Queued]) -> None:
        async for item in queued:
            event = item.event
            try:
                await call_handler(self._handler, event)
            except Exception:
                self._counts.update(failed=1, waiting=-1)
                item.batch.has_failed = True
                logger.exception("the webhook handler failed for %s %s", event.kind, event.object.id)
                await self._memory.forget([event])
            else:
                self._counts.update(handled=1, waiting=-1)
                await self._memory.confirm(event)
            item.batch.finish_one()
