"""Sends requests and receives responses. The only module that imports httpx."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, BinaryIO, cast

import anyio
import anyio.lowlevel
import attrs
import httpx

from .._protocol.request import Request
from ..errors import CallTimeout, InvalidCall, SessionClosed, TransportError, WorksectionError, mask_secrets
from .tasks import in_thread, is_closed
from .version import __version__

CONNECT_TIMEOUT_SECONDS = 10.0
"""Timeout of a connection attempt: shorter than the timeout of a call, so that there is time for a second attempt."""

KEEPALIVE_SECONDS = 20.0
"""How long an idle connection is kept open.

The service counts arrivals: a new TLS handshake would delay one request and move it close to the next one.
"""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


@attrs.define(eq=False)
class HttpResponse:
    """A response whose headers have arrived; its body is read by `read` or `chunks`."""

    _response: httpx.Response = attrs.field(repr=False)
    _translate: Callable[[httpx.HTTPError], WorksectionError] = attrs.field(repr=False)
    is_detached: bool = attrs.field(default=False, init=False)
    """Whether the response outlives its exchange. The code that sets this has to call `aclose`."""

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are case-insensitive."""
        return self._response.headers

    async def read(self) -> bytes:
        return await self._response.aread()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body in the chunks in which it arrives; raises `TransportError`."""
        failure: WorksectionError | None = None
        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except httpx.HTTPError as exc:
            failure = self._translate(exc)
        if failure is not None:  # raised outside of the handler: its context would show the signed URL
            raise failure

    async def aclose(self) -> None:
        await self._response.aclose()


async def _do_nothing() -> None:
    """The default callback."""


class Http:
    """An HTTP client for one origin, in any number of event loops: no redirects, no cookies.

    The number of connections is not limited, because the rate limiter limits it already, and because the pool of
    httpx 0.28 can lose connections for good when calls are cancelled while they wait for one.
    """

    def __init__(self, origin: str, transport: httpx.AsyncBaseTransport | None) -> None:
        try:
            host = httpx.URL(origin).netloc.decode()
        except httpx.InvalidURL as exc:
            raise InvalidCall("Session", f"account: {origin} is not a valid URL: {exc}") from None
        self._origin = origin
        self._headers = {
            "Host": host,
            "Accept-Encoding": "gzip",  # it makes a reply of ten thousand tasks ten times smaller
            "User-Agent": f"worksection-async/{__version__}",
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
        on_sent: Callable[[], Awaitable[None]] = _do_nothing,
    ) -> AsyncIterator[HttpResponse]:
        """Send *request* and receive the headers of the response; raises `TransportError`.

        Args:
            request: What to send.
            timeout: Seconds for the whole exchange if *total*, otherwise for each read and write.
            total: What *timeout* limits.
            on_sent: Called when the headers of the request have been written. A user's transport may not report that,
                so with one it is called before the transport receives the request.
        """
        progress = _Progress(on_sent)
        translate = functools.partial(_translate, request.action, progress)
        failure: WorksectionError | None = None
        with anyio.move_on_after(timeout if total else math.inf) as scope, contextlib.ExitStack() as files:
            try:
                httpx_request = self._httpx_request(request, timeout, progress, files)
                if self._transport is not None:
                    await on_sent()
                received = await self._client(request.action).send(httpx_request, stream=True)
                response = HttpResponse(received, translate)
                try:
                    yield response
                finally:
                    if not response.is_detached:
                        await response.aclose()
            except httpx.HTTPError as exc:
                failure = translate(exc)
        if scope.cancelled_caught:
            failure = CallTimeout(request.action, f"no answer within {timeout:g} s", sent=progress.may_have_arrived)
        if failure is not None:
            try:
                raise failure
            finally:
                # The context is an httpx error, which holds the signed URL.
                failure.__context__ = None

    async def open(self) -> None:
        """Create the client of the current event loop, unless it exists.

        This is done before the call waits for its slot: loading the certificates takes tens of milliseconds, and it
        runs in a thread so that it does not block the event loop.
        """
        if self._closed:
            raise SessionClosed("Session")
        loop = anyio.lowlevel.current_token()
        if loop in self._clients:
            return
        self._release_closed_loops()
        async with self._opening.setdefault(loop, anyio.Lock()):
            if loop not in self._clients:
                client = await in_thread(self._new_client)
                closer = self._close_with_loop(client, loop)
                await anext(closer)
                self._clients[loop] = client, closer

    async def _close_with_loop(
        self, client: httpx.AsyncClient, loop: anyio.lowlevel.EventLoopToken
    ) -> AsyncGenerator[None]:
        """Close *client* when this generator is closed: by `aclose`, or by the event loop when it shuts down."""
        try:
            yield
        finally:
            self._clients.pop(loop, None)
            self._opening.pop(loop, None)
            with anyio.CancelScope(shield=True):
                await client.aclose()

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of another loop are closed when that loop shuts down."""
        self._closed = True
        self._release_closed_loops()
        if (opened := self._clients.get(anyio.lowlevel.current_token())) is not None:
            await opened[1].aclose()

    def _release_closed_loops(self) -> None:
        """Forget what belongs to event loops that were closed without closing their clients."""
        for loop in {*self._clients, *self._opening}:
            if is_closed(loop.native_token):
                self._clients.pop(loop, None)
                self._opening.pop(loop, None)

    def _client(self, action: str) -> httpx.AsyncClient:
        """Return the client of the current event loop: a connection cannot be used in another one."""
        if self._closed:
            raise SessionClosed(action)
        return self._clients[anyio.lowlevel.current_token()][0]

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=self._transport and _UserTransport(self._transport),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_SECONDS),
            # Plain HTTP is allowed to loopback only, so it must not be sent to a proxy on another machine.
            trust_env=not self._origin.startswith("http:"),
        )

    def _httpx_request(
        self, request: Request, timeout: float, progress: _Progress, files: contextlib.ExitStack
    ) -> httpx.Request:
        connect = min(CONNECT_TIMEOUT_SECONDS, timeout)
        headers, stream = {**self._headers, **request.headers}, None
        if not request.parts:
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
            httpx_request.read()  # a user's transport may look at `request.content`
        httpx_request.url = _RedactedURL(httpx_request.url)
        return httpx_request


