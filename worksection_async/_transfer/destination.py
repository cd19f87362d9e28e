"""The destination of a download: a file has a temporary name until it is complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

import attrs

from .._protocol.actions import DOWNLOAD
from .._protocol.values import type_of
from .._transport.tasks import in_thread
from ..errors import InvalidCall, StorageError
from .disk import Writer, closing_quietly, temporary_file, translate_disk_errors
from .file_names import numbered
from .resumable import ResumableDownload

Progress = Callable[[int, int | None], object]
"""Called with the bytes done and the bytes in total (None if the service does not send the size)."""


@attrs.frozen
class DownloadedFile:
    """A file that was downloaded completely."""

    path: Path | None
    """Path of the file; None if it was written to an open file."""
    name: str
    """The name the service gives it, without characters that are unsafe in a path."""
    size: int
    """Bytes."""
    media_type: str


@attrs.frozen
class Destination:
    """A folder, a path or an open file."""

    to: str | os.PathLike[str] | BinaryIO
    overwrite: bool
    taken: set[str] | None = attrs.field(default=None, kw_only=True)
    """Names that this run of downloads has used (case-folded): a further file of such a name gets a number."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.to, str | os.PathLike):
            if not _takes_bytes(self.to):
                problem = f"to must be a folder, a path or an open binary file to write to, got {type_of(self.to)}"
                raise InvalidCall(DOWNLOAD.name, problem)
            return
        path = Path(self.to)
        if path.is_dir():
            return
        self._refuse(path, sent=False)
        if not path.parent.is_dir():
            raise InvalidCall(DOWNLOAD.name, f"the folder {path.parent} does not exist")

    @contextlib.contextmanager
    def open_temporary(self) -> Iterator[BinaryIO]:
        """Open a temporary file; it is deleted at the end unless `save` moved it, or could not move it."""
        if not isinstance(self.to, str | os.PathLike):
            with temporary_file(DOWNLOAD.name) as nameless:  # a failed download must not write to the caller's file
                yield nameless
            return
        parent = Path(self.to) if Path(self.to).is_dir() else Path(self.to).parent
        # Not a file of `tempfile`: this one is created with the permissions of any new file.
        path = parent / f".download-{secrets.token_hex(8)}"
        try:
            file = path.open("xb")
        except OSError as exc:
            raise InvalidCall(DOWNLOAD.name, f"no file can be created in {parent}: {exc.strerror}") from None
        is_kept = False
        try:
            with closing_quietly(file):
                yield file
        except StorageError as error:
            is_kept = bool(error.kept)
            raise
        finally:
            if not is_kept:
                _remove(path)

    async def save(self, download: ResumableDownload, file: BinaryIO, progress: Progress | None) -> DownloadedFile:
        """Write the download to *file* (from `open_temporary`) and move it to its place."""
        if isinstance(self.to, str | os.PathLike) and self.taken is None:
            self._refuse(next(self._candidates(Path(self.to), download.version.name)), sent=True)
        size = await _write_all(download, file, progress)
        version = download.version
        path = await in_thread(self._move, file, version.name)
        return DownloadedFile(path, version.name, size, version.media_type)

    def _move(self, file: BinaryIO, name: str) -> Path | None:
        if not isinstance(self.to, str | os.PathLike):
            file.seek(0)
            with translate_disk_errors(DOWNLOAD.name, sent=True):
                shutil.copyfileobj(cast(IO[bytes], file), self.to)
            return None
        temporary = Path(file.name)
        try:
            file.close()
            return self._place(temporary, Path(self.to), name)
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
        problem = f"the file has arrived, but cannot be moved to its place ({reason}); it is kept as {temporary}"
        raise StorageError(DOWNLOAD.name, problem, sent=True, kept=os.fspath(temporary))

    def _place(self, temporary: Path, to: Path, name: str) -> Path:
        """Move *temporary* to the first possible path, and return it."""
        taken = set() if self.taken is None else self.taken
        for path in self._candidates(to, name):
            if self._may_replace(path, taken):
                temporary.replace(path)
            elif not _try_move(temporary, path):
                continue
            taken.add(path.name.casefold())
            return path
        raise _already_exists(next(self._candidates(to, name)), sent=True)

    def _may_replace(self, path: Path, taken: Container[str]) -> bool:
        return self.overwrite and path.name.casefold() not in taken and not path.is_dir()

    def _candidates(self, to: Path, name: str) -> Iterator[Path]:
        """Yield the possible paths, the preferred one first."""
        if not to.is_dir():
            yield to
        elif self.taken is None:
            yield to / name
        else:
            yield from (to / each for each in numbered(name))

    def _refuse(self, path: Path, *, sent: bool) -> None:
        if path.exists() and not self.overwrite:
            raise _already_exists(path, sent=sent)


def shared_folder(to: str | os.PathLike[str], *, overwrite: bool) -> Destination:
    """Return a destination for a run of downloads, in which every file gets a name of its own."""
    if not isinstance(to, str | os.PathLike):
        raise InvalidCall(DOWNLOAD.name, f"to must be a folder, got {type_of(to)}")
    if not Path(to).is_dir():
        raise InvalidCall(DOWNLOAD.name, f"the folder {os.fspath(to)} does not exist")
    return Destination(to, overwrite, taken=set())


def _takes_bytes(file: object) -> bool:
    if isinstance(file, type) or getattr(file, "closed", False):
        return False
    is_text = hasattr(file, "encoding")
    return hasattr(file, "write") and not is_text and getattr(file, "writable", lambda: True)()


def _already_exists(path: Path, *, sent: bool) -> InvalidCall:
    return InvalidCall(DOWNLOAD.name, f"{path.name} already exists; overwrite=True replaces it", sent=sent)


def _try_move(temporary: Path, path: Path) -> bool:
    """Move *temporary* to *path* atomically, without replacing a file; return False if one exists."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except (OSError, NotImplementedError):  # not all file systems support hard links, and not all systems
        return _try_move_without_link(temporary, path)
    _remove(temporary)
    return True


def _try_move_without_link(temporary: Path, path: Path) -> bool:
    try:
        path.open("xb").close()  # reserves the name; from here on replacing is safe
    except FileExistsError:
        return False
    try:
        temporary.replace(path)
    except BaseException:
        _remove(path)
        raise
    return True


def _remove(path: Path) -> None:
    """Delete *path*; an error would hide the result of the download."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


async def _write_all(download: ResumableDownload, file: BinaryIO, progress: Progress | None) -> int:
    """Write the whole download to *file*; return its size in bytes."""
    writer, done = Writer(file, DOWNLOAD.name, sent=True), 0
    async with contextlib.aclosing(download.chunks()) as chunks:
        async for offset, chunk in chunks:
            if offset != done:
                await writer.restart()
            await writer.write(chunk)
            done = offset + len(chunk)
            if progress:
                progress(done, download.version.size)
    await writer.flush()
    return done
