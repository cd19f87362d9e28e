"""Files on their way out: the forms an attachment can have, and what is sent of it."""

import mimetypes
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import attrs

Content = str | os.PathLike[str] | bytes | BinaryIO
Attachment = Content | tuple[str, Content] | tuple[str, Content, str]
"""A path, bytes, an open binary file; or any of them with a name, or with a name and a media type."""


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
class Part:
    """One file in the body of a request."""

    field: str
    name: str
    source: Path | bytes | Rest = attrs.field(repr=False)
    media_type: str

    def open(self) -> bytes | BinaryIO | Rest:
        """What to read the content from, all of it on every attempt."""
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


def _source(content: object) -> Path | bytes | Rest:
    if isinstance(content, str | os.PathLike):
        path = Path(content)
        with path.open("rb"):  # unreadable files are found before anything is sent
            return path
    if isinstance(content, bytes):
        return content
    if not _is_binary_file(content):
        raise ValueError(f"a path, bytes or an open binary file expected, not {type(content).__name__}")
    file = cast(BinaryIO, content)
    # What cannot be rewound is read now, for there may be a second attempt.
    return Rest(file, file.tell()) if file.seekable() else file.read()


def _is_binary_file(content: object) -> bool:
    read = getattr(content, "read", None)
    return callable(read) and hasattr(content, "seekable") and isinstance(read(0), bytes)


def _name(content: object) -> str:
    name = content if isinstance(content, str | os.PathLike) else getattr(content, "name", None)
    return (Path(name).name if isinstance(name, str | os.PathLike) else "") or "file"
