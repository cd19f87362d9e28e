"""A download that survives lost connections.

After a lost connection the rest of the file is requested (``Range``), if the service supports that (``Accept-Ranges``).
``If-Range`` names the version of the part that has arrived, so that parts of two versions are never joined. A response
that does not continue that part restarts the download from offset 0.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncGenerator

import attrs

from .._protocol.actions import DOWNLOAD
from .._protocol.envelope import Reply, read_reply
from .._protocol.structure import Structure
from .._transport.attempts import Attempts
from .._transport.caller import Caller
from .._transport.http import HttpResponse
from ..errors import TransportError, UnexpectedReply
from .content_disposition import ContentDisposition
from .file_names import default_name, safe_name
from .peekable import PeekableBody

HTML = frozenset({"text/html", "application/xhtml+xml"})
JSON = re.compile(r"(application|text)/([\w.-]+\+)?json")

ENVELOPE_KEYS = frozenset({"status", "error", "errorDescription", "error_description"})
"""Keys of the replies of the API and of its OAuth2 server, by which they are distinguished from a stored JSON file."""

MAX_REPLY_BYTES = 65_536
"""How much of a body is read to find out whether it is a file; a longer JSON text is a file."""


@attrs.frozen
class Version:
    """What the headers of a response say about the file."""

    name: str
    """The name the service gives it, without characters that are unsafe in a path."""
    media_type: str
    size: int | None
    """Size in bytes; None if the service does not send it."""
    validator: str
    """The strong ETag, or else the Last-Modified date; empty without either."""
    is_resumable: bool

    @classmethod
    def of(cls, response: HttpResponse, id_file: int) -> Version:
        headers = response.headers
        length = headers.get("content-length", "")
        is_plain = "content-encoding" not in headers
        etag = headers.get("etag", "")
        return cls(
            name=safe_name(headers.get("content-disposition", ""), default_name(id_file, _media_type(response))),
            media_type=headers.get("content-type", ""),
            size=int(length) if length.isdecimal() and is_plain else None,
            validator=etag if etag.startswith('"') else headers.get("last-modified", ""),
            is_resumable=is_plain and headers.get("accept-ranges", "").strip().lower() == "bytes",
        )

    def is_same(self, other: Version) -> bool:
        return (self.size, self.validator) == (other.size, other.validator)

    def is_continued_by(self, response: HttpResponse, offset: int) -> bool:
        """Whether *response* begins at *offset* of the same content."""
        given = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("content-range", ""))
        if given is None or int(given[1]) != offset or "content-encoding" in response.headers:
            return False
        is_whole = given[3] == "*" or self.size in (None, int(given[3]))
        etag = response.headers.get("etag", self.validator)
        return is_whole and (etag == self.validator or not self.validator.startswith('"'))


class ResumableDownload:
    """A download of one file, over as many requests as it takes."""

    version: Version

    def __init__(self, caller: Caller, id_file: int) -> None:
        self._caller = caller
        self._id_file = id_file
        self._attempts = Attempts(self._headers)
        self._response: HttpResponse | None = None
        self._body: PeekableBody | None = None
        self._offset = 0
        self._is_resumable = False

    async def open(self, failure: TransportError | None = None) -> None:
        """Request the file, or, after *failure*, the rest of it; an error reply is raised as the error it is."""
        params = {"id_file": self._id_file}
        self._response, self._body = await self._caller.fetch(DOWNLOAD, params, self._receive, self._attempts, failure)

    async def aclose(self) -> None:
        if self._response is not None and self._body is not None:
            response, body, self._response, self._body = self._response, self._body, None, None
            await body.aclose()
            await response.aclose()

    async def chunks(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (offset, chunk); the offset may reset to 0, even with another `version` of the file."""
        while True:
            try:
                async with contextlib.aclosing(self._open_body()) as body:
                    async for chunk in body:
                        offset, self._offset = self._offset, self._offset + len(chunk)
                        yield offset, chunk
                self._check_length()
            except TransportError as error:
                failure = error
            else:
                return
            await self.aclose()
            await self.open(failure)

    def _open_body(self) -> AsyncGenerator[bytes, None]:
        if self._body is None:
            raise RuntimeError("the download is closed")
        return self._body.chunks()

    def _check_length(self) -> None:
        size = self.version.size
        if size is not None and self._offset != size:
            self._is_resumable = self._is_resumable and self._offset < size
            raise TransportError(DOWNLOAD.name, f"{self._offset} of {size} bytes arrived", sent=True)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}  # lengths and ranges have to be those of the stored file
        if self._offset and self._is_resumable:
            headers["Range"] = f"bytes={self._offset}-"
            if self.version.validator:
                headers["If-Range"] = self.version.validator
        return headers

    async def _receive(self, response: HttpResponse) -> tuple[HttpResponse, PeekableBody]:
        body = PeekableBody(response)
        try:
            if response.status in (206, 416):
                self._continue(response)
            else:
                await self._begin(response, body)
        except BaseException:
            await body.aclose()
            raise
        response.is_detached = True
        return response, body

    async def _begin(self, response: HttpResponse, body: PeekableBody) -> None:
        if response.status != 200 or not await _is_file(response, body):
            content = await body.peek(MAX_REPLY_BYTES)
            reply = Reply(response.status, response.headers, content, self._caller.clock.time())
            read_reply(DOWNLOAD, reply, Structure())
            raise UnexpectedReply(DOWNLOAD.name, "$", "an envelope, not a file", http_status=reply.status)
        self.version = Version.of(response, self._id_file)
        self._offset, self._is_resumable = 0, self.version.is_resumable

    def _continue(self, response: HttpResponse) -> None:
        if not self._is_resumable or response.status == 416 or not self.version.is_continued_by(response, self._offset):
            self._is_resumable = False  # the next attempt requests the whole file
            raise TransportError(DOWNLOAD.name, "the service did not continue at the requested offset", sent=True)


def _media_type(response: HttpResponse) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _is_file(response: HttpResponse, body: PeekableBody) -> bool:
    """Return True if a response with status 200 is a file, and no reply of the API or page of a proxy.

    A file usually has a Content-Disposition. Without one, its media type decides, and for JSON the content.
    """
    disposition = ContentDisposition.parse(response.headers.get("content-disposition", "")).type
    media_type = _media_type(response)
    if media_type in HTML:
        return disposition not in ("", "inline")
    if disposition or not JSON.fullmatch(media_type):
        return bool(disposition or media_type)
    head = await body.peek(MAX_REPLY_BYTES)
    return not body.is_complete or _is_stored_json(head)


def _is_stored_json(content: bytes) -> bool:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return not isinstance(value, dict) or ENVELOPE_KEYS.isdisjoint(value)
