"""Downloads of stored files: one as a stream, one to a disk, or many."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping

import attrs

from .._protocol.actions import DOWNLOAD
from .._transport.caller import Caller
from ..errors import UnexpectedReply, WorksectionError
from ..models import File
from .destination import Destination, DownloadedFile, Progress, shared_folder
from .resumable import ResumableDownload


class OpenDownload:
    """A stored file that is being downloaded: ``async for chunk in file`` yields its bytes, once."""

    name: str
    """The name the service gives it, without characters that are unsafe in a path."""
    size: int | None
    """Size in bytes; None if the service does not send it."""
    media_type: str

    def __init__(self, download: ResumableDownload) -> None:
        self._download = download
        self._version = download.version
        self.name, self.size, self.media_type = self._version.name, self._version.size, self._version.media_type
        self._chunks = self._without_repetition()

    def __repr__(self) -> str:
        return f"<OpenDownload {self.name!r}>"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()

    async def _without_repetition(self) -> AsyncGenerator[bytes, None]:
        """Yield each byte once: after a restart from offset 0, skip the bytes that were yielded before."""
        yielded = 0
        async with contextlib.aclosing(self._download.chunks()) as chunks:
            async for offset, chunk in chunks:
                if not self._download.version.is_same(self._version):
                    raise UnexpectedReply(
                        DOWNLOAD.name, "$", "the file was replaced during the download", http_status=200
                    ).of_read()
                if fresh := chunk[max(0, yielded - offset) :]:
                    yielded += len(fresh)
                    yield fresh


@attrs.frozen
class DownloadReport:
    """The results of many downloads, by file id, in the order in which the files were given."""

    done: Mapping[int, DownloadedFile]
    failed: Mapping[int, WorksectionError]

    def raise_failed(self) -> None:
        """Raise an `ExceptionGroup` of all failures, if there are any; each has a note with the id of its file."""
        for number, error in self.failed.items():
            if f"file {number}" not in getattr(error, "__notes__", ()):
                error.add_note(f"file {number}")
        if self.failed:
            asked = len(self.done) + len(self.failed)
            raise ExceptionGroup(f"{len(self.failed)} of {asked} files failed", list(self.failed.values()))


@attrs.define(eq=False)
class _Tally:
    """The progress of a run of downloads."""

    _sizes: dict[int, int | None]
    """Bytes of each file, 0 for one that failed; None if unknown."""
    _progress: Progress | None
    _arrived: int = attrs.field(default=0, init=False)
    _total: int | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._total = _sum(self._sizes)

    def progress_of(self, number: int) -> Progress:
        """Return the progress callback of one file; it reports the progress of the whole run."""

        def report(done: int, size: int | None) -> None:
            if self._progress is not None:
                if size not in (None, self._sizes[number]):
                    self._resize(number, size)
                self._progress(self._arrived + done, self._total)

        return report

    def finish(self, number: int, file: DownloadedFile | None) -> None:
        """Record that a file was saved, or, if *file* is None, that it failed."""
        size = file.size if file else 0
        self._arrived += size
        self._resize(number, size)
        if self._progress is not None:
            self._progress(self._arrived, self._total)

    def _resize(self, number: int, size: int | None) -> None:
        self._sizes[number] = size
        self._total = _sum(self._sizes)


def _sum(sizes: Mapping[int, int | None]) -> int | None:
    known = [size for size in sizes.values() if size is not None]
    return sum(known) if len(known) == len(sizes) else None


@attrs.frozen
class Downloader:
    """Downloads stored files through a caller."""

    _caller: Caller

    @contextlib.asynccontextmanager
    async def open(self, id_file: int) -> AsyncIterator[OpenDownload]:
        """Read one file without saving it."""
        async with self._resumable(id_file) as download, contextlib.aclosing(OpenDownload(download)) as file:
            yield file

    async def save(self, id_file: int, destination: Destination, progress: Progress | None) -> DownloadedFile:
        """Save one file."""
        with destination.open_temporary() as file:
            async with self._resumable(id_file) as download:
                return await destination.save(download, file, progress)

    async def save_all(
        self, files: Iterable[File | int], to: str | os.PathLike[str], progress: Progress | None, *, overwrite: bool
    ) -> DownloadReport:
        """Save many files in the folder *to*, one after the other."""
        sizes = dict((file.id, file.size) if isinstance(file, File) else (file, None) for file in files)
        tally = _Tally(sizes, progress)
        destination = shared_folder(to, overwrite=overwrite)
        done: dict[int, DownloadedFile] = {}
        failed: dict[int, WorksectionError] = {}
        for number in list(sizes):
            try:
                done[number] = await self.save(number, destination, tally.progress_of(number))
            except WorksectionError as error:
                failed[number] = error
            tally.finish(number, done.get(number))
        return DownloadReport(done, failed)

    @contextlib.asynccontextmanager
    async def _resumable(self, id_file: int) -> AsyncIterator[ResumableDownload]:
        async with contextlib.aclosing(ResumableDownload(self._caller, id_file)) as download:
            await download.open()
            yield download
