"""Makes a call: check, wait, sign, send, read, or decide on a retry."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast

import anyio
import attrs

from .._auth.credentials import Auth
from .._limits.limiter import Limiter
from .._limits.queue import Waiter
from .._protocol.actions import DOWNLOAD
from .._protocol.call import Action, Call, prepare
from .._protocol.envelope import Reply, read_reply, unix_time
from .._protocol.raw_reply import RawReply
from .._protocol.service import REQUESTS_PER_SECOND
from .._protocol.structure import Structure
from .._transfer.spool import repeatable
from .._transport.attempts import Attempts, History
from .._transport.call_events import CallRecord
from .._transport.clock import Clock
from .._transport.frames import clears_locals
from .._transport.http import HttpResponse
from .._transport.retry import is_already_done, retry_delay
from .._transport.tasks import decode
from ..errors import (
    ApiError,
    AuthError,
    InvalidCall,
    RateLimited,
    SessionClosed,
    UnexpectedReply,
    WaitTooLong,
    WorksectionError,
)
from .connection import Connection
from .options import Options

T = TypeVar("T")
Read = Callable[[HttpResponse], Awaitable[T]]

logger = logging.getLogger("worksection_async")


@attrs.frozen(eq=False)
class SessionCaller:
    """Makes the calls of one view of a session: one identity and one set of options, over a shared connection."""

    connection: Connection
    auth: Auth
    structure: Structure
    options: Options

    @clears_locals
    async def call(self, action: Action[T], params: Mapping[str, object]) -> T:
        """Call *action* and return its reply as a model; identical reads at one time share one request."""
        with self.connection.observer.call(action.name, self.options.lane) as record:
            call, waiter = await self._prepare(action, params), self._waiter(action)
            if action.kind == "write":
                return await self._write(call, self._read_into_model(action), record, waiter)
            send = functools.partial(self._send, call, self._read_into_model(action), record)
            if not self.options.coalesce:
                return await send(waiter)
            reads, max_age = self.connection.reads(self.auth), self.options.max_age
            return await reads.get((call.query, action.returns), send, waiter, max_age=max_age, on_saved=record.saved)

    @clears_locals
    async def call_raw(self, action: Action[Any], params: Mapping[str, object]) -> RawReply:
        """Call *action* and return its last reply as it arrived, even if it is a refusal or unreadable.

        The reply is read as in `call`, because it decides on the next attempt. Raw reads are not shared or cached.
        """
        replies: list[Reply] = []
        read = self._read_into_model(action, replies.append)
        try:
            with self.connection.observer.call(action.name, self.options.lane) as record:
                call, waiter = await self._prepare(action, params), self._waiter(action)
                send = self._write if action.kind == "write" else self._send
                await send(call, read, record, waiter)
        except (ApiError, UnexpectedReply) as error:
            if not replies or error.action != action.name:  # of a token refresh: the reply does not show that
                raise
        last = replies[-1]
        headers = {name.lower(): value for name, value in last.headers.items()}
        return RawReply(status=last.status, headers=headers, body=last.body)

    @clears_locals
    async def fetch(
        self,
        action: Action[Any],
        params: Mapping[str, object],
        read: Read[T],
        attempts: Attempts,
        failure: WorksectionError | None = None,
    ) -> T:
        """Call *action* and let *read* consume the response; after *failure* of an earlier fetch this is a retry."""
        if failure is not None:
            delay = await self._retry_delay(failure, action, attempts.count)
            if delay is None:
                raise failure
            await anyio.sleep(delay)
        with self.connection.observer.call(action.name, self.options.lane) as record:
            call = await self._prepare(action, params)
            return await self._send(call, read, record, self._waiter(action), attempts)

    def eta(self, calls: int) -> float:
        """Return the forecast of the seconds until the last of *calls* further calls can be sent."""
        if not self.connection.is_resolved:
            return calls / REQUESTS_PER_SECOND
        return self.limiter.eta(self.options.lane) + (calls - 1) / self.limiter.rate

    def replied_at(self) -> float | None:
        """Return the time of the last reply on the service's clock (Unix seconds), or None before the first one."""
        return unix_time(self.connection.last_reply_date)

    @property
    def limiter(self) -> Limiter:
        return self.connection.limiter

    @property
    def clock(self) -> Clock:
        return self.connection.clock

    async def _prepare(self, action: Action[T], params: Mapping[str, object]) -> Call[T]:
        """Do everything that can be done, and that can fail, before the call waits for its slot."""
        if action.credential == "token" and not self.auth.is_token:
            raise InvalidCall(action.name, "this action needs an access token: the admin key belongs to no user")
        call = prepare(action, params)
        if action.returns.model is not None:
            self.structure.make_ready(action.returns.model)  # compiling the hooks later would delay a call with a slot
        await self.connection.prepare(self.auth, action.name)
        if call.parts:
            # It raises InvalidCall for parameters that cannot be sent beside files.
            self.auth.sign(call, self.clock.time())
        return call

    def _waiter(self, action: Action[Any]) -> Waiter:
        return Waiter(
            lane=self.options.lane,
            action=action.name,
            max_wait=self.options.max_wait,
            on_wait=self.options.on_wait,
            owner=self.connection,
        )

    def _read_into_model(self, action: Action[T], on_reply: Callable[[Reply], None] | None = None) -> Read[T]:
        async def read(response: HttpResponse) -> T:
            reply = Reply(response.status, response.headers, await response.read(), self.clock.time())
            if on_reply is not None:
                on_reply(reply)
            return await decode(read_reply, len(reply.body), action, reply, self.structure)

        return read

    def _history(self, call: Call[Any]) -> History:
        has_file = bool(call.parts) or call.action is DOWNLOAD  # it may take longer, as long as bytes arrive
        return History(self.options.timeout, has_deadline=not has_file, is_read=call.action.kind == "read")

    async def _write(self, call: Call[T], read: Read[T], record: CallRecord, waiter: Waiter) -> T:
        # Twice: a read that is in flight when the write is sent may return the state before the write.
        self.connection.invalidate_reads()
        try:
            async with repeatable(call) as spooled:
                return await self._send(spooled, read, record, waiter)
        finally:
            self.connection.invalidate_reads()

    async def _send(
        self, call: Call[Any], read: Read[T], record: CallRecord, waiter: Waiter, attempts: Attempts | None = None
    ) -> T:
        """Make attempts until one succeeds: wait, sign, send, read, or decide on a retry."""
        attempts, history = attempts or Attempts(), self._history(call)
        on_sent = functools.partial(self.limiter.sent, waiter)
        while True:
            attempts.count += 1
            history.start_attempt()
            try:
                async with self._slot(call, waiter, history, record):
                    request = history.request = attempts.with_attempt_headers(self.auth.sign(call, self.clock.time()))
                    history.exchange_began_at = anyio.current_time()
                    async with self.connection.http.exchange(
                        request, history.timeout, total=history.has_deadline, on_sent=on_sent
                    ) as response:
                        record.replied(response.status)
                        if not call.parts:  # the time of an upload says nothing about the delay of the network
                            await self.limiter.answered(waiter)
                        result = await read(response)
                        self.connection.last_reply_date = response.headers.get("date", "")
                        self.limiter.accepted()
                        return result
            except WorksectionError as error:
                if history.is_in_doubt and is_already_done(call.action, error):
                    self.limiter.accepted()
                    return cast(T, call.action.returns.read({"status": "ok"}, self.structure))
                delay = await self._delay_after(error, call, attempts, history)
            await anyio.sleep(delay)

    @contextlib.asynccontextmanager
    async def _slot(self, call: Call[Any], waiter: Waiter, history: History, record: CallRecord) -> AsyncIterator[None]:
        """Wait for a slot of the limiter; an attempt that was not sent returns it."""
        self.connection.check_open(call.action.name)
        try:
            with record.wait():
                await self.limiter.wait(waiter)
            with record.attempt():
                yield
        except WorksectionError as error:
            if not isinstance(error, RateLimited):
                # Before `leave`, which may wait for a shared bucket.
                history.spend(anyio.current_time() - history.exchange_began_at)
            raise
        finally:
            await self.limiter.leave(waiter)

    async def _delay_after(
        self, error: WorksectionError, call: Call[Any], attempts: Attempts, history: History
    ) -> float:
        """Return the seconds until the next attempt, or raise the error that ends the call."""
        # The order matters: a refusal is no attempt, and without a slot nothing was sent that could be retried.
        if isinstance(error, RateLimited):
            attempts.count -= 1
            await self._wait_out(error, history)
            return 0.0
        if isinstance(error, WaitTooLong | SessionClosed):
            self._raise_without_slot(error, history)
        if isinstance(error, ApiError):
            self.limiter.accepted()
        if await self._reauthorize(error, history):
            return 0.0
        delay = await self._retry_delay(error, call.action, attempts.count, history.time_left)
        if delay is None:
            raise history.as_final(error)
        history.spend(delay)
        history.add_failure(error)
        return delay

    async def _wait_out(self, error: RateLimited, history: History) -> None:
        """Report a refusal to the limiter; raise *error* when the refusals have lasted longer than ``patience``."""
        seconds = history.add_refusal(error, anyio.current_time())
        await self.limiter.refused(error.retry_after)
        if seconds >= self.options.patience:
            raise history.as_final(error.given_up(seconds, self.limiter.statistics().refused_share))

    def _raise_without_slot(self, error: WorksectionError, history: History) -> NoReturn:
        """Raise the error of a call that gets no slot: after refusals it is the refusal, because that is the cause."""
        failure = history.last_failure
        if isinstance(error, WaitTooLong) and isinstance(failure, RateLimited):
            seconds = anyio.current_time() - history.refused_since
            raise history.as_final(failure.given_up(seconds, self.limiter.statistics().refused_share)) from error
        raise history.as_final(error) from failure

    async def _reauthorize(self, error: WorksectionError, history: History) -> bool:
        """Renew a refused credential; return whether the request can be sent again."""
        if not isinstance(error, AuthError) or history.request is None:
            return False
        try:
            observer = self.connection.observer
            is_renewed = await self.auth.recover(error, history.request, history.renewals, observer)
            self.connection.check_account(self.auth)
        except WorksectionError as failure:
            history.as_final(failure)
            raise
        history.renewals += is_renewed
        return is_renewed

    async def _retry_delay(
        self, error: WorksectionError, action: Action[Any], attempt: int, time_left: float = math.inf
    ) -> float | None:
        """Return the seconds until the next attempt, or None if *error* is final for this caller's options."""
        if action.kind == "read":
            error.of_read()
        if error.retry_after:
            await self.limiter.hold(error.retry_after)
        delay = retry_delay(action, error, attempt, repeat_writes=self.options.repeat_writes, jitter=random.random)
        if delay is None or attempt > self.options.retries or time_left <= delay:
            return None
        logger.info("attempt %d failed, the next one follows in %.1f s: %s", attempt, delay, error)
        return delay
