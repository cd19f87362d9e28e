"""What leaves the simulator: replies as status, headers and bytes, and the two envelopes."""

import gzip
import json
import re
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from ._facts import code_of

Record = dict[str, object]
"""A JSON object."""


_JSON: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json; charset=utf-8"})


@attrs.frozen
class Reply:
    """An HTTP answer before it meets a server."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = _JSON
    error: str | None = None
    """The message, when this is the service's refusal."""


class Refused(Exception):
    """The service says no. It does so with HTTP 200; what it says is in the body."""

    def __init__(self, message: str, details: str | None = None, *, status: int = 200) -> None:
        super().__init__(message, details)
        self.message = message
        self.details = details
        self.status = status

    def envelope(self) -> Record:
        code = code_of(self.message)
        envelope: Record = {"status": "error"}
        if code is not None:
            envelope["status_code"] = code
        envelope["message"] = self.message
        if self.details is not None:
            envelope["message_details"] = self.details
        return envelope


def missing(field: str) -> Refused:
    """A required value is absent, or is one the service does not understand."""
    return Refused("Field is required", field)


_NO_DATA = object()


def ok(data: object = _NO_DATA, **beside: object) -> Record:
    """An envelope of success; *beside* are the few keys which stand next to ``data``."""
    envelope: Record = {"status": "ok"}
    if data is not _NO_DATA:
        envelope["data"] = data
    return envelope | beside


def listing(rows: list[Record]) -> Record:
    """As `ok`, for those lists which lack ``data`` altogether when they are empty."""
    return ok(rows) if rows else ok()


def php_map(mapping: Mapping[str, object]) -> object:
    """An object, or what PHP makes of an empty one."""
    return dict(mapping) or []


def json_reply(envelope: Record) -> Reply:
    return Reply(json.dumps(envelope, ensure_ascii=False).encode())


def error_reply(refused: Refused) -> Reply:
    return attrs.evolve(json_reply(refused.envelope()), status=refused.status, error=refused.message)


def html_reply(status: int, title: str) -> Reply:
    """A page as nginx writes one."""
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    page += "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    return Reply(page.encode(), status, {"Content-Type": "text/html"})


def zipped(reply: Reply) -> Reply:
    """*reply* as it leaves for a client that takes gzip; what has headers of its own, or no body, leaves as it is."""
    if reply.headers != _JSON or not reply.body:
        return reply
    return attrs.evolve(reply, body=gzip.compress(reply.body, 1), headers={**_JSON, "Content-Encoding": "gzip"})


def takes_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` names it, and does not refuse it (``gzip;q=0``)."""
    return re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", accepted, re.IGNORECASE) is not None
