"""Who is asking. Shares no code with the client: a mistake in one of them must not hide in the other.

* ``hash``: md5 over the query exactly as received, up to the ``&hash=`` at its end, and the key.
* ``page`` and ``hash``: the older scheme, md5 over page, action and key.
* ``Authorization: Admin {time}_{hmac}``: SHA-256 over ``action:time``; five minutes of skew are tolerated.
* ``Authorization: Bearer`` or ``access_token``: a token of `Tokens`.
"""

import hashlib
import hmac
import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from ._facts import LOGIN, SCOPES
from ._reply import Refused
from .records import User

_SKEW = 300.0
_SIGNATURE_BYTES = 256


@attrs.frozen
class Caller:
    """The user on whose behalf an action is carried out."""

    user: User
    scopes: frozenset[str] = SCOPES
    by_key: bool = False


@attrs.frozen
class _Grant:
    caller: Caller
    expires_at: float


@attrs.define
class Tokens:
    """Access tokens by their text."""

    clock: Callable[[], float]
    client_id: str
    _grants: dict[str, _Grant] = attrs.field(factory=dict, init=False, repr=False)

    def issue(self, user: User, scopes: Iterable[str] = SCOPES, expires_in: float = LOGIN.access_ttl_seconds) -> str:
        granted = known_scopes(scopes)
        now = self.clock()
        token = self._text(user, granted, now, now + expires_in)
        self._grants[token] = _Grant(Caller(user, granted), now + expires_in)
        return token

    def void(self, token: str) -> None:
        self._grants.pop(token, None)

    def caller(self, token: str) -> Caller:
        grant = self._grants.get(token)
        if grant is None:
            raise Refused("Invalid token", status=401)
        if self.clock() >= grant.expires_at:
            raise Refused("Access token is expired", status=401)
        return grant.caller

    def _text(self, user: User, scopes: frozenset[str], now: float, end: float) -> str:
        """Return a JWT with the claims of the service's, and noise for a signature: `caller` knows the text."""
        claims = {"aud": self.client_id, "exp": int(end), "iat": int(now), "jti": secrets.token_hex(40)}
        claims |= {"sub": str(user.id), "scopes": sorted(scopes)}
        parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"typ": "JWT", "alg": "RS256"}, claims)]
        return ".".join(_base64url(part) for part in [*parts, secrets.token_bytes(_SIGNATURE_BYTES)])


def known_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Return *scopes* as a set; raises `ValueError` where the service has no such scope."""
    known = frozenset(scopes)
    if unknown := sorted(known - SCOPES):
        raise ValueError(f"unknown scopes: {', '.join(unknown)}")
    return known


def is_signed_by_hash(query: bytes, key: str) -> bool:
    match = re.fullmatch(rb"(.*)&hash=([0-9a-f]{32})", query, re.DOTALL)
    return match is not None and same(_md5(match[1] + key.encode()), match[2].decode())


def is_signed_by_page(params: Mapping[str, Any], key: str) -> bool:
    page, action, given = (str(params.get(name, "")) for name in ("page", "action", "hash"))
    return page != "" and same(_md5(f"{page}{action}{key}".encode()), given)


def is_signed_by_header(authorization: str, action: str, key: str, now: float) -> bool:
    match = re.fullmatch(r"Admin (\d{1,15})_([0-9a-f]{64})", authorization, re.ASCII)
    if match is None or abs(now - int(match[1])) > _SKEW:
        return False
    signature = hmac.new(key.encode(), f"{action}:{match[1]}".encode(), hashlib.sha256)
    return same(signature.hexdigest(), match[2])


def same(right: str, given: str) -> bool:
    return hmac.compare_digest(right.encode(), given.encode())


def _md5(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
