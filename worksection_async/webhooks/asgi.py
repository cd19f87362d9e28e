"""The HTTP of a webhook, as ASGI has it: who calls, with what body, and what is answered."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import attrs

from .._protocol.service import WEBHOOK_REPLY
from ..errors import InvalidCall

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@attrs.frozen
class Answer:
    """What the service is told."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, scope: Scope, send: Send) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self.body)).encode()),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})


OK = Answer(200, WEBHOOK_REPLY.encode())
WHO = Answer(401, b'{"status":"UNAUTHORIZED"}', ((b"www-authenticate", b'Basic realm="worksection", charset="UTF-8"'),))
TOO_LARGE = Answer(413, b'{"status":"TOO LARGE"}')
BUSY = Answer(503, b'{"status":"BUSY"}')


@attrs.frozen
class Credentials:
    """Name and password of Basic authentication; neither is shown."""

    username: str = attrs.field(repr=False)
    password: str = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        if ":" in self.username:
            raise InvalidCall("WebhookReceiver", "username: Basic authentication allows no colon in it")

    def admit(self, header: bytes) -> bool:
        """Whether *header* brings them; how long that takes does not tell how much of them was right."""
        scheme, _, given = header.strip().partition(b" ")
        try:
            told = base64.b64decode(given.strip(), validate=True)
        except binascii.Error:
            told = b""
        right = hmac.compare_digest(told, f"{self.username}:{self.password}".encode())
        return right and scheme.lower() == b"basic"


def header(scope: Scope, name: bytes) -> bytes:
    """The value of a header, or nothing."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key.lower() == name), b"")


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The body, or None where it has more than *limit* bytes; raises `Gone` when the caller hangs up before its end."""
    length = header(scope, b"content-length")
    if length.isdigit() and int(length[:20]) > limit:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)


class Gone(Exception):
    """The caller has hung up."""
