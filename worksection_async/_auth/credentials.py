"""Credentials: they turn a call into a signed request. The signatures are pure functions.

A call is signed after it has waited for its slot, because a signature contains the time and tokens expire.
"""

import functools
import hashlib
import hmac
import re
from abc import ABC, abstractmethod
from typing import Any, Literal, TypeVar

import attrs

from .._protocol.call import Call
from .._protocol.encoding import as_json, as_query
from .._protocol.request import Request
from .._protocol.service import ADMIN_URL, MAX_REQUEST_LINE_BYTES, OAUTH_URL
from .._protocol.values import type_of
from .._transport.call_events import Observer
from ..errors import AuthError, InvalidCall

C = TypeVar("C")

JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}


def query_hash(query: str, key: str) -> str:
    """Return the documented signature: the MD5 of the query, exactly as it is sent, followed by the key.

    https://worksection.com/en/faq/api-start.html
    """
    return hashlib.md5(f"{query}{key}".encode(), usedforsecurity=False).hexdigest()


def header_signature(action: str, timestamp: int, key: str) -> str:
    """Return the signature of the vendor's current clients; it covers the action and the time (Unix seconds)."""
    return hmac.new(key.encode(), f"{action}:{timestamp}".encode(), hashlib.sha256).hexdigest()


def legacy_page_hash(page: str, action: str, key: str) -> str:
    """Return the signature of links for the older API; it covers the page and the action, but no other parameter.

    Args:
        page: Path of a project or task, such as ``/project/26/123/``; empty if the action takes none.
        action: Name of the action.
        key: The administrative key of the account.

    https://worksection.com/en/faq/api-start.html
    """
    return hashlib.md5(f"{page}{action}{key}".encode(), usedforsecurity=False).hexdigest()


def is_secret(instance: object, field: "attrs.Attribute[str]", value: str) -> None:
    """Refuse values that cannot be sent in a header, such as a key with the newline at the end of its file."""
    problem = _problem_of_secret(field.alias or field.name, value)
    del value  # tracebacks can show local variables
    if problem:
        raise InvalidCall(type(instance).__name__, problem)


def _problem_of_secret(name: str, value: object) -> str:
    """Return what is wrong with the secret *value*, without showing it; empty if nothing is."""
    if not isinstance(value, str):
        return f"{name} must be text, got {type_of(value)}{_hint_for(value)}"
    if not value:
        return f"{name} is empty"
    if not re.fullmatch(r"[!-~]+", value):
        return f"{name} must contain only visible ASCII characters, without spaces and line breaks"
    return ""


def _hint_for(value: object) -> str:
    if value is None:
        return ": is the environment variable set?"
    if hasattr(value, "get_secret_value"):
        return ": pass its .get_secret_value()"
    return ": pass its .decode()" if isinstance(value, bytes) else ""


def hides_arguments(cls: type[C]) -> type[C]:
    """Remove the frames of the constructor from its `InvalidCall`: their local variables are secrets."""
    construct: Any = cls.__init__

    @functools.wraps(construct)
    def init(self: object, *args: Any, **options: Any) -> None:
        try:
            construct(self, *args, **options)
        except InvalidCall as error:
            failure = error.with_traceback(None)
        else:
            return
        del self, args, options
        raise failure

    cls.__init__ = init  # type: ignore[method-assign]
    return cls


def _is_scheme(instance: object, _: "attrs.Attribute[Any]", value: object) -> None:
    """The error does not show the value, because it may be a key that was passed as the wrong argument."""
    if value not in ("hash", "signature"):
        raise InvalidCall(type(instance).__name__, "scheme must be 'hash' or 'signature'")


class Auth(ABC):
    """A credential."""

    is_token: bool
    """Whether it belongs to a user; some actions require that."""

    @property
    def account_url(self) -> str:
        """URL of the account it belongs to; empty if the credential does not contain it."""
        return ""

    async def ready(self, observer: Observer) -> None:  # noqa: B027  # a static credential is always ready
        """Prepare the credential for signing, before the call waits for its slot."""

    @abstractmethod
    def sign(self, call: Call[object], now: float) -> Request:
        """Return the signed request for *call* at *now* (Unix seconds); raises `InvalidCall` if it cannot be sent."""

    @property
    def identity_generation(self) -> object:
        """Changes when the credential may belong to another user than before."""
        return None

    async def wait_for_refresh(self) -> None:  # noqa: B027  # a static credential has no refresh
        """Wait for a refresh in progress in this event loop."""

    async def recover(self, error: AuthError, request: Request, renewals: int, observer: Observer) -> bool:  # noqa: ARG002
        """Return whether *request*, which was refused with *error*, can be signed and sent again.

        Args:
            error: How it was refused.
            request: The refused request.
            renewals: How often this has returned True for the same call.
            observer: Gets the event of a refresh.
        """
        return False

    def __reduce__(self) -> Any:
        raise TypeError(f"{type(self).__name__} is a secret and cannot be pickled")


@hides_arguments
@attrs.frozen
class ApiKey(Auth):
    """The administrative key of an account.

    Args:
        key: The key; only the owner of the account can see it (Account → API → Show API key).
        scheme: How requests are signed. ``"hash"`` is the documented scheme: an MD5 of the query. ``"signature"`` is
            the scheme of the vendor's current clients: a signed header and a JSON body. It needs a correct clock.
            Calls that are too long for a URL always use it.

    Raises:
        InvalidCall: The key or the scheme is invalid; the error does not show the key.

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


@hides_arguments
@attrs.frozen
class AccessToken(Auth):
    """An OAuth2 access token; it is valid for 24 hours and is not refreshed.

    Raises:
        InvalidCall: The token is invalid; the error does not show it.

    https://worksection.com/en/faq/oauth.html
    """

    _token: str = attrs.field(repr=False, validator=is_secret)

    is_token = True

    def sign(self, call: Call[object], now: float) -> Request:  # noqa: ARG002  # a token does not depend on the time
        method: Literal["GET", "POST"] = "GET" if call.action.kind == "read" and call.fits_query else "POST"
        request = with_header(call, OAUTH_URL, f"Bearer {self._token}", method=method)
        if request.line_bytes > MAX_REQUEST_LINE_BYTES and not call.parts:
            return with_header(call, OAUTH_URL, f"Bearer {self._token}", method="POST")
        return request


def with_header(call: Call[object], path: str, authorization: str, *, method: Literal["GET", "POST"]) -> Request:
    """Return a request with the credential in a header and the parameters in the query (GET, files) or a JSON body."""
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
        raise InvalidCall(
            action, "a call cannot have both stored and new files: store all files with upload_files first"
        )
    if call.parts and request.line_bytes > MAX_REQUEST_LINE_BYTES:
        raise InvalidCall(
            action,
            "the parameters are too long for a call with files: shorten them, or attach the files to a comment",
        )
    return request
