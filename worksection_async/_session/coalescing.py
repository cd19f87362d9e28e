"""Fewer requests: identical reads at one time are one, and a repeated one can be answered from memory.

A merged read belongs to none of its callers: it runs in a task of its own, so that one who gives up does not take
the others' answer along. Only when all have given up is it cancelled.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import anyio
import anyio.lowlevel

from .._limits.limiter import Limiter
from .._limits.queue import Waiter
from .._transport.tasks import once_more, spawn
from ..errors import WaitTooLong

T = TypeVar("T")

MOST_KEPT = 256
"""Answers in memory at most."""


Fetch = Callable[[Waiter], Coroutine[Any, Any, T]]


class _Read:
    """A request that several callers wait for."""

    def __init__(self, limiter: Limiter, waiter: Waiter) -> None:
        self._limiter = limiter
        self.waiter = waiter
        self.callers = 0
        self.is_shared = False
        self.is_kept = False
        self.scope = anyio.CancelScope()
        self._done = anyio.Event()
        self._answer: Any = None
        self._error: Exception | None = None

    async def run(self, fetch: Fetch[Any]) -> None:
        with self.scope:
            try:
                self._answer = await fetch(self.waiter)
            except Exception as exc:  # noqa: BLE001
                self._error = exc  # each caller is told; the task itself has nobody to tell
            finally:
                await self._limiter.leave(self.waiter)
        if self.scope.cancelled_caught and self._error is None:
            self._error = RuntimeError("the read was given up")
        self._done.set()

    async def answer(self) -> Any:
        """Wait for it; a copy for each, so that nobody changes what others got."""
        self.is_shared = self.is_shared or self.callers > 0
        self.callers += 1
        try:
            await self._done.wait()
        finally:
            self.callers -= 1
            if not self.callers and not self._done.is_set():
                self.scope.cancel()
        if self._error is not None:
            raise once_more(self._error)
        return own_copy(self._answer) if self.is_shared or self.is_kept else self._answer

    @property
    def is_given_up(self) -> bool:
        return self.scope.cancel_called


class Reads:
    """The reads of one account and identity that are under way, and answers that are still young."""

    def __init__(self, limiter: Limiter, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = limiter
        self._clock = clock
        self._running: dict[object, _Read] = {}
        self._kept: dict[object, tuple[float, object]] = {}
        self._epoch = 0

    async def get(self, key: object, fetch: Fetch[T], waiter: Waiter, *, max_age: float) -> T:
        """The answer to the read *key*: from memory, from one that is under way, or from *fetch*.

        Args:
            key: What makes reads identical.
            fetch: Makes the request when a waiter has its turn.
            waiter: The call in the queue, if a request has to be made.
            max_age: Seconds for which an answer may be repeated.
        """
        if (kept := self._kept.get(key)) is not None and self._clock() - kept[0] < max_age:
            self._limiter.saved_one()
            return cast(T, own_copy(kept[1]))
        loop_key = (anyio.lowlevel.current_token(), key)
        read = self._running.get(loop_key)
        if read is None or read.is_given_up:
            read = self._start(loop_key, key, fetch, waiter)
        else:
            self._join(read, waiter)
        read.is_kept = read.is_kept or max_age > 0
        answer: T = await read.answer()
        return answer

    def forget(self) -> None:
        """Something was written: what was read before may be wrong, and what is being read must not be kept."""
        self._epoch += 1
        self._running.clear()
        self._kept.clear()

    def _join(self, read: _Read, waiter: Waiter) -> None:
        self._limiter.promote(read.waiter, waiter.lane)
        if waiter.max_wait is not None and (eta := self._limiter.eta_of(read.waiter)) > waiter.max_wait:
            raise WaitTooLong(waiter.action, eta, waiter.max_wait)
        self._limiter.saved_one()

    def _start(self, loop_key: object, key: object, fetch: Fetch[Any], waiter: Waiter) -> _Read:
        self._limiter.enter(waiter)
        read = self._running[loop_key] = _Read(self._limiter, waiter)
        epoch = self._epoch

        async def run() -> None:
            try:
                await read.run(fetch_and_keep)
            finally:
                if self._running.get(loop_key) is read:
                    del self._running[loop_key]

        async def fetch_and_keep(waiter: Waiter) -> Any:
            answer = await fetch(waiter)
            if read.is_kept and epoch == self._epoch:
                self._keep(key, answer)
            return answer

        spawn(run())
        return read

    def _keep(self, key: object, answer: object) -> None:
        self._kept.pop(key, None)
        self._kept[key] = (self._clock(), answer)
        while len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept)), None)  # another thread may have been here


def own_copy(answer: T) -> T:
    """*answer* for one more caller: models cannot be changed, lists and what `call` returns can."""
    return copy.deepcopy(answer) if isinstance(answer, dict) else copy.copy(answer)
