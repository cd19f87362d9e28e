"""Bytes on their way to a disk, and the keeping of what can be read only once until it has been sent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from tempfile import TemporaryFile
from typing import IO, TypeVar

import attrs
from anyio.to_thread import run_sync

from ._call import Call
from ._files import Once, Part, Rest

T = TypeVar("T")

BLOCK = 1 << 20
"""Bytes written at a time: each block is a trip to a worker thread, and trips are what costs."""


@attrs.define
class Writer:
    """Writes to a file by the block, without holding up the event loop."""

    _file: IO[bytes]
    _waiting: list[bytes] = attrs.field(factory=list, init=False, repr=False)
    _size: int = attrs.field(default=0, init=False)

    async def write(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        self._size += len(chunk)
        if self._size >= BLOCK:
            await self.flush()

    async def flush(self) -> None:
        """Write what has been put off."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting:
            await run_sync(self._file.writelines, waiting)

    async def start_over(self) -> None:
        """Forget all that was written."""
        self._waiting, self._size = [], 0
        await run_sync(self._file.seek, 0)
        await run_sync(self._file.truncate)


@contextlib.asynccontextmanager
async def repeatable(call: Call[T]) -> AsyncIterator[Call[T]]:
    """*call* with content that can be measured, and sent again: what comes only once is kept in temporary files."""
    with contextlib.ExitStack() as files:
        parts = [await _kept(call.action.name, part, files) for part in call.parts]
        yield attrs.evolve(call, parts=tuple(parts))


async def _kept(action: str, part: Part, files: contextlib.ExitStack) -> Part:
    if not isinstance(part.source, Once):
        return part
    file = files.enter_context(TemporaryFile())  # noqa: SIM115  # the stack closes it
    writer = Writer(file)
    async with contextlib.aclosing(part.source.chunks(action)) as chunks:
        async for chunk in chunks:
            await writer.write(chunk)
    await writer.flush()
    return attrs.evolve(part, source=Rest(file, 0))
