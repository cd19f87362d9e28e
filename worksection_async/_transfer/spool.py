"""Temporary copies of uploads that can be read only once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import BinaryIO, TypeVar

import anyio
import attrs
from anyio.to_thread import run_sync

from .._protocol.attachments import FilePart, FileTail, SinglePassSource
from .._protocol.call import Call
from ..errors import InvalidCall
from .disk import Writer, temporary_file

T = TypeVar("T")

PIPE_READ_BYTES = 1 << 18
"""Bytes that one worker thread call reads from a pipe."""


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
    thread = anyio.CapacityLimiter(1)  # all threads of the default limiter may be waiting for this call
    try:
        while (chunk := await run_sync(file.read, PIPE_READ_BYTES, limiter=thread, abandon_on_cancel=True)) != b"":
            yield chunk  # None if a non-blocking pipe has no data yet: `read_chunks` refuses it
    except (OSError, ValueError) as exc:
        failure = InvalidCall(action, f"cannot read the file: {exc}")
    else:
        return
    raise failure
