"""The OAuth2 state of the service: one registered application, its authorization codes and its token pairs.

It shares no code with the client. For an invalid code or token only one error message of the service is known; the
simulator uses that message for every cause.
"""

import secrets
from collections.abc import Iterable, Set
from threading import Lock

import attrs

from ._constants import LOGIN, SCOPES
from ._credentials import Tokens, is_equal, known_scopes
from ._records import User
from ._reply import Record, ServiceRefusal

REDIRECT_URI = "https://localhost:33443/callback"
_OPAQUE_BYTES = 320


class OAuthRefusal(ServiceRefusal):
    """An error of the OAuth2 paths, which have their own envelope; the HTTP status is 200."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error

    def envelope(self) -> Record:
        return {"error": self.error, "errorDescription": self.message}


@attrs.frozen(kw_only=True)
class TokenPair:
    """An access token and the refresh token that came with it."""

    user: User
    scopes: frozenset[str]
    access_token: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(repr=False)
    expires_in: float
    """Lifetime of the access token in seconds."""
    refreshable_until: float
    """Expiry of the refresh token, in Unix time on the simulator's clock."""


@attrs.frozen(kw_only=True)
class _AuthorizationCode:
    user: User
    scopes: frozenset[str]
    redirect_uri: str
    valid_until: float


@attrs.define(kw_only=True)
class OAuth:
    """The registered application and its codes and tokens. The attributes may be changed at any time."""

    client_id: str
    client_secret: str = attrs.field(repr=False)
    redirect_uri: str = REDIRECT_URI
    """The registered callback; a request must have exactly the same."""
    scopes: Set[str] = SCOPES
    """The scopes that the application may request."""
    access_seconds: int = LOGIN.access_ttl_seconds
    """Lifetime of new access tokens, in seconds."""
    refreshes: int = attrs.field(default=0, init=False)
    """Number of completed refreshes, including those whose reply was lost."""
    tokens: Tokens = attrs.field(repr=False)
    _codes: dict[str, _AuthorizationCode] = attrs.field(factory=dict, init=False, repr=False)
    _pairs: dict[str, TokenPair] = attrs.field(factory=dict, init=False, repr=False)
    _lock: Lock = attrs.field(factory=Lock, init=False, repr=False)
    """Requests can come from several threads: of two refreshes with one token, one must fail."""

    def check_client(self, client_id: str, client_secret: str) -> None:
        """Raise `OAuthRefusal` unless these are the credentials of the application."""
        if not (is_equal(self.client_id, client_id) & is_equal(self.client_secret, client_secret)):
            raise OAuthRefusal("invalid_client", "Client authentication failed")

    def issue_code(self, user: User, scopes: Iterable[str] = SCOPES) -> str:
        """Return a new authorization code, as after *user* has allowed *scopes*."""
        code = _opaque()
        self._codes[code] = _AuthorizationCode(
            user=user,
            scopes=known_scopes(scopes),
            redirect_uri=self.redirect_uri,
            valid_until=self.tokens.clock() + LOGIN.code_ttl_seconds,
        )
        return code

    def issue_pair(self, user: User, scopes: Iterable[str] = SCOPES, expires_in: float | None = None) -> TokenPair:
        """Return a new token pair of *user*; other pairs stay valid. *expires_in* is in seconds."""
        seconds = self.access_seconds if expires_in is None else expires_in
        granted = known_scopes(scopes)
        pair = TokenPair(
            user=user,
            scopes=granted,
            access_token=self.tokens.issue(user, granted, seconds),
            refresh_token=_opaque(),
            expires_in=seconds,
            refreshable_until=self.tokens.clock() + LOGIN.refresh_ttl_seconds,
        )
        self._pairs[pair.refresh_token] = pair
        return pair

    def exchange(self, code: str, redirect_uri: str) -> TokenPair:
        """Return a token pair for *code*. The code becomes invalid, even if the exchange is refused."""
        with self._lock:
            issued = self._codes.pop(code, None)
            if issued is None or issued.redirect_uri != redirect_uri or self.tokens.clock() >= issued.valid_until:
                raise OAuthRefusal("invalid_request", "Authorization code has been revoked")
            return self.issue_pair(issued.user, issued.scopes)

    def refresh(self, refresh_token: str) -> TokenPair:
        """Rotate: return a new pair, and invalidate both tokens of the pair of *refresh_token*."""
        with self._lock:
            old = self._pairs.pop(refresh_token, None)
            if old is None or not self._is_live(old):
                raise OAuthRefusal("invalid_request", "Cannot decrypt the refresh token")
            self.tokens.void(old.access_token)
            self.refreshes += 1
            return self.issue_pair(old.user, old.scopes)

    def user_of(self, access_token: str) -> User:
        """Return the user of *access_token*."""
        try:
            return self.tokens.principal(access_token).user
        except ServiceRefusal:
            raise OAuthRefusal("not_authorized", "Malformed UTF-8 characters") from None

    def live_pairs(self, id_user: int | None = None) -> tuple[TokenPair, ...]:
        """Return the pairs (of a user, or all) that can still be refreshed, oldest first."""
        pairs = list(self._pairs.values())
        return tuple(pair for pair in pairs if self._is_live(pair) and id_user in (None, pair.user.id))

    def live_pair(self, id_user: int | None = None) -> TokenPair:
        """Return the last of `live_pairs`; raise `LookupError` if there is no such pair."""
        if pairs := self.live_pairs(id_user):
            return pairs[-1]
        raise LookupError("no token pair is live")

    def _is_live(self, pair: TokenPair) -> bool:
        return self.tokens.clock() < pair.refreshable_until


def _opaque() -> str:
    """Return a random code or refresh token in the service's format: hex ciphertext with the prefix of its version."""
    return f"def50200{secrets.token_hex(_OPAQUE_BYTES)}"
