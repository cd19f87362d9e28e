"""The two ways in which a code comes back: with the browser, to a port of this machine, and by hand."""

import asyncio
import errno
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from threading import Thread
from urllib.parse import unquote, urlsplit

import anyio
import attrs
import uvicorn

from .._protocol.account import is_loopback
from .._transport.asgi import Receive, Response, Scope, Send
from ..errors import AuthError
from ..login import BadCallback, html_response, read_callback
from . import _certificate
from . import _words as words

GRACE = 2
"""Seconds for browsers to take the last answer."""


class NobodyCame(Exception):
    """No code has come back, by neither way."""


def say(*lines: str) -> None:
    """Lines for the person; none is broken, so that an address can be copied."""
    text = "".join(f"{words.printable(line)}\n" for line in lines)
    encoding = sys.stdout.encoding
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


class Waiting:
    """The wait for a code, whichever way it comes first. Belongs to the running event loop, which is asyncio's."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._code: asyncio.Future[str] = self._loop.create_future()
        self._ways = 0

    async def outcome(self, timeout: float) -> str:
        """The code, within *timeout* seconds; raises `NobodyCame`, or `AuthError` for what the service refuses."""
        try:
            with anyio.fail_after(timeout):
                return await self._code
        except TimeoutError:
            raise NobodyCame(f"Nobody came back within {timeout:g} s: begin again, maybe with --timeout.") from None

    def open(self) -> None:
        """There is one way more."""
        self._ways += 1

    def close(self) -> None:
        """There is one way less."""
        self._ways -= 1
        if not self._ways:
            self._fail(NobodyCame("The browser cannot come back here, and nothing can be pasted: nobody can log in."))

    def take(self, text: str) -> AuthError | None:
        """Look at the query or the URL somebody came back with; returns what is wrong with it."""
        try:
            code = read_callback(text, self._state)
        except BadCallback as error:
            return error  # anybody can knock at a port, and anything can be pasted: the wait goes on
        except AuthError as error:
            self._fail(error)
            return error
        if not self._code.done():
            self._code.set_result(code)
        return None

    def hand_over(self, line: str | None) -> None:
        """From another thread: *line* was typed, or (None) nothing more will be."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._typed, line)

    def _typed(self, line: str | None) -> None:
        if line is None:
            self.close()
        elif line.strip() and (error := self.take(line)) and not self._code.done():
            say(f"That is not it: {error.message}. Paste the whole address.")

    def _fail(self, error: Exception) -> None:
        if not self._code.done():
            self._code.set_exception(error)


@contextmanager
def reading(waiting: Waiting) -> Iterator[None]:
    """Take what is pasted into the terminal, or comes through a pipe."""
    try:
        descriptor = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        descriptor = -1  # there is no standard input
    waiting.open()
    with _uncut(descriptor):
        Thread(target=_read_lines, args=(descriptor, waiting.hand_over), daemon=True).start()
        yield


def _read_lines(descriptor: int, hand_over: Callable[[str | None], None]) -> None:
    """A thread that was stuck in `sys.stdin` itself, and not below it, would break the interpreter's exit."""
    rest = b""
    with suppress(OSError):
        while (piece := os.read(descriptor, 65536)).strip(b"\x04"):  # Ctrl-D arrives as such where lines are uncut
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                hand_over(line.decode("utf-8", "replace"))
    hand_over(rest.decode("utf-8", "replace"))
    hand_over(None)


@contextmanager
def _uncut(descriptor: int) -> Iterator[None]:
    """Terminals that collect lines cut them, at 1024 characters on macOS; with a code in it the address is longer."""
    if descriptor < 0 or os.name != "posix" or not os.isatty(descriptor):
        yield
        return
    import termios  # noqa: PLC0415  # there is none on Windows

    before, uncut = termios.tcgetattr(descriptor), termios.tcgetattr(descriptor)
    uncut[3] &= ~termios.ICANON
    uncut[6][termios.VMIN], uncut[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSADRAIN, uncut)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@asynccontextmanager
async def listening(redirect_uri: str, waiting: Waiting) -> AsyncIterator[None]:
    """Serve the address browsers come back to, if it is on this machine, and tell the person what to expect there."""
    url = urlsplit(redirect_uri)
    host, port = url.hostname or "", url.port or 443
    if not is_loopback(host):
        say(f"When the browser has come back to {host}, paste the address it ended up at here, and press Enter.")
        yield
        return
    try:
        encryption = _certificate.context(host)
        listeners = _listeners(host, port)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).partition(" (")[0]
        say(f"The browser cannot come back to port {port} of this machine: {reason}.")
        say("It will end up at an error, or at another program: paste the address of that here, and press Enter.")
        yield
        return
    say(f"The browser will come back to port {port} of this machine, and warn of the certificate there: it is made for")
    say("this login, so go on. If that fails, paste the address the browser ended up at here, and press Enter.")
    waiting.open()
    async with _served(_Return(unquote(url.path) or "/", waiting), encryption, listeners):
        yield


def _listeners(host: str, port: int) -> list[socket.socket]:
    """Sockets on loopback; browsers may take either address of localhost."""
    addresses = ["127.0.0.1", "::1"] if host == "localhost" else [host]
    listeners: list[socket.socket] = []
    try:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                listeners.append(socket.create_server((address, port), family=family))
            except OSError as exc:
                if not listeners or exc.errno == errno.EADDRINUSE:  # the other error is that there is no IPv6
                    raise
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


@attrs.frozen
class _Return:
    """The page browsers come back to: an ASGI application."""

    path: str
    waiting: Waiting = attrs.field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await self._answer(scope).send(scope, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["path"] != self.path:
            return html_response(404, "Not found")
        if scope["method"] != "GET":
            return html_response(405, "Method not allowed").with_header("allow", "GET")
        if error := self.waiting.take(scope["query_string"].decode("latin-1")):
            return html_response(400, "You are not logged in", f"{error.message}.", "The terminal is where you began.")
        return html_response(
            200, "Worksection has let you in", "You can close this window. The terminal tells the rest."
        )


class _Server(uvicorn.Server):
    """One that leaves Ctrl-C to the program it is part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def _served(app: _Return, encryption: ssl.SSLContext, listeners: list[socket.socket]) -> AsyncIterator[None]:
    """No access log: its lines would show codes."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        http="h11",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    config.load()
    config.ssl = encryption
    server = _Server(config)
    serving = asyncio.create_task(server.serve(listeners))
    try:
        yield
    finally:
        server.should_exit = True
        with anyio.CancelScope(shield=True):
            await serving
