"""Writes to disk in a worker thread; a failure is a `StorageError`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import BinaryIO

from .._transport.tasks import in_thread
from ..errors import StorageError

BLOCK_BYTES = 1 << 20
"""Bytes that are collected before a worker thread writes them: one thread switch per block instead of per chunk."""


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

    def __init__(self, file: BinaryIO, action: str, *, sent: bool) -> None:
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
