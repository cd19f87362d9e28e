"""The ways to have stored files: one, as it comes, or many."""

from __future__ import annotations

import contextlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, BinaryIO, TypeVar

import attrs

from .._limits.queue import Waiter
from .._protocol.actions import DOWNLOAD
from .._protocol.call import Action, Call
from .._transport.attempts import Attempts
from .._transport.http import Answer
from ..errors import TransportError, UnexpectedReply, WorksectionError
from ..models import File
from .destination import Destination, DownloadedFile, Progress, folder
from .resumable import Arrival

T = TypeVar("T")


class OpenDownload:
    """A stored file while it arrives: ``async for chunk in file`` gives its bytes, once."""

    name: str
    """The service's name for it, made safe."""
    size: int | None
    """Bytes, where the service says."""
    media_type: str

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._version = arrival.version
        self.name, self.size, self.media_type = self._version.name, self._version.size, self._version.media_type
        self._chunks = self._each_once()

    def __repr__(self) -> str:
        return f"<OpenDownload {self.name!r}>"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()

    async def _each_once(self) -> AsyncGenerator[bytes, None]:
        """What arrives; where that starts over, what has been given already is left out."""
        given = 0
        async with contextlib.aclosing(self._arrival.chunks()) as chunks:
            async for start, chunk in chunks:
                if not self._arrival.version.is_same(self._version):
                    raise UnexpectedReply(DOWNLOAD.name, "$", "the file has changed meanwhile", http_status=200)
                if fresh := chunk[max(0, given - start) :]:
                    given += len(fresh)
                    yield fresh


@attrs.frozen
class DownloadReport:
    """What became of many downloads, by the numbers of the files and in their order."""

    done: Mapping[int, DownloadedFile]
    failed: Mapping[int, WorksectionError | OSError]

    def raise_failed(self) -> None:
        """Raise an `ExceptionGroup` of all failures, if there are any; each has a note with the number of its file."""
        for number, error in self.failed.items():
            if f"file {number}" not in getattr(error, "__notes__", ()):
                error.add_note(f"file {number}")
        if self.failed:
            asked = len(self.done) + len(self.failed)
            raise ExceptionGroup(f"{len(self.failed)} of {asked} files failed", list(self.failed.values()))


@attrs.define(eq=False)
class _Tally:
    """How far a run of downloads has come."""

    _sizes: dict[int, int | None]
    """Bytes of each file; of one that failed, none."""
    _progress: Progress | None
    _arrived: int = attrs.field(default=0, init=False)
    _total: int | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._total = _sum(self._sizes)

    def teller(self, number: int) -> Progress:
        def tell(done: int, size: int | None) -> None:
            if self._progress is not None:
                if size not in (None, self._sizes[number]):
                    self._resize(number, size)
                self._progress(self._arrived + done, self._total)

        return tell

    def settle(self, number: int, file: DownloadedFile | None) -> None:
        """The file has arrived, or it has not and will not."""
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


class Downloads(ABC):
    """The part of a session that brings files."""

    @abstractmethod
    async def _begin(self, action: Action[T], params: Mapping[str, object]) -> Call[T]: ...

    @abstractmethod
    def _waiter(self, action: Action[Any]) -> Waiter: ...

    @abstractmethod
    async def _perform(
        self,
        call: Call[Any],
        receive: Callable[[Answer], Awaitable[T]],
        waiter: Waiter,
        attempts: Attempts | None = None,
    ) -> T: ...

    @abstractmethod
    async def _pause_after(
        self, error: WorksectionError, action: Action[Any], attempt: int, time_left: float = math.inf
    ) -> float | None: ...

    async def download(
        self,
        id_file: int,
        to: str | os.PathLike[str] | BinaryIO,
        progress: Progress | None = None,
        *,
        overwrite: bool = False,
    ) -> DownloadedFile:
        """Save a stored file; it appears under its name only when it is complete.

        It goes to the disk as it comes. A connection that is cut is made again, up to ``retries`` times, each after a
        turn of its own; the rest is asked for where the service offers that, and all of it where not.

        Args:
            id_file: Number of the file.
            to: A folder, a path, or an open binary file.
            progress: Called with bytes done and bytes in all (None where the service does not say). When a file has to
                be fetched again, bytes done start again from 0.
            overwrite: Whether a file of that name may be replaced.

        Raises:
            InvalidCall: There is such a file already, no such folder, or one that cannot be written to.
            ApiError: The service refused: `NotFound` where there is no such file.
            TransportError: The file did not arrive whole.
            OSError: The disk is full, or what else keeps a file from being written.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        return await self._download(id_file, Destination(to, overwrite), progress)

    @contextlib.asynccontextmanager
    async def open_download(self, id_file: int) -> AsyncIterator[OpenDownload]:
        """Read a stored file as it comes, without saving it: ``async with ws.open_download(id_file) as file``.

        A connection that is cut is made again as in `download`; each byte is given once all the same.

        Args:
            id_file: Number of the file.

        Raises:
            ApiError: The service refused: `NotFound` where there is no such file.
            TransportError: The file did not arrive whole; raised from the iterator once that is certain.
            UnexpectedReply: The file was replaced by another one while it was read, or the answer makes no sense.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        async with self._arrival(id_file) as arrival, contextlib.aclosing(OpenDownload(arrival)) as file:
            yield file

    async def download_all(
        self,
        files: Iterable[File | int],
        to: str | os.PathLike[str],
        progress: Progress | None = None,
        *,
        overwrite: bool = False,
    ) -> DownloadReport:
        """Save many stored files in a folder, one after the other; one that fails does not keep the others back.

        It returns a report instead of raising what failed, since an exception would take from the caller what did
        arrive; ``report.raise_failed()`` raises it all. One after the other, since the service gives a turn a second.

        Files of one name are all kept: ``plan.pdf``, ``plan (2).pdf``. So is what the folder had before.

        Args:
            files: Records of files, as `get_files` returns them, or their numbers.
            to: The folder.
            progress: Called with bytes done of all files, and bytes in all (None until all sizes are known: records
                have them).
            overwrite: Whether files that the folder had before may be replaced; files of one run never replace each
                other.

        Raises:
            InvalidCall: There is no such folder.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        sizes = dict((file.id, file.size) if isinstance(file, File) else (file, None) for file in files)
        tally = _Tally(sizes, progress)
        destination = folder(to, overwrite=overwrite)
        done: dict[int, DownloadedFile] = {}
        failed: dict[int, WorksectionError | OSError] = {}
        for number in list(sizes):
            try:
                done[number] = await self._download(number, destination, tally.teller(number))
            except (WorksectionError, OSError) as error:
                failed[number] = error
            tally.settle(number, done.get(number))
        return DownloadReport(done, failed)

    async def _download(self, id_file: int, destination: Destination, progress: Progress | None) -> DownloadedFile:
        with destination.room() as file:
            async with self._arrival(id_file) as arrival:
                return await destination.take(arrival, file, progress)

    @contextlib.asynccontextmanager
    async def _arrival(self, id_file: int) -> AsyncIterator[Arrival]:
        call = await self._begin(DOWNLOAD, {"id_file": id_file})

        async def fetch(receive: Callable[[Answer], Awaitable[Answer]], attempts: Attempts) -> Answer:
            return await self._perform(call, receive, self._waiter(DOWNLOAD), attempts)

        async def pause(error: TransportError, attempt: int) -> float | None:
            return await self._pause_after(error, DOWNLOAD, attempt)

        async with contextlib.aclosing(Arrival(fetch, pause)) as arrival:
            await arrival.open()
            yield arrival
