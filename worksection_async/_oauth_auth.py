"""OAuth2 as a credential: it signs with the access token a store keeps, and renews it when that is due.

One refresh at a time: the tasks of an event loop wait for the same one, threads, processes and machines exclude one
another with the store's lock, and whoever comes second finds the winner's pair in the store. A refresh belongs to
none of those who wait, so that one who gives up does not lose the next pair for all. It is saved before it is used.
"""

from __future__ import annotations

import copy
import random
import time

import anyio
import anyio.lowlevel
import attrs

from ._auth import AccessToken, Auth
from ._call import Call
from ._oauth import OAuthApp
from ._request import Request
from ._service import OAUTH_EXPIRED
from ._spawn import spawn
from ._stores import MemoryTokenStore, TokenStore
from ._token import Token
from .errors import ApiError, AuthError, ReauthorizationRequired, TransportError, UnexpectedReply, WorksectionError

REFRESH = "oauth2_refresh"

WRONG_APP = "invalid_client"
"""The service's code for an application it does not know, or not with this secret: that says nothing of the token."""


@attrs.define(eq=False)
class _Renewal:
    """One that is under way in an event loop, and how it ended."""

    done: anyio.Event = attrs.field(factory=anyio.Event)
    error: Exception | None = None


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
        self._renewals: dict[object, _Renewal] = {}

    def __repr__(self) -> str:
        return f"<OAuth2 {self._app.client_id}>"

    @property
    def account_url(self) -> str:
        """Address of the account the user logged into; known once `ready` has returned."""
        return self._token.account_url if self._token else ""

    def of(self, who: TokenStore | Token) -> OAuth2:
        """The credential of another user of the same application."""
        return OAuth2(self._app, MemoryTokenStore(who) if isinstance(who, Token) else who)

    async def ready(self) -> None:
        """See to it that there is a token to sign with, before a turn is waited for."""
        if self._token is None and self._is_good(stored := await self._store.load()):
            self._token = stored
        if not self._is_good(self._token):
            await self._renew(self._token)

    def sign(self, call: Call[object], now: float) -> Request:
        """The request for *call* with the token as it is now."""
        if self._token is None:
            raise RuntimeError("sign comes after ready")
        return AccessToken(self._token.access_token).sign(call, now)

    async def recover(self, error: WorksectionError, request: Request) -> bool:
        """Whether *request*, which was refused with *error*, may be signed and sent once more."""
        if not isinstance(error, AuthError) or self._token is None:
            return False
        is_over = OAUTH_EXPIRED in error.message.lower()
        if not is_over and error.http_status != 401:
            return False
        if request.headers["Authorization"] != f"Bearer {self._token.access_token}":
            return True  # somebody renewed it meanwhile
        if is_over:
            await self._renew(self._token)
            return True
        stored = await self._store.load()
        if stored is None or stored == self._token:
            return False
        self._token = stored
        return True

    def _is_good(self, token: Token | None) -> bool:
        return token is not None and not token.is_due(time.time(), self._early)

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
            raise copy.copy(renewal.error).with_traceback(renewal.error.__traceback__)

    async def _carry_out(self, renewal: _Renewal, loop: object, stale: Token | None) -> None:
        try:
            async with self._store.lock():
                stored = await self._store.load()
                is_new = stored != stale and self._is_good(stored)
                token = stored if is_new else await self._next(stored)
            self._token, self._unsaved = token, None  # not before the lock's end: it may be that of a transaction
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
        if token != await self._store.load():
            await self._store.save(token)
        return token

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
            if _is_final(failure):
                raise self._refused(stored, failure)
            if attempt == 2 or not failure.sent:
                break
        raise TransportError(REFRESH, f"the access token could not be refreshed ({failure})", sent=False)

    def _refused(self, stored: Token, failure: WorksectionError) -> WorksectionError:
        if not isinstance(failure, AuthError) or failure.details == WRONG_APP:
            return failure
        self._void = stored.refresh_token
        return self._log_in_again(failure.message)

    def _log_in_again(self, message: str) -> ReauthorizationRequired:
        return ReauthorizationRequired(REFRESH, message, self._app.authorization_url()[0])


def _is_final(failure: WorksectionError) -> bool:
    return isinstance(failure, ApiError) and failure.http_status < 500
