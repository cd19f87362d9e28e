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
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

import anyio

from ._lateness import Lateness
from ._pace import FIRST_MARGIN, TICK, Slot, Visit
from ._queue import LANES, Lane, Queue, Waiter, Waiting
from ._sleep import sleep_until
from ._usage import Statistics, Usage
from .errors import TransportError, WaitTooLong

AHEAD = 0.008
"""Seconds before its slot that a call gets its turn, so that its request can be made ready meanwhile."""

MOST_AHEAD = 0.2
"""Part of the interval that this can be at most."""


class Limiter(ABC):
    """A queue in front of a bucket; the bucket itself is what the subclasses add."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float], ahead: float = 0.0) -> None:
        if not 0 < rate < math.inf:
            raise ValueError(f"rate must be a positive number of requests per second, not {rate!r}")
        if burst < 1:
            raise ValueError(f"burst must be at least 1, not {burst!r}")
        self._interval = 1 / rate
        self._clock = clock
        self._ahead = min(ahead, MOST_AHEAD * self._interval)
        self._lock = threading.RLock()
        self._queue = Queue()
        self._leader: Waiter | None = None
        self._held: Slot | None = None
        self._due = -math.inf
        self._usage = Usage(self._interval)
        self._lateness = Lateness(self._interval)
        self._trip = 0.0
        self._margin = FIRST_MARGIN

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {1 / self._interval:g}/s, {len(self._queue)} waiting>"

    # What a bucket does. Each call is one visit to it.

    @abstractmethod
    async def _advance(self, held: Slot | None, trip: float) -> Visit:
        """Use *held*, or a new slot, if it has come or is about to; a request and its answer took *trip* seconds."""

    @abstractmethod
    async def _give_back(self, held: Slot) -> None:
        """Let somebody else have *held*."""

    @abstractmethod
    async def _push(self, pause: float) -> None:
        """Let nobody go for *pause* seconds."""

    @abstractmethod
    async def _refuse(self, retry_after: float | None, trip: float) -> None:
        """Keep away for *retry_after* seconds, or an interval, and keep more distance from then on."""

    def bind(self, account: str) -> None:  # noqa: B027  # only some have to know
        """A session of *account* uses this limiter."""

    def _take_free(self) -> Visit | None:
        """Use a slot that is free now, if that can be done without waiting for anything; under the lock."""
        return None

    # What callers do

    @property
    def rate(self) -> float:
        """Requests per second."""
        return 1 / self._interval

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
            pause = await self._lead() if self._leader is waiter else math.inf
            if waiter.granted_at is None and pause > 0:
                self._report(waiter)
                self._check_patience(waiter, give_up, max_wait, action)
                await waiter.nap(min(pause, give_up - self._clock()))
        return waiter.granted_at

    async def until(self, granted_at: float) -> None:
        """Wait for what is left until *granted_at*, exactly."""
        await sleep_until(granted_at, self._clock)

    async def sent(self, granted_at: float) -> None:
        """The request whose turn was at *granted_at* leaves only now: the interval counts from here."""
        if pause := self._lateness.pause(self._clock() - granted_at):
            with contextlib.suppress(TransportError):  # the request is on its way; the next visit will say so
                await self._push(pause)

    async def refused(self, retry_after: float | None = None) -> None:
        """The service said that a call came too soon: hold everybody back, *retry_after* seconds or one interval."""
        with self._lock:
            self._usage.refused += 1
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

    async def _lead(self) -> float:
        """Visit the bucket: seconds until it should be visited again, or 0 when somebody got a turn."""
        visit = await self._advance(self._held, self._last_trip())
        due = self._clock() + visit.wait
        with self._lock:
            self._margin = visit.margin
            self._held = None if visit.is_used else visit.slot
            self._due = due + self._interval if visit.is_used else due
            if visit.is_used:
                self._grant(visit.slot, due, leader=self._leader)
        return 0.0 if visit.is_used else max(visit.wait - self._ahead, TICK)

    def _grant(self, slot: Slot, now: float, leader: Waiter | None = None) -> None:
        """Give the turn to whoever is the head by now, and the lead to somebody who waits.

        The *leader* who does this is awake.
        """
        self._drop_gone()
        head = self._queue.pop()
        if head is None:
            return
        head.granted_at, head.slot = now, slot
        self._usage.count(now, is_busy=bool(self._queue))
        if head is self._leader:
            self._pass_on_lead()
        if head is not leader:
            head.wake()
        self._queue.count_off()
        for waiter in self._queue.watchers:
            waiter.wake()

    def _pass_on_lead(self) -> None:
        self._drop_gone()
        self._leader = self._queue.head()
        if self._leader is not None:
            self._leader.wake()

    async def leave(self, waiter: Waiter) -> None:
        """Take *waiter* out; the turn it may just have got goes to the next, or back."""
        if (back := self._taken_out(waiter)) is not None:
            with anyio.CancelScope(shield=True):
                await self._give_back(back)

    def _taken_out(self, waiter: Waiter) -> Slot | None:
        """A slot nobody needs now is returned."""
        with self._lock:
            self._queue.discard(waiter)
            back = None
            if self._leader is waiter:
                self._pass_on_lead()
            if waiter.slot is not None and waiter.granted_at is not None and self._is_young(waiter.granted_at):
                self._usage.take_back(waiter.granted_at)
                if self._queue:
                    self._grant(waiter.slot, waiter.granted_at)  # it is as old as it is: `sent` will notice
                else:
                    back = waiter.slot
            if self._leader is None and self._held is not None:
                back, self._held = self._held, None
        return back

    def _is_young(self, granted_at: float) -> bool:
        """Whether nobody can have gone since."""
        return self._clock() - granted_at < self._interval / 2

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
