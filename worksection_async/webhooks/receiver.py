"""Webhooks: what the service tells you when something happens.

`parse_events` reads what it sends, for those who have a web handler already. `WebhookReceiver` is the handler: an
ASGI application that answers at once and hands the events to a coroutine of yours.

Vendor page: https://worksection.com/en/faq/webhooks.html
"""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import Self, get_args

import anyio
import anyio.abc
import anyio.to_thread
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .._session.caller import THREAD_THRESHOLD_BYTES
from .._session.session import Session
from ..errors import InvalidCall
from ..models import Event, WebhookEvent
from .asgi import BUSY, OK, TOO_LARGE, WHO, Answer, Credentials, Gone, Receive, Scope, Send, header, read_body
from .deduplication import Memory
from .parsing import UnreadableEvent, parse_events, read_events

__all__ = ["Handler", "UnreadableEvent", "WebhookReceiver", "WebhookStatistics", "parse_events"]

logger = logging.getLogger("worksection_async")

Handler = Callable[[Event], Awaitable[object]]
"""A coroutine function that is called with each event."""


@attrs.frozen(kw_only=True)
class WebhookStatistics:
    """What has become of the events since the receiver was made.

    ``received`` is the sum of ``handled``, ``failed``, ``duplicates``, ``waiting`` and ``abandoned``.
    """

    received: int
    """Events in deliveries that were answered with OK."""
    handled: int
    """Events the handler is done with."""
    failed: int
    """Events the handler raised an error for."""
    duplicates: int
    """Events that had come before."""
    waiting: int
    """Events not handled yet, those the handler is at included."""
    abandoned: int
    """Events for which there was no time left on the way out."""
    unreadable: int
    """Bodies, or parts of one, that could not be read; they were answered with OK and logged."""
    refused: int
    """Deliveries answered with 503 because the queue was full or the receiver not running."""


