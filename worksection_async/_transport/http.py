"""Sends requests and receives responses. The only module that imports httpx."""

from __future__ import annotations

import contextlib
import functools
import math
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import anyio.lowlevel
import attrs
import httpx

from .._protocol.request import Request
from ..errors import CallTimeout, InvalidCall, SessionClosed, TransportError, WorksectionError, mask_secrets
from .boundary import ForeignErrors, place_of
from .environment import MANUAL, Variable, failed_check, load_certificates, problem_of_check, proxy_for
from .sized_file import opened
from .tasks import in_thread, is_closed
from .trace import RequestTrace
from .version import __version__

CONNECT_TIMEOUT_SECONDS = 10.0
"""Timeout of a connection attempt: shorter than the timeout of a call, so that there is time for a second attempt."""

KEEPALIVE_SECONDS = 20.0
"""How long an idle connection is kept open.

The service counts arrivals: a new TLS handshake would delay one request and move it close to the next one.
"""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)

TRANSIENT = (
    httpx.HTTPError, OSError, EOFError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream
)  # fmt: skip
"""Errors of a transport after which another attempt can succeed."""

REFUSALS_OF_A_PROXY = ("4", "Requested ", "Invalid username/password")
"""Beginnings of `httpx.ProxyError`: HTTP 4xx, no common SOCKS authentication, a wrong SOCKS password."""

LIMITS = httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_SECONDS)

ANOTHER_LOOP = "; a transport belongs to one event loop: give the session of each event loop a transport of its own"


@attrs.define(eq=False)
class HttpResponse:
    """A response whose headers have arrived; its body is read by `read` or `chunks`."""

    _response: httpx.Response = attrs.field(repr=False)
    _translate: Callable[[Exception], Exception] = attrs.field(repr=False)
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
        """Return the whole body; raises `TransportError`."""
        with ForeignErrors(self._translate):
            return await self._response.aread()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body in the chunks in which it arrives; raises `TransportError`."""
        with ForeignErrors(self._translate):
            async for chunk in self._response.aiter_bytes():
                yield chunk

    async def aclose(self) -> None:
        with ForeignErrors(self._translate):
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
        self._proxy: Variable | None = None
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
        # httpx's own transport reports everything that it does.
        trace = RequestTrace(on_sent, has_events=isinstance(self._transport, httpx.AsyncHTTPTransport | None))
        translate = functools.partial(self._translate, request.action, trace)
        with anyio.move_on_after(timeout if total else math.inf) as scope, contextlib.ExitStack() as files:
            httpx_request = self._httpx_request(request, timeout, trace, files)
            if self._transport is not None:
                await on_sent()
            with ForeignErrors(translate):
                received = await self._client(request.action).send(httpx_request, stream=True)
            response = HttpResponse(received, translate)
            try:
                yield response
            finally:
                if not response.is_detached:
                    await response.aclose()
        if scope.cancelled_caught:
            raise CallTimeout(request.action, f"no answer within {timeout:g} s", sent=trace.may_have_arrived)

    async def open(self, action: str = "Session") -> None:
        """Create the client of the current event loop for *action*, unless it exists.

        Raises `InvalidCall` if the environment has a proxy or certificates that cannot be used.

        This is done before the call waits for its slot: loading the certificates takes tens of milliseconds, and it
        runs in a thread so that it does not block the event loop.
        """
        if self._closed:
            raise SessionClosed(action)
        loop = anyio.lowlevel.current_token()
        if loop in self._clients:
            return
        self._release_closed_loops()
        async with self._opening.setdefault(loop, anyio.Lock()):
            if loop not in self._clients:
                client = await in_thread(self._new_client, action)
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

    def _new_client(self, action: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=_UserTransport(self._transport) if self._transport else self._network(action),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,  # the environment was read by `_network`
        )

    def _network(self, action: str) -> httpx.AsyncHTTPTransport:
        """Return the transport that the environment describes; raises `InvalidCall`, which names the variable."""
        if self._origin.startswith("http:"):
            # Plain HTTP is allowed to loopback only, so it must not be sent to a proxy on another machine.
            return httpx.AsyncHTTPTransport(limits=LIMITS, trust_env=False)
        context = load_certificates(httpx.create_ssl_context, action)
        self._proxy = proxy = proxy_for(self._origin)
        if proxy is None:
            return httpx.AsyncHTTPTransport(verify=context, limits=LIMITS)
        try:
            return httpx.AsyncHTTPTransport(verify=context, limits=LIMITS, proxy=_proxy(proxy, context))
        except ImportError:
            problem = "a SOCKS proxy needs a package: pip install httpx[socks]"
        except Exception:  # noqa: BLE001  # the text of the error may contain the proxy's password
            problem = PROXY_EXPECTED
        raise InvalidCall(action, f"{proxy.name}: {problem}; NO_PROXY names hosts without a proxy; {MANUAL}")

    def _translate(self, action: str, trace: RequestTrace, exc: Exception) -> Exception:
        """Return the error to raise instead of *exc*, which came from httpx or from below."""
        # Without the frames of httpx, whose variables contain the credential.
        if exc is trace.own_error:
            return exc.with_traceback(trace.own_traceback)
        if isinstance(exc, WorksectionError):
            return exc.with_traceback(None)
        sent = trace.may_have_arrived and not isinstance(exc, NEVER_SENT)
        if (failed := failed_check(exc)) is not None:
            return TransportError(action, problem_of_check(failed), sent=sent, is_permanent=True)
        kind = CallTimeout if isinstance(exc, httpx.TimeoutException | TimeoutError) else TransportError
        what = mask_secrets(f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__)
        if self._proxy is not None and not sent:
            what += f" (through the proxy of {self._proxy.name})"
        elif isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
            what += f" (to {self._headers['Host']})"
        if isinstance(exc, RuntimeError) and "loop" in str(exc):
            what += ANOTHER_LOOP
        elif not isinstance(exc, TRANSIENT):
            what += f" (raised {place_of(exc)})"
        is_refused = isinstance(exc, httpx.ProxyError) and str(exc).startswith(REFUSALS_OF_A_PROXY)
        return kind(action, what, sent=sent, is_permanent=is_refused or not isinstance(exc, TRANSIENT))

    def _httpx_request(
        self, request: Request, timeout: float, trace: RequestTrace, files: contextlib.ExitStack
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
            files=opened(request, files) or None,
            stream=stream,
            extensions={"trace": trace, "timeout": httpx.Timeout(timeout, connect=connect, pool=None).as_dict()},
        )
        if stream is not None:
            httpx_request.read()  # a user's transport may look at `request.content`
        httpx_request.url = (_OriginURL if request.is_path_secret else _RedactedURL)(httpx_request.url)
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


class _OriginURL(httpx.URL):
    """A URL whose string form omits the path as well."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc.decode()}/"

    __repr__ = __str__


PROXY_EXPECTED = "must be a URL such as http://proxy.example.com:8080, with http, https, socks5 or socks5h"


def _proxy(variable: Variable, context: ssl.SSLContext) -> httpx.Proxy:
    """Return the proxy that *variable* names; a value without a scheme is a host, as for curl."""
    value = variable.value.strip()
    url = httpx.URL(value if "://" in value else f"http://{value}")
    port = 80 if url.port is None else url.port
    if not url.host or not 0 < port < 2**16:
        raise ValueError(PROXY_EXPECTED)
    return httpx.Proxy(url, ssl_context=context if url.scheme == "https" else None)
