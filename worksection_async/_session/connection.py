"""What all views of a session share: the origin, the limiter, the HTTP client and the coalesced reads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

import anyio

from .._auth.credentials import Auth
from .._limits.default_limiter import default_limiter
from .._limits.limiter import Limiter
from .._protocol.account import origin_of
from .._transport.call_events import Observer
from .._transport.clock import clock_of
from .._transport.fork import reset_now_and_after_fork
from .._transport.http import Http
from ..errors import InvalidCall, SessionClosed
from .coalescing import SharedReads

if TYPE_CHECKING:
    import httpx

UNKNOWN_ORIGIN = "the account is not known before the first call: open the session first"


class Connection:
    """Shared state of one account; with OAuth2 the origin may be resolved later, from the token of *owner*."""

    def __init__(
        self,
        account: str | None,
        owner: Auth,
        limiter: Limiter | None,
        transport: httpx.AsyncBaseTransport | None,
        observer: Observer,
    ) -> None:
        self._owner = owner
        self.observer = observer
        self._limiter = limiter
        self._transport = transport
        self.clock = clock_of(transport)
        self._http: Http | None = None
        self._identities: WeakSet[Auth] = WeakSet([owner])
        self._reads: WeakKeyDictionary[Auth, tuple[object, SharedReads]] = WeakKeyDictionary()
        self._is_closed = False
        self.origin = ""
        self.last_reply_date = ""
        """The header ``Date`` of the last reply."""
        reset_now_and_after_fork(self)
        if account is not None:
            self._set_origin(origin_of(account))

    def _reset(self) -> None:
        self._lock = threading.Lock()

    async def open(self) -> None:
        """Create the HTTP client. A token is needed only if the account is not named, because it names the account."""
        await self._resolve("Session")
        await self.http.open()

    async def prepare(self, auth: Auth, action: str) -> None:
        """Prepare everything that sending with *auth* needs, so that a call does not do it while it holds a slot."""
        await self._resolve(action)
        with self._lock:
            self._identities.add(auth)
        await auth.ready(self.observer)
        self.check_account(auth)
        await self.http.open(action)

    async def _resolve(self, action: str) -> None:
        self.check_open(action)
        if self._http is None:
            await self._owner.ready(self.observer)
            self._set_origin(self._origin_from(self._owner))

    def check_open(self, action: str) -> None:
        """Raise `SessionClosed` after `aclose`."""
        if self._is_closed:
            raise SessionClosed(action)

    def check_account(self, auth: Auth) -> None:
        """Raise `InvalidCall` if *auth* belongs to another account: its credential must not be sent to this origin."""
        if auth.account_url and (origin := self._origin_from(auth)) != self.origin:
            raise InvalidCall("Session", f"the token is for {origin}, not for {self.origin}")

    async def aclose(self) -> None:
        """Close the connections, after waiting for token refreshes that are in progress."""
        self._is_closed = True
        if self._limiter is not None:
            self._limiter.dismiss(self)
        with anyio.CancelScope(shield=True):
            with self._lock:
                identities = list(self._identities)
            for auth in identities:
                await auth.wait_for_refresh()
            if self._http is not None:
                await self._http.aclose()

    @property
    def is_resolved(self) -> bool:
        """Whether the origin, and with it the limiter, is known."""
        return self._http is not None

    @property
    def account_url(self) -> str:
        """The origin, if it is known."""
        if not self.origin:
            raise RuntimeError(UNKNOWN_ORIGIN)
        return self.origin

    @property
    def http(self) -> Http:
        if self._http is None:
            raise RuntimeError(UNKNOWN_ORIGIN)
        return self._http

    def http_to(self, origin: str) -> Http:
        """Return a client for another server; the caller has to close it.

        It uses the transport of the session, if it has one, because that replaces the network. The transport of a
        simulator leads to the simulated service only, so it has another one for the rest.
        """
        return Http(origin, getattr(self._transport, "outside", self._transport))

    @property
    def limiter(self) -> Limiter:
        if self._limiter is None:
            raise RuntimeError(UNKNOWN_ORIGIN)
        return self._limiter

    def reads(self, auth: Auth) -> SharedReads:
        """Return the reads of one identity; a reply is never shared between identities."""
        with self._lock:
            generation, reads = self._reads.get(auth, (None, None))
            if reads is None or generation is not auth.identity_generation:
                reads = SharedReads(self.limiter, self.clock.monotonic)
                self._reads[auth] = auth.identity_generation, reads
            return reads

    def invalidate_reads(self) -> None:
        """Invalidate cached and in-flight reads of all identities, after a write."""
        with self._lock:
            known = [reads for _, reads in self._reads.values()]
        for reads in known:
            reads.invalidate()

    def _set_origin(self, origin: str) -> None:
        with self._lock:
            if self._http is None:
                http = Http(origin, self._transport)
                self.origin = self.observer.account = origin
                self._limiter = self._limiter or default_limiter(origin, self.clock)
                self._limiter.bind(origin)
                self._http = http

    def _origin_from(self, auth: Auth) -> str:
        if not auth.account_url:
            raise InvalidCall("Session", "account: the token does not name its account; pass the account's name")
        return origin_of(auth.account_url)
