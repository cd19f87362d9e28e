"""Credentials, and how a call becomes a request that carries one. The signatures themselves are pure functions.

Signing comes after the wait for a turn: a signature carries the time, and tokens age.
"""

import hashlib
import hmac
import re
from abc import ABC, abstractmethod
from typing import Any, Literal

import attrs

from .._protocol.call import Call
from .._protocol.encoding import as_json, as_query
from .._protocol.request import Request
from .._protocol.service import ADMIN_URL, OAUTH_URL, MAX_REQUEST_LINE_BYTES
from ..errors import InvalidCall, WorksectionError

JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}


def query_hash(query: str, key: str) -> str:
    """The documented signature: md5 over the query exactly as it is sent, and the key.

    https://worksection.com/en/faq/api-start.html
    """
    return hashlib.md5(f"{query}{key}".encode(), usedforsecurity=False).hexdigest()


def header_signature(action: str, timestamp: int, key: str) -> str:
    """The signature of the vendor's own current clients: it covers the action and the time (Unix seconds)."""
    return hmac.new(key.encode(), f"{action}:{timestamp}".encode(), hashlib.sha256).hexdigest()


def legacy_page_hash(page: str, action: str, key: str) -> str:
    """The signature of links made for the older API: it covers the page and the action, no other parameter.

    Args:
        page: Path of a project or task, such as ``/project/26/123/``; empty where the action takes none.
        action: Name of the action.
        key: The account's administrative key.

    https://worksection.com/en/faq/api-start.html
    """
    return hashlib.md5(f"{page}{action}{key}".encode(), usedforsecurity=False).hexdigest()


def is_secret(_: object, field: "attrs.Attribute[str]", value: str) -> None:
    """Refuse what no header can carry, such as the line break at the end of a file, without showing any of it."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise ValueError(f"{field.alias} must be of visible ASCII characters only, without spaces or line breaks")


def _is_scheme(_: object, __: "attrs.Attribute[Any]", value: object) -> None:
    """Show nothing: a key may stand in the wrong place."""
    if value not in ("hash", "signature"):
        raise ValueError("scheme must be 'hash' or 'signature'")


class Auth(ABC):
    """A credential."""

    is_token: bool
    """Whether it stands for a user, as some actions demand."""

    @property
    def account_url(self) -> str:
        """Address of the account it belongs to, where it says so."""
        return ""

    async def ready(self) -> None:  # noqa: B027  # only some have to do something for it
        """See to it that there is something to sign with, before a turn is waited for."""

    @abstractmethod
    def sign(self, call: Call[object], now: float) -> Request:
        """The request for *call* at *now* (Unix seconds); raises `InvalidCall` for what cannot be sent."""

    @property
    def lineage(self) -> object:
        """Changes when it may be another user's from now on."""
        return None

    async def settle(self) -> None:  # noqa: B027  # only some have to
        """Wait for what must not be lost when the event loop ends."""

    async def recover(self, error: WorksectionError, request: Request) -> bool:  # noqa: ARG002
        """Whether *request*, which was refused with *error*, may be signed and sent once more."""
        return False

    def __reduce__(self) -> Any:
        raise TypeError(f"{type(self).__name__} is a secret and is not pickled")


@attrs.frozen
class ApiKey(Auth):
    """The administrative key of an account.

    Args:
        key: The key; only the owner of the account can see it (Account → API → Show API key).
        scheme: How requests are signed. ``"hash"`` is the documented way: an md5 sum over the query. ``"signature"``
            is that of the vendor's current clients: a signed header and a JSON body; calls that do not fit in a URL
            are sent this way in either case, and it needs a clock that is right.

    https://worksection.com/en/faq/api-start.html
    """

    _key: str = attrs.field(repr=False, validator=is_secret)
    scheme: Literal["hash", "signature"] = attrs.field(default="hash", validator=_is_scheme)

    is_token = False

    def sign(self, call: Call[object], now: float) -> Request:
        if self.scheme == "hash" and call.fits_query and not call.is_upload:
            request = self._hashed(call)
            if request.line_bytes <= MAX_REQUEST_LINE_BYTES:
                return request
        timestamp = int(now)
        token = f"Admin {timestamp}_{header_signature(call.action.name, timestamp, self._key)}"
        return with_header(call, ADMIN_URL, token, method="POST")

    def _hashed(self, call: Call[object]) -> Request:
        return Request(
            action=call.action.name,
            method="GET" if call.action.kind == "read" else "POST",
            target=f"{ADMIN_URL}?{call.query}&hash={query_hash(call.query, self._key)}",
            headers={"Accept": "application/json"},
            parts=call.parts,
        )


@attrs.frozen
class AccessToken(Auth):
    """An OAuth2 access token, valid for 24 hours; nothing refreshes it.

    https://worksection.com/en/faq/oauth.html
    """

    _token: str = attrs.field(repr=False, validator=is_secret)

    is_token = True

    def sign(self, call: Call[object], now: float) -> Request:  # noqa: ARG002  # a token carries no time
        method: Literal["GET", "POST"] = "GET" if call.action.kind == "read" and call.fits_query else "POST"
        request = with_header(call, OAUTH_URL, f"Bearer {self._token}", method=method)
        if request.line_bytes > MAX_REQUEST_LINE_BYTES and not call.parts:
            return with_header(call, OAUTH_URL, f"Bearer {self._token}", method="POST")
        return request


def with_header(call: Call[object], path: str, authorization: str, *, method: Literal["GET", "POST"]) -> Request:
    """A request with the credential in its header; what it says goes into the query (GET, files) or a JSON body."""
    action = call.action.name
    in_query = method == "GET" or call.parts
    request = Request(
        action=action,
        method=method,
        target=f"{path}?{call.query if in_query else as_query(action, {})}",
        headers={**({} if in_query else JSON_HEADERS), "Authorization": authorization},
        content=b"" if in_query else as_json(call.params),
        parts=call.parts,
    )
    if call.parts and not call.fits_query:
        raise InvalidCall(action, "files stored before cannot be sent along with new ones: store all with upload_files")
    if call.parts and request.line_bytes > MAX_REQUEST_LINE_BYTES:
        raise InvalidCall(
            action,
            "too long to be sent along with files: shorten it, or attach the files to a comment of their own",
        )
    return request
