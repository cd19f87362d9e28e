"""Opens the files of a request, and detects that a file changes while it is sent."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

import attrs

from .._protocol.attachments import FilePart
from .._protocol.request import Request
from ..errors import InvalidCall


@attrs.define(eq=False)
class SizedFile:
    """A file that must keep the size that was announced in the header ``Content-Length``."""

    _file: Any
    _action: str
    _name: str
    _size: int = attrs.field(init=False)
    _done: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; raises `InvalidCall` (``sent`` is True) if the file has changed."""
        problem = ""
        try:
            chunk: bytes = self._file.read(size)
        except Exception as exc:  # noqa: BLE001  # the file object may be the caller's, with errors of any kind
            chunk, problem = b"", f"cannot be read ({getattr(exc, 'strerror', None) or type(exc).__name__})"
        self._done += len(chunk)
        if not problem and (self._done > self._size or (not chunk and self._done < self._size)):
            problem = f"has {'grown' if self._done > self._size else 'shrunk'}; it had {self._size} bytes at the start"
        if problem:
            raise InvalidCall(
                self._action,
                f"{self._name} {problem}. The request was broken off while the file was sent: "
                "attach a complete file or a copy that does not change",
                sent=True,
            )
        return chunk

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position: int = self._file.seek(offset, whence)
        self._done = position
        return position

    def tell(self) -> int:
        return self._done


def opened(request: Request, files: contextlib.ExitStack) -> list[tuple[str, Any]]:
    """Return the parts of *request* as httpx takes them; *files* closes what was opened."""
    return [(part.field, (part.name, _content(request.action, part, files), part.media_type)) for part in request.parts]


def _content(action: str, part: FilePart, files: contextlib.ExitStack) -> bytes | SizedFile:
    try:
        content = part.open()
        if isinstance(content, bytes):
            return content
        if isinstance(part.source, Path):
            files.callback(cast(BinaryIO, content).close)
        return SizedFile(content, action, part.name)
    except Exception as exc:  # noqa: BLE001  # the file object may be the caller's, with errors of any kind
        reason = getattr(exc, "strerror", None) or exc
    raise InvalidCall(action, f"{part.name} cannot be read: {reason}")
