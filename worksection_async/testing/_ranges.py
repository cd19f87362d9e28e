"""A stored file as it is sent: all of it, or the range that was asked for (RFC 9110, chapter 14), as nginx has it."""

import hashlib
import re
from email.utils import format_datetime
from urllib.parse import quote

import attrs

from ._reply import Reply, html_reply
from .records import StoredFile


@attrs.frozen
class RangeWanted:
    """What a request says of the part it wants."""

    range: str = ""
    """The header ``Range``."""
    if_range: str = ""
    """The header ``If-Range``: the version of which a part is there already."""


def file_reply(file: StoredFile, wanted: RangeWanted) -> Reply:
    """All of *file*, or one range of it; several at once are not served, and what makes no sense is not obeyed."""
    content, headers = file.content, _headers(file)
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted.range)
    is_current = wanted.if_range in ("", headers["ETag"], headers["Last-Modified"])
    if asked is None or not any(asked.groups()) or not is_current:
        return Reply(content, headers=headers)
    start, end = _bounds(asked[1], asked[2], len(content))
    if start >= end:
        refusal = html_reply(416, "416 Requested Range Not Satisfiable")
        return attrs.evolve(refusal, headers={**refusal.headers, "Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return Reply(content[start:end], 206, headers)


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
