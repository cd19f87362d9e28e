"""Connects httpx to the simulator in process, with simulated connection failures."""

from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._transport.clock import Clock
from ._app import DISCONNECT

_ERRORS: dict[str, type[httpx.TransportError]] = {
    "unreachable": httpx.ConnectError,
    "reset": httpx.ReadError,
    "timeout": httpx.ReadTimeout,
}


class _CheckedStream(httpx.AsyncByteStream):
    """A body; if it is shorter than its Content-Length, the connection breaks at its end, as over a socket."""

    def __init__(self, response: httpx.Response) -> None:
        self._stream = cast(httpx.AsyncByteStream, response.stream)
        self._missing = int(response.headers.get("Content-Length", "0"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._missing -= len(chunk)
            yield chunk
        if self._missing > 0:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


class SimulatorTransport(httpx.AsyncBaseTransport):
    """`httpx.ASGITransport` plus scripted failures and the read timeout of the client.

    Like `httpx.ASGITransport` it returns complete responses only; to test streaming, use `Simulator.serve`.
    """

    def __init__(self, app: ASGIApp, clock: Clock, outside: httpx.AsyncBaseTransport | None = None) -> None:
        self.clock = clock
        self.outside = outside
        """The transport to other servers than the service, such as receivers of webhooks; None for the network."""
        self._app = app
        self._transport = httpx.ASGITransport(app=self._failing_app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout: dict[str, Any] = request.extensions.get("timeout", {})
        try:
            with anyio.fail_after(timeout.get("read")):
                response = await self._transport.handle_async_request(request)
        except TimeoutError:
            raise httpx.ReadTimeout("the reply of the simulator is too late", request=request) from None
        response.stream = _CheckedStream(response)
        return response

    async def _failing_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_raise(message: Message) -> None:
            if message["type"] == DISCONNECT:
                raise _ERRORS[message["kind"]](f"scripted fault: {message['kind']}")
            await send(message)

        await self._app(scope, receive, send_or_raise)
