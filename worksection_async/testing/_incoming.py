"""A request as it came in, its body read."""

from typing import Any

import attrs
from starlette.datastructures import UploadFile
from starlette.requests import Request

from ._facts import LOGIN_ACTIONS
from ._params import read_json, read_query
from ._ranges import RangeWanted
from ._reply import Refused
from .records import Upload

_MANY = 10_000
_GIVES_ACCESS = {"hash", "access_token", "http_pass", "client_secret", "code", "refresh_token"}


@attrs.frozen
class Incoming:
    method: str
    path: str
    origin: str
    """Scheme, host and port as the client wrote them."""
    query: bytes = attrs.field(repr=False)
    """As received, undecoded: the hash covers these bytes."""
    authorization: str = attrs.field(repr=False)
    content_type: str
    wanted: RangeWanted = attrs.field(factory=RangeWanted)
    body: bytes = attrs.field(default=b"", repr=False)
    """Empty for a multipart body, of which only the files are of interest."""
    uploads: tuple[Upload, ...] = ()

    @property
    def query_params(self) -> dict[str, Any]:
        return read_query(self.query)

    @property
    def params(self) -> dict[str, Any]:
        """Query and JSON body together; raises `Refused` when the body is no JSON."""
        return read_json(self.body) | self.query_params

    @property
    def form(self) -> dict[str, str]:
        """Query and form together; what comes twice counts as the form says."""
        is_form = self.content_type.startswith("application/x-www-form-urlencoded")
        values = self.query_params | (read_query(self.body) if is_form else {})
        return {name: value for name, value in values.items() if isinstance(value, str)}

    @property
    def request_line(self) -> int:
        """The length of the first line, in bytes."""
        return len(f"{self.method} {self.path}? HTTP/1.1\r\n".encode()) + len(self.query)

    @property
    def shown_params(self) -> dict[str, Any]:
        """The parameters for the log: whatever could be read, and nothing that gives access."""
        return {name: value for name, value in self._readable().items() if name not in _GIVES_ACCESS}

    def _readable(self) -> dict[str, Any]:
        if self.path in LOGIN_ACTIONS:
            return dict(self.form)
        try:
            return self.params
        except Refused:
            return self.query_params


async def read(request: Request) -> Incoming:
    content_type = request.headers.get("content-type", "")
    incoming = Incoming(
        request.method,
        request.url.path,
        f"{request.url.scheme}://{request.url.netloc}",
        request.scope["query_string"],
        request.headers.get("authorization", ""),
        content_type,
        RangeWanted(request.headers.get("range", ""), request.headers.get("if-range", "")),
    )
    if content_type.startswith("multipart/form-data"):
        return attrs.evolve(incoming, uploads=await _uploads(request))
    return attrs.evolve(incoming, body=await request.body())


async def _uploads(request: Request) -> tuple[Upload, ...]:
    async with request.form(max_files=_MANY, max_fields=_MANY) as form:
        return tuple(
            [
                Upload(field, part.filename or "", await part.read())
                for field, part in form.multi_items()
                if isinstance(part, UploadFile)
            ]
        )
