"""OAuth2 as a credential: it signs with the access token a store keeps, and renews it when that is due.

One refresh at a time: the tasks of an event loop wait for the same one, threads, processes and machines exclude one
another with the store's lock, and whoever comes second finds the winner's pair in the store. A refresh belongs to
none of those who wait, so that one who gives up does not lose the next pair for all. It is saved before it is used.
"""

from __future__ import annotations

import random
import time

import anyio
import anyio.lowlevel

from .._protocol.call import Call
from .._protocol.request import Request
from .._protocol.service import OAUTH_EXPIRED_TEXT, OAUTH_REFRESH, OAUTH_INVALID_TOKEN_CODES, OAUTH_INVALID_CLIENT_CODE
from .._transport.tasks import once_more, spawn
from ..errors import ApiError, AuthError, ReauthorizationRequired, TransportError, UnexpectedReply, WorksectionError
from .credentials import AccessToken, Auth
from .oauth_app import OAuthApp, action_of
from .token import Token
from .token_stores import MemoryTokenStore, TokenStore

REFRESH = action_of(OAUTH_REFRESH)

REST = 30.0
"""Seconds after a refresh that failed in which a token that is still good is used without another attempt."""


class _Renewal:
    """One that is under way in an event loop, and how it ended."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.error: Exception | None = None


class OAuth2(Auth):
    """A user who has logged in through *app*, and stays logged in for as long as the service allows.

    The access token is refreshed a few minutes before it ends, and when the service says that it has ended. Tasks,
    threads and, with a store they share, processes and machines can use one pair at the same time.

    Args:
        app: The application the user logged in through.
        store: Where the pair of tokens is kept: `MemoryTokenStore`, `FileTokenStore`, or one of your own.

    Calls may raise `ReauthorizationRequired` when the refresh token is void or there is none yet, and
    `TokenStoreError`; a failing refresh that may pass is a `TransportError`. None of them was sent.

    https://worksection.com/en/faq/oauth.html
    """

    is_token = True

    def __init__(self, app: OAuthApp, store: TokenStore) -> None:
        if not isinstance(store, TokenStore):
            raise TypeError(f"store needs load, save and lock; a {type(store).__name__} has not all of them")
        self._app = app
        self._store = store
        self._token: Token | None = None
        self._early = random.random()  # noqa: S311  # not all processes at one moment
        self._void: str | None = None
        self._unsaved: tuple[Token, Token] | None = None
        self._rest_until = 0.0
        self._renewals: dict[object, _Renewal] = {}
        self._lineage: object = None

    def __repr__(self) -> str:
        return f"<OAuth2 {self._app.client_id}>"

    @property
    def account_url(self) -> str:
        """Address of the account the user logged into; known once `ready` has returned."""
        return self._token.account_url if self._token else ""

    def of(self, who: TokenStore | Token) -> OAuth2:
        """The credential of another user of the same application."""
        return OAuth2(self._app, MemoryTokenStore(who) if isinstance(who, Token) else who)

    @property
    def lineage(self) -> object:
        """Changes when the token is not the one that follows the one before: it may be somebody else's."""
        return self._lineage

    async def ready(self) -> None:
        """See to it that there is a token to sign with, before a turn is waited for."""
        if self._token is None and (stored := await self._store.load()) is not None:
            self._take(stored)
        token = self._token
        if self._is_good(token):
            return
        try:
            await self._renew(token)
        except TransportError:
            if token is None or time.time() >= token.expires_at:
                raise
            self._rest_until = time.time() + REST

    async def settle(self) -> None:
        """Wait for a renewal that is under way in this event loop: the loop's end would lose the next pair."""
        if (renewal := self._renewals.get(anyio.lowlevel.current_token())) is not None:
            await renewal.done.wait()

    def sign(self, call: Call[object], now: float) -> Request:
        """The request for *call* with the token as it is now."""
        if self._token is None:
            raise RuntimeError("sign comes after ready")
        return AccessToken(self._token.access_token).sign(call, now)

    async def recover(self, error: WorksectionError, request: Request) -> bool:
        """Whether *request*, which was refused with *error*, may be signed and sent once more."""
        token = self._token
        if not isinstance(error, AuthError) or token is None:
            return False
        is_over = OAUTH_EXPIRED_TEXT in error.message.lower()
        if not is_over and error.http_status != 401:
            return False
        if request.headers["Authorization"] != f"Bearer {token.access_token}":
            return True  # somebody renewed it meanwhile
        if is_over:
            await self._renew(token)
            return True
        stored = await self._store.load()
        if stored is None or stored == token:
            return False
        self._take(stored)
        return True

    def _take(self, token: Token | None) -> None:
        """Use *token* from the store: who put it there, nobody knows."""
        self._token, self._lineage = token, object()

    def _is_good(self, token: Token | None) -> bool:
        if token is None:
            return False
        now = time.time()
        return not token.is_due(now, self._early) or now < min(self._rest_until, token.expires_at)

    async def _renew(self, stale: Token | None) -> None:
        """Replace *stale*, or wait for somebody who is about to."""
        if self._token is not stale:
            return
        loop = anyio.lowlevel.current_token()
        renewal = self._renewals.get(loop)
        if renewal is None:
            renewal = self._renewals[loop] = _Renewal()
            spawn(self._carry_out(renewal, loop, stale))
        await renewal.done.wait()
        if renewal.error is not None:
            raise once_more(renewal.error)

    async def _carry_out(self, renewal: _Renewal, loop: object, stale: Token | None) -> None:
        try:
            async with self._store.lock():
                stored = await self._store.load()
                is_new = stored != stale and self._is_good(stored)
                token = stored if is_new else await self._next(stored)
            # Not before the lock's end: it may be that of a transaction.
            self._unsaved = None
            if is_new or token is None:
                self._take(token)
            else:
                self._token = token
        except Exception as exc:  # noqa: BLE001  # each who waits is told; the task itself has nobody to tell
            renewal.error = exc
        finally:
            del self._renewals[loop]
            renewal.done.set()

    async def _next(self, stored: Token | None) -> Token:
        """The pair after *stored*, which is saved by now."""
        if self._unsaved is not None and self._unsaved[0] == stored:
            token = self._unsaved[1]
        else:
            if stored is None or stored.refresh_token in (None, self._void):
                raise self._log_in_again("nobody has logged in" if stored is None else "the refresh token is void")
            await self._store.save(stored)  # a store that cannot keep the next pair must not cost the present one
            token = await self._spend(stored)
            self._unsaved = stored, token
        kept = await self._store.load()
        if kept == stored:
            await self._store.save(token)
            return token
        return token if kept is None else kept  # somebody who does not use the lock was first

    async def _spend(self, stored: Token) -> Token:
        """Refresh *stored*. An answer that got lost may have voided it, so there is one more attempt, not more."""
        for attempt in (1, 2):
            try:
                return await self._app.refresh(stored)
            except (AuthError, ApiError, TransportError, UnexpectedReply) as error:
                failure = error
            newer = await self._store.load()
            if newer is not None and newer != stored:
                return newer  # somebody who does not use the lock, or whose lock had run out, was first
            if isinstance(failure, AuthError) and (verdict := self._verdict(stored, failure)) is not None:
                raise verdict
            if attempt == 2 or not failure.sent:
                break
        raise TransportError(REFRESH, f"the access token could not be refreshed ({failure})", sent=False)

    def _verdict(self, stored: Token, failure: AuthError) -> AuthError | None:
        """What a refusal says of the pair or of the application; None where it only says: not now."""
        if failure.details == OAUTH_INVALID_CLIENT_CODE:
            failure.sent = False
            return failure
        if failure.details not in OAUTH_INVALID_TOKEN_CODES and "refresh token" not in failure.message.lower():
            return None
        self._void = stored.refresh_token
        return self._log_in_again(failure.message)

    def _log_in_again(self, message: str) -> ReauthorizationRequired:
        return ReauthorizationRequired(REFRESH, message, self._app.authorization_url()[0])
