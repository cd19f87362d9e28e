"""Who is asking. Shares no code with the client: a mistake in one of them must not hide in the other.

* ``hash``: md5 over the query exactly as received, up to the ``&hash=`` at its end, and the key.
* ``page`` and ``hash``: the older scheme, md5 over page, action and key.
* ``Authorization: Admin {time}_{hmac}``: SHA-256 over ``action:time``; five minutes of skew are tolerated.
* ``Authorization: Bearer`` or ``access_token``: a token of `Tokens`.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from ._facts import SCOPES
from ._reply import Refused
from .records import User

_SKEW = 300.0
_DAY = 86_400.0


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
    _grants: dict[str, _Grant] = attrs.field(factory=dict, init=False, repr=False)

    def issue(self, user: User, scopes: Iterable[str] = SCOPES, expires_in: float = _DAY) -> str:
        if unknown := sorted(set(scopes) - SCOPES):
            raise ValueError(f"unknown scopes: {', '.join(unknown)}")
        token = f"access-{user.id}-{len(self._grants) + 1}"
        self._grants[token] = _Grant(Caller(user, frozenset(scopes)), self.clock() + expires_in)
        return token

    def caller(self, token: str) -> Caller:
        grant = self._grants.get(token)
        if grant is None:
            raise Refused("Invalid token", status=401)
        if self.clock() >= grant.expires_at:
            raise Refused("Access token is expired", status=401)
        return grant.caller


def is_signed_by_hash(query: bytes, key: str) -> bool:
    match = re.fullmatch(rb"(.*)&hash=([0-9a-f]{32})", query, re.DOTALL)
    return match is not None and _same(_md5(match[1] + key.encode()), match[2].decode())


def is_signed_by_page(params: Mapping[str, Any], key: str) -> bool:
    page, action, given = (str(params.get(name, "")) for name in ("page", "action", "hash"))
    return page != "" and _same(_md5(f"{page}{action}{key}".encode()), given)


def is_signed_by_header(authorization: str, action: str, key: str, now: float) -> bool:
    match = re.fullmatch(r"Admin (\d{1,15})_([0-9a-f]{64})", authorization, re.ASCII)
    if match is None or abs(now - int(match[1])) > _SKEW:
        return False
    signature = hmac.new(key.encode(), f"{action}:{match[1]}".encode(), hashlib.sha256)
    return _same(signature.hexdigest(), match[2])


def _md5(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _same(right: str, given: str) -> bool:
    return hmac.compare_digest(right.encode(), given.encode())
