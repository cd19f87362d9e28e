"""What all views of a session share: the account, its limiter, the connections, the reads that are under way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import anyio

from .._auth.credentials import Auth
from .._limits.default_limiter import default_limiter
from .._limits.limiter import Limiter
from .._protocol.account import origin_of
from .._transport.fork import begin_here_and_after_forks
from .._transport.http import Http
from ..errors import InvalidCall, SessionClosed
from .coalescing import Reads

if TYPE_CHECKING:
    import httpx

UNKNOWN = "which account it is will be known with the first call: open the session before"


class Link:
    """The way to one account; with OAuth2, which one it is may turn out only when the *owner* has a token."""

    def __init__(
        self, account: str | None, owner: Auth, limiter: Limiter | None, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._owner = owner
        self._limiter = limiter
        self._transport = transport
        self._http: Http | None = None
        self._reads: WeakKeyDictionary[Auth, tuple[object, Reads]] = WeakKeyDictionary()
        self._closed = False
        self.origin = ""
        begin_here_and_after_forks(self)
        if account is not None:
            self._lead_to(origin_of(account))

    def _begin(self) -> None:
        self._lock = threading.Lock()

    async def open(self, auth: Auth) -> None:
        """Make ready to send with *auth*: a turn must not age meanwhile."""
        self.check_open("Session")
        if self._http is None:
            await self._owner.ready()
            self._lead_to(self._account_of(self._owner))
        await auth.ready()
        self.check(auth)
        await self.http.open()

    def check_open(self, action: str) -> None:
        """Raise `SessionClosed` after `aclose`."""
        if self._closed:
            raise SessionClosed(action)

    def check(self, auth: Auth) -> None:
        """A credential goes to its own account and nowhere else; raises `InvalidCall`."""
        if auth.account_url and (origin := self._account_of(auth)) != self.origin:
            raise InvalidCall("Session", f"the token is for {origin}, not for {self.origin}")

    async def aclose(self) -> None:
        """Close the connections; a pair of tokens that is on its way is waited for."""
        self._closed = True
        if self._limiter is not None:
            self._limiter.dismiss(self)
        with anyio.CancelScope(shield=True):
            for auth in {self._owner, *self._identities()}:
                await auth.settle()
            if self._http is not None:
                await self._http.aclose()

    @property
    def http(self) -> Http:
        if self._http is None:
            raise RuntimeError(UNKNOWN)
        return self._http

    @property
    def limiter(self) -> Limiter:
        if self._limiter is None:
            raise RuntimeError(UNKNOWN)
        return self._limiter

    def reads(self, auth: Auth) -> Reads:
        """The reads of one identity: answers never go from one to another."""
        with self._lock:
            lineage, reads = self._reads.get(auth, (None, None))
            if reads is None or lineage is not auth.lineage:
                reads = Reads(self.limiter)
                self._reads[auth] = auth.lineage, reads
            return reads

    def forget(self) -> None:
        """Somebody wrote: what anybody has read may be wrong."""
        with self._lock:
            known = [reads for _, reads in self._reads.values()]
        for reads in known:
            reads.forget()

    def _identities(self) -> list[Auth]:
        with self._lock:
            return list(self._reads)

    def _lead_to(self, origin: str) -> None:
        with self._lock:
            if self._http is None:
                http = Http(origin, self._transport)
                self.origin = origin
                self._limiter = self._limiter or default_limiter(origin)
                self._limiter.bind(origin)
                self._http = http

    def _account_of(self, auth: Auth) -> str:
        if not auth.account_url:
            raise InvalidCall("Session", "account: the token does not say which it is for; name it")
        return origin_of(auth.account_url)
