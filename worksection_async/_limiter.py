"""Waiting for a turn: one queue per account, shared by every session of the process, in whatever loop or thread.

Nobody polls. Waiters stand in lanes; only the one at the head sleeps until the next slot, all others until they are
woken, and which waiter is the head is decided when the slot comes (late binding), so that a better lane goes first
and a cancelled waiter costs nothing.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, get_args

import anyio
import anyio.lowlevel
import attrs

from ._service import REQUESTS_PER_SECOND
from .errors import WaitTooLong

Lane = Literal["interactive", "normal", "bulk"]
"""How urgent a call is, most urgent first."""

LANES: tuple[Lane, ...] = get_args(Lane)

PATIENCE = 8
"""One turn in so many goes to whoever has waited longest, whatever the lane."""

LONGEST_PUSH_BACK = 60.0
"""Seconds at most that the service's own wishes can hold everybody up."""


@attrs.frozen
class Statistics:
    """A limiter at a moment."""

    waiting: dict[Lane, int]
    """Calls that wait, by lane."""
    next_slot: float
    """Seconds until the next call can go."""
    granted: int
    """Turns given since the start."""
    refused: int
    """Times the service said that a call came too soon."""


@attrs.define
class Pace:
    """When calls may go: a token bucket's arithmetic. It knows no clock and never sleeps.

    Spacing is strict: with a burst of one, two calls are never closer than the interval.
    """

    interval: float
    burst: int = 1
    _full_at: float = -math.inf
    """When the bucket is full again."""
    _not_before: float = -math.inf

    def next_slot(self, now: float) -> float:
        """The moment, *now* or later, at which a call may go."""
        return max(now, self._not_before, self._full_at - (self.burst - 1) * self.interval)

    def take(self, now: float) -> None:
        """Use the slot at *now*."""
        self._full_at = max(self._full_at, now) + self.interval

    def push_back(self, until: float) -> None:
        """Let nobody go before *until*."""
        self._not_before = max(self._not_before, until)


