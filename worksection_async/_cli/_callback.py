"""Receives the authorization code of a login: from the browser on a local port, or pasted into the terminal."""

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
from .._transport.pages import html_response
from ..errors import AuthError
from ..login import BadCallback, read_callback
from . import _certificate
from ._text import printable, width_of, wrapped

SHUTDOWN_SECONDS = 2
"""Time for the browser to receive the last page."""


class NoCallback(Exception):
    """No authorization code was received."""


def print_lines(*lines: str) -> None:
    """Print *lines*, wrapped at the width of the terminal. URLs stay whole, so that they can be copied."""
    text = "".join(f"{wrapped(printable(line), width_of(sys.stdout))}\n" for line in lines)
    encoding = sys.stdout.encoding
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


class CodeWaiter:
    """Waits for the first valid code from any input channel. Needs a running asyncio event loop."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._code: asyncio.Future[str] = self._loop.create_future()
        self._channels = 0

    async def wait(self, timeout: float) -> str:
        """Return the code.

        Raises:
            NoCallback: No code was received within *timeout* seconds, or all input channels are closed.
            AuthError: The service refused the login.
        """
        try:
            with anyio.fail_after(timeout):
                return await self._code
        except TimeoutError:
            raise NoCallback(f"No login within {timeout:g} s. Try again, or set a longer --timeout.") from None

    def add_channel(self) -> None:
        """Register an input channel."""
        self._channels += 1

    def remove_channel(self) -> None:
        """Unregister an input channel; without any channel the wait fails."""
        self._channels -= 1
        if not self._channels:
            message = "A login is not possible: the port is not available, and there is no terminal input."
            self._fail(NoCallback(message))

    def receive(self, text: str) -> AuthError | None:
        """Read the code from the query or URL of a callback; return the error if it is invalid."""
        try:
            code = read_callback(text, self._state)
        except BadCallback as error:
            return error  # continue to wait: any local program can send requests to the port
        except AuthError as error:
            self._fail(error)
            return error
        if not self._code.done():
            self._code.set_result(code)
        return None

    def submit_line(self, line: str | None) -> None:
        """Submit a line of input, or None at its end (thread-safe)."""
        with suppress(RuntimeError):  # the event loop is already closed
            self._loop.call_soon_threadsafe(self._receive_line, line)

    def _receive_line(self, line: str | None) -> None:
        if line is None:
            self.remove_channel()
        elif line.strip() and (error := self.receive(line)) and not self._code.done():
            print_lines(f"This address is not valid: {error.message}. Paste the whole address.")

    def _fail(self, error: Exception) -> None:
        if not self._code.done():
            self._code.set_exception(error)


@contextmanager
def terminal_input(waiter: CodeWaiter) -> Iterator[None]:
    """Submit the lines of standard input, a terminal or a pipe, to *waiter*."""
    try:
        descriptor = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        descriptor = -1  # the process has no standard input
    waiter.add_channel()
    with _unlimited_lines(descriptor):
        Thread(target=_read_lines, args=(descriptor, waiter.submit_line), daemon=True).start()
        yield


def _read_lines(descriptor: int, submit_line: Callable[[str | None], None]) -> None:
    """Read lines from *descriptor*: a thread that blocks in `sys.stdin` would hang the exit of the interpreter."""
    rest = b""
    with suppress(OSError):
        while (piece := os.read(descriptor, 65536)).strip(b"\x04"):  # Ctrl-D is a character in this mode
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                submit_line(line.decode("utf-8", "replace"))
    submit_line(rest.decode("utf-8", "replace"))
    submit_line(None)


@contextmanager
def _unlimited_lines(descriptor: int) -> Iterator[None]:
    """Switch off canonical mode, which cuts lines (after 1024 characters on macOS): the URL with the code is longer."""
    if descriptor < 0 or os.name != "posix" or not os.isatty(descriptor):
        yield
        return
    import termios  # noqa: PLC0415  # does not exist on Windows

    before, changed = termios.tcgetattr(descriptor), termios.tcgetattr(descriptor)
    changed[3] &= ~termios.ICANON
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@asynccontextmanager
async def callback_server(redirect_uri: str, waiter: CodeWaiter) -> AsyncIterator[None]:
    """Serve *redirect_uri* if it is on this machine, and print instructions for the user."""
    url = urlsplit(redirect_uri)
    host, port = url.hostname or "", url.port or 443
    if not is_loopback(host):
        print_lines(f"After the login the browser opens a page of {host}: paste its address here and press Enter.")
        yield
        return
    try:
        ssl_context = _certificate.create_ssl_context(host)
        listeners = _listeners(host, port)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).partition(" (")[0]
        print_lines(f"Port {port} of this machine is not available for the callback: {reason}.")
        print_lines("After the login the browser shows an error: paste the address of its page here and press Enter.")
        yield
        return
    print_lines(
        f"After the login the browser opens port {port} of this machine and warns about the certificate, which is "
        "self-signed: continue. If that fails, paste the address of the page here and press Enter.",
    )
    waiter.add_channel()
    async with _serve(_CallbackApp(unquote(url.path) or "/", waiter), ssl_context, listeners):
        yield


def _listeners(host: str, port: int) -> list[socket.socket]:
    """Open sockets on loopback, both for IPv4 and IPv6: browsers may use either address of localhost."""
    addresses = ["127.0.0.1", "::1"] if host == "localhost" else [host]
    listeners: list[socket.socket] = []
    try:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                listeners.append(socket.create_server((address, port), family=family))
            except OSError as exc:
                if not listeners or exc.errno == errno.EADDRINUSE:  # other errors: the machine has no IPv6
                    raise
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


@attrs.frozen
class _CallbackApp:
    """The page of the callback, an ASGI application."""

    path: str
    waiter: CodeWaiter = attrs.field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await self._answer(scope).send(scope, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["path"] != self.path:
            return html_response(404, "Not found")
        if scope["method"] != "GET":
            return html_response(405, "Method not allowed").with_header("allow", "GET")
        if error := self.waiter.receive(scope["query_string"].decode("latin-1")):
            return html_response(400, "You are not logged in", f"{error.message}.", "Go back to the terminal.")
        closing = "You can close this window and go back to the terminal."
        return html_response(200, "Worksection accepted the login", closing)


class _Server(uvicorn.Server):
    """A server that does not handle signals, so that Ctrl-C interrupts the program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not install signal handlers."""
        yield


@asynccontextmanager
async def _serve(app: _CallbackApp, ssl_context: ssl.SSLContext, listeners: list[socket.socket]) -> AsyncIterator[None]:
    """Serve *app* until the block ends. There is no access log, because its lines would contain codes."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        http="h11",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    config.load()
    config.ssl = ssl_context
    server = _Server(config)
    serving = asyncio.create_task(server.serve(listeners))
    try:
        yield
    finally:
        server.should_exit = True
        with anyio.CancelScope(shield=True):
            await serving
