"""A file that changes while it is sent: the error names it, and says that the request was sent in part."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.constants import KEY
from tests.support.secrecy import assert_no_secret, sent_secrets, texts_of_error
from tests.support.tcp import TcpServer
from worksection_async import AccessToken, ApiKey, Session, TokenBucket
from worksection_async._protocol.actions import POST_COMMENT
from worksection_async._protocol.call import prepare
from worksection_async._transport.sized_file import opened
from worksection_async.errors import InvalidCall

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

SIZE = 8_000_000
"""More than the buffers of a connection contain, so that the file is read while the server receives."""

Serve = Callable[..., TcpServer]


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, 100)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("auth", [ApiKey(KEY), AccessToken(KEY)], ids=["key", "token"])
@pytest.mark.parametrize(("change", "word"), [(grow, "grown"), (shrink, "shrunk"), (empty, "shrunk")])
async def test_file_that_changes_while_it_is_sent_is_named(
    serve: Serve, tmp_path: Path, change: Callable[[Path], None], word: str, auth: Any
) -> None:
    path = tmp_path / "plan.pdf"
    path.write_bytes(bytes(SIZE))

    def change_then_read(server: TcpServer, connection: socket.socket) -> None:
        server.received.append(connection.recv(65_536))
        change(path)
        while connection.recv(65_536):
            pass

    server = serve(change_then_read)
    async with Session(server.url, auth, limiter=TokenBucket(1e6), retries=3) as ws:
        with pytest.raises(InvalidCall, match=f"plan.pdf has {word}; it had {SIZE} bytes at the start") as caught:
            await ws.post_comment(1, text="text", attach=[path])
    assert caught.value.sent is True
    assert "broken off" in str(caught.value)
    assert len(server.received) == 1
    assert_no_secret(texts_of_error(caught.value), sent_secrets(server.received[0]))
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert not any("httpcore" in file for file in frames), "their variables contain the credential"


class FailingFile(io.BytesIO):
    """A file on a network share that becomes unreachable."""

    def __init__(self, error: Exception) -> None:
        super().__init__(b"content")
        self._error = error

    def read(self, size: int | None = -1) -> bytes:
        if size == 0:
            return b""
        raise self._error


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("closed"), KeyError("a")], ids=repr)
async def test_file_that_cannot_be_read_is_named(serve: Serve, error: Exception) -> None:
    def read_all(_: TcpServer, connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    async with Session(serve(read_all).url, ApiKey(KEY), limiter=TokenBucket(1e6)) as ws:
        with pytest.raises(InvalidCall, match=r"plan\.pdf cannot be read") as caught:
            await ws.post_comment(1, text="text", attach=[("plan.pdf", FailingFile(error))])
    assert caught.value.sent is True


@pytest.mark.parametrize("change", [lambda file: file.close(), lambda file: setattr(file, "seek", None)])
def test_file_that_is_unusable_before_sending_is_named(change: Callable[[Any], None]) -> None:
    class File(io.BytesIO):
        seek: Any = io.BytesIO.seek

    file = File(b"content")
    call = prepare(POST_COMMENT, {"id_task": 1, "text": "a", "attach": [("plan.pdf", file)]})
    request = ApiKey(KEY).sign(call, 0.0)
    change(file)
    with contextlib.ExitStack() as files, pytest.raises(InvalidCall, match=r"plan\.pdf cannot be read") as caught:
        opened(request, files)
    assert caught.value.sent is False