class _UserTransport(httpx.AsyncBaseTransport):
    """A transport that the user made, and closes: other sessions and applications may use it, too."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


class _RedactedURL(httpx.URL):
    """A URL whose string form omits the query, because httpx logs it and queries are signed."""

    def __str__(self) -> str:
        return super().__str__().partition("?")[0]

    __repr__ = __str__


class _Progress:
    """Tracks by the events of the transport (httpx's ``trace`` extension) how far a request was sent."""

    def __init__(self, on_sent: Callable[[], Awaitable[None]]) -> None:
        self._on_sent = on_sent
        self._has_events = False
        self._sent = False

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        self._has_events = True
        _, _, what = event.partition(".send_request_headers.")
        if what == "started" and info["request"].method != b"CONNECT":
            self._sent = True
        # A failed write counts, too: a server may answer a request of which it has read a part.
        elif self._sent and (what == "complete" or (what == "failed" and isinstance(info["exception"], Exception))):
            await self._on_sent()

    @property
    def may_have_arrived(self) -> bool:
        """True unless the transport reports events and none of them says that sending started."""
        return self._sent or not self._has_events


def _opened(request: Request, files: contextlib.ExitStack) -> list[tuple[str, Any]]:
    opened = []
    for part in request.parts:
        try:
            content = part.open()
        except OSError as exc:
            raise InvalidCall(request.action, f"{part.name} cannot be read: {exc.strerror}") from None
        if isinstance(part.source, Path):
            files.callback(cast(BinaryIO, content).close)
        opened.append((part.field, (part.name, content, part.media_type)))
    return opened


def _translate(action: str, progress: _Progress, exc: httpx.HTTPError) -> WorksectionError:
    sent = progress.may_have_arrived and not isinstance(exc, NEVER_SENT)
    kind = CallTimeout if isinstance(exc, httpx.TimeoutException) else TransportError
    what = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    return kind(action, mask_secrets(what), sent=sent)