class WebhookReceiver:
    """An ASGI application the service can call: it answers first, and your handler works afterwards.

    ::

        async with WebhookReceiver(handler, username="worksection", password=secret) as receiver:
            ...  # serve it, alone or mounted in Starlette, FastAPI, Litestar, …

    Events are handled while the context is open; leaving it handles those that wait. An ASGI server that serves the
    receiver alone opens the context itself (lifespan). It belongs to one event loop, asyncio's or trio's.

    Every path and method is answered: 401 without the credentials, 413 above *max_body*, 503 when the queue is full
    or the context is not open, and else 200 with what the service demands. So the service counts an error for what
    was not accepted. An error of the handler is logged (``worksection_async``) and counted, and the next event is
    handled; the service is not told.

    What comes again is dropped: events that equal those which came last for the same task, comment or project
    (`Event.key`). That is known of the last *remember* things, in memory: after a restart an event can come twice.

    Args:
        handler: Called with each event, one after the other in the order they came, unless there are more *workers*.
        username: For Basic authentication, together with *password*; without them anybody can call.
        password: See there. Both are compared in constant time.
        tz: Time zone of the account; date-times are naive without.
        queue_size: Events that may wait for the handler.
        max_body: Bytes of a body.
        remember: Tasks, comments and projects of which the latest events are remembered.
        workers: Handlers at one time.
        drain: Seconds that waiting events have to be handled when the context is left; the rest is abandoned, which
            is logged.

    Raises:
        InvalidCall: One of username and password is missing, or a number is too small.

    Vendor page: https://worksection.com/en/faq/webhooks.html
    """

    def __init__(
        self,
        handler: Handler,
        *,
        username: str | None = None,
        password: str | None = None,
        tz: dt.tzinfo | None = None,
        queue_size: int = 1000,
        max_body: int = 4_194_304,
        remember: int = 10_000,
        workers: int = 1,
        drain: float = 30.0,
    ) -> None:
        if (username is None) != (password is None):
            raise InvalidCall("WebhookReceiver", "username and password come together")
        for name, number in {"queue_size": queue_size, "max_body": max_body, "workers": workers}.items():
            if number < 1:
                raise InvalidCall("WebhookReceiver", f"{name}: at least 1 expected, not {number}")
        self._handler = handler
        self._credentials = None if username is None or password is None else Credentials(username, password)
        self._tz = tz
        self._queue_size = queue_size
        self._max_body = max_body
        self._memory = Memory(remember)
        self._workers = workers
        self._drain = drain
        self._counts: Counter[str] = Counter()
        self._inbox: MemoryObjectSendStream[Event] | None = None

    def __repr__(self) -> str:
        return f"<WebhookReceiver {'open' if self._inbox else 'not open'}, {self.statistics().waiting} waiting>"

    def statistics(self) -> WebhookStatistics:
        """What has become of the events so far."""
        return WebhookStatistics(**{field.name: self._counts[field.name] for field in attrs.fields(WebhookStatistics)})

    # The context

    async def __aenter__(self) -> Self:
        if self._inbox is not None:
            raise RuntimeError("this receiver is open already")
        self._inbox, outbox = anyio.create_memory_object_stream[Event](math.inf)
        self._idle = anyio.Event()
        self._scope = anyio.CancelScope(shield=True)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._run, outbox)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None
        with anyio.move_on_after(self._drain, shield=True):
            await self._idle.wait()
        self._scope.cancel()
        try:
            if isinstance(exc, (anyio.get_cancelled_exc_class(), BaseExceptionGroup)):
                return await self._group.__aexit__(exc_type, exc, traceback)
            await self._group.__aexit__(None, None, None)  # it would wrap an error that does not concern it
            return None
        finally:
            self._abandon(self._counts.pop("waiting", 0))

    def _abandon(self, count: int) -> None:
        if count:
            self._counts["abandoned"] += count
            logger.error("%d events of webhooks were not handled within %g s and are lost", count, self._drain)

    async def _run(self, outbox: MemoryObjectReceiveStream[Event]) -> None:
        """Handle events until there are no more; who cancels what is around it has to wait until they are handled."""
        try:
            with self._scope, outbox:
                async with anyio.create_task_group() as group:
                    for _ in range(self._workers):
                        group.start_soon(self._work, outbox)
        finally:
            self._idle.set()

    async def _work(self, outbox: MemoryObjectReceiveStream[Event]) -> None:
        async for event in outbox:
            try:
                await self._handler(event)
            except Exception:
                self._counts["failed"] += 1
                logger.exception("the handler failed for %s %s", event.kind, event.object.id)
            else:
                self._counts["handled"] += 1
            self._counts["waiting"] -= 1

    # The application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI 3 has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                answer = await self._answer(scope, receive)
            except Gone:
                return
            await answer.send(scope, send)
        else:
            await send({"type": "websocket.close"})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with nullcontext() if self._inbox else self:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if self._credentials is not None and not self._credentials.admit(header(scope, b"authorization")):
            return WHO
        body = await read_body(scope, receive, self._max_body)
        if body is None:
            return TOO_LARGE
        if len(body) < THREAD_THRESHOLD_BYTES:
            found = list(read_events(body, self._tz))
        else:
            found = await anyio.to_thread.run_sync(lambda: list(read_events(body, self._tz)))
        return self._accept(found)

    def _accept(self, found: Sequence[Event | UnreadableEvent]) -> Answer:
        """All of a delivery or nothing of it; nothing can come in between."""
        events = [event for event in found if isinstance(event, Event)]
        fresh = self._memory.new(events)
        waiting = self._counts["waiting"]
        # What is longer than the whole queue has to wait until there is no other: it would never fit.
        if self._inbox is None or (waiting and waiting + len(fresh) > self._queue_size):
            self._counts["refused"] += 1
            return BUSY
        self._memory.remember(fresh)
        more = {"received": len(events), "duplicates": len(events) - len(fresh), "waiting": len(fresh)}
        self._counts.update(more | {"unreadable": len(found) - len(events)})
        for event in fresh:
            self._inbox.send_nowait(event)
        for error in found:
            if isinstance(error, UnreadableEvent):
                # The body of the first call, at registration, is not known: a refusal would make that impossible.
                logger.error("%s", error)
        return OK

    # Registration

    async def register(
        self,
        ws: Session,
        url: str,
        *,
        events: Sequence[WebhookEvent] = get_args(WebhookEvent),
        projects: Sequence[int] | None = None,
        replace: bool = False,
    ) -> int:
        """Register *url*, under which this receiver can be reached from outside; returns the webhook's number.

        The service calls the URL before it answers, so the receiver has to be served already; in a start-up hook of a
        web framework it is not yet. The credentials are sent along.

        Args:
            ws: A session that may do so: with the admin key, or with the scope ``administrative``.
            url: Address of this receiver.
            events: Events to be told of; all by default.
            projects: Numbers of projects to limit it to; all by default.
            replace: Whether other webhooks of the same URL are deleted then. A program that registers at each start
                would otherwise be told everything several times.

        Raises:
            InvalidCall: The receiver is not open.
            FieldError: The service could not reach the URL, or did not like the answer.
        """
        if self._inbox is None:
            raise InvalidCall("add_webhook", "the receiver is not open, so it could not answer the service's call")
        who = self._credentials
        earlier = [webhook for webhook in await ws.get_webhooks() if webhook.url == url] if replace else []
        number = await ws.add_webhook(
            url,
            events,
            projects=projects,
            http_user=who.username if who else None,
            http_pass=who.password if who else None,
        )
        for webhook in earlier:
            await ws.delete_webhook(webhook.id)
        return number
