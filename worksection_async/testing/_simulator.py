"""The simulator: a world, the application that serves it, and clients for it."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, get_args

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from .._auth.credentials import ApiKey, Auth
from .._auth.oauth_app import OAuthApp
from .._auth.token import Token
from .._limits.token_bucket import TokenBucket
from .._protocol.names import nearest
from .._protocol.values import shown
from .._session.session import Session
from .._transport.clock import SYSTEM_CLOCK, Clock
from ..errors import InvalidCall
from ..models import Comment, Project, Task
from ._account import Account
from ._app import RequestPipeline, create_app
from ._clock import VirtualClock
from ._consent import Consent
from ._constants import ACTIONS, LOGIN, LOGIN_ACTIONS, SCOPES, SPEC
from ._credentials import Tokens
from ._fields import UserLike
from ._login import Login
from ._oauth import REDIRECT_URI, OAuth
from ._rate import RateCheck
from ._records import EventAction
from ._request_log import ReceivedRequest
from ._seeds import SEEDS
from ._server import Server, config
from ._service import Service
from ._transport import SimulatorTransport
from ._webhooks import DeliveringApp, Delivery, Webhooks
from ._world import World
from .faults import Fault, FaultName, Faults, named

_UNCHECKED_RATE = 1_000_000.0
ORIGIN = "http://127.0.0.1"


class Simulator(Account):
    """A stateful simulator of one Worksection account, with all 63 actions and the OAuth2 login.

    ::

        async with Simulator(seed="empty") as sim:
            project = sim.add_project("Moon")
            sim.fail("post_task", "too_many_requests")
            async with sim.session() as ws:
                task = await ws.post_task(project.id, "Launch")
            assert task.id in sim.tasks

    Attributes:

    - ``owner``, ``members``, ``projects``, ``tasks``, ``comments``, ``files``, ``tags``, ``costs``, ``webhooks``,
      ``events``: the content of the account, as models.
    - ``requests``: the log of received requests.
    - ``deliveries``: the calls of webhooks and their results, oldest first.
    - ``tokens``: the valid access tokens.
    - ``rate``: the rate limit. It is off by default, so that tests are fast; the service has ``rate=1.0`` (per second).
    - ``oauth``: the registered application: its ``redirect_uri``, the ``scopes`` that it may request, the lifetime
      ``access_seconds`` of its next tokens, the number of ``refreshes``, and the last valid token pair of a user
      (``live_pair(id_user)``). Its requests do not count against the rate limit; in `fail` and ``requests`` they are
      ``oauth2_authorize``, ``oauth2_token``, ``oauth2_refresh`` and ``oauth2_resource``.

    The URLs of registered webhooks are called after each event, if they are on this machine or connected to an ASGI
    application (`connect`). A served simulator calls them automatically; otherwise call ``await sim.deliver()``.

    *clock* is that of the machine, or a `VirtualClock`; the account is in UTC. The sessions and the application of the
    simulator have the same one.

    **Not simulated:** roles and permissions, including ``hidden``; the effects of a project's ``options``; the
    assignment of tag sets to projects; planned publications; quotas; the limit of 10 000 records, except for tasks;
    repeated webhook calls after an error; passwords; a second application; localised names; actions of the older API.

    **Guesses,** where the behaviour of the service is not documented:

    - the message for a missing scope (``Access denied``), and the body of a 401;
    - the refusal of malformed dates and numbers and of unknown costs (``Field is required``);
    - the order of events;
    - with the key, ``post_comment`` and ``add_costs`` require ``email_user_from``, as the documentation says;
    - OAuth2: the errors of the login page and for a wrong ``grant_type``; one message each for an
      invalid code, client and token, independent of the cause; a new token pair of a user does not invalidate others;
    - webhooks: the first call is an empty POST, each event is sent in an array of its own, and all errors count, not
      only consecutive ones.
    """

    def __init__(
        self,
        *,
        seed: Literal["demo", "empty", "large"] = "demo",
        rate: float | None = None,
        api_key: str = "7776461cd931e7b1c8e9632ff8e979ce",
        client_id: str = "simulated-app",
        client_secret: str = "b1946ac92492d2347c6235b4d2611184",  # noqa: S107  # as public as the key
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if seed not in list(SEEDS):
            raise InvalidCall("Simulator", f"seed must be one of {', '.join(SEEDS)}, not {shown(seed)}")
        if not isinstance(clock, Clock):
            raise InvalidCall("Simulator", f"clock must be a VirtualClock(), not {shown(clock)}")
        self.clock: Clock = clock
        self.api_key = api_key
        self._world: World = SEEDS[seed](lambda: dt.datetime.fromtimestamp(clock.time(), dt.UTC).replace(tzinfo=None))
        self.tokens: Tokens = Tokens(clock.time, client_id)
        self.oauth: OAuth = OAuth(client_id=client_id, client_secret=client_secret, tokens=self.tokens)
        self._faults: Faults = Faults()
        self.rate: RateCheck = RateCheck(rate)
        self.requests: list[ReceivedRequest] = []
        service = Service(self._world, self.tokens, api_key, clock.time)
        self._deliveries: Webhooks = Webhooks(self._world)
        login = Login(self.oauth, Consent(self.oauth, self._world))
        pipeline = RequestPipeline(service, login, self._deliveries, self.rate, self._faults, self.requests, clock)
        self.app: Starlette = create_app(pipeline)
        self._limiter = TokenBucket(rate=rate or _UNCHECKED_RATE, clock=clock.monotonic)

    async def __aenter__(self) -> Self:
        if isinstance(self.clock, VirtualClock):
            self.clock.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if isinstance(self.clock, VirtualClock):
            self.clock.stop()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let time pass at once on the virtual clock: ``sim.advance(hours=25)`` expires the access tokens.

        What becomes due in that time happens at its end. To let it happen at its own times, sleep instead.

        Raises:
            InvalidCall: The clock is not virtual, or the time is negative.
        """
        if not isinstance(self.clock, VirtualClock):
            raise InvalidCall("Simulator", "advance needs a virtual clock: Simulator(clock=VirtualClock())")
        period = dt.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        self.clock.advance(period.total_seconds())

    # Faults

    def fail(self, action: str, fault: FaultName | Fault, *, times: int | None = 1) -> None:
        """Let the next requests for an action fail.

        Args:
            action: Name of the action, also of an OAuth2 action; ``"*"`` for any.
            fault: Name of a function of `worksection_async.testing.faults` (``"reset"``), or its result, if it has
                arguments (``faults.cut_off(10)``).
            times: The number of requests; None for all.

        Raises:
            InvalidCall: There is no such action, or no such fault.
        """
        known = [*ACTIONS, *LOGIN_ACTIONS.values()]
        if action not in ("*", *known):
            raise InvalidCall("Simulator", f"unknown action {action!a}{nearest(action, known)}")
        if times is not None and times < 1:
            raise InvalidCall("Simulator", f"times must be at least 1, or None for all requests, not {times}")
        if not isinstance(fault, str | Fault):
            raise InvalidCall("Simulator", f"fault must be a name, or a Fault as of faults.reset(), not {shown(fault)}")
        self._faults.add(action, named(fault) if isinstance(fault, str) else fault, times)

    @property
    def unused_faults(self) -> list[tuple[str, str]]:
        """Actions and names of the faults that no request has met yet. A test should assert that there are none."""
        return [(action, fault.name) for action, fault in self._faults.unused]

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    # Events and webhooks

    async def emit(
        self,
        action: EventAction,
        of: Project | Task | Comment,
        *,
        user_from: UserLike | None = None,
        new: Mapping[str, object] | None = None,
        old: Mapping[str, object] | None = None,
    ) -> list[Delivery]:
        """Record an event, as after a change in the browser, and call the webhooks for it.

        Actions of the API record their events themselves. The record does not change: see `update` and `delete`.

        Args:
            action: What happened.
            of: The project, the task or the comment that changed.
            user_from: The user (default: the owner).
            new: The new values of the changed fields, as the service sends them.
            old: Their old values.

        Returns:
            The calls of webhooks that were made, also those for earlier events.
        """
        if action not in get_args(EventAction):
            raise InvalidCall("Simulator", f"unknown event {action!a}{nearest(action, get_args(EventAction))}")
        self._world.tell(action, self._record(of), self._user(user_from), dict(new or {}), dict(old or {}))
        return await self.deliver()

    async def deliver(self) -> list[Delivery]:
        """Make all pending calls of webhooks, wait for those of other tasks, and return the results of the first."""
        return await self._deliveries.deliver()

    @property
    def deliveries(self) -> list[Delivery]:
        """The calls of webhooks and their results, oldest first."""
        return self._deliveries.deliveries

    def connect(self, url: str, app: ASGIApp) -> None:
        """Let an ASGI application answer webhooks with the prefix *url* (for example ``"https://hooks.test"``).

        The application runs in the event loop of the caller. Therefore add webhooks and `deliver` in its loop, not
        through `serve`.
        """
        self._deliveries.connect(url, app)

    # Credentials and clients

    def issue_token(
        self, user: UserLike | None = None, scopes: Iterable[str] = SCOPES, expires_in: float = LOGIN.access_ttl_seconds
    ) -> str:
        """Return a new access token of *user* (default: the owner) that expires in *expires_in* seconds."""
        return self.tokens.issue(self._user(user), scopes, expires_in)

    def issue_pair(
        self,
        user: UserLike | None = None,
        scopes: Iterable[str] = SCOPES,
        expires_in: float | None = None,
        account_url: str = ORIGIN,
    ) -> Token:
        """Return a new token pair of *user* (default: the owner), as after a login.

        The access token expires in *expires_in* seconds on the simulator's clock (default: ``oauth.access_seconds``).
        """
        pair = self.oauth.issue_pair(self._user(user), scopes, expires_in)
        now = self.tokens.clock()
        return Token(
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            issued_at=now,
            expires_at=now + pair.expires_in,
            account_url=account_url,
        )

    def issue_code(self, user: UserLike | None = None, scopes: Iterable[str] = SCOPES) -> str:
        """Return an authorization code, as after *user* (default: the owner) has allowed *scopes*."""
        return self.oauth.issue_code(self._user(user), scopes)

    def oauth_app(
        self,
        redirect_uri: str = REDIRECT_URI,
        scopes: Iterable[str] = SPEC.service.scopes.values,
        base_url: str | None = None,
        **options: Any,
    ) -> OAuthApp:
        """Return a client of the registered application, and register *redirect_uri* for it.

        The client calls the simulator in process, or over a socket with the *base_url* that `serve` returns. *options*
        are passed to `OAuthApp`.
        """
        self.oauth.redirect_uri = redirect_uri
        target = {"base_url": base_url} if base_url else {"base_url": ORIGIN, "transport": self.transport()}
        options = {"scopes": tuple(scopes), **target, **options}
        return OAuthApp(self.oauth.client_id, self.oauth.client_secret, redirect_uri, **options)

    def transport(self) -> SimulatorTransport:
        """Return a transport for `httpx.AsyncClient` to the simulator in process, with its scripted failures."""
        return SimulatorTransport(self.app, self.clock, self._deliveries.outside)

    def session(self, auth: Auth | None = None, **options: Any) -> Session:
        """Return a `Session` of this account. *auth* is the admin key by default; *options* are passed to `Session`.

        All sessions of a simulator share one limiter, with the rate of the simulator.
        """
        options.setdefault("limiter", self._limiter)
        options.setdefault("transport", self.transport())
        return Session(ORIGIN, auth or ApiKey(self.api_key), **options)

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        """Serve on a socket in a thread: ``with sim.serve() as url``, or ``async with``. Port 0 selects a free port.

        Raises:
            InvalidCall: The clock is virtual: it jumps when all tasks wait, and would not wait for a socket. Entering
                raises it if the port is in use.
        """
        if isinstance(self.clock, VirtualClock):
            raise InvalidCall("Simulator", "with a virtual clock it works in process only, not on a socket")
        return Server(DeliveringApp(self.app, self._deliveries), host, port)

    def run(self, host: str = "127.0.0.1", port: int = 8010) -> None:
        """Serve on a socket until interrupted."""
        uvicorn.Server(config(DeliveringApp(self.app, self._deliveries), host, port)).run()

    def __repr__(self) -> str:
        world = self._world
        return f"<Simulator {len(world.projects)} projects, {len(world.tasks)} tasks, {len(self.requests)} requests>"
