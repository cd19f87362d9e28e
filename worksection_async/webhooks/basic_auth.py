"""Basic authentication (RFC 7617) of the service at a webhook receiver."""

from __future__ import annotations

import base64
import binascii
import hmac

import attrs

from ..errors import InvalidCall


def auth_for(username: str | None, password: str | None) -> BasicAuth | None:
    """Return the credentials for the options of a receiver; None without them.

    Raises:
        InvalidCall: Only one of the options was given, or they are invalid.
    """
    if username is None and password is None:
        return None
    if username is None or password is None:
        raise InvalidCall("WebhookReceiver", "username and password must be given together")
    return BasicAuth(username, password)


@attrs.frozen
class BasicAuth:
    """The username and password that a request must carry; both are omitted from the repr."""

    username: str = attrs.field(repr=False)
    password: str = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        if not (isinstance(self.username, str) and isinstance(self.password, str)):
            raise InvalidCall("WebhookReceiver", "username and password must be text")
        if ":" in self.username:
            raise InvalidCall("WebhookReceiver", "username must not contain a colon: it separates name and password")

    @property
    def pair(self) -> bytes:
        """The username and the password, separated by a colon."""
        return f"{self.username}:{self.password}".encode()

    @property
    def header(self) -> str:
        """The value of the header ``Authorization`` with these credentials."""
        return f"Basic {base64.b64encode(self.pair).decode()}"

    def is_valid(self, header: bytes) -> bool:
        """Return True if the ``Authorization`` header *header* carries these credentials.

        The comparison takes constant time, so a client cannot measure how many characters were right.
        """
        scheme, _, encoded = header.strip().partition(b" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            given = b""
        is_equal = hmac.compare_digest(given, self.pair)
        return is_equal and scheme.lower() == b"basic"
