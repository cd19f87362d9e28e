"""A download that is read chunk by chunk."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager

from .._transfer.downloads import OpenDownload
from .iterators import BlockingIterator
from .loop import background


class BlockingDownload(BlockingIterator[bytes]):
    """A stored file that is being downloaded: ``for chunk in file`` yields its bytes, once."""

    name: str
    """The name the service gives it, without characters that are unsafe in a path."""
    size: int | None
    """Size in bytes; None if the service does not send it."""
    media_type: str

    def __init__(self, file: OpenDownload) -> None:
        super().__init__(aiter(file))
        self._file = file
        self.name, self.size, self.media_type = file.name, file.size, file.media_type

    def __repr__(self) -> str:
        return f"<BlockingDownload {self.name!r}>"

    def close(self) -> None:
        """Close the connection, before the end of the file."""
        background.finish(self._file.aclose)


class OpeningDownload(AbstractContextManager[BlockingDownload]):
    """Opens a download and closes it. It is no generator: that would wait for the loop when it is collected."""

    def __init__(self, opening: AbstractAsyncContextManager[OpenDownload]) -> None:
        self._opening = opening

    def __enter__(self) -> BlockingDownload:
        return BlockingDownload(background.enter(self._opening))

    def __exit__(self, *_: object) -> None:
        background.exit(self._opening)
