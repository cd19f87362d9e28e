"""Fewer requests: identical reads at one time share one request, and a recent reply can be reused.

A shared read runs in a task of its own, so that cancelling one caller does not cancel the read for the others. It is
cancelled when all its callers have been cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar, cast

import anyio
import anyio.lowlevel
import attrs

from .._limits.limiter import Limiter
from .._limits.queue import Waiter
from .._transport.tasks import copy_for_next_waiter, spawn
from ..errors import WaitTooLong

T = TypeVar("T")

MAX_CACHED = 256
"""Number of cached replies; the oldest one is dropped first."""


Fetch = Callable[[Waiter], Coroutine[Any, Any, T]]
OnSaved = Callable[[Literal["coalesced", "cached"]], None]


class _SharedRead:
    """One request that several callers wait for."""

    def __init__(self, limiter: Limiter, waiter: Waiter) -> None:
        self._limiter = limiter
        self.waiter = waiter
        self.callers = 0
        self.is_shared = False
        self.is_cached = False
        self.scope = anyio.CancelScope()
        self._done = anyio.Event()
        self._reply: Any = None
        self._error: BaseException | None = None

    async def run(self, fetch: Fetch[Any]) -> None:
        with self.scope:
            try:
                self._reply = await fetch(self.waiter)
            except (Exception, KeyboardInterrupt, SystemExit) as exc:  # noqa: BLE001  # a callback can exit the program
                self._error = exc  # raised to each caller; the task itself has no caller
            finally:
                await self._limiter.leave(self.waiter)
        if self.scope.cancelled_caught and self._error is None:
            self._error = RuntimeError("all callers of this read were cancelled")
        self._done.set()

    async def reply(self) -> Any:
        """Wait for the reply. Each caller gets a copy, so that a change by one caller is not seen by the others."""
        self.is_shared = self.is_shared or self.callers > 0
        self.callers += 1
        try:
            await self._done.wait()
        finally:
            self.callers -= 1
            if not self.callers and not self._done.is_set():
                self.scope.cancel()
        if self._error is not None:
            raise copy_for_next_waiter(self._error)
        return own_copy(self._reply) if self.is_shared or self.is_cached else self._reply

    @property
    def is_cancelled(self) -> bool:
        return self.scope.cancel_called


@attrs.frozen
class _CachedReply:
    reply: object
    at: float
    """Time when it was cached."""
    generation: object
    """`SharedReads._generation` when the read began: a write since then makes the reply invalid."""


class SharedReads:
    """The reads of one account and identity that are in flight, and the replies that are cached.

    Threads with event loops of their own use it without a lock: each change is a single operation of a dict.
    """

    def __init__(self, limiter: Limiter, clock: Callable[[], float]) -> None:
        self._limiter = limiter
        self._clock = clock
        self._in_flight: dict[object, _SharedRead] = {}
        self._cached: dict[object, _CachedReply] = {}
        self._generation = object()

    async def get(self, key: object, fetch: Fetch[T], waiter: Waiter, *, max_age: float, on_saved: OnSaved) -> T:
        """Return the reply to the read *key*: from the cache, from a request in flight, or from *fetch*.

        Args:
            key: Reads with equal keys are identical.
            fetch: Makes the request for a waiter.
            waiter: The call in the limiter's queue, if a request is made.
            max_age: Seconds for which a cached reply may be used.
            on_saved: Called if no request of its own is needed.
        """
        cached = self._cached.get(key)
        if cached and cached.generation is self._generation and self._clock() - cached.at < max_age:
            self._limiter.count_saved()
            on_saved("cached")
            return cast(T, own_copy(cached.reply))
        # A task can be awaited in its own event loop only, so reads are shared per loop.
        loop_key = (anyio.lowlevel.current_token(), key)
        read = self._in_flight.get(loop_key)
        if read is None or read.is_cancelled:
            read = self._start(loop_key, key, fetch, waiter)
        else:
            self._join(read, waiter)
            on_saved("coalesced")
        read.is_cached = read.is_cached or max_age > 0
        reply: T = await read.reply()
        return reply

    def invalidate(self) -> None:
        """Drop all cached replies; do not cache the replies of reads in flight, nor let further callers join them."""
        self._generation = object()
        self._in_flight.clear()
        self._cached.clear()

    def _join(self, read: _SharedRead, waiter: Waiter) -> None:
        self._limiter.promote(read.waiter, waiter.lane)
        if waiter.max_wait is not None and (eta := self._limiter.eta_of(read.waiter)) > waiter.max_wait:
            raise WaitTooLong(waiter.action, eta, waiter.max_wait)
        self._limiter.count_saved()

    def _start(self, loop_key: object, key: object, fetch: Fetch[Any], waiter: Waiter) -> _SharedRead:
        self._limiter.enter(waiter)
        read = self._in_flight[loop_key] = _SharedRead(self._limiter, waiter)
        generation = self._generation

        async def run() -> None:
            try:
                await read.run(fetch_and_cache)
            finally:
                if self._in_flight.get(loop_key) is read:
                    del self._in_flight[loop_key]

        async def fetch_and_cache(waiter: Waiter) -> Any:
            reply = await fetch(waiter)
            if read.is_cached and generation is self._generation:
                self._cache(key, reply, generation)
            return reply

        spawn(run())
        return read

    def _cache(self, key: object, reply: object, generation: object) -> None:
        self._cached.pop(key, None)
        self._cached[key] = _CachedReply(reply, self._clock(), generation)
        for oldest in list(self._cached)[:-MAX_CACHED]:
            self._cached.pop(oldest, None)


def own_copy(reply: T) -> T:
    """Return a copy for one more caller: models are immutable, but lists and the dicts of `Session.call` are not.

    For a large dict, `copy.deepcopy` takes three times as long, during which the event loop is blocked.
    """
    if isinstance(reply, dict):
        return cast(T, {name: own_copy(value) for name, value in reply.items()})
    return cast(T, [own_copy(item) for item in reply]) if isinstance(reply, list) else reply
