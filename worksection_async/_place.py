"""The place of a call in the queue, from joining it until its request has left."""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio
import attrs

from ._limiter import Limiter
from ._queue import LANES, Lane, Waiter, Waiting


@attrs.define(kw_only=True, eq=False)
class Place:
    """Where a call stands, on behalf of all who wait for it; and, once it has a turn, when its request may leave."""

    limiter: Limiter
    action: str
    lane: Lane
    max_wait: float | None
    on_wait: Callable[[Waiting], object] | None
    _waiter: Waiter | None = attrs.field(default=None, init=False)
    _granted_at: float = attrs.field(default=math.inf, init=False)
    _left_at: float = attrs.field(default=math.inf, init=False)

    def enter(self) -> Waiter:
        """Join the queue, now: the order is that of the calls."""
        self._waiter = self.limiter.enter(self.lane, max_wait=self.max_wait, action=self.action, on_wait=self.on_wait)
        return self._waiter

    async def turn(self) -> None:
        """Wait for a turn, joining the queue first where that has not been done; `leave` has to follow.

        It comes a moment early, so that the request can be made ready meanwhile: see `comes`.
        """
        self._left_at = math.inf
        self._granted_at = await self.limiter.wait(self._waiter or self.enter(), self.max_wait, self.action)

    async def comes(self) -> None:
        """The request is ready: wait for the very moment it may leave.

        If that is long past (a connection took its time), or everybody was told to wait meanwhile, the turn is void.
        """
        while self._waiter is not None and not self.limiter.holds(self._waiter):
            await self.leave()
            self._waiter = self.limiter.enter("interactive", action=self.action)
            self._granted_at = await self.limiter.wait(self._waiter, action=self.action)
        await self.limiter.until(self._granted_at)

    async def left(self) -> None:
        """The request has left: its turn is used."""
        self._waiter = None
        self._left_at = anyio.current_time()
        await self.limiter.sent(self._granted_at)

    def answered(self) -> None:
        """The request was answered."""
        if math.isfinite(self._left_at):
            self.limiter.answered(anyio.current_time() - self._left_at)

    async def leave(self) -> None:
        """Do not stand in the queue any more; a turn that was not used goes to the next."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            await self.limiter.leave(waiter)

    def hurry(self, lane: Lane) -> None:
        """A caller in a better lane wants the same."""
        if LANES.index(lane) < LANES.index(self.lane):
            self.lane = lane
            if self._waiter is not None:
                self.limiter.promote(self._waiter, lane)

    def eta(self) -> float:
        return self.limiter.eta_of(self._waiter) if self._waiter is not None else 0.0
