"""A request as it came in, its body read."""

from typing import Any

import attrs
from starlette.datastructures import UploadFile
from starlette.requests import Request

from ._params import read_json, read_query
from ._reply import Refused
from .records import Upload

_MANY = 10_000


@attrs.frozen
class Incoming:
    method: str
    path: str
    query: bytes = attrs.field(repr=False)
    """As received, undecoded: the hash covers these bytes."""
    authorization: str = attrs.field(repr=False)
    content_type: str
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
    def request_line(self) -> int:
        """The length of the first line, in bytes."""
        return len(f"{self.method} {self.path}? HTTP/1.1\r\n".encode()) + len(self.query)

    @property
    def shown_params(self) -> dict[str, Any]:
        """The parameters for the log: whatever could be read, and nothing that gives access."""
        try:
            params = self.params
        except Refused:
            params = self.query_params
        return {name: value for name, value in params.items() if name not in {"hash", "access_token", "http_pass"}}


async def read(request: Request) -> Incoming:
    content_type = request.headers.get("content-type", "")
    incoming = Incoming(
        request.method,
        request.url.path,
        request.scope["query_string"],
        request.headers.get("authorization", ""),
        content_type,
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
