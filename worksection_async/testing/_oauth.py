"""What the service remembers of OAuth2: one application, the codes and the pairs of tokens it was given, who is let in.

Shares no code with the client's half. Where several things can be wrong with a code or a token, the service was seen
to say one thing only; here it always says that.
"""

import secrets
from collections.abc import Iterable, Set
from threading import Lock

import attrs

from ._credentials import Tokens, known_scopes, same
from ._facts import LOGIN, SCOPES
from ._reply import Record, Refused
from .records import User

REDIRECT_URI = "https://localhost:33443/callback"
_OPAQUE_BYTES = 320


class OAuthRefused(Refused):
    """The OAuth side says no: with HTTP 200, and in an envelope of its own."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error

    def envelope(self) -> Record:
        return {"error": self.error, "errorDescription": self.message}


@attrs.frozen(kw_only=True)
class Pair:
    """An access token and the refresh token that came with it."""

    user: User
    scopes: frozenset[str]
    access_token: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(repr=False)
    expires_in: float
    """Seconds the access token lives, from its issue."""
    refreshable_until: float
    """When the refresh token ends, by the simulator's clock."""


@attrs.frozen(kw_only=True)
class _Code:
    user: User
    scopes: frozenset[str]
    redirect_uri: str
    good_until: float


@attrs.define(kw_only=True)
class OAuth:
    """The registered application, and what was issued to it. Attributes may be changed at any time."""

    client_id: str
    client_secret: str = attrs.field(repr=False)
    redirect_uri: str = REDIRECT_URI
    """Where users are sent back to, byte for byte."""
    scopes: Set[str] = SCOPES
    """What the application may ask for."""
    access_seconds: int = LOGIN.access_ttl_seconds
    """How long the access tokens live that are issued from now on."""
    refreshes: int = attrs.field(default=0, init=False)
    """How often a pair was replaced by the next one, whether or not the reply arrived."""
    tokens: Tokens = attrs.field(repr=False)
    _codes: dict[str, _Code] = attrs.field(factory=dict, init=False, repr=False)
    _pairs: dict[str, Pair] = attrs.field(factory=dict, init=False, repr=False)
    _lock: Lock = attrs.field(factory=Lock, init=False, repr=False)
    """Simulators are reached from several threads, and of two that spend the same token one must fail."""

    def check_client(self, client_id: str, client_secret: str) -> None:
        """Raise unless these are the application's own."""
        if not (same(self.client_id, client_id) & same(self.client_secret, client_secret)):
            raise OAuthRefused("invalid_client", "Client authentication failed")

    def issue_code(self, user: User, scopes: Iterable[str] = SCOPES) -> str:
        """Return what *user* brings back to the application when he has allowed it *scopes*."""
        code = _opaque()
        self._codes[code] = _Code(
            user=user,
            scopes=known_scopes(scopes),
            redirect_uri=self.redirect_uri,
            good_until=self.tokens.clock() + LOGIN.code_ttl_seconds,
        )
        return code

    def issue_pair(self, user: User, scopes: Iterable[str] = SCOPES, expires_in: float | None = None) -> Pair:
        """Return a new pair of *user*; his other pairs stay as they are."""
        seconds = self.access_seconds if expires_in is None else expires_in
        granted = known_scopes(scopes)
        pair = Pair(
            user=user,
            scopes=granted,
            access_token=self.tokens.issue(user, granted, seconds),
            refresh_token=_opaque(),
            expires_in=seconds,
            refreshable_until=self.tokens.clock() + LOGIN.refresh_ttl_seconds,
        )
        self._pairs[pair.refresh_token] = pair
        return pair

    def exchange(self, code: str, redirect_uri: str) -> Pair:
        """Return a pair for *code*, which is spent even if that fails."""
        with self._lock:
            known = self._codes.pop(code, None)
            if known is None or known.redirect_uri != redirect_uri or self.tokens.clock() >= known.good_until:
                raise OAuthRefused("invalid_request", "Authorization code has been revoked")
            return self.issue_pair(known.user, known.scopes)

    def refresh(self, refresh_token: str) -> Pair:
        """Return the pair that follows the one of *refresh_token*, of which both tokens are void from now on."""
        with self._lock:
            old = self._pairs.pop(refresh_token, None)
            if old is None or not self._is_live(old):
                raise OAuthRefused("invalid_request", "Cannot decrypt the refresh token")
            self.tokens.void(old.access_token)
            self.refreshes += 1
            return self.issue_pair(old.user, old.scopes)

    def user_of(self, access_token: str) -> User:
        """Return whom *access_token* stands for."""
        try:
            return self.tokens.caller(access_token).user
        except Refused:
            raise OAuthRefused("not_authorized", "Malformed UTF-8 characters") from None

    def live_pairs(self, user: User | None = None) -> tuple[Pair, ...]:
        """Return the pairs (of *user*, or all) that can still be refreshed, in the order in which they were issued."""
        pairs = list(self._pairs.values())
        return tuple(pair for pair in pairs if self._is_live(pair) and (user is None or user is pair.user))

    def live_pair(self, user: User | None = None) -> Pair:
        """Return the last of `live_pairs`; raises `LookupError` when there is none."""
        if pairs := self.live_pairs(user):
            return pairs[-1]
        raise LookupError("no pair is live")

    def _is_live(self, pair: Pair) -> bool:
        return self.tokens.clock() < pair.refreshable_until


def _opaque() -> str:
    """Return what codes and refresh tokens look like: ciphertext in hex, which begins with the cipher's version."""
    return f"def50200{secrets.token_hex(_OPAQUE_BYTES)}"
