"""The rate limiter: one queue before a token bucket, shared by all sessions of an account in this process.

Waiters are woken by events; there is no polling. One waiter, the leader, holds the only reservation of this process
and sleeps until it is due. Only then the slot is granted to a call (late binding), so a new call in a higher lane gets
it first, and a cancelled call wastes no slot. Processes that share a bucket hold one reservation each. A waiter whose
forecast has passed replaces a leader of another event loop, because that loop may be blocked or stopped.
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

from .._protocol.values import as_number, plain_number, shown
from .._transport.callbacks import checked
from .._transport.fork import reset_now_and_after_fork
from .._transport.tasks import in_thread
from ..errors import InvalidCall, SessionClosed, TransportError, WaitTooLong
from .bucket_state import MAX_HOLD_SECONDS, BucketState, Visit
from .queue import Lane, Queue, Waiter, Waiting
from .statistics import Statistics, Usage

T = TypeVar("T")

logger = logging.getLogger("worksection_async")

SEND_TOLERANCE = 0.005
"""Share of the interval by which a request may be sent after its slot was granted without delaying the next one."""


LEADER_GRACE_SECONDS = 1.0
"""Delay of a due slot after which a waiter of another event loop replaces the leader, whose loop is not running."""


class Limiter(ABC):
    """A queue before a token bucket; subclasses store the bucket in memory, in a file or in Redis.

    Args:
        rate: Requests per second.
        burst: Number of requests that may be sent at once after a pause.
        clock: Returns the time in seconds.
    """

    _is_remote = False
    """Whether a visit to the bucket can block; if so, it runs in a worker thread."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        rate, burst = plain_number(rate), plain_number(burst)
        if not 0 < as_number(rate) < math.inf:
            problem = f"rate must be a positive number of requests per second, not {shown(rate)}"
            raise InvalidCall(type(self).__name__, problem)
        if not as_number(burst) >= 1:
            raise InvalidCall(type(self).__name__, f"burst must be at least 1, not {shown(burst)}")
        self._interval = 1 / rate
        self._clock = clock
        reset_now_and_after_fork(self)

    def _reset(self) -> None:
        """Start with an empty queue: after construction, and in a forked child (its parent keeps the waiters)."""
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
        """Call *change* with the bucket and the time, exclusively (thread-safe), and return its result."""

    def bind(self, account: str) -> None:  # noqa: B027  # only some buckets need a name
        """Tell the limiter that a session of *account* uses it."""

    async def _visit(self, work: Callable[..., T], *args: object) -> T:
        return await in_thread(work, *args) if self._is_remote else work(*args)

    async def _update(self, change: Callable[[BucketState, float], None]) -> None:
        """Change the bucket. An error is ignored: the next visit for a slot reports it, and this call has been sent."""
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
        """Wait for a slot, use it, and return its time. A cancelled call uses no slot.

        Args:
            lane: Priority of the call: ``"interactive"``, ``"normal"`` or ``"bulk"``.
            max_wait: Maximum waiting time in seconds; a longer forecast raises `WaitTooLong` at once.
            action: Name of the call in errors.
            on_wait: Called with a `Waiting` when the call is queued and when its position changes. It is not awaited.

        Raises:
            InvalidCall: *lane*, *max_wait* or *on_wait* is invalid.
            WaitTooLong: The forecast exceeds *max_wait*.
        """
        waiter = Waiter(lane=lane, action=action, max_wait=max_wait, on_wait=checked(action, "on_wait", on_wait))
        try:
            await self.wait(waiter)
        except BaseException:
            await self.leave(waiter)
            raise
        return waiter.granted_at

    def enter(self, waiter: Waiter) -> None:
        """Add *waiter* to the queue without an await, so that calls keep their order; call `wait` or `leave` next."""
        waiter.granted_at = waiter.sent_at = math.nan
        waiter.reported = -1
        with self._lock:
            self._elect_leader()  # of the others, in place of a leader whose event loop was closed
            self._queue.add(waiter)
            if waiter.max_wait is not None and (eta := self._forecast(self._queue.position(waiter))) > waiter.time_left:
                self._queue.discard(waiter)
                raise WaitTooLong(waiter.action, eta, waiter.max_wait, waiter.waited)
            self._usage.start(self._clock())
            self._elect_leader()

    async def wait(self, waiter: Waiter) -> None:
        """Wait until *waiter* has a slot; it joins the queue if it has not yet. Call `sent` or `leave` next."""
        with self._lock:
            is_new = waiter not in self._queue and not waiter.has_slot
        if is_new:
            self.enter(waiter)
        began = self._clock()
        deadline = began + waiter.time_left
        while not waiter.has_slot:
            if waiter.is_dismissed:
                raise SessionClosed(waiter.action)
            pause = await self._visit(self._serve) if self._is_leader(waiter) else self._longest_pause()
            if not waiter.has_slot:
                self._report(waiter)
                if waiter.max_wait is not None and self._clock() >= deadline:
                    raise WaitTooLong(waiter.action, self.eta_of(waiter), waiter.max_wait, waited=waiter.max_wait)
                await waiter.sleep(min(pause, deadline - self._clock()))
        waiter.waited += self._clock() - began

    async def sent(self, waiter: Waiter) -> None:
        """Record that the request of *waiter* was sent: its slot is used, and the interval starts here."""
        if waiter.visit is not None:
            waiter.ticket, waiter.visit = waiter.visit.ticket, None
        waiter.sent_at = self._clock()
        if waiter.sent_at - waiter.granted_at > SEND_TOLERANCE * self._interval:
            await self._update(BucketState.sent)

    async def leave(self, waiter: Waiter) -> None:
        """Remove *waiter*; return its slot if its request was not sent."""
        with self._lock:
            self._queue.discard(waiter)
            unused, waiter.visit = waiter.visit, None
            waiter.granted_at = math.nan
            if self._leader is waiter:
                self._leader = None
            self._elect_leader()
            unneeded = self._take_unneeded()
            if unused is not None:
                self._usage.take_back()
        for visit in (unneeded, unused):
            if visit is not None:
                with anyio.CancelScope(shield=True):
                    await self._update(functools.partial(self._give_back, visit))
        if unused is not None and (leader := self._leader) is not None:
            leader.wake()

    def dismiss(self, owner: object) -> None:
        """Dismiss the waiters of a closed session; their calls raise `SessionClosed`."""
        with self._lock:
            for waiter in self._queue.of(owner):
                waiter.is_dismissed = True
                waiter.wake()

    def promote(self, waiter: Waiter, lane: Lane) -> None:
        """Move *waiter* to *lane* if that is higher than its own."""
        with self._lock:
            self._queue.promote(waiter, lane)

    # Feedback from the service

    async def answered(self, waiter: Waiter) -> None:
        """Record that the headers of the response have arrived."""
        ticket, response_time = waiter.ticket, self._clock() - waiter.sent_at
        await self._update(lambda state, _: state.answered(ticket, response_time))

    def accepted(self) -> None:
        """Record that the service accepted a request."""
        with self._lock:
            has_ended = self._usage.accept(self._clock())
        if has_ended:
            logger.warning("no request was refused as too early for a minute: the other client has stopped")

    async def refused(self, retry_after: float | None = None) -> None:
        """Record a refusal: increase the backoff, and block the bucket for *retry_after* seconds."""
        with self._lock:
            has_begun = self._usage.refuse(self._clock())
        if has_begun:
            logger.warning(
                "another client uses the rate limit of this account: %.0f %% of the requests of the last minute were "
                "refused as too early. Let all clients of the account share one limiter.",
                self.statistics().refused_share * 100,
            )
        chance = random.random()  # noqa: S311
        await self._update(lambda state, _: state.refused(chance))
        await self.hold(retry_after or 0.0)

    async def hold(self, seconds: float) -> None:
        """Block the bucket for *seconds*, because the service requested it."""
        if seconds:
            with self._lock:
                self._due_at = max(self._due_at, self._clock() + min(seconds, MAX_HOLD_SECONDS))
            await self._update(lambda state, now: state.hold(seconds, now))

    # Forecasts and statistics

    def count_saved(self) -> None:
        """Count a request that was avoided (coalesced or cached)."""
        with self._lock:
            self._usage.saved += 1

    def eta(self, lane: Lane = "normal") -> float:
        """Return the forecast of the waiting time of a new call in *lane*, in seconds."""
        with self._lock:
            return self._forecast(self._queue.ahead_of(lane))

    def eta_of(self, waiter: Waiter) -> float:
        """Return the forecast of the remaining waiting time of *waiter*, in seconds."""
        with self._lock:
            return self._forecast(self._queue.position(waiter)) if waiter in self._queue else 0.0

    def statistics(self) -> Statistics:
        """Return the current statistics."""
        with self._lock:
            return self._usage.statistics(
                self._clock(), waiting=self._queue.waiting(), next_slot=self._forecast(0), margin=self._margin
            )

    def _forecast(self, position: int) -> float:
        return max(0.0, self._due_at - self._clock()) + position * max(self._interval, self._usage.pace)

    def _report(self, waiter: Waiter) -> None:
        """Call `on_wait` if the position of *waiter* has changed."""
        if waiter.on_wait is not None and waiter.position != waiter.reported:
            waiter.reported = waiter.position
            waiter.on_wait(Waiting(waiter.lane, waiter.position, self.eta_of(waiter)))

    # The work of the leader. The queue is changed only under the lock.

    def _serve(self) -> float:
        """Grant the slot to the head of the queue if it is due; return the seconds until the next visit.

        It is not interrupted when the leader is cancelled, so no slot is lost.
        """
        with self._visit_lock:
            held = self._held.ticket if self._held is not None else None
            visit = self._change(lambda state, now: state.advance(held, now))
            with self._lock:
                unneeded = self._apply(visit)
            if unneeded is not None:
                self._change(functools.partial(self._give_back, unneeded))
        return visit.wait

    def _apply(self, visit: Visit) -> Visit | None:
        """Grant a used ticket to the head of the queue, or keep a reservation; return a ticket that no call needs."""
        now = self._clock()
        self._margin = visit.margin
        self._due_at = now + (visit.free_in if visit.is_used else visit.wait)
        self._held = None if visit.is_used else visit
        if not visit.is_used:
            return self._take_unneeded()
        if (head := self._queue.pop()) is None:
            return visit
        head.granted_at, head.visit = now, visit
        self._usage.grant(now, is_busy=bool(self._queue))
        for waiter in (head, *self._queue.watchers()):
            waiter.wake()
        if self._leader is head:
            self._leader = None
            self._elect_leader(head.loop)
        return None

    def _is_leader(self, waiter: Waiter) -> bool:
        """Return whether *waiter* is the leader; it replaces one whose event loop does not serve the queue."""
        with self._lock:
            leader = self._leader
            is_overdue = self._clock() > self._due_at + LEADER_GRACE_SECONDS
            if is_overdue and leader is not None and leader.loop is not waiter.loop and waiter in self._queue:
                self._leader = waiter
            return self._leader is waiter

    def _longest_pause(self) -> float:
        """Return the seconds after which every waiter should have its slot."""
        with self._lock:
            return self._forecast(len(self._queue)) + LEADER_GRACE_SECONDS

    def _elect_leader(self, loop: object = None) -> None:
        """If there is no leader, elect one: a waiter of *loop*, which is running, or else the head of the queue."""
        self._release_closed_loop()
        if self._leader is None and (head := self._queue.head()) is not None:
            self._leader = self._queue.first_of(loop) or head
            self._leader.wake()

    def _release_closed_loop(self) -> None:
        """Forget the calls of the leader's event loop if that was closed: no forecast may count them."""
        if self._leader is not None and self._leader.is_loop_closed:
            self._leader = None
            self._queue.discard_closed()

    def _take_unneeded(self) -> Visit | None:
        """Return and clear the reservation if the queue is empty."""
        if self._queue:
            return None
        held, self._held = self._held, None
        return held

    def _give_back(self, visit: Visit, state: BucketState, now: float) -> None:
        """Return the ticket of *visit* to the bucket; the next slot may be due earlier then."""
        state.give_back(visit)
        with self._lock:
            ticket = state.next if self._held is None else self._held.ticket
            self._due_at = self._clock() + state.due(ticket) - now
