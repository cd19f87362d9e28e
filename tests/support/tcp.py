"""A TCP server with scripted behaviour, for tests of connection failures."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Behaviour = Callable[["TcpServer", socket.socket], None]

SSL_CONTEXT = ssl.create_default_context()
BODY = b'{"status":"ok","data":[{"id":1}]}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class TcpServer:
    """A TCP server that runs one behaviour per connection and records the received requests.

    The last behaviour is repeated for further connections.
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        self.received: list[bytes] = []
        self._behaviours = behaviours
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.done = threading.Event()
        self._start(self._serve)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _serve(self) -> None:
        for number in itertools.count():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            connection.settimeout(5)
            self._start(self._behave, self._behaviours[min(number, len(self._behaviours) - 1)], connection)

    def _behave(self, behaviour: Behaviour, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            behaviour(self, connection)

    def close(self) -> None:
        self.done.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(5)  # after that, no further connection is accepted
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)

    def read_request(self, connection: socket.socket) -> None:
        """Read one request, with its body."""
        data = b""
        while not _is_complete(data):
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError("the client has disconnected")
            data += piece
        self.received.append(data)


def _is_complete(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def close_at_once(_: TcpServer, connection: socket.socket) -> None:
    connection.close()


def close_after_reading(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.close()


def reset_after_reading(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()


def cut_the_body(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(REPLY[:-10])
    connection.close()


def cut_the_headers(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(REPLY[:30])
    connection.close()


def echo(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(server.received[-1])
    connection.close()


def answer(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(REPLY)


def answer_and_close(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(REPLY.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
    connection.close()


def answer_repeatedly(server: TcpServer, connection: socket.socket) -> None:
    while len(server.received) < 100:
        answer(server, connection)


def never_answer(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    server.done.wait(3)


def answer_slowly(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(REPLY[:40])
    server.done.wait(3)


def stop_in_the_body(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(REPLY[:-10])
    server.done.wait(3)


# Fixtures


@pytest.fixture
def one_ssl_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one SSL context for all clients, because its creation takes longer than most tests."""
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", lambda **_: SSL_CONTEXT, raising=False)
    monkeypatch.setattr("httpx.create_ssl_context", lambda **_: SSL_CONTEXT)


@pytest.fixture
def serve() -> Iterator[Callable[..., TcpServer]]:
    with contextlib.ExitStack() as stack:

        def start(*scripts: Behaviour) -> TcpServer:
            server = TcpServer(*scripts)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def unreachable() -> Iterator[str]:
    """The URL of a server with a full backlog, which neither accepts nor refuses connections."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
