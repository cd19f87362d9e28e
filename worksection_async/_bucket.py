"""The bucket of one process, and the registry through which sessions of one account share one."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

from ._budget import AHEAD
from ._limiter import Limiter
from ._pace import Pace, Slot, Visit
from ._service import REQUESTS_PER_SECOND

T = TypeVar("T")


class Paced(Limiter):
    """A limiter over a `Pace`, wherever that is kept."""

    @abstractmethod
    def _with_pace(self, change: Callable[[Pace, float], T]) -> T:
        """What *change* makes of the pace at a moment, while nobody else can; it takes microseconds."""

    async def _advance(self, held: Slot | None, trip: float) -> Visit:
        return self._with_pace(lambda pace, now: pace.visit(held, now, self._ahead, trip))

    async def _give_back(self, held: Slot) -> None:
        self._with_pace(lambda pace, _: pace.give_back(held))

    async def _push(self, pause: float) -> None:
        self._with_pace(lambda pace, now: pace.push(now + pause, now))

    async def _refuse(self, retry_after: float | None, trip: float) -> None:
        self._with_pace(lambda pace, now: pace.refused(retry_after, now, trip))


class TokenBucket(Paced):
    """Turns for all who share it: tasks, event loops and threads of one process.

    Args:
        rate: Requests per second.
        burst: Requests that may go at once after a pause. The service counts strictly: leave it at one.
        clock: Where the time comes from, in seconds.
    """

    def __init__(
        self, rate: float = REQUESTS_PER_SECOND, burst: int = 1, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(rate, burst, clock, AHEAD)
        self._pace = Pace(self._interval, burst)

    def _take_free(self) -> Visit | None:
        return self._pace.take(self._clock())

    def _with_pace(self, change: Callable[[Pace, float], T]) -> T:
        with self._lock:
            return change(self._pace, self._clock())

    def _next_slot(self, now: float) -> float:
        return max(0.0, self._due - now) if self._held is not None else self._pace.next_free(now)


_shared: dict[str, TokenBucket] = {}
_shared_lock = threading.Lock()


def shared(account: str) -> TokenBucket:
    """The bucket of *account* in this process: sessions share it without being asked to."""
    with _shared_lock:
        return _shared.setdefault(account, TokenBucket())
