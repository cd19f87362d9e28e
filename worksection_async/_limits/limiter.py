"""The limiter: one queue in front of a bucket, shared by all sessions of an account in this process.

Waiters are woken by events; there is no polling. One of them, the leader, holds the only reservation of this process
and sleeps until it is due. Which call gets the turn is decided then (late binding), so a new call in a higher lane
goes first, and a cancelled call costs nothing. Processes that share a bucket hold one reservation each and take turns.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import anyio

from .._transport.fork import begin_here_and_after_forks
from .._transport.tasks import in_thread
from ..errors import SessionClosed, TransportError, WaitTooLong
from .bucket_state import LONGEST_HOLD_SECONDS, BucketState, Visit
from .queue import Lane, Queue, Waiter, Waiting
from .statistics import Statistics, Usage

T = TypeVar("T")

logger = logging.getLogger("worksection_async")

SEND_TOLERANCE = 0.005
"""Part of the interval by which a request may be sent after its turn without delaying the next one."""


class Limiter(ABC):
    """A queue in front of a bucket, which the subclasses keep in memory, in a file or in Redis.

    Args:
        rate: Requests per second.
        burst: Requests that may be sent at once after a pause.
        clock: Returns the time in seconds.
    """

    _is_remote = False
    """Whether a visit to the bucket may take long: it happens in a worker thread then."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        if not 0 < rate < math.inf:
            raise ValueError(f"rate must be a positive number of requests per second, not {rate!r}")
        if burst < 1:
            raise ValueError(f"burst must be at least 1, not {burst!r}")
        self._interval = 1 / rate
        self._clock = clock
        begin_here_and_after_forks(self)

    def _begin(self) -> None:
        """Start without waiters: after construction, and in a forked child, whose parent keeps its own."""
        self._lock = threading.Lock()
        self._visit_lock = threading.RLock()
        self._queue = Queue()
        self._leader: Waiter | None = None
        self._held: Visit | None = None
        self._due_at = -math.inf
        self._usage = Usage(self._interval)
        self._margin = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.rate:g}/s, {len(self._queue)} waiting>"

    @property
    def rate(self) -> float:
        """Requests per second."""
        return 1 / self._interval

    @abstractmethod
    def _change(self, change: Callable[[BucketState, float], T]) -> T:
        """Return what *change* makes of the bucket and the time; no other change happens meanwhile (thread-safe)."""

    def bind(self, account: str) -> None:  # noqa: B027  # most buckets need no name
        """A session of *account* uses this limiter."""

    async def _visit(self, work: Callable[..., T], *args: object) -> T:
        return await in_thread(work, *args) if self._is_remote else work(*args)

    async def _tell(self, change: Callable[[BucketState, float], None]) -> None:
        """Change the bucket; if it cannot be reached, the next turn fails, not the present call."""
        with contextlib.suppress(TransportError):
            await self._visit(self._change, change)

    # Waiting

    async def acquire(
        self,
        lane: Lane = "normal",
        *,
        max_wait: float | None = None,
        action: str = "acquire",
        on_wait: Callable[[Waiting], object] | None = None,
    ) -> float:
        """Wait for a turn, take it, and return its time. A cancelled call leaves no trace.

        Args:
            lane: Priority of the call.
            max_wait: Seconds to wait at most; if the forecast is longer, `WaitTooLong` is raised at once.
            action: Name for the error.
            on_wait: Called with a `Waiting` when the wait begins and whenever the position has changed.
        """
        waiter = Waiter(lane=lane, action=action, max_wait=max_wait, on_wait=on_wait)
        try:
            await self.wait(waiter)
        except BaseException:
            await self.leave(waiter)
            raise
        return waiter.granted_at

    def enter(self, waiter: Waiter) -> None:
        """Join the queue now, so that the order is that of the calls; `wait` has to follow, or `leave`."""
        waiter.granted_at = waiter.sent_at = math.nan
        with self._lock:
            self._queue.add(waiter)
            if waiter.max_wait is not None and (eta := self._forecast(self._queue.position(waiter))) > waiter.max_wait:
                self._queue.discard(waiter)
                raise WaitTooLong(waiter.action, eta, waiter.max_wait)
            self._usage.start(self._clock())
            self._elect()

    async def wait(self, waiter: Waiter) -> None:
        """Wait for the turn of *waiter*, which joins the queue first if needed; `sent` has to follow, or `leave`."""
        with self._lock:
            is_new = waiter not in self._queue and not waiter.has_turn
        if is_new:
            self.enter(waiter)
        began = self._clock()
        give_up = began + (math.inf if waiter.max_wait is None else waiter.max_wait)
        while not waiter.has_turn:
            if waiter.is_dismissed:
                raise SessionClosed(waiter.action)
            pause = await self._visit(self._serve) if self._leader is waiter else math.inf
            if not waiter.has_turn and pause > 0:
                self._report(waiter)
                if self._clock() >= give_up:
                    raise WaitTooLong(waiter.action, self.eta_of(waiter), waiter.max_wait or 0.0)
                await waiter.nap(min(pause, give_up - self._clock()))
        if waiter.max_wait is not None:
            waiter.max_wait = max(0.0, give_up - self._clock())

    async def sent(self, waiter: Waiter) -> None:
        """The request of *waiter* has just been sent: its turn is used, and the interval counts from here."""
        if waiter.visit is not None:
            waiter.ticket, waiter.visit = waiter.visit.ticket, None
        waiter.sent_at = self._clock()
        if waiter.sent_at - waiter.granted_at > SEND_TOLERANCE * self._interval:
            await self._tell(BucketState.sent)

    async def leave(self, waiter: Waiter) -> None:
        """Remove *waiter*; a turn whose request was not sent goes to the next call."""
        with self._lock:
            self._queue.discard(waiter)
            unused, waiter.visit = waiter.visit, None
            waiter.granted_at = math.nan
            if self._leader is waiter:
                self._leader = None
            self._elect()
            unneeded = self._unneeded()
            if unused is not None:
                self._usage.take_back()
                self._due_at -= self._interval * (1 + self._margin)
        for visit in (unneeded, unused):
            if visit is not None:
                with anyio.CancelScope(shield=True):
                    await self._tell(functools.partial(_give_back, visit))
        if unused is not None and (leader := self._leader) is not None:
            leader.wake()

    def dismiss(self, owner: object) -> None:
        """End the waits of a session that is closed; they raise `SessionClosed`."""
        with self._lock:
            for waiter in self._queue.of(owner):
                waiter.is_dismissed = True
                waiter.wake()

    def promote(self, waiter: Waiter, lane: Lane) -> None:
        """Move *waiter* to *lane* if that is higher than its own."""
        with self._lock:
            self._queue.promote(waiter, lane)

    # What the service says

    async def answered(self, waiter: Waiter) -> None:
        """The headers of the response have come."""
        ticket, response_time = waiter.ticket, self._clock() - waiter.sent_at
        await self._tell(lambda state, _: state.answered(ticket, response_time))

    def accepted(self) -> None:
        """The service did not refuse a request as too early."""
        with self._lock:
            has_ended = self._usage.accept(self._clock())
        if has_ended:
            logger.warning("no request was refused as too early for a minute: the budget of the account is free again")

    async def refused(self, retry_after: float | None = None) -> None:
        """The service refused a request as too early: slow down, and send nothing for *retry_after* seconds."""
        with self._lock:
            has_begun = self._usage.refuse(self._clock())
        if has_begun:
            logger.warning(
                "another client uses the budget of this account: %.0f %% of the requests of the last minute were "
                "refused as too early. Let all clients of the account share one limiter.",
                self.statistics().refused_share * 100,
            )
        chance = random.random()  # noqa: S311
        await self._tell(lambda state, _: state.refused(chance))
        await self.hold(retry_after or 0.0)

    async def hold(self, seconds: float) -> None:
        """Send nothing for so many *seconds*: the service has asked for that."""
        if seconds:
            with self._lock:
                self._due_at = max(self._due_at, self._clock() + min(seconds, LONGEST_HOLD_SECONDS))
            await self._tell(lambda state, now: state.hold(seconds, now))

    # Forecasts and figures

    def saved_one(self) -> None:
        """Count a request that was not needed."""
        with self._lock:
            self._usage.saved += 1

    def eta(self, lane: Lane = "normal") -> float:
        """Seconds a new call in *lane* would wait, as things stand."""
        with self._lock:
            return self._forecast(self._queue.ahead_of(lane))

    def eta_of(self, waiter: Waiter) -> float:
        """Seconds *waiter* has still to wait, as things stand."""
        with self._lock:
            return self._forecast(self._queue.position(waiter)) if waiter in self._queue else 0.0

    def statistics(self) -> Statistics:
        """The state of this limiter now."""
        with self._lock:
            return self._usage.statistics(
                self._clock(), waiting=self._queue.waiting(), next_slot=self._forecast(0), margin=self._margin
            )

    def _forecast(self, position: int) -> float:
        return max(0.0, self._due_at - self._clock()) + position * max(self._interval, self._usage.pace)

    def _report(self, waiter: Waiter) -> None:
        """Tell the caller the position of *waiter* if it has changed."""
        if waiter.on_wait is not None and waiter.position != waiter.reported:
            waiter.reported = waiter.position
            waiter.on_wait(Waiting(waiter.lane, waiter.position, self.eta_of(waiter)))

    # The work of the leader. Whatever touches the queue happens under the lock.

    def _serve(self) -> float:
        """Give the turn to the head of the queue if it is due; return the seconds until the next visit.

        This runs to its end even if the leader is cancelled meanwhile, so no turn gets lost.
        """
        with self._visit_lock:
            held = self._held.ticket if self._held is not None else None
            visit = self._change(lambda state, now: state.advance(held, now))
            with self._lock:
                unneeded = self._settle(visit)
            if unneeded is not None:
                self._change(functools.partial(_give_back, unneeded))
        return 0.0 if visit.is_used else visit.wait

    def _settle(self, visit: Visit) -> Visit | None:
        """Give a used ticket to the head, keep an unused one; return a ticket that no call needs."""
        now = self._clock()
        self._margin = visit.margin
        self._due_at = now + (visit.free_in if visit.is_used else visit.wait)
        self._held = None if visit.is_used else visit
        if not visit.is_used:
            return self._unneeded()
        if (head := self._queue.pop()) is None:
            return visit
        head.granted_at, head.visit = now, visit
        self._usage.grant(now, is_busy=bool(self._queue))
        for waiter in (head, *self._queue.watchers()):
            waiter.wake()
        if self._leader is head:
            self._leader = None
            self._elect()
        return None

    def _elect(self) -> None:
        """Let the head of the queue lead if no call does."""
        if self._leader is not None and self._leader.is_gone:
            self._queue.discard(self._leader)
            self._leader = None
        if self._leader is None and (head := self._queue.head()) is not None:
            self._leader = head
            head.wake()

    def _unneeded(self) -> Visit | None:
        """The reservation, if no call waits any more."""
        if self._queue:
            return None
        held, self._held = self._held, None
        return held


def _give_back(visit: Visit, state: BucketState, _: float) -> None:
    state.give_back(visit)
