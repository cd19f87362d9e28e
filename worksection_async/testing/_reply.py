"""Replies of the simulator: status, headers and body; the envelopes for success and for errors."""

import gzip
import json
import re
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from ._constants import code_of

Record = dict[str, object]
"""A JSON object."""


_JSON: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json; charset=utf-8"})


@attrs.frozen
class SimulatedReply:
    """An HTTP reply of the simulator, independent of the transport."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = _JSON
    error: str | None = None
    """The error message, for the request log; None for a success."""


class ServiceRefusal(Exception):
    """An error of the service. The HTTP status is usually 200; message and code are in the envelope."""

    def __init__(self, message: str, details: str | None = None, *, status: int = 200) -> None:
        super().__init__(message, details)
        self.message = message
        self.details = details
        self.status = status

    def envelope(self) -> Record:
        """Return the JSON object of the reply."""
        code = code_of(self.message)
        envelope: Record = {"status": "error"}
        if code is not None:
            envelope["status_code"] = code
        envelope["message"] = self.message
        if self.details is not None:
            envelope["message_details"] = self.details
        return envelope


def missing_field(field: str) -> ServiceRefusal:
    """Return the refusal of a parameter that is missing or invalid."""
    return ServiceRefusal("Field is required", field)


_NO_DATA = object()


def ok(data: object = _NO_DATA, **beside: object) -> Record:
    """Return the envelope of a success; *beside* are keys next to ``data``."""
    envelope: Record = {"status": "ok"}
    if data is not _NO_DATA:
        envelope["data"] = data
    return envelope | beside


def ok_or_no_data(rows: list[Record]) -> Record:
    """Return `ok`, for actions whose reply has no ``data`` if the list is empty."""
    return ok(rows) if rows else ok()


def php_map(mapping: Mapping[str, object]) -> object:
    """Return a JSON object; like PHP, encode an empty one as an empty array."""
    return dict(mapping) or []


def json_reply(envelope: Record) -> SimulatedReply:
    return SimulatedReply(json.dumps(envelope, ensure_ascii=False).encode())


def error_reply(refused: ServiceRefusal) -> SimulatedReply:
    return attrs.evolve(json_reply(refused.envelope()), status=refused.status, error=refused.message)


def html_reply(status: int, title: str) -> SimulatedReply:
    """Return an error page of nginx."""
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    page += "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    return SimulatedReply(page.encode(), status, {"Content-Type": "text/html"})


def gzipped(reply: SimulatedReply) -> SimulatedReply:
    """Return *reply* compressed. Only JSON replies with a body are compressed, not files or pages."""
    if reply.headers != _JSON or not reply.body:
        return reply
    return attrs.evolve(reply, body=gzip.compress(reply.body, 1), headers={**_JSON, "Content-Encoding": "gzip"})


def accepts_gzip(accept_encoding: str) -> bool:
    """Return True if the header ``Accept-Encoding`` contains gzip and does not exclude it (``gzip;q=0``)."""
    return re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", accept_encoding, re.IGNORECASE) is not None
