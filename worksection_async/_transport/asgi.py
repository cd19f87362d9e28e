"""ASGI 3: types, one response class, and helpers to read a request.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import re
import string
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

import attrs

MAX_PATH_CHARACTERS = 1000
"""A cookie encodes each character with up to three, and browsers drop cookies above 4096 bytes."""

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class ClientDisconnected(Exception):
    """The client closed the connection before the request body was complete."""


@attrs.frozen
class Response:
    """A complete HTTP response. ``content-length`` is added by `send`."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    """Names in lower case, as ASGI requires."""

    def with_header(self, name: str, value: str) -> Response:
        """Return a copy of this response with one more header."""
        return attrs.evolve(self, headers=(*self.headers, (name, value)))

    async def send(self, scope: Scope, send: Send) -> None:
        """Send the response to the ASGI server; a HEAD request gets the same headers and no body."""
        headers = (*self.headers, ("content-length", str(len(self.body))))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})


def header_values(scope: Scope, name: bytes) -> Iterator[bytes]:
    """Yield the value of each header *name* (in lower case): HTTP/2 may split one ``cookie`` into several headers."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return (value for key, value in headers if key.lower() == name)


def header(scope: Scope, name: bytes) -> bytes:
    """Return the value of the first header *name* (in lower case), or ``b""``."""
    return next(header_values(scope, name), b"")


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes | None:
    """Return the request body, or None if it is longer than *max_bytes*.

    Raises:
        ClientDisconnected: The client closed the connection before the end of the body.
    """
    length = header(scope, b"content-length")
    # Only 20 digits are converted: int() raises ValueError for numbers of more than 4300 digits.
    if length.isdigit() and int(length[:20]) > max_bytes:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += message.get("body", b"")
        if len(body) > max_bytes:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def local_path(text: str) -> str:
    """Return *text*, a path of this site with or without a query, encoded for the header ``location``.

    The result is empty if *text* is no such path, is too long, or could lead a browser to another site.
    """
    # Browsers read //host and /\host as URLs of another site, and ignore control characters, which are encoded here.
    if not re.match(r"/(?![/\\])", text):
        return ""
    path = quote(text, safe=string.punctuation, errors="replace")
    return path if len(path) <= MAX_PATH_CHARACTERS else ""
