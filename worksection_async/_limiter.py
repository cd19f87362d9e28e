"""Waiting for a turn: one queue per bucket, for all sessions that share it, in whatever loop or thread they live.

Nobody polls. One of those who wait, the leader, holds the only reservation of this queue and sleeps until it comes;
who gets the turn is decided then, not before (late binding): a newcomer in a better lane goes first, and a cancelled
call costs nothing. All others sleep until they are woken. A process holds one reservation at most, however many calls
wait in it, so several that share a bucket take turns.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from typing import cast

import anyio

from ._budget import Budget
from ._lateness import Lateness
from ._pace import FIRST_MARGIN, TICK, Slot, Visit
from ._queue import LANES, Lane, Queue, Waiter, Waiting
from ._sleep import sleep_until
from ._usage import Statistics, Usage
from .errors import TransportError, WaitTooLong

YOUTH = 0.025
"""Seconds for which a turn is good at any rate; half an interval, if that is more."""


class Limiter(Budget):
    """A queue in front of a bucket; the bucket itself is what the subclasses add."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float], ahead: float = 0.0) -> None:
        super().__init__(rate, burst, clock, ahead)
        self._lock = threading.RLock()
        self._queue = Queue()
        self._leader: Waiter | None = None
        self._held: Slot | None = None
        self._due = -math.inf
        self._usage = Usage(self._interval)
        self._lateness = Lateness(self._interval)
        self._trip = 0.0
        self._pushes = 0
        self._is_asking = False
        self._margin = FIRST_MARGIN

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {1 / self._interval:g}/s, {len(self._queue)} waiting>"

    async def acquire(
        self,
        lane: Lane = "normal",
        *,
        max_wait: float | None = None,
        action: str = "acquire",
        on_wait: Callable[[Waiting], object] | None = None,
    ) -> float:
        """Wait for a turn, take it, and return when that was. Cancelled, a call leaves as if it had never been there.

        Args:
            lane: How urgent it is.
            max_wait: Seconds to wait at most; where the forecast is longer, `WaitTooLong` is raised at once.
            action: Whose turn it is, for the error.
            on_wait: Called with a `Waiting` when the wait begins and whenever its position has changed.
        """
        waiter = self.enter(lane, max_wait=max_wait, action=action, on_wait=on_wait)
        if waiter.granted_at is not None:
            return waiter.granted_at
        try:
            await self.until(await self.wait(waiter, max_wait, action))
        except BaseException:
            await self.leave(waiter)
            raise
        return cast(float, waiter.granted_at)

    def enter(
        self,
        lane: Lane = "normal",
        *,
        max_wait: float | None = None,
        action: str = "acquire",
        on_wait: Callable[[Waiting], object] | None = None,
    ) -> Waiter:
        """Stand in the queue; `wait` has to follow, or `leave`."""
        if lane not in LANES:
            raise ValueError(f"lane must be one of {', '.join(LANES)}, not {lane!r}")
        if max_wait is not None and not max_wait >= 0:
            raise ValueError(f"max_wait must not be negative, not {max_wait!r}")
        waiter = Waiter(lane, on_wait)
        with self._lock:
            if not self._queue and (visit := self._take_free()) is not None:
                waiter.slot, waiter.granted_at, self._margin = visit.slot, self._clock(), visit.margin
                waiter.pushes = self._pushes
                self._usage.count(waiter.granted_at, is_busy=False)
                return waiter
            self._drop_gone_leader()
            if max_wait is not None and (eta := self._forecast(self._queue.ahead_of(lane))) > max_wait:
                raise WaitTooLong(action, eta, max_wait)
            waiter.stand()
            self._queue.add(waiter)
            self._leader = self._leader or waiter
            self._usage.start(self._clock())
        return waiter

    async def wait(self, waiter: Waiter, max_wait: float | None = None, action: str = "acquire") -> float:
        """Wait for the turn of *waiter*, and return when it is: a moment ahead (see `until`); `leave` if this fails."""
        give_up = math.inf if max_wait is None else self._clock() + max_wait
        while waiter.granted_at is None:
            pause = await self._lead(waiter) if self._leader is waiter else math.inf
            if waiter.granted_at is None and pause > 0:
                self._report(waiter)
                self._check_patience(waiter, give_up, max_wait, action)
                await waiter.nap(min(pause, give_up - self._clock()))
        return waiter.granted_at

    async def until(self, granted_at: float) -> None:
        """Wait for what is left until *granted_at*, exactly."""
        await sleep_until(granted_at, self._clock)

    def holds(self, waiter: Waiter) -> bool:
        """Whether the turn of *waiter* is good: nobody can have gone since, nor has anybody been told to wait."""
        age = self._clock() - (-math.inf if waiter.granted_at is None else waiter.granted_at)
        return age < max(self._interval / 2, YOUTH) and waiter.pushes == self._pushes

    async def sent(self, granted_at: float) -> None:
        """The request whose turn was at *granted_at* leaves only now: the interval counts from here."""
        if pause := self._lateness.pause(self._clock() - granted_at):
            self._pushes += 1
            with contextlib.suppress(TransportError):  # the request is on its way; the next visit will say so
                await self._push(pause)

    async def refused(self, retry_after: float | None = None) -> None:
        """The service said that a call came too soon: hold everybody back, *retry_after* seconds or one interval."""
        with self._lock:
            self._usage.refused += 1
            self._pushes += 1
        with contextlib.suppress(TransportError):
            await self._refuse(retry_after, self._last_trip())

    def answered(self, seconds: float) -> None:
        """A request was answered so long after it had left; after refusals, it counts how much this differs."""
        self._trip = seconds

    def _last_trip(self) -> float:
        """What the bucket does not know yet; zero: nothing."""
        trip, self._trip = self._trip, 0.0
        return trip

    def promote(self, waiter: Waiter, lane: Lane) -> None:
        """Let *waiter* stand in *lane*, if that is better than the one it stands in."""
        with self._lock:
            self._queue.promote(waiter, lane)

    def saved_one(self) -> None:
        """Count a request that was not needed."""
        with self._lock:
            self._usage.saved += 1

    def eta(self, lane: Lane = "normal") -> float:
        """Seconds a newcomer in *lane* would wait, as things stand."""
        with self._lock:
            return self._forecast(self._queue.ahead_of(lane))

    def eta_of(self, waiter: Waiter) -> float:
        """Seconds *waiter* has still to wait, as things stand."""
        with self._lock:
            return self._forecast(self._queue.position(waiter)) if waiter in self._queue else 0.0

    def statistics(self) -> Statistics:
        """How things stand."""
        with self._lock:
            now = self._clock()
            return Statistics(
                waiting=self._queue.waiting(),
                next_slot=self._next_slot(now),
                granted=self._usage.granted,
                refused=self._usage.refused,
                saved=self._usage.saved,
                utilisation=self._usage.utilisation(now),
                margin=self._margin,
            )

    # The leader's work; what touches the queue happens under the lock.

    async def _lead(self, leader: Waiter) -> float:
        """Visit the bucket: seconds until it should be visited again, or 0 when somebody got a turn."""
        with self._lock:
            if self._leader is not leader or leader.granted_at is not None:
                return 0.0  # another thread was quicker
            self._is_asking = True
        try:
            visit = await self._advance(self._held, self._last_trip())
        finally:
            self._is_asking = False
        with self._lock:
            back = self._visited(visit, leader)
        if back is not None:
            await self._return(back)
        return 0.0 if visit.is_used else max(visit.wait - self._ahead, TICK)

    def _visited(self, visit: Visit, leader: Waiter) -> Slot | None:
        """Make use of what a visit came to; returns a slot nobody needs."""
        self._margin = visit.margin
        due = self._clock() + visit.wait
        self._held = None if visit.is_used else visit.slot
        self._due = due + self._interval if visit.is_used else due
        back = visit.slot if visit.is_used and not self._grant(visit.slot, due, leader) else None
        if self._leader is leader and leader.granted_at is not None:  # it got somebody else's turn meanwhile
            self._pass_on_lead()
        return back or self._unneeded()

    def _unneeded(self) -> Slot | None:
        """The slot that is held, if nobody waits any more."""
        if self._leader is not None:
            return None
        slot, self._held = self._held, None
        return slot

    def _grant(self, slot: Slot, now: float, awake: Waiter | None = None) -> bool:
        """Give the turn to whoever is the head by now, if anybody is, and the lead to somebody who waits."""
        self._drop_gone()
        head = self._queue.pop()
        if head is None:
            return False
        head.granted_at, head.slot, head.pushes = now, slot, self._pushes
        self._usage.count(now, is_busy=bool(self._queue))
        if head is self._leader and not self._is_asking:
            self._pass_on_lead()
        if head is not awake:
            head.wake()
        self._queue.count_off()
        for waiter in self._queue.watchers:
            waiter.wake()
        return True

    def _pass_on_lead(self) -> None:
        self._drop_gone()
        self._leader = self._queue.head()
        if self._leader is not None:
            self._leader.wake()

    async def leave(self, waiter: Waiter) -> None:
        """Take *waiter* out; the turn it may just have got goes to the next, or back."""
        if (back := self._taken_out(waiter)) is not None:
            await self._return(back)

    async def _return(self, slot: Slot) -> None:
        with anyio.CancelScope(shield=True), contextlib.suppress(TransportError):  # else it is lost, no more
            await self._give_back(slot)

    def _taken_out(self, waiter: Waiter) -> Slot | None:
        """A slot nobody needs now is returned."""
        with self._lock:
            self._queue.discard(waiter)
            back = None
            if self._leader is waiter:
                self._pass_on_lead()
            if waiter.granted_at is not None:
                self._usage.take_back(waiter.granted_at)
                # One that is passed on is as old as it is: `sent` will notice.
                if waiter.slot is not None and self.holds(waiter) and not self._grant(waiter.slot, waiter.granted_at):
                    back = waiter.slot
            return back or self._unneeded()

    def _drop_gone_leader(self) -> None:
        if self._leader is not None and self._leader.is_gone:
            self._queue.discard(self._leader)
            self._pass_on_lead()

    def _drop_gone(self) -> None:
        """Nobody whose event loop was closed under it is the head."""
        while (head := self._queue.head()) is not None and head.is_gone:
            self._queue.discard(head)

    def _next_slot(self, now: float) -> float:
        """Seconds until the next slot, as far as this process knows."""
        return max(0.0, self._due - now)

    def _forecast(self, ahead: int) -> float:
        return self._next_slot(self._clock()) + ahead * max(self._interval, self._usage.pace)

    def _check_patience(self, waiter: Waiter, give_up: float, max_wait: float | None, action: str) -> None:
        if self._clock() >= give_up:
            raise WaitTooLong(action, self.eta_of(waiter), max_wait or 0.0)

    def _report(self, waiter: Waiter) -> None:
        """Tell the caller where *waiter* stands, if that has changed."""
        if waiter.on_wait is not None and waiter.position != waiter.reported:
            waiter.reported = waiter.position
            waiter.on_wait(Waiting(waiter.lane, waiter.position, self._forecast(waiter.position)))
