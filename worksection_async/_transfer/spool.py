"""Bytes on their way to a disk, and the keeping of what can be read only once until it has been sent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from tempfile import TemporaryFile
from typing import IO, TypeVar

import attrs
from anyio.to_thread import run_sync

from .._protocol.attachments import Once, Part, Rest
from .._protocol.call import Call

T = TypeVar("T")

BLOCK = 1 << 20
"""Bytes that are gathered for a trip to a worker thread."""

SLOW = 0.02
"""Seconds after which a write has held up the event loop for too long."""


class Writer:
    """Writes to a file without holding up the event loop for long.

    What the system takes into its memory takes it some 30 µs a chunk, a fraction of a trip to a worker thread: with
    such trips a download takes half as long again. So chunks are written at once, until a write is slow, as the disk
    cannot follow; from then on they are gathered, and blocks of them written in a worker thread.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._is_slow = False
        self._gathered: list[bytes] = []
        self._size = 0

    async def write(self, chunk: bytes) -> None:
        """Write *chunk*, now or with those that follow."""
        if not self._is_slow:
            started = time.perf_counter()
            self._file.write(chunk)
            self._is_slow = time.perf_counter() - started > SLOW
            return
        self._gathered.append(chunk)
        self._size += len(chunk)
        if self._size >= BLOCK:
            await self.flush()

    async def flush(self) -> None:
        """Write what has been gathered, and leave nothing to the file's own buffer."""
        gathered, self._gathered, self._size = self._gathered, [], 0
        await run_sync(self._write_out, gathered)

    def _write_out(self, gathered: list[bytes]) -> None:
        self._file.writelines(gathered)
        self._file.flush()

    async def start_over(self) -> None:
        """Forget all that was written."""
        self._gathered, self._size = [], 0
        await run_sync(self._file.seek, 0)
        await run_sync(self._file.truncate)


@contextlib.asynccontextmanager
async def repeatable(call: Call[T]) -> AsyncIterator[Call[T]]:
    """*call* with content that can be measured, and sent again: what comes only once is kept in temporary files."""
    if not call.parts:
        yield call
        return
    with contextlib.ExitStack() as files:
        parts = [await _kept(call.action.name, part, files) for part in call.parts]
        yield attrs.evolve(call, parts=tuple(parts))


async def _kept(action: str, part: Part, files: contextlib.ExitStack) -> Part:
    if not isinstance(part.source, Once):
        return part
    file = files.enter_context(TemporaryFile())  # noqa: SIM115  # the stack closes it
    writer, chunks = Writer(file), part.source.chunks(action)
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            await writer.write(chunk)
    await writer.flush()
    return attrs.evolve(part, source=Rest(file, 0))
