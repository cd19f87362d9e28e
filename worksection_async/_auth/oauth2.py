"""OAuth2 as a credential: signs with the access token of a token store, and refreshes the token before it expires.

The refresh is single-flight: the tasks of an event loop wait for the same refresh; threads, processes and machines
exclude each other with the store's lock, and the second one finds the new pair in the store. The refresh runs in its
own task, so that cancelling one caller does not cancel it for the others. The new pair is stored before it is used.
"""

from __future__ import annotations

import random

import anyio
import anyio.lowlevel

from .._protocol.call import Call
from .._protocol.request import Request
from .._protocol.service import OAUTH_REFRESH, OAUTH_REFUSALS
from .._protocol.values import type_of
from .._transport.call_events import CallRecord, Observer
from .._transport.clock import clock_of
from .._transport.frames import clears_locals
from .._transport.tasks import copy_for_next_waiter, spawn
from ..errors import ApiError, AuthError, InvalidCall, ReauthorizationRequired, TransportError, UnexpectedReply
from .credentials import AccessToken, Auth
from .oauth_app import OAuthApp, action_of
from .token import Token
from .token_stores import MemoryTokenStore, TokenStore
from .token_vaults import TokenVault
from .vault_users import NoUser, VaultUsers

REFRESH = action_of(OAUTH_REFRESH)

COOLDOWN_SECONDS = 30.0
"""Time after a refresh in which there is no other one: if it failed, a token that is still valid is used; if its new
token is refused, the user must log in."""


MAX_RENEWALS = 2
"""Per call. There are two if another client's newer token is found first, and refused, too."""


