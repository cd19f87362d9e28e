"""The session: it holds the parts together, and `_perform` is the whole journey of a call."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import itertools
import logging
import math
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar, cast

import anyio
import anyio.to_thread
import attrs

from ._account import origin_of
from ._actions import ACTIONS, DOWNLOAD
from ._auth import Auth
from ._bucket import shared
from ._call import Action, Call, as_is, prepare, unknown
from ._download import Download, DownloadedFile, Progress
from ._endpoints import Endpoints
from ._envelope import Reply, read_reply
from ._http import Answer, Http
from ._limiter import Limiter
from ._queue import LANES, Lane, Waiting
from ._reads import Place, Reads
from ._request import as_query
from ._retry import is_settled, retry_delay
from ._structure import Structure
from .errors import InvalidCall, RateLimited, WorksectionError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

logger = logging.getLogger("worksection_async")

BIG_BODY = 65_536
"""Bytes of a reply from which on it is decoded in a worker thread, so that the event loop keeps its pace."""


class Same(Enum):
    """Marks what a view takes over as it is; for some options None is a value."""

    SAME = "same"


SAME = Same.SAME


@attrs.frozen(kw_only=True)
class Options:
    """How calls are made; every view of a session has its own."""

    timeout: float = 30.0
    retries: int = 3
    lane: Lane = "normal"
    max_wait: float | None = None
    max_age: float = 0.0
    coalesce: bool = True
    repeat_writes: bool = False
    on_wait: Callable[[Waiting], object] | None = None


class Session(Endpoints):
    """A connection to one account: a coroutine for each action, one limiter, one connection pool.

    Use it as an async context manager. It can be used from any number of tasks at once; all sessions of one account
    share one budget of requests, whatever event loop or thread they live in.

    Args:
        account: Name of the account (``"acme"``) or its URL; plain HTTP for loopback only.
        auth: The credential: `ApiKey` or `AccessToken`.
        limiter: What to wait for before each request; by default the account's own bucket in this process.
        timeout: Seconds a call may spend being sent and answered, all attempts together. Waiting for a turn does
            not count (see ``max_wait``); for a call with files it bounds each read and write instead.
        retries: Attempts after the first, where another one is safe.
        max_wait: Seconds to wait for a turn at most; a longer forecast raises `WaitTooLong` at once.
        coalesce: Whether identical reads that wait or are under way at one time become one request.
        tz: Time zone of the account; date-times are naive without.
        transport: An httpx transport instead of the network.

    Raises:
        InvalidCall: The account or an option makes no sense.
    """

    def __init__(
        self,
        account: str,
        auth: Auth,
        *,
        limiter: Limiter | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        max_wait: float | None = None,
        coalesce: bool = True,
        tz: dt.tzinfo | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._origin = origin_of(account)
        self._auth = auth
        self._limiter = limiter or shared(self._origin)
        self._limiter.bind(self._origin)
        self._http = Http(self._origin, transport)
        self._structure = Structure(tz)
        self._reads = Reads(self._limiter)
        self._options = _checked(Options(timeout=timeout, retries=retries, max_wait=max_wait, coalesce=coalesce))

    def __repr__(self) -> str:
        return f"<Session {self._origin} {type(self._auth).__name__}>"

    async def __aenter__(self) -> Self:
        await self._http.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, those of all views included."""
        await self._http.aclose()

    @property
    def limiter(self) -> Limiter:
        """The bucket calls wait at; it knows how long the queue is."""
        return self._limiter

    def with_options(
        self,
        *,
        lane: Lane | Same = SAME,
        max_wait: float | Same | None = SAME,
        max_age: float | Same = SAME,
        coalesce: bool | Same = SAME,
        on_wait: Callable[[Waiting], object] | Same | None = SAME,
        timeout: float | Same = SAME,
        retries: int | Same = SAME,
        repeat_writes: bool | Same = SAME,
    ) -> Self:
        """A view of this session that makes its calls differently and shares everything else.

        Args:
            lane: How urgent calls are: ``"interactive"``, ``"normal"`` or ``"bulk"``.
            max_wait: Seconds to wait for a turn at most; a longer forecast raises `WaitTooLong` at once.
            max_age: Seconds for which an answer to a read may be repeated from memory. A write through this session
                empties the memory.
            coalesce: Whether identical reads at one time become one request, for which the first caller's options
                hold. False sends each call, whatever ``max_age`` says.
            on_wait: Called with a `Waiting` (lane, position, ETA) when a wait begins and whenever its position changed.
            timeout: Seconds for a call, as in the constructor.
            retries: Attempts after the first.
            repeat_writes: Whether a write is sent again although the first may have been carried out.
        """
        given: dict[str, Any] = {
            "lane": lane, "max_wait": max_wait, "max_age": max_age, "coalesce": coalesce, "on_wait": on_wait,
            "timeout": timeout, "retries": retries, "repeat_writes": repeat_writes,
        }  # fmt: skip
        view = copy.copy(self)
        changes = {name: value for name, value in given.items() if value is not SAME}
        view._options = _checked(attrs.evolve(self._options, **changes))
        return view

    async def call(self, action: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call any action, known to this release or not, and return the whole envelope as the service sent it.

        Args:
            action: Name of the action.
            params: Its parameters: Python values, or text for the service to read as it is. Of an action unknown to
                this release nothing is checked, and it counts as a write.

        Raises:
            InvalidCall: A known action, and parameters it cannot have.
            ApiError: The service refused.
            TransportError: The service could not be reached, or the answer got lost.
            UnexpectedReply: The answer makes no sense.
        """
        if action == DOWNLOAD.name:
            raise InvalidCall(action, "it answers with a file, not an envelope: use the method of that name")
        return await self._call(as_is(ACTIONS.get(action) or unknown(action, params or {})), params or {})

    async def download(
        self,
        id_file: int,
        to: str | os.PathLike[str] | BinaryIO,
        progress: Progress | None = None,
        *,
        overwrite: bool = False,
    ) -> DownloadedFile:
        """Save a stored file; it appears under its name only when it is complete.

        Args:
            id_file: Number of the file.
            to: A folder, a path, or an open binary file.
            progress: Called with bytes done and bytes in all (None where the service does not say).
            overwrite: Whether a file of that name may be replaced.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        call = self._prepared(DOWNLOAD, {"id_file": id_file})
        await self._http.open()
        return await self._perform(call, Download(to, progress, overwrite).receive, self._place(DOWNLOAD), total=False)

    async def _call(self, action: Action[T], params: Mapping[str, object]) -> T:
        call, options = self._prepared(action, params), self._options
        await self._http.open()
        if action.kind == "write":
            return await self._write(call)
        if not options.coalesce:
            return await self._request(call, self._place(action))
        fetch = functools.partial(self._request, call)
        key = as_query(call), action.returns
        return await self._reads.get(key, fetch, self._place(action), max_age=options.max_age)

    async def _write(self, call: Call[T]) -> T:
        """What was read before a write, or is being read beside it, is not repeated afterwards."""
        self._reads.forget()
        try:
            return await self._request(call, self._place(call.action))
        finally:
            self._reads.forget()

    async def _request(self, call: Call[T], place: Place) -> T:
        async def receive(answer: Answer) -> T:
            reply = Reply(answer.status, answer.headers, await answer.read())
            if len(reply.body) < BIG_BODY:
                return read_reply(call.action, reply, self._structure)
            return await anyio.to_thread.run_sync(read_reply, call.action, reply, self._structure)

        return await self._perform(call, receive, place, total=not call.parts)

    def _place(self, action: Action[Any]) -> Place:
        return Place(
            limiter=self._limiter,
            action=action.name,
            lane=self._options.lane,
            max_wait=self._options.max_wait,
            on_wait=self._options.on_wait,
        )

    def _prepared(self, action: Action[T], params: Mapping[str, object]) -> Call[T]:
        if action.credential == "token" and not self._auth.is_token:
            raise InvalidCall(action.name, "an access token is needed: the admin key stands for no user")
        call = prepare(action, params)
        if call.parts:
            self._auth.sign(call, time.time())  # what does not go along with files is refused before the wait
        if action.returns.model is not None:
            self._structure.make_ready(action.returns.model)  # later it would hold up who has a turn
        return call

    async def _perform(
        self, call: Call[Any], receive: Callable[[Answer], Awaitable[T]], place: Place, *, total: bool
    ) -> T:
        """Wait, sign, send, read; and again, where that is safe and may help."""
        action, time_left, in_doubt = call.action, self._options.timeout, False
        for attempt in itertools.count(1):
            started = math.inf
            try:
                granted_at = await place.turn()
                request = self._auth.sign(call, time.time())
                started = anyio.current_time()
                on_sent = functools.partial(self._limiter.sent, granted_at)
                async with self._http.exchange(request, time_left, total=total, on_sent=on_sent) as answer:
                    self._limiter.answered(anyio.current_time() - started)
                    return await receive(answer)
            except WorksectionError as error:
                if in_doubt and is_settled(action, error):
                    return cast(T, action.returns.read({"status": "ok"}, self._structure))
                time_left -= max(0.0, anyio.current_time() - started) if total else 0.0
                pause = await self._pause_after(error, action, attempt, time_left)
                if pause is None:
                    if in_doubt:
                        error.in_doubt()
                    raise
                time_left -= pause
                in_doubt = in_doubt or (error.sent and not isinstance(error, RateLimited))
            await anyio.sleep(pause)
        raise AssertionError("unreachable")

    async def _pause_after(
        self, error: WorksectionError, action: Action[Any], attempt: int, time_left: float
    ) -> float | None:
        """Seconds until the next attempt, or None where *error* is to be raised."""
        if isinstance(error, RateLimited):
            await self._limiter.refused(error.retry_after)
        pause = retry_delay(action, error, attempt, repeat_writes=self._options.repeat_writes, jitter=random.random)
        if pause is None or attempt > self._options.retries or time_left <= pause:
            return None
        logger.info("attempt %d failed and is made again in %.1f s: %s", attempt, pause, error)
        return pause


def _checked(options: Options) -> Options:
    """*options*, or `InvalidCall` for what makes no sense."""
    complaints = {
        "timeout must be a positive number of seconds": not options.timeout > 0,
        "retries must not be negative": options.retries < 0,
        f"lane must be one of {', '.join(LANES)}": options.lane not in LANES,
        "max_wait must not be negative": options.max_wait is not None and not options.max_wait >= 0,
        "max_age must not be negative": not options.max_age >= 0,
    }
    for complaint, applies in complaints.items():
        if applies:
            raise InvalidCall("Session", complaint)
    return options
