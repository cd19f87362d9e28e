"""A received HTTP request, with its body."""

from functools import cached_property
from typing import Any

import attrs
from starlette.datastructures import UploadFile
from starlette.requests import Request

from ._constants import LOGIN_ACTIONS
from ._params import read_json, read_query
from ._ranges import RangeRequest
from ._records import Upload
from ._reply import ServiceRefusal

_MAX_FORM_PARTS = 10_000
_SECRET_PARAMS = {"hash", "access_token", "http_pass", "client_secret", "code", "refresh_token"}


@attrs.frozen
class IncomingRequest:
    """One HTTP request: its parts as received, and the parameters decoded from them."""

    method: str
    path: str
    origin: str
    """Scheme, host and port, from the request of the client."""
    query: bytes = attrs.field(repr=False)
    """The bytes as received, not decoded: the hash covers these bytes."""
    authorization: str = attrs.field(repr=False)
    content_type: str
    range: RangeRequest = attrs.field(factory=RangeRequest)
    body: bytes = attrs.field(default=b"", repr=False)
    """Empty for a multipart body; its files are in `uploads`."""
    uploads: tuple[Upload, ...] = ()

    @cached_property
    def query_params(self) -> dict[str, Any]:
        return read_query(self.query)

    @cached_property
    def params(self) -> dict[str, Any]:
        """The parameters of the query and of the JSON body; raise `ServiceRefusal` if the body is not JSON."""
        return read_json(self.body) | self.query_params

    @property
    def form(self) -> dict[str, str]:
        """The parameters of the query and of the form body; the form overrides the query."""
        is_form = self.content_type.startswith("application/x-www-form-urlencoded")
        values = self.query_params | (read_query(self.body) if is_form else {})
        return {name: value for name, value in values.items() if isinstance(value, str)}

    @property
    def request_line_bytes(self) -> int:
        """The length of the request line, with the line break."""
        return len(f"{self.method} {self.path}? HTTP/1.1\r\n".encode()) + len(self.query)

    @property
    def loggable_params(self) -> dict[str, Any]:
        """The parameters that could be decoded, without secrets."""
        return {name: value for name, value in self._decodable_params().items() if name not in _SECRET_PARAMS}

    def _decodable_params(self) -> dict[str, Any]:
        if self.path in LOGIN_ACTIONS:
            return dict(self.form)
        try:
            return self.params
        except ServiceRefusal:
            return self.query_params


async def read_request(request: Request) -> IncomingRequest:
    """Read the body of *request*, including uploaded files."""
    content_type = request.headers.get("content-type", "")
    incoming = IncomingRequest(
        request.method,
        request.url.path,
        f"{request.url.scheme}://{request.url.netloc}",
        request.scope["query_string"],
        request.headers.get("authorization", ""),
        content_type,
        RangeRequest(request.headers.get("range", ""), request.headers.get("if-range", "")),
    )
    if content_type.startswith("multipart/form-data"):
        return attrs.evolve(incoming, uploads=await _uploads(request))
    return attrs.evolve(incoming, body=await request.body())


async def _uploads(request: Request) -> tuple[Upload, ...]:
    async with request.form(max_files=_MAX_FORM_PARTS, max_fields=_MAX_FORM_PARTS) as form:
        return tuple(
            [
                Upload(field, part.filename or "", await part.read())
                for field, part in form.multi_items()
                if isinstance(part, UploadFile)
            ]
        )
