"""Files on their way out: the forms an attachment can have, and what is sent of it."""

import mimetypes
import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import attrs
from anyio.to_thread import run_sync

from ..errors import InvalidCall

Content = str | os.PathLike[str] | bytes | BinaryIO | AsyncIterable[bytes]
Attachment = Content | tuple[str, Content] | tuple[str, Content, str]
"""A path, bytes, an open binary file, an async iterable of bytes; or any of them with a name, or with a name and a
media type.

Nothing but bytes is ever held in memory. What can be read only once (async iterables, pipes) is kept in a temporary
file before the call waits for its turn, so that a call that is refused for its rate can be made again like any other.
"""

PIECE = 1 << 18
"""Bytes read at a time from a pipe."""


@attrs.frozen
class Rest:
    """What is left of an open file, from where it stood: httpx rewinds what it sends, and would begin at 0."""

    _file: BinaryIO
    _start: int

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset + (self._start if whence == os.SEEK_SET else 0), whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


@attrs.frozen
class Once:
    """What can be read from front to end, once: it has to be kept before it is sent."""

    _source: BinaryIO | AsyncIterable[bytes]

    async def chunks(self, action: str) -> AsyncGenerator[bytes, None]:
        """All of it. Raises `InvalidCall` of *action* for what is not bytes, and whatever an iterable raises."""
        source = self._source if isinstance(self._source, AsyncIterable) else _pieces(self._source, action)
        pieces = aiter(source)
        try:
            async for piece in pieces:
                if not isinstance(piece, bytes | bytearray | memoryview):
                    raise InvalidCall(action, f"bytes expected in a file, not {type(piece).__name__}")
                yield bytes(piece)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()


@attrs.frozen
class Part:
    """One file in the body of a request."""

    field: str
    name: str
    source: Path | bytes | Rest | Once = attrs.field(repr=False)
    media_type: str

    def open(self) -> bytes | BinaryIO | Rest:
        """What to read the content from, all of it on every attempt."""
        if isinstance(self.source, Once):
            raise TypeError("it has to be kept before it is sent")
        return self.source.open("rb") if isinstance(self.source, Path) else self.source


def parts(field: str, attachments: object) -> Iterator[Part]:
    """The parts for *attachments*; ``{index}`` in *field* counts them. Raises `ValueError` or `OSError`."""
    is_one = isinstance(attachments, str | bytes | os.PathLike | Mapping) or hasattr(attachments, "read")
    if is_one or not isinstance(attachments, Iterable):
        raise ValueError("a sequence of files expected")
    for index, attachment in enumerate(attachments):
        yield _part(field.format(index=index), attachment)


def _part(field: str, attachment: object) -> Part:
    match attachment:
        case tuple((str(name), content)):
            media_type = ""
        case tuple((str(name), content, str(media_type))) if media_type.isprintable():
            pass
        case tuple():
            raise ValueError("a name and a file, or a name, a file and a media type expected")
        case content:
            name = media_type = ""
    source = _source(content)
    name = name or _name(content)
    name.encode()  # half of a surrogate pair cannot be sent: a ValueError
    return Part(field, name, source, media_type or mimetypes.guess_type(name)[0] or "application/octet-stream")


def _source(content: object) -> Path | bytes | Rest | Once:
    if isinstance(content, str | os.PathLike):
        return _readable(Path(content))
    if isinstance(content, bytes):
        return content
    if isinstance(content, AsyncIterable):
        return Once(content)
    if not _is_binary_file(content):
        expected = "a path, bytes, an open binary file or an async iterable of bytes"
        raise ValueError(f"{expected} expected, not {type(content).__name__}")
    file = cast(BinaryIO, content)
    return Rest(file, file.tell()) if file.seekable() else Once(file)


def _readable(path: Path) -> Path:
    """*path*, of a file that can be read: others are found before anything is sent."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is no file on a disk; open it, and give the open file")
    with path.open("rb"):
        return path


async def _pieces(file: BinaryIO, action: str) -> AsyncGenerator[bytes, None]:
    """What a pipe brings, read in a worker thread, as it may take its time."""
    try:
        while (piece := await run_sync(file.read, PIECE, abandon_on_cancel=True)) != b"":
            yield piece  # None, where nothing is there yet and the pipe does not wait: no bytes, and refused as such
    except (OSError, ValueError) as exc:
        failure = InvalidCall(action, f"a file cannot be read: {exc}")
    else:
        return
    raise failure


def _is_binary_file(content: object) -> bool:
    read = getattr(content, "read", None)
    return callable(read) and hasattr(content, "seekable") and isinstance(read(0), bytes)


def _name(content: object) -> str:
    name = content if isinstance(content, str | os.PathLike) else getattr(content, "name", None)
    return (Path(name).name if isinstance(name, str | os.PathLike) else "") or "file"
