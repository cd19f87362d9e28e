"""`WebhookReceiver`: an ASGI application that answers webhooks at once and calls a handler with each event."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import Literal, Self

import anyio
import attrs

from .._protocol.service import WEBHOOK_REPLY, WEBHOOK_TIMEOUT_SECONDS
from .._protocol.structure import Malformed
from .._protocol.time_zones import to_time_zone
from .._protocol.values import as_number, plain_number, shown
from .._sync.doorbell import Bell
from .._transport.asgi import ClientDisconnected, Receive, Response, Scope, Send, header, read_body
from .._transport.tasks import decode
from ..errors import InvalidCall
from ..models import Event
from .basic_auth import auth_for
from .body import UnsupportedEncoding, charset, decompress
from .deduplication import EventMemory, memory_for
from .event_queue import Batch, EventQueue
from .parsing import UnreadableEvent, excerpt, read_events, unreadable
from .probe import MAX_PROBE_BYTES, answer_to, is_test
from .registrar import Registrar
from .registration import Registration
from .router import Handler
from .statistics import WebhookStatistics

JSON = ("content-type", "application/json")
OK = Response(200, WEBHOOK_REPLY.encode(), (JSON,))
CHALLENGE = ("www-authenticate", 'Basic realm="worksection", charset="UTF-8"')
UNAUTHORIZED = Response(401, b'{"status":"UNAUTHORIZED"}', (JSON, CHALLENGE))
TOO_LARGE = Response(413, b'{"status":"TOO LARGE"}', (JSON,))
UNSUPPORTED = Response(415, b'{"status":"UNSUPPORTED ENCODING"}', (JSON, ("accept-encoding", "gzip, deflate")))
FAILED = Response(500, b'{"status":"ERROR"}', (JSON,))
BUSY = Response(503, b'{"status":"BUSY"}', (JSON,))

ACKNOWLEDGE_SECONDS = WEBHOOK_TIMEOUT_SECONDS - 1.0
"""Time for the handler if a delivery is answered after it; the service waits a second longer."""

NOT_OPEN = (
    "the webhook receiver is not open: deliveries are answered with 503 and their events are not handled. Enter it "
    "while your application runs (`async with receiver:`): an application that mounts it does not run its lifespan"
)

logger: logging.Logger = logging.getLogger("worksection_async")


class WebhookReceiver:
    """An ASGI application that receives webhooks. It answers first and calls *handler* afterwards, or the reverse.

    ::

        async with WebhookReceiver(handler, username="worksection", password=secret) as receiver:
            ...  # serve it, alone or mounted in Starlette, FastAPI, Litestar, …

    Events are handled while the context is open; leaving it handles the queued events. An ASGI server that serves
    the receiver alone opens the context itself (lifespan). A receiver belongs to one event loop, asyncio or trio.

    Every path and method is answered: 401 without valid credentials, 413 for a body above *max_body*, 415 for a
    Content-Encoding other than gzip and deflate, 503 when the queue is full or the context is not open, 500 if reading
    the body failed because of a fault of this package, otherwise 200 with the body that the service requires. The
    service counts an error for every delivery that was not accepted. A body that is not what the service documents is
    answered with 200, logged (logger ``worksection_async``) with its first 500 characters, and counted. An error of
    the handler is logged and counted; the next event is handled, and the service does not notice.

    Repetitions are dropped: events that equal the last ones of the same task, comment or project (`Event.key`).
    The last *remember* objects are kept in memory, so an event can be handled twice after a restart, or if several
    receivers get it. A `worksection_async.redis.RedisMemory` is common to them and outlives them.

    Args:
        handler: A coroutine function or a `Router`, called with each event. With one worker, events are handled in
            the order of arrival. None ignores the events: the receiver is only the doorbell of a watch.
        acknowledge: ``"after"`` handles the events of a delivery before it is answered, for a handler that only hands
            them to another program, such as a task queue. If it takes longer than 4 seconds, the answer is 503 and the
            handler goes on; if the handler fails, the answer is 500. The service sends neither again, but counts
            them as errors.
        register: Registers the receiver in the background while it is open; without it, call `Session.add_webhook`.
        username: For Basic authentication, together with *password*; without them, any client can call.
        password: See *username*. Both are compared in constant time.
        tz: Time zone of the account, as in `Session`; without it, date-times are naive.
        queue_size: Maximum number of events that wait for the handler.
        max_body: Maximum size of a body in bytes, also after it was decompressed.
        remember: Number of tasks, comments and projects whose latest events are remembered in this process; or a
            `RedisMemory`, for several processes or machines behind one URL.
        workers: Number of concurrent handlers.
        drain: Seconds to handle the queued events when the context is left. The remaining events are abandoned and
            logged.

    Raises:
        InvalidCall: Only one of username and password was given, a number is too small, or an argument has another
            type.

    Vendor page: https://worksection.com/en/faq/webhooks.html
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        acknowledge: Literal["before", "after"] = "before",
        register: Registration | None = None,
        username: str | None = None,
        password: str | None = None,
        tz: dt.tzinfo | str | None = None,
        queue_size: int = 1000,
        max_body: int = 4_194_304,
        remember: int | EventMemory = 10_000,
        workers: int = 1,
        drain: float = 30.0,
    ) -> None:
        if handler is not None and not callable(handler):
            raise InvalidCall("WebhookReceiver", f"handler must be a coroutine function, got {shown(handler)}")
        if register is not None and not isinstance(register, Registration):
            raise InvalidCall("WebhookReceiver", f"register must be a Registration, got {shown(register)}")
        if acknowledge not in ("before", "after"):
            raise InvalidCall("WebhookReceiver", f'acknowledge must be "before" or "after", got {acknowledge!r:.80}')
        limits = ("queue_size", queue_size, 1), ("max_body", max_body, 1), ("workers", workers, 1), ("drain", drain, 0)
        for name, number, least in limits:
            if not as_number(plain_number(number)) >= least:
                raise InvalidCall("WebhookReceiver", f"{name} must be at least {least}, got {shown(number)}")
        self._auth = auth_for(username, password)
        self._tz = to_time_zone("WebhookReceiver", tz)
        self._queue_size = queue_size
        self._max_body = max_body
        self._memory = memory_for(remember)
        self._acknowledges_after = acknowledge == "after"
        self._counts: Counter[str] = Counter()
        self._queue = EventQueue(handler or _ignore, self._counts, self._memory, workers, drain)
        self._accepting = anyio.Lock(fast_acquire=True)
        self._has_warned = False
        self._bell = Bell()
        self._registration = register
        self._registrar: Registrar | None = None

    def __repr__(self) -> str:
        return f"<WebhookReceiver {'open' if self._queue.is_open else 'not open'}, {self.statistics().waiting} waiting>"

    def statistics(self) -> WebhookStatistics:
        """Return the counts of events so far."""
        return WebhookStatistics(**{field.name: self._counts[field.name] for field in attrs.fields(WebhookStatistics)})

    async def wait(self) -> None:
        """Wait for the next delivery, as the `Doorbell` of a watch in this event loop.

        A delivery that is a repetition, cannot be read or is answered with 503 counts as well.
        """
        await self._bell.wait()

    async def __aenter__(self) -> Self:
        await self._queue.open()
        if self._registration is not None:
            self._registrar = Registrar(self._registration, self._auth)
            self._registrar.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self._registrar is not None:
            await self._registrar.stop()
            self._registrar = None
        return await self._queue.close(exc_type, exc, traceback)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI 3 connection: a lifespan or an HTTP request; a WebSocket is closed."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                response = await self._respond(scope, receive)
            except ClientDisconnected:
                return
            await response.send(scope, send)
        else:
            await send({"type": "websocket.close"})

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with nullcontext() if self._queue.is_open else self:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        if self._auth is not None and not self._auth.is_valid(header(scope, b"authorization")):
            await self._note_refusal(scope, receive)
            return UNAUTHORIZED
        body = await read_body(scope, receive, self._max_body)
        if body is None:
            return TOO_LARGE
        if (answer := answer_to(body, self._auth)) is not None:
            return Response(200, answer, (JSON,)) if self._queue.is_open else BUSY
        if body:
            self._bell.ring()
        return await self._deliver(body, header(scope, b"content-encoding"), header(scope, b"content-type"))

    async def _note_refusal(self, scope: Scope, receive: Receive) -> None:
        if self._registrar is not None and scope["method"] == "POST":
            body = await read_body(scope, receive, MAX_PROBE_BYTES)
            if body is None or not is_test(body):
                self._registrar.credentials_refused()

    async def _deliver(self, body: bytes, content_encoding: bytes, content_type: bytes) -> Response:
        """Accept the events of *body*. A fault of this package is not answered with OK, because it loses events.

        The headers are not passed as a whole, because they contain the password and error trackers show arguments.
        """
        try:
            return await self._read_and_accept(body, content_encoding, content_type)
        except UnsupportedEncoding as exc:
            logger.error("a webhook delivery was answered with 415: Content-Encoding %s cannot be read", exc)  # noqa: TRY400
            response = UNSUPPORTED
        except Exception:
            logger.exception("a webhook delivery was answered with 500, because reading it failed: %r", excerpt(body))
            response = FAILED
        self._counts["refused"] += 1
        return response

    async def _read_and_accept(self, body: bytes, content_encoding: bytes, content_type: bytes) -> Response:
        deadline = anyio.current_time() + ACKNOWLEDGE_SECONDS
        try:
            content = decompress(body, content_encoding, self._max_body)
        except Malformed as exc:
            return await self._acknowledge(await self._accept([unreadable(exc, body)]), deadline)
        if content is None:
            return TOO_LARGE
        events = read_events(content, self._tz, charset(content_type))
        results = await decode(lambda: list(events), len(content))
        return await self._acknowledge(await self._accept(results), deadline)

    async def _accept(self, results: Sequence[Event | UnreadableEvent]) -> Batch | None:
        """Queue all new events of a delivery, or none if there is no room.

        One delivery at a time, so that events are queued in the order in which the memory recorded them, and the room
        that was found in the queue is still there when the memory, which may be on another machine, has answered.
        """
        events = [event for event in results if isinstance(event, Event)]
        async with self._accepting:
            if not self._has_room(len(events)):
                return None
            new = await self._memory.reserve(events)
            batch = None
            try:
                batch = self._queue.put(new) if self._queue.is_open else None
            finally:
                if batch is None:  # events that could not be queued are no repetitions
                    await self._memory.forget(new)
        if batch is None:
            return None
        counts = {"received": len(events), "duplicates": len(events) - len(new)}
        self._counts.update(counts | {"unreadable": len(results) - len(events)})
        for error in results:
            if isinstance(error, UnreadableEvent):
                # Answered with OK: the body of the test call at registration is undocumented and may be unreadable.
                logger.error("%s", error)
        return batch

    def _has_room(self, count: int) -> bool:
        """Return True if the context is open and *count* events fit into the queue."""
        if not self._queue.is_open and not self._has_warned:
            self._has_warned = True
            logger.error(NOT_OPEN)
        waiting = self._counts["waiting"]
        # A delivery longer than the queue never fits, so it is accepted when the queue is empty.
        return self._queue.is_open and not (waiting and waiting + count > self._queue_size)

    async def _acknowledge(self, batch: Batch | None, deadline: float) -> Response:
        """Return the response to a delivery, after its events were handled if that was asked for."""
        if batch is None:
            self._counts["refused"] += 1
            return BUSY
        if self._acknowledges_after and not batch.is_done:
            with anyio.CancelScope(deadline=deadline) as waiting:
                await batch.wait()
            if waiting.cancelled_caught:
                logger.warning("a webhook delivery was answered with 503: its events are handled for too long")
                return BUSY
        return FAILED if self._acknowledges_after and batch.has_failed else OK

    async def registered(self) -> int:
        """Wait until the webhook of *register* is registered, and return its ID; for tests and readiness checks.

        Raises:
            InvalidCall: The receiver has no `Registration`, is not open, or is closed before the webhook is registered.
            SessionClosed: The session was closed before that. It is noticed at the next attempt to register.
        """
        if self._registrar is None:
            raise InvalidCall("WebhookReceiver", "registered() needs register=Registration(…), and an open receiver")
        return await self._registrar.registered()


async def _ignore(event: Event) -> None:
    pass