class Waiter:
    """A call in the queue; `wake` can be called from any thread."""

    def __init__(self, lane: Lane) -> None:
        self.lane: Lane = lane
        self.number = 0
        self._woken = anyio.Event()
        loop: Any = anyio.lowlevel.current_token().native_token
        self._soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon  # asyncio or trio
        self._is_closed = getattr(loop, "is_closed", None)

    @property
    def is_gone(self) -> bool:
        """Whether its event loop was closed under it; trio does not allow that."""
        return self._is_closed is not None and self._is_closed()

    def wake(self) -> None:
        """Let it look again."""
        self._soon(self._look)

    def _look(self) -> None:
        self._woken.set()

    def forget(self) -> None:
        """From here on, only a new call of `wake` counts."""
        self._woken = anyio.Event()

    async def nap(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._woken.wait()


class Queue:
    """Who goes next: better lanes first, first come first served inside a lane.

    Every `PATIENCE`-th turn goes to whoever has waited longest, so that no lane waits forever.
    """

    def __init__(self) -> None:
        self._lanes: dict[Lane, deque[Waiter]] = {lane: deque() for lane in LANES}
        self._numbers = itertools.count()
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def add(self, waiter: Waiter) -> None:
        waiter.number = next(self._numbers)
        self._lanes[waiter.lane].append(waiter)

    def discard(self, waiter: Waiter) -> None:
        self._lanes[waiter.lane].remove(waiter)

    def drop_gone(self) -> None:
        while (head := self.head()) is not None and head.is_gone:
            self.discard(head)

    def head(self) -> Waiter | None:
        firsts = [waiters[0] for waiters in self._lanes.values() if waiters]
        if self._turn == PATIENCE - 1:
            return min(firsts, key=lambda waiter: waiter.number, default=None)
        return firsts[0] if firsts else None

    def pop(self) -> None:
        """Let the head go."""
        if (head := self.head()) is not None:
            self._lanes[head.lane].popleft()
            self._turn = (self._turn + 1) % PATIENCE

    def ahead_of(self, lane: Lane) -> int:
        """How many go before a newcomer in *lane*, if nobody comes after it."""
        better = sum(len(self._lanes[other]) for other in LANES[: LANES.index(lane) + 1])
        return min(len(self), better + (self._turn + better) // (PATIENCE - 1))

    def waiting(self) -> dict[Lane, int]:
        return {lane: len(waiters) for lane, waiters in self._lanes.items()}


class TokenBucket:
    """Turns for all who share it: tasks, event loops and threads of one process.

    Args:
        rate: Requests per second.
        burst: Requests that may go at once after a pause. The service counts strictly: leave it at one.
        clock: Where the time comes from, in seconds.
    """

    def __init__(
        self, rate: float = REQUESTS_PER_SECOND, burst: int = 1, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not 0 < rate < math.inf:
            raise ValueError(f"rate must be a positive number of requests per second, not {rate!r}")
        if burst < 1:
            raise ValueError(f"burst must be at least 1, not {burst!r}")
        self._clock = clock
        self._lock = threading.Lock()
        self._pace = Pace(1 / rate, burst)
        self._queue = Queue()
        self._granted = 0
        self._refused = 0

    def __repr__(self) -> str:
        return f"<TokenBucket {1 / self._pace.interval:g}/s, {len(self._queue)} waiting>"

    async def acquire(self, lane: Lane = "normal", *, max_wait: float | None = None, action: str = "acquire") -> None:
        """Wait for a turn and take it. Cancelled, it leaves the queue as if it had never been there.

        Args:
            lane: How urgent it is.
            max_wait: Seconds to wait at most; where the forecast is longer, `WaitTooLong` is raised at once.
            action: Whose turn it is, for the error.
        """
        waiter = self._enter(lane, max_wait, action)
        if waiter is None:
            return
        give_up = math.inf if max_wait is None else self._clock() + max_wait
        granted = False
        try:
            while not granted:
                waiter.forget()
                granted, pause = self._advance(waiter)
                left = give_up - self._clock()
                if not granted and left <= 0:
                    raise WaitTooLong(action, self.eta(lane), max_wait or 0.0)
                if not granted:
                    await waiter.nap(min(pause, left))
        finally:
            if not granted:
                self._leave(waiter)

    def eta(self, lane: Lane = "normal") -> float:
        """Seconds a newcomer in *lane* would wait, as things stand."""
        with self._lock:
            return self._forecast(lane)

    def statistics(self) -> Statistics:
        """How things stand."""
        with self._lock:
            now = self._clock()
            return Statistics(
                waiting=self._queue.waiting(),
                next_slot=self._pace.next_slot(now) - now,
                granted=self._granted,
                refused=self._refused,
            )

    def refused(self, retry_after: float | None = None) -> None:
        """The service said that a call came too soon: hold everybody back, *retry_after* seconds or one interval."""
        with self._lock:
            self._refused += 1
            pause = self._pace.interval if retry_after is None else min(retry_after, LONGEST_PUSH_BACK)
            self._pace.push_back(self._clock() + pause)

    def _enter(self, lane: Lane, max_wait: float | None, action: str) -> Waiter | None:
        """Take a free slot (None), or a place in the queue."""
        if lane not in LANES:
            raise ValueError(f"lane must be one of {', '.join(LANES)}, not {lane!r}")
        if max_wait is not None and not max_wait >= 0:
            raise ValueError(f"max_wait must not be negative, not {max_wait!r}")
        with self._lock:
            self._queue.drop_gone()
            now = self._clock()
            if not len(self._queue) and self._pace.next_slot(now) <= now:
                self._take(now)
                return None
            if max_wait is not None and (eta := self._forecast(lane)) > max_wait:
                raise WaitTooLong(action, eta, max_wait)
            waiter = Waiter(lane)
            self._queue.add(waiter)
            return waiter

    def _advance(self, waiter: Waiter) -> tuple[bool, float]:
        """Whether *waiter* has its turn now; otherwise, how long it may sleep."""
        with self._lock:
            if self._queue.head() is not waiter:
                return False, math.inf
            now = self._clock()
            if (pause := self._pace.next_slot(now) - now) > 0:
                return False, pause
            self._queue.pop()
            self._take(now)
            self._wake_head()
            return True, 0.0

    def _take(self, now: float) -> None:
        self._pace.take(now)
        self._granted += 1

    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            was_head = self._queue.head() is waiter
            self._queue.discard(waiter)
            if was_head:
                self._wake_head()

    def _wake_head(self) -> None:
        self._queue.drop_gone()
        if (head := self._queue.head()) is not None:
            head.wake()

    def _forecast(self, lane: Lane) -> float:
        now = self._clock()
        return self._pace.next_slot(now) - now + self._queue.ahead_of(lane) * self._pace.interval


_shared: dict[str, TokenBucket] = {}
_shared_lock = threading.Lock()


def shared(account: str) -> TokenBucket:
    """The bucket of *account* in this process: sessions share it without being asked to."""
    with _shared_lock:
        return _shared.setdefault(account, TokenBucket())