class _Refresh:
    """A refresh in progress in one event loop, and its error."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.error: BaseException | None = None


class OAuth2(Auth):
    """The credential of a user who logged in through an OAuth2 application.

    The access token is refreshed a few minutes before it expires, and when the service refuses it as expired, revoked
    or invalid. If the service refuses the refreshed token, too, the user must log in again.
    Tasks and threads can share one pair of tokens; processes and machines can if they share its store.

    Args:
        app: The application through which the user logged in.
        store: The token store of the user: `MemoryTokenStore`, `FileTokenStore`, or your own. Optional with a *vault*:
            then only the views that `Session.as_user` returns can call actions.
        vault: The token stores of many users, by key: `FileTokenVault`, `SQLTokenVault`, or your own.

    Raises:
        InvalidCall: *app*, *store* or *vault* is of another type, or both *store* and *vault* are missing.

    Calls raise `ReauthorizationRequired` if the refresh token is invalid or missing or a refreshed token is refused,
    `TokenStoreError` if the store fails, and `TransportError` if a refresh failed and can be repeated. In all three
    cases the call was not executed.

    https://worksection.com/en/faq/oauth.html
    """

    is_token = True

    def __init__(self, app: OAuthApp, store: TokenStore | None = None, *, vault: TokenVault | None = None) -> None:
        if not isinstance(app, OAuthApp):
            raise InvalidCall("OAuth2", f"app must be an OAuthApp, got {type_of(app)}")
        if vault is not None and (isinstance(vault, type) or not isinstance(vault, TokenVault)):
            raise InvalidCall("OAuth2", f"vault must have the method store, got {type_of(vault)}")
        store = NoUser() if store is None and vault is not None else store
        if isinstance(store, type) or not isinstance(store, TokenStore):
            raise InvalidCall("OAuth2", f"store must have the methods load, save and lock, got {type_of(store)}")
        self._app = app
        self._clock = clock_of(app.transport)
        self._store: TokenStore = store
        self._follows_store = False
        self._users = None if vault is None else VaultUsers(vault, self._for_vault_user)
        self._token: Token | None = None
        self._jitter = random.random()  # noqa: S311  # spreads the refreshes of many processes
        self._invalid_refresh_token: str | None = None
        self._refreshed_access_token: str | None = None
        self._incurable: set[str] = set()
        """Messages with which the service refused a refreshed token: another refresh would not help."""
        self._unsaved: tuple[Token, Token] | None = None
        self._cooldown_until = 0.0
        self._refreshes: dict[object, _Refresh] = {}
        self._generation: object = None

    def __repr__(self) -> str:
        return f"<OAuth2 {self._app.client_id}>"

    @property
    def account_url(self) -> str:
        """URL of the account the OAuth2 token belongs to; known after `ready`."""
        return self._token.account_url if self._token else ""

    @property
    def has_own_user(self) -> bool:
        """Whether it has a store of its own, not only a vault."""
        return not isinstance(self._store, NoUser)

    @property
    def has_unsaved_pair(self) -> bool:
        """Whether the new pair of a refresh is only in memory, because the store could not be written."""
        return self._unsaved is not None

    def for_user(self, user: str | TokenStore | Token) -> OAuth2:
        """Return the credential of another user of the same application; the same one for the same key of a vault.

        Args:
            user: The key of the user in the vault, the store of the user's tokens, or a token, which is then stored in
                memory.

        Raises:
            InvalidCall: It is a key, and there is no vault or the vault refuses the key.
        """
        if not isinstance(user, str):
            return self._for_store(MemoryTokenStore(user) if isinstance(user, Token) else user)
        if self._users is None:
            raise InvalidCall("Session", "as_user(key) needs a vault: OAuth2(app, vault=…)")
        return self._users.credential(user)

    def _for_store(self, store: TokenStore) -> OAuth2:
        credential = OAuth2(self._app, store)
        credential._users = self._users
        return credential

    def _for_vault_user(self, store: TokenStore) -> OAuth2:
        credential = self._for_store(store)
        credential._follows_store = True
        return credential

    @property
    def identity_generation(self) -> object:
        """A new object whenever a token is adopted that does not result from a refresh: its user may differ."""
        return self._generation

    @clears_locals
    async def ready(self, observer: Observer) -> None:
        """Load the token, and refresh it if that is due, before the call waits for its slot."""
        if self._token is None or self._follows_store:
            await self._load()
        token = self._token
        if self._is_usable(token):
            return
        self._incurable.clear()
        try:
            await self._refresh(token, observer)
        except TransportError:
            if token is None or self._clock.time() >= token.expires_at:
                raise
            self._cooldown_until = self._clock.time() + COOLDOWN_SECONDS

    async def _load(self) -> None:
        """Adopt the stored token. A user of a vault may have logged in or out elsewhere since the last call."""
        known = self._token
        stored = await self._store.load()
        if stored != known and self._token is known:
            self._adopt(stored)

    async def wait_for_refresh(self) -> None:
        """Wait for a refresh in progress in this event loop; closing the loop would lose the new pair."""
        if (refresh := self._refreshes.get(anyio.lowlevel.current_token())) is not None:
            await refresh.done.wait()

    def sign(self, call: Call[object], now: float) -> Request:
        """Return the request for *call*, signed with the current token."""
        if self._token is None:
            raise RuntimeError("call ready before sign")
        return AccessToken(self._token.access_token).sign(call, now)

    async def recover(self, error: AuthError, request: Request, renewals: int, observer: Observer) -> bool:
        """Refresh a refused token, or find a newer one; return whether *request* can be signed and sent again.

        Raises:
            ReauthorizationRequired: The refused token was refreshed for the same reason and in vain.
        """
        token = self._token
        if not error.refuses_token or token is None:
            return False
        if renewals < MAX_RENEWALS:
            if request.headers["Authorization"] != f"Bearer {token.access_token}":
                return True  # the token was refreshed after this request was signed
            stored = await self._store.load()
            if stored is not None and stored != token:
                self._adopt(stored)
                return True
        if renewals == MAX_RENEWALS or error.message in self._incurable or self._is_fresh(token, renewals):
            self._incurable.add(error.message)
            reason = f"the service refuses a refreshed token, too: {error.message}"
            raise ReauthorizationRequired(error.action, reason, self._app.login_start_url(), sent=True)
        await self._refresh(token, observer)
        return True

    def _adopt(self, token: Token | None) -> None:
        """Adopt a stored token; it may be another user's."""
        self._token, self._generation = token, object()
        self._incurable.clear()

    def _is_fresh(self, token: Token, renewals: int) -> bool:
        """Return whether *token* results from a refresh for the same call, or from one a moment ago."""
        age = abs(self._clock.time() - token.issued_at)
        return token.access_token == self._refreshed_access_token and (renewals > 0 or age < COOLDOWN_SECONDS)

    def _is_usable(self, token: Token | None) -> bool:
        if token is None:
            return False
        now = self._clock.time()
        return not token.is_due(now, self._jitter) or now < min(self._cooldown_until, token.expires_at)

    async def _refresh(self, stale: Token | None, observer: Observer) -> None:
        """Replace *stale*, or wait for the refresh in progress."""
        if self._token is not stale:
            return
        loop = anyio.lowlevel.current_token()
        refresh = self._refreshes.get(loop)
        if refresh is None:
            refresh = self._refreshes[loop] = _Refresh()
            spawn(self._run_refresh(refresh, loop, stale, observer))
        await refresh.done.wait()
        if refresh.error is not None:
            raise copy_for_next_waiter(refresh.error)

    async def _run_refresh(self, refresh: _Refresh, loop: object, stale: Token | None, observer: Observer) -> None:
        try:
            async with self._store.lock():
                stored = await self._store.load()
                is_new = stored != stale and self._is_usable(stored)
                token = stored if is_new else await self._next_token(stored, observer)
            # After the lock is released: the lock may be a database transaction that fails at its end.
            self._unsaved = None
            if is_new or token is None:
                self._adopt(token)
            else:
                self._token, self._refreshed_access_token = token, token.access_token
        except (Exception, KeyboardInterrupt, SystemExit) as exc:  # noqa: BLE001  # a callback can exit the program
            refresh.error = exc  # raised to every waiting caller; the task itself has no caller
        finally:
            del self._refreshes[loop]
            refresh.done.set()

    async def _next_token(self, stored: Token | None, observer: Observer) -> Token:
        """Return the pair that follows *stored*; it has been stored."""
        if self._unsaved is not None and self._unsaved[0] == stored:
            token = self._unsaved[1]
        else:
            if stored is None or stored.refresh_token in (None, self._invalid_refresh_token):
                raise self._reauthorization_required(
                    "the token store is empty" if stored is None else "the refresh token is invalid"
                )
            await self._store.save(stored)  # a store that fails must fail before the current pair is used up
            with observer.call(REFRESH) as record:
                token = await self._request_refresh(stored, record)
            self._unsaved = stored, token
        kept = await self._store.load()
        if kept == stored:
            await self._store.save(token)
            return token
        return token if kept is None else kept  # another client, which does not use the lock, was faster

    async def _request_refresh(self, stored: Token, record: CallRecord) -> Token:
        """Request the next pair, with one retry: if the reply was lost, *stored* may be invalid already."""
        for _ in (1, 2):
            try:
                with record.attempt():
                    token = await self._app.refresh(stored)
                    record.replied(200)
                    return token
            except (AuthError, ApiError, TransportError, UnexpectedReply) as error:
                failure = error
            newer = await self._store.load()
            if newer is not None and newer != stored:
                return newer  # another client was faster: it does not use the lock, or its lock expired
            if isinstance(failure, AuthError) and (final := self._final_error(stored, failure)) is not None:
                raise final
            if not failure.sent or failure.retry_after:
                break
        unreachable = TransportError(REFRESH, f"the access token could not be refreshed ({failure})", sent=False)
        unreachable.retry_after = failure.retry_after
        raise unreachable

    def _final_error(self, stored: Token, failure: AuthError) -> AuthError | None:
        """Return the error if the service rejected the pair or the application for good; None if a retry may help."""
        text = f"{failure.details} {failure.message}".lower()
        if any(part in text for part in OAUTH_REFUSALS["app"]):
            failure.sent = False
            return failure
        if not any(part in text for part in OAUTH_REFUSALS["refresh_token"]):
            return None
        self._invalid_refresh_token = stored.refresh_token
        return self._reauthorization_required(failure.message)

    def _reauthorization_required(self, message: str) -> ReauthorizationRequired:
        return ReauthorizationRequired(REFRESH, message, self._app.login_start_url())
