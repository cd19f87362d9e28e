"""The simulator itself: a world, what serves it, and the ways to reach it."""

import datetime as dt
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import uvicorn

from .._auth import ApiKey, Auth
from .._bucket import TokenBucket
from .._session import Session
from ._app import Front, create_app
from ._credentials import Tokens
from ._facts import SCOPES
from ._rate import RateCheck
from ._received import ReceivedRequest
from ._seeds import SEEDS
from ._server import Server, config
from ._service import Service
from ._transport import SimulatorTransport
from .faults import Faults
from .records import User
from .world import World

_UNCHECKED_RATE = 1_000_000.0


class Simulator:
    """Stands in for a Worksection account: all 63 actions, on records it really keeps.

    ::

        async with Simulator(seed="empty") as sim:
            project = sim.world.add_project("Moon")
            async with sim.session() as ws:
                task = await ws.post_task(project.id, "Launch")

    ``world`` is what the account holds, ``faults`` what goes wrong, ``requests`` what came in, ``tokens`` what OAuth
    has issued, ``rate`` the check of the limit: off by default, so that tests take no time; ``rate=1.0`` is the
    service's own.

    Times come from *clock* (seconds since 1970; the account is in UTC), arrivals and the rate from *monotonic*.

    **Not imitated:** roles, visibility (``hidden``) and who may see what; the rules of a project (``options``) beyond
    being kept; which sets of tags are added to a project; planned publications; quotas; the 10 000 records for
    anything but tasks; the calling of webhooks; the OAuth pages; localised names; gzip; ranges of a download; actions
    of the older API.

    **Guessed,** because nobody has published it: the text for a scope not granted (``Access denied``); the body of a
    401; the refusal of malformed dates and numbers and of unknown costs (``Field is required``); the order of events;
    and that with the key ``post_comment`` and ``add_costs`` insist on ``email_user_from``, as the documentation says.
    """

    def __init__(
        self,
        *,
        seed: Literal["demo", "empty"] = "demo",
        rate: float | None = None,
        api_key: str = "7776461cd931e7b1c8e9632ff8e979ce",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.api_key = api_key
        self.world: World = SEEDS[seed](lambda: dt.datetime.fromtimestamp(clock(), dt.UTC).replace(tzinfo=None))
        self.tokens = Tokens(clock)
        self.faults = Faults()
        self.rate = RateCheck(rate)
        self.requests: list[ReceivedRequest] = []
        service = Service(self.world, self.tokens, api_key, clock)
        self.app = create_app(Front(service, self.rate, self.faults, self.requests, monotonic))
        self._limiter = TokenBucket(rate=rate or _UNCHECKED_RATE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    def issue_token(
        self, user: User | None = None, scopes: Iterable[str] = SCOPES, expires_in: float = 86_400.0
    ) -> str:
        """Return a new access token of *user* (the owner by default); *expires_in* counts seconds."""
        return self.tokens.issue(user or self.world.owner, scopes, expires_in)

    def transport(self) -> SimulatorTransport:
        """Return a transport for `httpx.AsyncClient` that ends here and fails as scripted."""
        return SimulatorTransport(self.app)

    def session(self, auth: Auth | None = None, **options: Any) -> Session:
        """Return a `Session` on this account, with the admin key unless *auth* says otherwise; *options* are its own.

        All sessions of a simulator share a limiter, which is as fast as the check of the rate allows.
        """
        options.setdefault("limiter", self._limiter)
        options.setdefault("transport", self.transport())
        return Session("http://127.0.0.1", auth or ApiKey(self.api_key), **options)

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        """Serve on a socket from a thread: ``with sim.serve() as url``, or ``async with``. Port 0 picks a free one."""
        return Server(self.app, host, port)

    def run(self, host: str = "127.0.0.1", port: int = 8010) -> None:
        """Serve on a socket until interrupted."""
        uvicorn.Server(config(self.app, host, port)).run()

    def __repr__(self) -> str:
        world = self.world
        return f"<Simulator {len(world.projects)} projects, {len(world.tasks)} tasks, {len(self.requests)} requests>"
