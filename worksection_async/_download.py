"""Files on their way in: streamed to a temporary name, checked, then put in place."""

import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile, _TemporaryFileWrapper
from typing import BinaryIO, cast
from urllib.parse import unquote

import anyio.to_thread
import attrs

from ._actions import DOWNLOAD
from ._envelope import Reply, read_reply
from ._http import Answer
from ._structure import Structure
from .errors import InvalidCall, TransportError, UnexpectedReply

Progress = Callable[[int, int | None], object]
"""Called with bytes done, and bytes in all where the service says."""

LONGEST_NAME = 200
"""Bytes of a file's name, so that any file system takes it."""

LONGEST_SUFFIX = 20
"""Characters after which what follows a full stop is no file type any more, but a part of a sentence."""

RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\..*)?")
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069<>:\"|?*]")
"""Control characters, those that turn the direction of writing included, and what Windows takes for something else."""


@attrs.frozen
class DownloadedFile:
    """A file that arrived whole."""

    path: Path | None
    """Where it is; None where it was written to an open file."""
    name: str
    """The service's name for it, made safe."""
    size: int
    """Bytes."""
    media_type: str


@attrs.frozen
class Download:
    """Where a file is to go."""

    to: str | os.PathLike[str] | BinaryIO
    progress: Progress | None
    overwrite: bool

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.to, str | os.PathLike):
            return
        path = Path(self.to)
        if not path.is_dir():
            _check(path, overwrite=self.overwrite, sent=False)
        if not path.is_dir() and not path.parent.is_dir():
            raise InvalidCall("download", f"there is no folder {path.parent}")

    async def receive(self, answer: Answer) -> DownloadedFile:
        """Save what *answer* brings; an error disguised as a file is raised as what it is."""
        disposition = answer.headers.get("content-disposition")
        if disposition is None:
            reply = Reply(answer.status, answer.headers, await answer.read())
            read_reply(DOWNLOAD, reply, Structure())
            raise UnexpectedReply("download", "$", "an envelope, not a file", http_status=reply.status)
        name = safe_name(disposition)
        path, size = await self._save(answer, name)
        return DownloadedFile(path, name, size, answer.headers.get("content-type", ""))

    async def _save(self, answer: Answer, name: str) -> tuple[Path | None, int]:
        length = answer.headers.get("content-length", "")
        total = int(length) if length.isdecimal() and "content-encoding" not in answer.headers else None
        if not isinstance(self.to, str | os.PathLike):
            with TemporaryFile() as whole:  # an attempt that fails must not leave its part in the caller's file
                size = await self._copy(answer.chunks(), whole, total)
                whole.seek(0)
                await anyio.to_thread.run_sync(shutil.copyfileobj, whole, self.to)
            return None, size
        path = self._path(Path(self.to), name)
        with _temporary(path.parent) as file:
            size = await self._copy(answer.chunks(), cast(BinaryIO, file), total)
            _put(file, path)
        return path, size

    def _path(self, to: Path, name: str) -> Path:
        path = to / name if to.is_dir() else to
        _check(path, overwrite=self.overwrite, sent=True)
        return path

    async def _copy(self, chunks: AsyncIterator[bytes], file: BinaryIO, total: int | None) -> int:
        done = 0
        async for chunk in chunks:
            await anyio.to_thread.run_sync(file.write, chunk)
            done += len(chunk)
            if self.progress:
                self.progress(done, total)
        if total is not None and done != total:
            raise TransportError("download", f"{done} of {total} bytes arrived", sent=True)
        return done


def _check(path: Path, *, overwrite: bool, sent: bool) -> None:
    if path.exists() and not overwrite:
        raise InvalidCall("download", f"{path.name} is there already; overwrite=True replaces it", sent=sent)


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator["_TemporaryFileWrapper[bytes]"]:
    """A file that is gone at the end, unless it was renamed."""
    with NamedTemporaryFile(dir=folder, prefix=".download-", delete=False) as file:
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def _put(file: "_TemporaryFileWrapper[bytes]", path: Path) -> None:
    file.close()
    Path(file.name).replace(path)


def safe_name(disposition: str) -> str:
    """The file name a Content-Disposition gives, without anything that could lead elsewhere."""
    extended = re.search(r"filename\*\s*=\s*[\w-]*'[^']*'([^;\s]+)", disposition)
    plain = re.search(r'filename\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;\s]+))', disposition)
    name = unquote(extended[1]) if extended else (plain[1] or plain[2] or "") if plain else ""
    name = UNSAFE.sub("_", re.split(r"[/\\]", name)[-1]).strip(" .")
    if not name or RESERVED.fullmatch(name):
        name = f"file_{name}".rstrip("_")
    suffix = Path(name).suffix
    if len(suffix) > LONGEST_SUFFIX:
        suffix = ""
    return (_cut(name.removesuffix(suffix), LONGEST_NAME - len(suffix.encode())) + suffix).rstrip(" .")


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
