"""What all views of a session share: the account, its limiter, the connections, the reads that are under way."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ._account import origin_of
from ._auth import Auth
from ._bucket import shared
from ._http import Http
from ._limiter import Limiter
from ._reads import Reads
from .errors import InvalidCall

if TYPE_CHECKING:
    import httpx


class Link:
    """The way to one account; which one it is may turn out only when a token is there that says so."""

    def __init__(
        self, account: str | None, limiter: Limiter | None, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._limiter = limiter
        self._transport = transport
        self._http: Http | None = None
        self._reads: WeakKeyDictionary[Auth, Reads] = WeakKeyDictionary()
        self.origin = ""
        if account is not None:
            self._lead_to(origin_of(account))

    async def open(self, auth: Auth) -> None:
        """Make ready to send with *auth*: a turn must not age meanwhile."""
        await auth.ready()
        if self._http is None or auth.account_url:
            self._check(auth.account_url)
        await self.http.open()

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    @property
    def http(self) -> Http:
        if self._http is None:
            raise RuntimeError("which account it is will be known with the first call: open the session before")
        return self._http

    @property
    def limiter(self) -> Limiter:
        if self._limiter is None:
            raise RuntimeError("which account it is will be known with the first call: open the session before")
        return self._limiter

    def reads(self, auth: Auth) -> Reads:
        """The reads of one identity: answers never go from one to another."""
        if (reads := self._reads.get(auth)) is None:
            reads = self._reads[auth] = Reads(self.limiter)
        return reads

    def forget(self) -> None:
        """Somebody wrote: what anybody has read may be wrong."""
        for reads in list(self._reads.values()):
            reads.forget()

    def _lead_to(self, origin: str) -> None:
        self.origin = origin
        self._limiter = self._limiter or shared(origin)
        self._limiter.bind(origin)
        self._http = Http(origin, self._transport)

    def _check(self, account_url: str) -> None:
        """A credential goes to its own account and nowhere else."""
        if not account_url:
            raise InvalidCall("Session", "account: the token does not say which it is for; name it")
        origin = origin_of(account_url)
        if self._http is None:
            self._lead_to(origin)
        elif origin != self.origin:
            raise InvalidCall("Session", f"the token is for {origin}, not for {self.origin}")
