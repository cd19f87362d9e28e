"""A file on its way in, over as many connections as it takes.

Where a connection is cut, the rest is asked for (``Range``), if the service said that it can be (``Accept-Ranges``);
``If-Range`` names the version of which there is a part already. An answer that is no continuation starts over.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable

import anyio
import attrs

from .._protocol.actions import DOWNLOAD
from .._protocol.envelope import Reply, read_reply
from .._protocol.structure import Structure
from .._transport.attempts import Attempts
from .._transport.http import Answer
from ..errors import TransportError, UnexpectedReply
from .file_names import safe_name

Fetch = Callable[[Callable[[Answer], Awaitable[Answer]], Attempts], Awaitable[Answer]]
"""Sends a request for the file until there is an answer, and lets a function look at it."""

Pause = Callable[[TransportError, int], Awaitable[float | None]]
"""Seconds to wait after an error of an attempt, or None where it is the last."""


@attrs.frozen
class Version:
    """What is known of a file before it arrives."""

    name: str
    """The service's name for it, made safe."""
    media_type: str
    size: int | None
    """Bytes, where the service says."""
    mark: str
    """What names this content among others the file may have: its ETag, or when it was changed; empty without."""
    is_resumable: bool

    @classmethod
    def of(cls, answer: Answer, disposition: str) -> Version:
        headers = answer.headers
        length = headers.get("content-length", "")
        is_plain = "content-encoding" not in headers
        etag = headers.get("etag", "")
        return cls(
            name=safe_name(disposition),
            media_type=headers.get("content-type", ""),
            size=int(length) if length.isdecimal() and is_plain else None,
            mark=etag if etag.startswith('"') else headers.get("last-modified", ""),
            is_resumable=is_plain and headers.get("accept-ranges", "").strip().lower() == "bytes",
        )

    def is_same(self, other: Version) -> bool:
        return (self.size, self.mark) == (other.size, other.mark)

    def is_continued_by(self, answer: Answer, position: int) -> bool:
        """Whether *answer* begins at *position* of the same content."""
        given = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("content-range", ""))
        if given is None or int(given[1]) != position or "content-encoding" in answer.headers:
            return False
        is_whole = given[3] == "*" or self.size in (None, int(given[3]))
        etag = answer.headers.get("etag", self.mark)
        return is_whole and (etag == self.mark or not self.mark.startswith('"'))


class Arrival:
    """A file while it arrives."""

    version: Version

    def __init__(self, fetch: Fetch, pause: Pause) -> None:
        self._fetch = fetch
        self._pause = pause
        self._attempts = Attempts(self._headers)
        self._answer: Answer | None = None
        self._position = 0
        self._is_resumable = False

    async def open(self) -> None:
        """Ask until there is an answer, and look at its head; an error in place of the file is raised as what it is."""
        self._answer = await self._fetch(self._receive, self._attempts)

    async def aclose(self) -> None:
        if self._answer is not None:
            answer, self._answer = self._answer, None
            await answer.aclose()

    async def chunks(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Bytes, and where in the file they belong; behind one's back it may start over, of a new `version` even."""
        while True:
            try:
                async with contextlib.aclosing(self._body()) as body:
                    async for chunk in body:
                        start, self._position = self._position, self._position + len(chunk)
                        yield start, chunk
                self._check_length()
            except TransportError as error:
                failure = error
            else:
                return
            await self._open_again(failure)

    def _body(self) -> AsyncGenerator[bytes, None]:
        if self._answer is None:
            raise RuntimeError("the download is closed")
        return self._answer.chunks()

    def _check_length(self) -> None:
        size = self.version.size
        if size is not None and self._position != size:
            self._is_resumable = self._is_resumable and self._position < size
            raise TransportError(DOWNLOAD.name, f"{self._position} of {size} bytes arrived", sent=True)

    async def _open_again(self, failure: TransportError) -> None:
        await self.aclose()
        pause = await self._pause(failure, self._attempts.made)
        if pause is None:
            raise failure
        await anyio.sleep(pause)
        await self.open()

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}  # ranges and lengths are those of what was stored
        if self._position and self._is_resumable:
            headers["Range"] = f"bytes={self._position}-"
            if self.version.mark:
                headers["If-Range"] = self.version.mark
        return headers

    async def _receive(self, answer: Answer) -> Answer:
        if answer.status in (206, 416):
            self._continue(answer)
        elif answer.status == 200 and (disposition := answer.headers.get("content-disposition")) is not None:
            self.version = Version.of(answer, disposition)
            self._position, self._is_resumable = 0, self.version.is_resumable
        else:
            reply = Reply(answer.status, answer.headers, await answer.read())
            read_reply(DOWNLOAD, reply, Structure())
            raise UnexpectedReply(DOWNLOAD.name, "$", "an envelope, not a file", http_status=reply.status)
        answer.is_kept = True
        return answer

    def _continue(self, answer: Answer) -> None:
        if not self._is_resumable or answer.status == 416 or not self.version.is_continued_by(answer, self._position):
            self._is_resumable = False  # the next attempt asks for all of it
            raise TransportError(DOWNLOAD.name, "the service does not go on where the file was cut", sent=True)
