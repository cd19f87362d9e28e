"""Writes to disk in a worker thread, and temporary copies of uploads that can be read only once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from tempfile import TemporaryFile
from typing import IO, BinaryIO, TypeVar

import attrs
from anyio.to_thread import run_sync

from .._protocol.attachments import FilePart, FileTail, SinglePassSource
from .._protocol.call import Call
from .._transport.tasks import in_thread
from ..errors import InvalidCall, StorageError

T = TypeVar("T")

BLOCK_BYTES = 1 << 20
"""Bytes that are collected before a worker thread writes them: one thread switch per block instead of per chunk."""

PIPE_READ_BYTES = 1 << 18
"""Bytes that one worker thread call reads from a pipe."""


@contextlib.contextmanager
def translate_disk_errors(action: str, *, sent: bool) -> Iterator[None]:
    """Raise `StorageError` of *action* instead of `OSError`."""
    try:
        yield
    except OSError as exc:
        problem = f"a file cannot be written on this machine ({exc.strerror or type(exc).__name__})"
        raise StorageError(action, problem, sent=sent) from exc


@contextlib.contextmanager
def closing_quietly(file: BinaryIO) -> Iterator[BinaryIO]:
    """Close *file* at the end, without an error: closing tries once more to write what `Writer` could not write."""
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            file.close()


@contextlib.contextmanager
def temporary_file(action: str) -> Iterator[BinaryIO]:
    """Open a file without a name; raises `StorageError` of *action*, before a request is sent."""
    with translate_disk_errors(action, sent=False):
        file = TemporaryFile()  # noqa: SIM115  # closed below
    with closing_quietly(file):
        yield file


class Writer:
    """Writes chunks to a file in a worker thread, so that a slow disk does not block the event loop."""

    def __init__(self, file: IO[bytes], action: str, *, sent: bool) -> None:
        self._file = file
        self._action = action
        self._sent = sent
        self._chunks: list[bytes] = []
        self._size = 0

    async def write(self, chunk: bytes) -> None:
        """Collect *chunk*; write the block when it is full."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= BLOCK_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Write the collected chunks, and flush the file's own buffer."""
        chunks, self._chunks, self._size = self._chunks, [], 0
        await in_thread(self._write_out, chunks)

    def _write_out(self, chunks: list[bytes]) -> None:
        with translate_disk_errors(self._action, sent=self._sent):
            self._file.writelines(chunks)
            self._file.flush()

    async def restart(self) -> None:
        """Discard everything that was written."""
        self._chunks, self._size = [], 0
        await in_thread(self._truncate)

    def _truncate(self) -> None:
        with translate_disk_errors(self._action, sent=self._sent):
            self._file.seek(0)
            self._file.truncate()


@contextlib.asynccontextmanager
async def repeatable(call: Call[T]) -> AsyncIterator[Call[T]]:
    """Yield *call* with files of known size that can be sent again: a source that can be read only once is copied."""
    if not call.parts:
        yield call
        return
    with contextlib.ExitStack() as files:
        parts = [await _copied(call.action.name, part, files) for part in call.parts]
        yield attrs.evolve(call, parts=tuple(parts))


async def _copied(action: str, part: FilePart, files: contextlib.ExitStack) -> FilePart:
    if not isinstance(part.source, SinglePassSource):
        return part
    file = files.enter_context(temporary_file(action))
    writer = Writer(file, action, sent=False)
    async with contextlib.aclosing(read_chunks(part.source, action)) as chunks:
        async for chunk in chunks:
            await writer.write(chunk)
    await writer.flush()
    return attrs.evolve(part, source=FileTail(file, 0))


async def read_chunks(single_pass: SinglePassSource, action: str) -> AsyncGenerator[bytes, None]:
    """Yield the whole content. Raises `InvalidCall` of *action* if an item is not bytes; an exception of the async
    iterable is passed through.
    """
    source = single_pass.source
    items = aiter(source if isinstance(source, AsyncIterable) else _read_pipe(source, action))
    try:
        async for item in items:
            if not isinstance(item, bytes | bytearray | memoryview):
                raise InvalidCall(action, f"a file must contain bytes, got {type(item).__name__}")
            yield bytes(item)
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


async def _read_pipe(file: BinaryIO, action: str) -> AsyncGenerator[bytes, None]:
    """Read a pipe in a worker thread, because its writer can be slow."""
    try:
        while (chunk := await run_sync(file.read, PIPE_READ_BYTES, abandon_on_cancel=True)) != b"":
            yield chunk  # None if a non-blocking pipe has no data yet: `read_chunks` refuses it
    except (OSError, ValueError) as exc:
        failure = InvalidCall(action, f"cannot read the file: {exc}")
    else:
        return
    raise failure
