"""Files to upload: the accepted types of an attachment, and the parts of the multipart body that are made of them."""

import mimetypes
import os
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import attrs

Content = str | os.PathLike[str] | bytes | BinaryIO | AsyncIterable[bytes]
Attachment = Content | tuple[str, Content] | tuple[str, Content, str]
"""A path, bytes, an open binary file or an async iterable of bytes; each of them can be given as ``(name, content)`` or
``(name, content, media_type)``.

Files are streamed, not loaded into memory. A source that can be read only once (an async iterable, a pipe) is copied to
a temporary file before the call waits for its slot, so that the request can be retried.
"""


@attrs.frozen
class FileTail:
    """An open file from its position at the time of the call to its end.

    httpx seeks to 0 before it sends a file: here, 0 is that position.
    """

    _file: BinaryIO
    _start: int

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset + (self._start if whence == os.SEEK_SET else 0), whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


@attrs.frozen
class SinglePassSource:
    """A source that can be read only once: `_transfer.spool` copies it to a temporary file before the first attempt."""

    source: BinaryIO | AsyncIterable[bytes]


@attrs.frozen
class FilePart:
    """One file of a multipart body."""

    field: str
    name: str
    source: Path | bytes | FileTail | SinglePassSource = attrs.field(repr=False)
    media_type: str

    def open(self) -> bytes | BinaryIO | FileTail:
        """Return the content, or a file to read it from. Each attempt calls this again and sends everything."""
        if isinstance(self.source, SinglePassSource):
            raise TypeError("copy a single-pass source before it is sent")
        return self.source.open("rb") if isinstance(self.source, Path) else self.source


def file_parts(field: str, attachments: object) -> Iterator[FilePart]:
    """Yield one part per item of *attachments*.

    Args:
        field: Name of the form field; ``{index}`` is replaced by the index of the file.
        attachments: A sequence of `Attachment`.

    Raises:
        ValueError: An item is not an `Attachment`.
        OSError: A file cannot be opened.
    """
    is_one = isinstance(attachments, str | bytes | os.PathLike | Mapping) or hasattr(attachments, "read")
    if is_one or not isinstance(attachments, Iterable):
        raise ValueError(f"must be a sequence of files, got {type(attachments).__name__}")
    for index, attachment in enumerate(attachments):
        yield _file_part(field.format(index=index), attachment)


def _file_part(field: str, attachment: object) -> FilePart:
    match attachment:
        case tuple((str(name), content)):
            media_type = ""
        case tuple((str(name), content, str(media_type))) if media_type.isprintable():
            pass
        case tuple():
            raise ValueError("a tuple must be (name, file) or (name, file, media_type)")
        case content:
            name = media_type = ""
    source = _source(content)
    name = name or _name(content)
    name.encode()  # raises ValueError for a lone surrogate, which cannot be sent as UTF-8
    return FilePart(field, name, source, media_type or mimetypes.guess_type(name)[0] or "application/octet-stream")


def _source(content: object) -> Path | bytes | FileTail | SinglePassSource:
    if isinstance(content, str | os.PathLike):
        return _readable_path(Path(content))
    if isinstance(content, bytes):
        return content
    if isinstance(content, AsyncIterable):
        return SinglePassSource(content)
    if not _is_binary_file(content):
        expected = "a path, bytes, an open binary file or an async iterable of bytes"
        raise ValueError(f"a file must be {expected}, got {type(content).__name__}")
    file = cast(BinaryIO, content)
    return FileTail(file, file.tell()) if file.seekable() else SinglePassSource(file)


def _readable_path(path: Path) -> Path:
    """Return *path*; raise `OSError` or `ValueError` now if it cannot be read, before anything is sent."""
    # Opening a named pipe blocks until another process writes to it.
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is not a regular file; open it yourself and pass the file object")
    with path.open("rb"):
        return path


def _is_binary_file(content: object) -> bool:
    read = getattr(content, "read", None)
    return callable(read) and hasattr(content, "seekable") and isinstance(read(0), bytes)


def _name(content: object) -> str:
    name = content if isinstance(content, str | os.PathLike) else getattr(content, "name", None)
    return (Path(name).name if isinstance(name, str | os.PathLike) else "") or "file"
