"""The session: it holds the parts together, and `_perform` is the whole journey of a call."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import anyio
import anyio.to_thread
import attrs

from .._auth.credentials import Auth
from .._auth.oauth2 import OAuth2
from .._auth.token import Token
from .._auth.token_stores import TokenStore
from .._limits.limiter import Limiter
from .._limits.queue import Lane, Waiter, Waiting
from .._protocol.actions import ACTIONS, DOWNLOAD
from .._protocol.call import Action, Call, as_is, prepare, unknown
from .._protocol.envelope import Reply, read_reply
from .._protocol.structure import Structure
from .._sync.watch import Watches
from .._transfer.downloads import Downloads
from .._transfer.spool import repeatable
from .._transport.attempts import Attempts, History
from .._transport.http import Answer
from .._transport.retry import is_settled, retry_delay
from ..errors import ApiError, AuthError, InvalidCall, RateLimited, SessionClosed, WaitTooLong, WorksectionError
from .connection import Link
from .options import SAME, Options, Same, checked

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

logger = logging.getLogger("worksection_async")

BIG_BODY = 65_536
"""Bytes of a reply from which on it is decoded in a worker thread, so that the event loop keeps its pace."""


class Session(Watches, Downloads):
    """A connection to one account: a coroutine for each action, one limiter, one connection pool.

    Use it as an async context manager. It can be used from any number of tasks at once; all sessions of one account
    share one budget of requests, whatever event loop or thread they live in.

    Args:
        account: Name of the account (``"acme"``) or its URL; plain HTTP for loopback only. None with `OAuth2`: the
            account its user logged into.
        auth: The credential: `ApiKey`, `AccessToken` or `OAuth2`.
        limiter: What to wait for before each request; by default the account's bucket, which all processes of this
            user on this machine share.
        timeout: Seconds a call may spend being sent and answered, all attempts together. Waiting for a turn does
            not count (see ``max_wait``); for a call with files it bounds each read and write instead.
        retries: Attempts after the first, where another one is safe.
        patience: Seconds of refusals in a row (``Too many requests``: another client uses the account's budget) after
            which a call raises `RateLimited`. Until then it waits for another turn; a refused request counts neither
            as an attempt nor for ``timeout``.
        max_wait: Seconds to wait for a turn at most; a longer forecast raises `WaitTooLong` at once.
        coalesce: Whether identical reads that wait or are under way at one time become one request.
        tz: Time zone of the account; date-times are naive without.
        transport: An httpx transport instead of the network.

    Raises:
        InvalidCall: The account or an option makes no sense.
    """

    def __init__(
        self,
        account: str | None,
        auth: Auth,
        *,
        limiter: Limiter | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        patience: float = 60.0,
        max_wait: float | None = None,
        coalesce: bool = True,
        tz: dt.tzinfo | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if account is None and not isinstance(auth, OAuth2):
            raise InvalidCall("Session", "account: only with OAuth2 does the credential know it")
        self._auth = auth
        self._link = Link(account, auth, limiter, transport)
        self._structure = Structure(tz)
        self._options = checked(
            Options(timeout=timeout, retries=retries, patience=patience, max_wait=max_wait, coalesce=coalesce)
        )

    def __repr__(self) -> str:
        return f"<Session {self._link.origin or '(account of the token)'} {type(self._auth).__name__}>"

    async def __aenter__(self) -> Self:
        try:
            await self._link.open(self._auth)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, those of all views included."""
        await self._link.aclose()

    @property
    def limiter(self) -> Limiter:
        """The bucket calls wait at; it knows how long the queue is."""
        return self._link.limiter

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
        patience: float | Same = SAME,
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
            patience: Seconds of refusals in a row, as in the constructor.
            repeat_writes: Whether a write is sent again although the first may have been carried out.
        """
        given: dict[str, Any] = {
            "lane": lane, "max_wait": max_wait, "max_age": max_age, "coalesce": coalesce, "on_wait": on_wait,
            "timeout": timeout, "retries": retries, "patience": patience, "repeat_writes": repeat_writes,
        }  # fmt: skip
        view = copy.copy(self)
        changes = {name: value for name, value in given.items() if value is not SAME}
        view._options = checked(attrs.evolve(self._options, **changes))
        return view

    def as_user(self, who: TokenStore | Token) -> Self:
        """A view of this session on behalf of another user, who has logged in through the same application.

        It shares the connections and the account's budget; answers never go from one user to another.

        Args:
            who: Where the pair of tokens of that user is kept, or the pair itself, which is then kept in memory.

        Raises:
            InvalidCall: This session has another credential than `OAuth2`.
        """
        if not isinstance(self._auth, OAuth2):
            raise InvalidCall("Session", "as_user needs OAuth2, through whose application users have logged in")
        view = copy.copy(self)
        view._auth = self._auth.of(who)
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

    async def _call(self, action: Action[T], params: Mapping[str, object]) -> T:
        call, options = await self._begin(action, params), self._options
        if action.kind == "write":
            return await self._write(call)
        if not options.coalesce:
            return await self._request(call, self._waiter(action))
        fetch = functools.partial(self._request, call)
        key = call.query, action.returns
        return await self._link.reads(self._auth).get(key, fetch, self._waiter(action), max_age=options.max_age)

    async def _write(self, call: Call[T]) -> T:
        """What was read before a write, or is being read beside it, is not repeated afterwards."""
        self._link.forget()
        try:
            async with repeatable(call) as whole:
                return await self._request(whole, self._waiter(call.action))
        finally:
            self._link.forget()

    async def _request(self, call: Call[T], waiter: Waiter) -> T:
        async def receive(answer: Answer) -> T:
            reply = Reply(answer.status, answer.headers, await answer.read())
            if len(reply.body) < BIG_BODY:
                return read_reply(call.action, reply, self._structure)
            return await anyio.to_thread.run_sync(read_reply, call.action, reply, self._structure)

        return await self._perform(call, receive, waiter)

    @property
    def _lane(self) -> Lane:
        return self._options.lane

    def _waiter(self, action: Action[Any]) -> Waiter:
        return Waiter(
            lane=self._options.lane,
            action=action.name,
            max_wait=self._options.max_wait,
            on_wait=self._options.on_wait,
            owner=self._link,
        )

    async def _begin(self, action: Action[T], params: Mapping[str, object]) -> Call[T]:
        """All that can be done, and refused, before a turn is waited for."""
        if action.credential == "token" and not self._auth.is_token:
            raise InvalidCall(action.name, "an access token is needed: the admin key stands for no user")
        call = prepare(action, params)
        if action.returns.model is not None:
            self._structure.make_ready(action.returns.model)  # later it would hold up who has a turn
        await self._link.open(self._auth)
        if call.parts:
            self._auth.sign(call, time.time())  # what does not go along with files is refused
        return call

    async def _perform(
        self,
        call: Call[Any],
        receive: Callable[[Answer], Awaitable[T]],
        waiter: Waiter,
        attempts: Attempts | None = None,
    ) -> T:
        """Make attempts until one succeeds, or another one is not safe or cannot help."""
        action, history = call.action, History(self._options.timeout)
        for attempt in (attempts := attempts or Attempts()):
            try:
                return await self._attempt(call, receive, waiter, attempts, history)
            except RateLimited as error:
                attempts.uncount()
                await self._bear(error, history)
                continue
            except (WaitTooLong, SessionClosed) as error:
                raise self._no_other_turn(error, history) from history.failure
            except WorksectionError as error:
                if await self._is_recovered(error, history):
                    continue
                if history.in_doubt and is_settled(action, error):
                    return cast(T, action.returns.read({"status": "ok"}, self._structure))
                pause = await self._pause_after(error, action, attempt, history.time_left)
                if pause is None:
                    history.told(error)
                    raise
                history.time_left -= pause
                history.fail(error)
            await anyio.sleep(pause)
        raise AssertionError("unreachable")

    async def _attempt(
        self,
        call: Call[Any],
        receive: Callable[[Answer], Awaitable[T]],
        waiter: Waiter,
        attempts: Attempts,
        history: History,
    ) -> T:
        """Wait, sign, send, read."""
        history.begin()
        is_timed = not call.parts and call.action is not DOWNLOAD  # files may take longer, as long as they move
        on_sent = functools.partial(self.limiter.sent, waiter)
        self._link.check_open(call.action.name)
        try:
            await self.limiter.wait(waiter)
            request = history.request = attempts.with_attempt_headers(self._auth.sign(call, time.time()))
            history.started_at = anyio.current_time()
            async with self._link.http.exchange(request, history.time_left, total=is_timed, on_sent=on_sent) as answer:
                if not call.parts:
                    await self.limiter.answered(waiter)
                result = await receive(answer)
                self.limiter.accepted()
                return result
        except RateLimited:
            raise
        except WorksectionError as error:
            if isinstance(error, ApiError):
                self.limiter.accepted()
            history.time_left -= max(0.0, anyio.current_time() - history.started_at) if is_timed else 0.0
            raise
        finally:
            await self.limiter.leave(waiter)

    async def _bear(self, error: RateLimited, history: History) -> None:
        """Let the limiter know of a refusal; raise *error* where the call has no more patience."""
        seconds = history.refuse(error, anyio.current_time())
        await self.limiter.refused(error.retry_after)
        if seconds >= self._options.patience:
            raise history.told(error.given_up(seconds, self.limiter.statistics().refused_share))

    def _no_other_turn(self, error: WorksectionError, history: History) -> WorksectionError:
        """What ends a call that gets no turn: after refusals these, for they are the reason."""
        failure = history.failure
        if isinstance(error, WaitTooLong) and isinstance(failure, RateLimited):
            seconds = anyio.current_time() - history.refused_since
            history.failure = error
            return history.told(failure.given_up(seconds, self.limiter.statistics().refused_share))
        return history.told(error)

    async def _is_recovered(self, error: WorksectionError, history: History) -> bool:
        """Whether the credential was renewed, so that the request may be made again."""
        if history.is_signed_anew or not isinstance(error, AuthError) or history.request is None:
            return False
        history.is_signed_anew = True
        try:
            is_recovered = await self._auth.recover(error, history.request)
            self._link.check(self._auth)
        except WorksectionError as failure:
            history.told(failure)
            raise
        return is_recovered

    async def _pause_after(
        self, error: WorksectionError, action: Action[Any], attempt: int, time_left: float = math.inf
    ) -> float | None:
        """Seconds until the next attempt, or None where *error* is to be raised."""
        if error.retry_after:
            await self.limiter.hold(error.retry_after)
        pause = retry_delay(action, error, attempt, repeat_writes=self._options.repeat_writes, jitter=random.random)
        if pause is None or attempt > self._options.retries or time_left <= pause:
            return None
        logger.info("attempt %d failed and is made again in %.1f s: %s", attempt, pause, error)
        return pause
