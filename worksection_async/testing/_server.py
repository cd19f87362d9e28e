"""Serves the simulator on a real socket."""

import socket
from threading import Thread
from types import TracebackType
from typing import Any

import anyio
import uvicorn
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import InvalidCall
from ._app import DISCONNECT

_GRACE_SECONDS = 1


def config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """Return the configuration of uvicorn. There is no access log, because its lines would contain hashes."""
    disconnecting = _DisconnectingApp(app)
    quiet: Any = {"log_level": "warning", "access_log": False, "server_header": False, "date_header": False}
    return uvicorn.Config(
        disconnecting, host, port, lifespan="off", http="h11", timeout_graceful_shutdown=_GRACE_SECONDS, **quiet
    )


class Server:
    """uvicorn in its own thread, so that it can serve clients with asyncio, with trio and without an event loop.

    Use it as ``with server as url`` or ``async with server as url``.
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._server = uvicorn.Server(config(app, host, port))
        self._address = (host, port)

    def __enter__(self) -> str:
        try:
            listener = socket.create_server(self._address)
        except OSError as exc:
            host, port = self._address
            reason = (exc.strerror or str(exc)).partition(" (")[0]
            raise InvalidCall("Simulator", f"cannot listen on {host}, port {port}: {reason}") from exc
        # asyncio sets this only for sockets with an explicit protocol; without it each reply takes 40 ms more.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = Thread(target=self._server.run, args=([listener],), name="worksection-simulator", daemon=True)
        self._thread.start()
        host, port = listener.getsockname()[:2]
        return f"http://{host}:{port}"

    def __exit__(self, *exc_info: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def __aenter__(self) -> str:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await run_sync(self.__exit__)


class _DisconnectingApp:
    """Handles `DISCONNECT`: closes the connection, or sends nothing until the client closes it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_disconnect(message: Message) -> None:
            if message["type"] != DISCONNECT:
                await send(message)
                return
            if message["kind"] != "timeout":
                # ASGI cannot abort a connection; `send` is a method of uvicorn's cycle, which has the transport.
                cycle: Any = send.__self__  # type: ignore[attr-defined]
                cycle.transport.abort()
            while (await receive())["type"] != "http.disconnect":
                pass

        await self.app(scope, receive, send_or_disconnect)
