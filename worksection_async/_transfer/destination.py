"""Where a file is put that arrives: under a temporary name until it is complete, and never over another one unasked."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

import attrs
from anyio.to_thread import run_sync

from .._protocol.actions import DOWNLOAD
from ..errors import InvalidCall
from .file_names import numbered
from .resumable import Arrival
from .spool import Writer

Progress = Callable[[int, int | None], object]
"""Called with bytes done, and bytes in all where the service says."""


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
class Destination:
    """A folder, a path or an open file."""

    to: str | os.PathLike[str] | BinaryIO
    overwrite: bool
    taken: set[str] | None = attrs.field(default=None, kw_only=True)
    """Names given by the run of downloads this is one of: others with such a name are numbered."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.to, str | os.PathLike):
            return
        path = Path(self.to)
        if not path.is_dir():
            self._refuse(path, sent=False)
        if not path.is_dir() and not path.parent.is_dir():
            raise InvalidCall(DOWNLOAD.name, f"there is no folder {path.parent}")

    @contextlib.contextmanager
    def room(self) -> Iterator[BinaryIO]:
        """A file to write to, that is gone at the end unless it was put in its place."""
        if not isinstance(self.to, str | os.PathLike):
            with TemporaryFile() as nameless:  # an attempt that fails must not leave its part in the caller's file
                yield nameless
            return
        parent = Path(self.to) if Path(self.to).is_dir() else Path(self.to).parent
        path = parent / f".download-{secrets.token_hex(8)}"  # with the rights of any new file
        try:
            file = path.open("xb")
        except OSError as exc:
            raise InvalidCall(DOWNLOAD.name, f"nothing can be written into {parent}: {exc.strerror}") from None
        try:
            with file:
                yield file
        finally:
            path.unlink(missing_ok=True)

    async def take(self, arrival: Arrival, file: BinaryIO, progress: Progress | None) -> DownloadedFile:
        """Save what arrives, by way of *file*, which is what `room` gave."""
        if isinstance(self.to, str | os.PathLike) and self.taken is None:
            self._refuse(next(self._places(Path(self.to), arrival.version.name)), sent=True)
        size = await _save(arrival, file, progress)
        version = arrival.version
        path = await run_sync(self._put, file, version.name)
        return DownloadedFile(path, version.name, size, version.media_type)

    def _put(self, file: BinaryIO, name: str) -> Path | None:
        if not isinstance(self.to, str | os.PathLike):
            file.seek(0)
            shutil.copyfileobj(cast(IO[bytes], file), self.to)
            return None
        file.close()
        temporary = Path(file.name)
        taken = set() if self.taken is None else self.taken
        to = Path(self.to)
        for path in self._places(to, name):
            if self._may_replace(path, taken):
                temporary.replace(path)
            elif not _moved(temporary, path):
                continue
            taken.add(path.name.casefold())
            return path
        raise _there_already(next(self._places(to, name)), sent=True)

    def _may_replace(self, path: Path, taken: Container[str]) -> bool:
        return self.overwrite and path.name.casefold() not in taken and not path.is_dir()

    def _places(self, to: Path, name: str) -> Iterator[Path]:
        """Where it could go, the best place first."""
        if not to.is_dir():
            yield to
        elif self.taken is None:
            yield to / name
        else:
            yield from (to / each for each in numbered(name))

    def _refuse(self, path: Path, *, sent: bool) -> None:
        if path.exists() and not self.overwrite:
            raise _there_already(path, sent=sent)


def folder(to: str | os.PathLike[str], *, overwrite: bool) -> Destination:
    """A folder for a run of downloads, in which no two get one name."""
    if not Path(to).is_dir():
        raise InvalidCall(DOWNLOAD.name, f"there is no folder {os.fspath(to)}")
    return Destination(to, overwrite, taken=set())


def _there_already(path: Path, *, sent: bool) -> InvalidCall:
    return InvalidCall(DOWNLOAD.name, f"{path.name} is there already; overwrite=True replaces it", sent=sent)


def _moved(temporary: Path, path: Path) -> bool:
    """Give a file its name, unless another one has it: then it is left where it is."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:  # there are file systems without links
        return _moved_in_steps(temporary, path)
    temporary.unlink()
    return True


def _moved_in_steps(temporary: Path, path: Path) -> bool:
    try:
        path.open("xb").close()  # from now on the name is nobody else's
    except FileExistsError:
        return False
    temporary.replace(path)
    return True


async def _save(arrival: Arrival, file: BinaryIO, progress: Progress | None) -> int:
    """Write all of it; returns how many bytes that were."""
    writer, done = Writer(file), 0
    async with contextlib.aclosing(arrival.chunks()) as chunks:
        async for start, chunk in chunks:
            if start != done:
                await writer.start_over()
            await writer.write(chunk)
            done = start + len(chunk)
            if progress:
                progress(done, arrival.version.size)
    await writer.flush()
    return done
