"""Replies with the content of a file, or a range of it (RFC 9110, section 14), as nginx sends them."""

import hashlib
import re
from email.utils import format_datetime
from urllib.parse import quote

import attrs

from ._records import StoredFile
from ._reply import SimulatedReply, html_reply


@attrs.frozen
class RangeRequest:
    """The range headers of a request."""

    range: str = ""
    """The header ``Range``."""
    if_range: str = ""
    """The header ``If-Range``: the version of the file that the client has a part of."""


def file_reply(file: StoredFile, request: RangeRequest) -> SimulatedReply:
    """Return *file*, or one range of it. Multiple ranges and invalid headers are ignored."""
    content, headers = file.content, _headers(file)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.range)
    is_current = request.if_range in ("", headers["ETag"], headers["Last-Modified"])
    if match is None or not any(match.groups()) or not is_current:
        return SimulatedReply(content, headers=headers)
    start, end = _bounds(match[1], match[2], len(content))
    if start >= end:
        refusal = html_reply(416, "416 Requested Range Not Satisfiable")
        return attrs.evolve(refusal, headers={**refusal.headers, "Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return SimulatedReply(content[start:end], 206, headers)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _headers(file: StoredFile) -> dict[str, str]:
    return {
        "Content-Type": "application/x-download",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "ETag": f'"{hashlib.md5(file.content, usedforsecurity=False).hexdigest()}"',
        "Last-Modified": format_datetime(file.date_added).replace("-0000", "GMT"),
        "Accept-Ranges": "bytes",
    }
