"""Authentication of requests. It shares no code with the client, so that a bug there cannot hide here.

* ``hash``: MD5 of the query as received, up to the ``&hash=`` at its end, plus the key.
* ``page`` and ``hash``: the older scheme, MD5 of page, action and key.
* ``Authorization: Admin {time}_{hmac}``: HMAC-SHA-256 of ``action:time``; five minutes of clock skew are allowed.
* ``Authorization: Bearer`` or ``access_token``: an access token that `Tokens` issued.
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

from ._constants import LOGIN, SCOPES
from ._records import User
from ._reply import ServiceRefusal

_CLOCK_SKEW_SECONDS = 300.0
_SIGNATURE_BYTES = 256


@attrs.frozen
class Principal:
    """The authenticated user of a request, with the granted scopes; ``by_key`` is True for the admin key."""

    user: User
    scopes: frozenset[str] = SCOPES
    by_key: bool = False


@attrs.frozen
class _Grant:
    principal: Principal
    expires_at: float


@attrs.define
class Tokens:
    """The issued access tokens."""

    clock: Callable[[], float]
    client_id: str
    _grants: dict[str, _Grant] = attrs.field(factory=dict, init=False, repr=False)

    def issue(self, user: User, scopes: Iterable[str] = SCOPES, expires_in: float = LOGIN.access_ttl_seconds) -> str:
        """Return a new access token that expires in *expires_in* seconds."""
        granted = known_scopes(scopes)
        now = self.clock()
        token = self._text(user, granted, now, now + expires_in)
        self._grants[token] = _Grant(Principal(user, granted), now + expires_in)
        return token

    def void(self, token: str) -> None:
        """Revoke *token*; an unknown token is ignored."""
        self._grants.pop(token, None)

    def principal(self, token: str) -> Principal:
        """Return the user of *token*; raise `ServiceRefusal` (HTTP 401) for an unknown or expired token."""
        grant = self._grants.get(token)
        if grant is None:
            raise ServiceRefusal("Invalid token", status=401)
        if self.clock() >= grant.expires_at:
            raise ServiceRefusal("Access token is expired", status=401)
        return grant.principal

    def _text(self, user: User, scopes: frozenset[str], now: float, end: float) -> str:
        """Return a JWT with the same claims as the service's. The signature is random: `principal` looks tokens up."""
        claims = {"aud": self.client_id, "exp": int(end), "iat": int(now), "jti": secrets.token_hex(40)}
        claims |= {"sub": str(user.id), "scopes": sorted(scopes)}
        parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"typ": "JWT", "alg": "RS256"}, claims)]
        return ".".join(_base64url(part) for part in [*parts, secrets.token_bytes(_SIGNATURE_BYTES)])


def known_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Return *scopes* as a set; raise `ValueError` for scopes that the service does not have."""
    known = frozenset(scopes)
    if unknown := sorted(known - SCOPES):
        raise ValueError(f"unknown scopes: {', '.join(unknown)}")
    return known


def is_signed_by_hash(query: bytes, key: str) -> bool:
    """Return True if *query* ends with its hash; the bytes are not decoded, because the client hashed them encoded."""
    match = re.fullmatch(rb"(.*)&hash=([0-9a-f]{32})", query, re.DOTALL)
    return match is not None and is_equal(_md5(match[1] + key.encode()), match[2].decode())


def is_signed_by_page(params: Mapping[str, Any], key: str) -> bool:
    """Return True if the hash of the older scheme is valid; it covers no other parameters."""
    page, action, given = (str(params.get(name, "")) for name in ("page", "action", "hash"))
    return page != "" and is_equal(_md5(f"{page}{action}{key}".encode()), given)


def is_signed_by_header(authorization: str, action: str, key: str, now: float) -> bool:
    """Return True if the signature is valid for *action* at the Unix time *now*, within the allowed clock skew."""
    match = re.fullmatch(r"Admin (\d{1,15})_([0-9a-f]{64})", authorization, re.ASCII)
    if match is None or abs(now - int(match[1])) > _CLOCK_SKEW_SECONDS:
        return False
    signature = hmac.new(key.encode(), f"{action}:{match[1]}".encode(), hashlib.sha256)
    return is_equal(signature.hexdigest(), match[2])


def is_equal(expected: str, given: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(expected.encode(), given.encode())


def _md5(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
