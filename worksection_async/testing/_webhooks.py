"""Calls the webhooks that are registered for an event, one after the other.

URLs of this machine are called over HTTP, those of connected applications in process. Other URLs are never called.
"""

import threading
from collections import deque
from collections.abc import Awaitable, Callable

import anyio.to_thread
import attrs
import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from .._protocol.service import WEBHOOK_MAX_ERRORS, WEBHOOK_TIMEOUT_SECONDS
from . import _reading as reading
from ._params import Params
from ._records import Event, Webhook
from ._reply import Record
from ._webhook_call import CallResult, body_of, call_webhook, is_local, network_to, webhook_record
from ._world import World


@attrs.frozen(kw_only=True)
class Delivery:
    """One call of a webhook and its result."""

    webhook: int
    """Id of the webhook."""
    url: str
    events: tuple[Record, ...]
    """The events in the body of the request."""
    status: int | None
    """HTTP status of the reply, or None without a reply."""
    error: str = ""
    """The reason of a failure; empty after a success."""

    @property
    def ok(self) -> bool:
        """True if the reply was the one that the service requires."""
        return not self.error


@attrs.frozen
class _PendingCall:
    webhook: Webhook
    events: tuple[Record, ...]


class Webhooks:
    """Queues and makes the calls of webhooks.

    ``seconds`` is the timeout of a call; ``deliveries`` lists the calls and their results, oldest first.
    """

    def __init__(self, world: World) -> None:
        self.seconds: float = WEBHOOK_TIMEOUT_SECONDS
        self.deliveries: list[Delivery] = []
        self.outside = OutsideTransport(self)
        self._world = world
        self._apps: dict[str, ASGIApp] = {}
        self._over_http = _DeliveryQueue()
        self._in_process = _DeliveryQueue()
        world.listeners.append(self._queue)

    def connect(self, url: str, app: ASGIApp) -> None:
        """Route URLs with the prefix *url* (for example ``"https://hooks.test"``) to an ASGI application.

        The application runs in the event loop of the caller. Therefore add webhooks and `deliver` in its loop, not
        through `Simulator.serve`.
        """
        self._apps[url] = app

    @property
    def pending(self) -> int:
        """Number of pending calls."""
        return len(self._over_http) + len(self._in_process)

    async def deliver(self) -> list[Delivery]:
        """Make all pending calls, wait for those of other tasks, and return the results of the calls made here."""
        return [*await self._in_process.drain(self._call), *await self._over_http.drain(self._call)]

    async def deliver_over_http(self) -> None:
        """Make the pending calls over HTTP, but do not wait if another task is making them."""
        await self._over_http.drain(self._call, wait=False)

    async def check_url(self, webhook: Params) -> bool:
        """Call the URL of a new webhook with an empty body; return True if it replies as the service requires."""
        url = webhook.text("url")
        if self._app(url) is None and not is_local(url):
            return self._world.url_answers(url)
        credentials = webhook.text("http_user"), webhook.text("http_pass")
        return not (await self._post(url, credentials, b"")).error

    def _queue(self, event: Event) -> None:
        for webhook in self._world.webhooks.values():
            is_subscribed = f"{event.action}_{event.type}" in webhook.events
            is_in_project = not webhook.projects or event.project.id in webhook.projects
            if is_subscribed and is_in_project and webhook.status == "active":
                pending = _PendingCall(webhook, (webhook_record(reading.event(event)),))
                if self._app(webhook.url) is not None:
                    self._in_process.append(pending)
                elif is_local(webhook.url):
                    self._over_http.append(pending)

    async def _call(self, pending: _PendingCall) -> Delivery | None:
        webhook = pending.webhook
        if webhook.status != "active" or webhook.id not in self._world.webhooks:
            return None  # it was paused or deleted after the event
        result = await self._post(webhook.url, (webhook.http_user, webhook.http_pass), body_of(pending.events))
        webhook.errors += bool(result.error)
        if webhook.errors >= WEBHOOK_MAX_ERRORS:
            webhook.status = "paused"
        delivery = Delivery(
            webhook=webhook.id, url=webhook.url, events=pending.events, status=result.status, error=result.error
        )
        self.deliveries.append(delivery)
        return delivery

    async def _post(self, url: str, credentials: tuple[str, str], body: bytes) -> CallResult:
        return await call_webhook(url, body, credentials, self.transport_to(url), self.seconds)

    def transport_to(self, url: str) -> httpx.AsyncBaseTransport:
        """Return a transport to a connected application or a server of this machine.

        Raises:
            httpx.ConnectError: *url* is none of them.
        """
        if (app := self._app(url)) is not None:
            return httpx.ASGITransport(app)
        if is_local(url):
            return network_to(url)
        raise httpx.ConnectError("the simulator calls no other machine: use `connect`, or a URL of this machine")

    def _app(self, url: str) -> ASGIApp | None:
        return next((app for start, app in self._apps.items() if url.startswith(start)), None)


class _DeliveryQueue:
    """Pending calls in order. One task at a time makes them; tasks may run in different threads and event loops."""

    def __init__(self) -> None:
        self._pending: deque[_PendingCall] = deque()
        self._lock = threading.Lock()
        self._done: threading.Event | None = None
        """Set when the task that is making the calls has finished; None if no task is making calls."""

    def __len__(self) -> int:
        return len(self._pending)

    def append(self, pending: _PendingCall) -> None:
        self._pending.append(pending)

    async def drain(
        self, call: Callable[[_PendingCall], Awaitable[Delivery | None]], *, wait: bool = True
    ) -> list[Delivery]:
        """Make the calls and return their results; if another task is making them, *wait* for it or return."""
        made: list[Delivery | None] = []
        while True:
            with self._lock:
                other, own = self._done, threading.Event()
                if other is None:
                    if not self._pending:
                        break
                    self._done = own
            if other is None:
                try:
                    while self._pending:
                        made.append(await call(self._pending.popleft()))
                finally:
                    with self._lock:
                        self._done = None
                    own.set()
            elif wait:
                await anyio.to_thread.run_sync(other.wait, abandon_on_cancel=True)
            else:
                break
        return [delivery for delivery in made if delivery is not None]


class DeliveringApp:
    """An ASGI application that delivers the pending webhook calls after each response."""

    def __init__(self, app: ASGIApp, webhooks: Webhooks) -> None:
        self._app = app
        self._webhooks = webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        await self._webhooks.deliver_over_http()


class OutsideTransport(httpx.AsyncBaseTransport):
    """Leads to what the simulator calls: connected applications, and servers of this machine."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = str(httpx.URL(request.url))  # a session's own class of URL omits secret parts
        async with self._webhooks.transport_to(url) as transport:
            response = await transport.handle_async_request(request)
            content = b"".join([chunk async for chunk in response.aiter_raw()])
            await response.aclose()
            return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(content))
