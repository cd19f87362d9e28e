"""The simulator itself: a world, what serves it, and the ways to reach it."""

import datetime as dt
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import uvicorn

from .._auth.credentials import ApiKey, Auth
from .._auth.oauth_app import OAuthApp
from .._auth.token import Token
from .._limits.token_bucket import TokenBucket
from .._session.session import Session
from ._app import Front, create_app
from ._consent import Consent
from ._credentials import Tokens
from ._facts import LOGIN, SCOPES, SPEC
from ._login import Login
from ._oauth import REDIRECT_URI, OAuth
from ._rate import RateCheck
from ._received import ReceivedRequest
from ._seeds import SEEDS
from ._server import Server, config
from ._service import Service
from ._transport import SimulatorTransport
from ._webhooks import Delivering, Webhooks
from .faults import Faults
from .records import User
from .world import World

_UNCHECKED_RATE = 1_000_000.0
_ORIGIN = "http://127.0.0.1"


class Simulator:
    """Stands in for a Worksection account: all 63 actions, on records it really keeps, and the login of OAuth2.

    ::

        async with Simulator(seed="empty") as sim:
            project = sim.world.add_project("Moon")
            async with sim.session() as ws:
                task = await ws.post_task(project.id, "Launch")

    ``world`` is what the account holds, ``faults`` what goes wrong, ``requests`` what came in, ``tokens`` the access
    tokens that are good, ``rate`` the check of the limit: off by default, so that tests take no time; ``rate=1.0`` is
    the service's own.

    ``oauth`` is the one application that is registered: its ``redirect_uri``, the ``scopes`` it may ask for, the
    ``access_seconds`` of its next tokens, the number of ``refreshes``, and which pair of tokens is live
    (``live_pair(user)``). Its requests do not count against the limit; ``faults`` and ``requests`` call them
    ``oauth2_authorize``, ``oauth2_token``, ``oauth2_refresh`` and ``oauth2_resource``.

    ``webhooks`` calls the addresses that ``add_webhook`` was given, on this machine or connected to an ASGI
    application, with every event: when ``await sim.webhooks.deliver()`` says so, and by itself when it is served. Its
    ``deliveries`` are what became of each call.

    Times come from *clock* (seconds since 1970; the account is in UTC), arrivals and the rate from *monotonic*.

    **Not imitated:** roles, visibility (``hidden``) and who may see what; the rules of a project (``options``) beyond
    being kept; which sets of tags are added to a project; planned publications; quotas; the 10 000 records for
    anything but tasks; webhooks that are called again after an error; passwords; applications beside the one;
    localised names; actions of the older API.

    **Guessed,** because nobody has published it: the text for a scope not granted (``Access denied``); the body of a
    401; the refusal of malformed dates and numbers and of unknown costs (``Field is required``); the order of events;
    that with the key ``post_comment`` and ``add_costs`` insist on ``email_user_from``, as the documentation says; in
    OAuth the refusals at the login page and of a ``grant_type``, that a code, a client and a token are refused in the
    same words whatever is wrong with them, and that a user's pairs do not void one another; of webhooks that
    the first call is an empty POST, that each event comes in an array of its own, and that errors count from the
    beginning.
    """

    def __init__(
        self,
        *,
        seed: Literal["demo", "empty"] = "demo",
        rate: float | None = None,
        api_key: str = "7776461cd931e7b1c8e9632ff8e979ce",
        client_id: str = "simulated-app",
        client_secret: str = "b1946ac92492d2347c6235b4d2611184",  # noqa: S107  # as public as the key
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.api_key = api_key
        self.world: World = SEEDS[seed](lambda: dt.datetime.fromtimestamp(clock(), dt.UTC).replace(tzinfo=None))
        self.tokens = Tokens(clock, client_id)
        self.oauth = OAuth(client_id=client_id, client_secret=client_secret, tokens=self.tokens)
        self.faults = Faults()
        self.rate = RateCheck(rate)
        self.requests: list[ReceivedRequest] = []
        service = Service(self.world, self.tokens, api_key, clock)
        self.webhooks = Webhooks(self.world)
        login = Login(self.oauth, Consent(self.oauth, self.world))
        self.app = create_app(Front(service, login, self.webhooks, self.rate, self.faults, self.requests, monotonic))
        self._limiter = TokenBucket(rate=rate or _UNCHECKED_RATE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    def issue_token(
        self, user: User | None = None, scopes: Iterable[str] = SCOPES, expires_in: float = LOGIN.access_ttl_seconds
    ) -> str:
        """Return a new access token of *user* (the owner by default); *expires_in* counts seconds."""
        return self.tokens.issue(user or self.world.owner, scopes, expires_in)

    def issue_pair(
        self,
        user: User | None = None,
        scopes: Iterable[str] = SCOPES,
        expires_in: float | None = None,
        account_url: str = _ORIGIN,
    ) -> Token:
        """Return a new pair of *user* (the owner by default), as if he had just logged in.

        It lives for ``oauth.access_seconds`` unless *expires_in* says otherwise, by the simulator's clock.
        """
        pair = self.oauth.issue_pair(user or self.world.owner, scopes, expires_in)
        now = self.tokens.clock()
        return Token(
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            issued_at=now,
            expires_at=now + pair.expires_in,
            account_url=account_url,
        )

    def issue_code(self, user: User | None = None, scopes: Iterable[str] = SCOPES) -> str:
        """Return the code *user* (the owner by default) brings back to the application when he allows it *scopes*."""
        return self.oauth.issue_code(user or self.world.owner, scopes)

    def oauth_app(
        self,
        redirect_uri: str = REDIRECT_URI,
        scopes: Iterable[str] = SPEC.service.scopes.values,
        base_url: str | None = None,
        **options: Any,
    ) -> OAuthApp:
        """Return the registered application, whose registered *redirect_uri* is this one from now on.

        It reaches the simulator in process, or, with the *base_url* that `serve` says, over the socket; *options* are
        those of `OAuthApp`.
        """
        self.oauth.redirect_uri = redirect_uri
        where = {"base_url": base_url} if base_url else {"base_url": _ORIGIN, "transport": self.transport()}
        options = {"scopes": tuple(scopes), **where, **options}
        return OAuthApp(self.oauth.client_id, self.oauth.client_secret, redirect_uri, **options)

    def transport(self) -> SimulatorTransport:
        """Return a transport for `httpx.AsyncClient` that ends here and fails as scripted."""
        return SimulatorTransport(self.app)

    def session(self, auth: Auth | None = None, **options: Any) -> Session:
        """Return a `Session` on this account, with the admin key unless *auth* says otherwise; *options* are its own.

        All sessions of a simulator share a limiter, which is as fast as the check of the rate allows.
        """
        options.setdefault("limiter", self._limiter)
        options.setdefault("transport", self.transport())
        return Session(_ORIGIN, auth or ApiKey(self.api_key), **options)

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        """Serve on a socket from a thread: ``with sim.serve() as url``, or ``async with``. Port 0 picks a free one."""
        return Server(Delivering(self.app, self.webhooks), host, port)

    def run(self, host: str = "127.0.0.1", port: int = 8010) -> None:
        """Serve on a socket until interrupted."""
        uvicorn.Server(config(Delivering(self.app, self.webhooks), host, port)).run()

    def __repr__(self) -> str:
        world = self.world
        return f"<Simulator {len(world.projects)} projects, {len(world.tasks)} tasks, {len(self.requests)} requests>"
