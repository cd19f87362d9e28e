"""The edge: requests go out here and answers come in. The only module that imports httpx."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import anyio
import anyio.lowlevel
import attrs
import httpx

from .._protocol.request import Request
from ..errors import CallTimeout, InvalidCall, SessionClosed, TransportError, WorksectionError, masked
from .tasks import in_thread, is_closed

CONNECT_TIMEOUT = 10.0
"""Seconds to reach the service: less than a call's whole time, so that another attempt can be made."""

KEEPALIVE_EXPIRY = 20.0
"""Seconds an idle connection is kept. A fresh TLS handshake would shift arrivals, and the service counts arrivals."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


@attrs.define(eq=False)
class Answer:
    """An HTTP answer; its body is still to be read."""

    _response: httpx.Response = attrs.field(repr=False)
    _translated: Callable[[httpx.HTTPError], WorksectionError] = attrs.field(repr=False)
    is_kept: bool = attrs.field(default=False, init=False)
    """Whether it outlives its exchange: said last, when nothing can go wrong any more. Whoever keeps it closes it."""

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Without regard to case."""
        return self._response.headers

    async def read(self) -> bytes:
        return await self._response.aread()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, as it comes; raises `TransportError`."""
        failure: WorksectionError | None = None
        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except httpx.HTTPError as exc:
            failure = self._translated(exc)
        if failure is not None:
            raise failure

    async def aclose(self) -> None:
        await self._response.aclose()


async def _ignore() -> None:
    """Nothing wants to know."""


class Http:
    """Sends requests to one origin, and there only: no redirects, no cookies, no cap on connections.

    The limiter is the cap. A pool with one of its own can lose connections for good when calls are cancelled
    while they wait for one (httpx 0.28).
    """

    def __init__(self, origin: str, transport: httpx.AsyncBaseTransport | None) -> None:
        try:
            host = httpx.URL(origin).netloc.decode()
        except httpx.InvalidURL as exc:
            raise InvalidCall("Session", f"there can be nothing at {origin}: {exc}") from None
        self._origin = origin
        self._headers = {
            "Host": host,
            "Accept-Encoding": "gzip",  # ten thousand tasks become a tenth
            "User-Agent": "worksection-async",
        }
        self._transport = transport
        self._clients: dict[anyio.lowlevel.EventLoopToken, tuple[httpx.AsyncClient, AsyncGenerator[None]]] = {}
        self._opening: dict[anyio.lowlevel.EventLoopToken, anyio.Lock] = {}
        self._closed = False

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        request: Request,
        timeout: float,
        *,
        total: bool = True,
        on_sent: Callable[[], Awaitable[None]] = _ignore,
    ) -> AsyncIterator[Answer]:
        """Send *request*; raises `TransportError` for whatever goes wrong on the way there or back.

        Args:
            request: What to send.
            timeout: Seconds for all of it, or, where not *total*, for each read and write.
            on_sent: Called when the headers have been written; with a transport of the user, which may not tell that,
                before the transport gets the request.
        """
        progress = _Progress(on_sent)
        translated = functools.partial(_translated, request.action, progress)
        failure: WorksectionError | None = None
        with anyio.move_on_after(timeout if total else math.inf) as scope, contextlib.ExitStack() as files:
            try:
                httpx_request = self._httpx_request(request, timeout, progress, files)
                if self._transport is not None:
                    await on_sent()
                response = await self._client(request.action).send(httpx_request, stream=True)
                answer = Answer(response, translated)
                try:
                    yield answer
                finally:
                    if not answer.is_kept:
                        await answer.aclose()
            except httpx.HTTPError as exc:
                failure = translated(exc)
        if scope.cancelled_caught:
            failure = CallTimeout(request.action, f"no answer within {timeout:g} s", sent=progress.may_have_arrived)
        if failure is not None:
            try:
                raise failure
            finally:
                # An httpx error in its context would bring the signed URL along.
                failure.__context__ = None

    async def open(self) -> None:
        """Get ready to send in this event loop, before a turn is waited for.

        The first time certificates are loaded, which would block the loop for tens of milliseconds.
        """
        if self._closed:
            raise SessionClosed("Session")
        loop = anyio.lowlevel.current_token()
        if loop in self._clients:
            return
        for other in list(self._clients):
            if is_closed(other.native_token):
                self._clients.pop(other, None)  # closed without being shut down, so nothing closed its connections
        async with self._opening.setdefault(loop, anyio.Lock()):
            if loop not in self._clients:
                client = await in_thread(self._new_client)
                keeper = self._kept(client, loop)
                await anext(keeper)
                self._clients[loop] = client, keeper

    async def _kept(self, client: httpx.AsyncClient, loop: anyio.lowlevel.EventLoopToken) -> AsyncGenerator[None]:
        """Keep *client* until the generator is closed: by `aclose`, or by the event loop when it shuts down."""
        try:
            yield
        finally:
            self._clients.pop(loop, None)
            self._opening.pop(loop, None)
            with anyio.CancelScope(shield=True):
                await client.aclose()

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of other loops are closed when these end."""
        self._closed = True
        if (kept := self._clients.get(anyio.lowlevel.current_token())) is not None:
            await kept[1].aclose()

    def _client(self, action: str) -> httpx.AsyncClient:
        """The client of the running event loop: connections do not outlive theirs."""
        if self._closed:
            raise SessionClosed(action)
        return self._clients[anyio.lowlevel.current_token()][0]

    def _new_client(self) -> httpx.AsyncClient:
        return _Client(
            transport=self._transport,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_EXPIRY),
            # Plain HTTP is allowed to this machine only, so it must not be handed to a proxy on another.
            trust_env=not self._origin.startswith("http:"),
        )

    def _httpx_request(
        self, request: Request, timeout: float, progress: _Progress, files: contextlib.ExitStack
    ) -> httpx.Request:
        connect = min(CONNECT_TIMEOUT, timeout)
        headers, stream = {**self._headers, **request.headers}, None
        if not request.parts:  # where nothing is left for it to work out, httpx takes a third less
            stream = httpx.ByteStream(request.content)
            if request.method == "POST":
                headers["Content-Length"] = str(len(request.content))
        httpx_request = httpx.Request(
            request.method,
            self._origin + request.target,
            headers=headers,
            files=_opened(request, files) or None,
            stream=stream,
            extensions={"trace": progress, "timeout": httpx.Timeout(timeout, connect=connect, pool=None).as_dict()},
        )
        if stream is not None:
            httpx_request.read()  # so that any transport finds its content
        httpx_request.url = _Discreet(httpx_request.url)
        return httpx_request


