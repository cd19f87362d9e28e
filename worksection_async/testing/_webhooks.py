"""Webhooks, called: each event goes to those who are registered for it, one after the other.

Addresses of this machine are called over HTTP, and those of connected applications in process. Others never are.
"""

import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import attrs
import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from .._protocol.account import is_loopback
from .._protocol.service import WEBHOOK_REPLY, WEBHOOK_MAX_ERRORS, WEBHOOK_TIMEOUT_SECONDS
from . import _render as render
from ._params import Params
from ._reply import Record
from .records import Event, Webhook
from .world import World


@attrs.frozen(kw_only=True)
class Delivery:
    """One call of a webhook, and what came of it."""

    webhook: int
    """Number of the webhook."""
    url: str
    events: tuple[Record, ...]
    """What the body said."""
    status: int | None
    """Of the answer, if there was one."""
    error: str = ""
    """Why the call counts as failed; empty when it does not."""

    @property
    def ok(self) -> bool:
        """Whether the answer was what the service demands."""
        return not self.error


@attrs.frozen
class _Waiting:
    webhook: Webhook
    events: tuple[Record, ...]


class Webhooks:
    """The calls to be made and those that were made.

    ``seconds`` is what an address has to answer, ``deliveries`` what became of each call, the latest last.
    """

    def __init__(self, world: World) -> None:
        self.seconds: float = WEBHOOK_TIMEOUT_SECONDS
        self.deliveries: list[Delivery] = []
        self._world = world
        self._apps: dict[str, ASGIApp] = {}
        self._over_http = _Line()
        self._in_process = _Line()
        world.listeners.append(self._queue)

    def connect(self, url: str, app: ASGIApp) -> None:
        """Let addresses that begin with *url* (``"https://hooks.test"``) be those of an ASGI application.

        It is called in the event loop of whoever makes the call: add webhooks and `deliver` where it lives, not
        through `Simulator.serve`.
        """
        self._apps[url] = app

    @property
    def pending(self) -> int:
        """Number of calls not made yet."""
        return len(self._over_http) + len(self._in_process)

    async def deliver(self) -> list[Delivery]:
        """Make the calls that wait, and return when none is waiting or under way; what came of those made here."""
        return [*await self._in_process.empty(self._call), *await self._over_http.empty(self._call)]

    async def deliver_by_itself(self) -> None:
        """As `deliver`, but only what needs no particular event loop, and without waiting for another who does so."""
        await self._over_http.empty(self._call, wait=False)

    async def answers(self, webhook: Params) -> bool:
        """Whether the address of a webhook to be added answers as it has to."""
        url = webhook.text("url")
        if self._app(url) is None and not _is_here(url):
            return self._world.url_answers(url)
        who = webhook.text("http_user"), webhook.text("http_pass")
        _, error = await self._post(url, who, b"")
        return not error

    def _queue(self, event: Event) -> None:
        for webhook in self._world.webhooks.values():
            is_told = f"{event.action}_{event.type}" in webhook.events
            if is_told and webhook.status == "active" and event.project.id in (webhook.projects or [event.project.id]):
                waiting = _Waiting(webhook, (_told(event),))
                if self._app(webhook.url) is not None:
                    self._in_process.append(waiting)
                elif _is_here(webhook.url):
                    self._over_http.append(waiting)

    async def _call(self, waiting: _Waiting) -> Delivery | None:
        webhook = waiting.webhook
        if webhook.status != "active" or webhook.id not in self._world.webhooks:
            return None  # since the event: paused or deleted
        body = json.dumps(waiting.events, ensure_ascii=False).encode()
        status, error = await self._post(webhook.url, (webhook.http_user, webhook.http_pass), body)
        webhook.errors += bool(error)
        if webhook.errors >= WEBHOOK_MAX_ERRORS:
            webhook.status = "paused"
        delivery = Delivery(webhook=webhook.id, url=webhook.url, events=waiting.events, status=status, error=error)
        self.deliveries.append(delivery)
        return delivery

    async def _post(self, url: str, who: tuple[str, str], body: bytes) -> tuple[int | None, str]:
        """The status of the answer, and what is wrong with it."""
        app = self._app(url)
        # A certificate for this machine is nobody's but the tester's own; and no proxy stands between.
        transport = httpx.AsyncHTTPTransport(verify=False) if app is None else httpx.ASGITransport(app)
        try:
            with anyio.fail_after(self.seconds):
                async with httpx.AsyncClient(transport=transport, timeout=None) as http:  # noqa: S113
                    http.auth = httpx.BasicAuth(*who) if who[0] else httpx.Auth()
                    answer = await http.post(url, content=body, headers={"Content-Type": "application/json"})
        except TimeoutError:
            return None, f"no answer within {self.seconds:g} s"
        except Exception as exc:  # noqa: BLE001  # an application in process fails as it likes
            return None, f"{type(exc).__name__}: {exc}"
        return answer.status_code, _complaint(answer)

    def _app(self, url: str) -> ASGIApp | None:
        return next((app for start, app in self._apps.items() if url.startswith(start)), None)


class _Line:
    """Calls in the order they are to be made, by one at a time, in whatever thread and loop he lives."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._busy: threading.Event | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def append(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)

    async def empty(
        self, call: Callable[[_Waiting], Awaitable[Delivery | None]], *, wait: bool = True
    ) -> list[Delivery]:
        made: list[Delivery | None] = []
        while True:
            with self._lock:
                busy, mine = self._busy, threading.Event()
                if busy is None:
                    if not self._waiting:
                        break
                    self._busy = mine
            if busy is None:
                try:
                    while self._waiting:
                        made.append(await call(self._waiting.popleft()))
                finally:
                    with self._lock:
                        self._busy = None
                    mine.set()
            elif wait:
                await anyio.to_thread.run_sync(busy.wait, abandon_on_cancel=True)
            else:
                break
        return [delivery for delivery in made if delivery is not None]


class Delivering:
    """An application, and after each of its answers what is to be delivered because of it."""

    def __init__(self, app: ASGIApp, webhooks: Webhooks) -> None:
        self._app = app
        self._webhooks = webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        await self._webhooks.deliver_by_itself()


def _is_here(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
    except ValueError:
        return False


def _told(event: Event) -> Record:
    """As ``get_events`` has it, but for the page."""
    page = f"/task/{event.task.id}/" if event.task else event.page
    return render.event(event) | {"object": {"type": event.type, "id": str(event.id), "page": page}}


def _complaint(answer: httpx.Response) -> str:
    if answer.status_code != 200:
        return f"HTTP {answer.status_code}"
    try:
        demanded = answer.json() == json.loads(WEBHOOK_REPLY)
    except ValueError:
        demanded = False
    return "" if demanded else f"not {WEBHOOK_REPLY}"
