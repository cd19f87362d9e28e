"""Files on their way out: the forms an attachment can have, and what is sent of it."""

import mimetypes
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import attrs

Content = str | os.PathLike[str] | bytes | BinaryIO
Attachment = Content | tuple[str, Content] | tuple[str, Content, str]
"""A path, bytes, an open binary file; or any of them with a name, or with a name and a media type."""


@attrs.frozen
class Part:
    """One file in the body of a request."""

    field: str
    name: str
    source: Path | bytes | BinaryIO = attrs.field(repr=False)
    media_type: str
    start: int = 0
    """Position an open file is read from, on every attempt."""

    def open(self) -> bytes | BinaryIO:
        """What to read the content from."""
        if isinstance(self.source, Path):
            return self.source.open("rb")
        if not isinstance(self.source, bytes) and self.source.seekable():
            self.source.seek(self.start)
        return self.source


def parts(field: str, attachments: object) -> Iterator[Part]:
    """The parts for *attachments*; ``{index}`` in *field* counts them. Raises `ValueError` or `OSError`."""
    if isinstance(attachments, str | bytes | os.PathLike) or not isinstance(attachments, Iterable):
        raise ValueError("a sequence of files expected")
    for index, attachment in enumerate(attachments):
        yield _part(field.format(index=index), attachment)


def _part(field: str, attachment: Attachment) -> Part:
    name, content, *media_type = attachment if isinstance(attachment, tuple) else (None, attachment)
    source = _source(content)
    name = name or _name(source)
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Part(field, name, source, media_type[0] if media_type else guessed, _position(source))


def _source(content: object) -> Path | bytes | BinaryIO:
    if isinstance(content, str | os.PathLike):
        path = Path(content)
        with path.open("rb"):  # unreadable files are found before anything is sent
            return path
    if isinstance(content, bytes) or callable(getattr(content, "read", None)):
        return cast("bytes | BinaryIO", content)
    raise ValueError(f"a path, bytes or an open binary file expected, not {type(content).__name__}")


def _name(source: Path | bytes | BinaryIO) -> str:
    name = source if isinstance(source, Path) else getattr(source, "name", None)
    return Path(name).name if isinstance(name, str | Path) else "file"


def _position(source: Path | bytes | BinaryIO) -> int:
    return source.tell() if not isinstance(source, Path | bytes) and source.seekable() else 0