class _NoCookies(httpx.Cookies):
    """Nothing the service sets comes back to it, and looking for it, which takes a while, is spared."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them."""


_NO_COOKIES = _NoCookies()


class _Client(httpx.AsyncClient):
    """A client without a cookie jar."""

    @property
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        """There is nowhere to put them."""


class _Discreet(httpx.URL):
    """A URL that shows all but its query: httpx logs the URL of every request, and queries are signed."""

    def __str__(self) -> str:
        return super().__str__().partition("?")[0]

    __repr__ = __str__


class _Progress:
    """How far a request got, as the transport tells it."""

    def __init__(self, on_sent: Callable[[], Awaitable[None]]) -> None:
        self._on_sent = on_sent
        self._tells = False
        self._sent = False

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        self._tells = True
        _, _, what = event.partition(".send_request_headers.")
        if what == "started" and info["request"].method != b"CONNECT":
            self._sent = True
        # Some services answer even if the headers were written only in part.
        elif self._sent and (what == "complete" or (what == "failed" and isinstance(info["exception"], Exception))):
            await self._on_sent()

    @property
    def may_have_arrived(self) -> bool:
        """With a transport that tells nothing, it may."""
        return self._sent or not self._tells


def _opened(request: Request, files: contextlib.ExitStack) -> list[tuple[str, Any]]:
    opened = []
    for part in request.parts:
        try:
            content = part.open()
        except OSError as exc:
            raise InvalidCall(request.action, f"{part.name} cannot be read any more: {exc.strerror}") from None
        if isinstance(part.source, Path):
            files.callback(cast(BinaryIO, content).close)
        opened.append((part.field, (part.name, content, part.media_type)))
    return opened


def _translated(action: str, progress: _Progress, exc: httpx.HTTPError) -> WorksectionError:
    sent = progress.may_have_arrived and not isinstance(exc, NEVER_SENT)
    kind = CallTimeout if isinstance(exc, httpx.TimeoutException) else TransportError
    what = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    return kind(action, masked(what), sent=sent)
