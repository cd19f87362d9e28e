"""A bucket in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable

from .._protocol.service import REQUESTS_PER_SECOND
from .._protocol.values import plain_number
from .bucket_state import BucketState
from .limiter import Limiter, T


class TokenBucket(Limiter):
    """A limiter for all tasks, event loops and threads of one process.

    Args:
        rate: Requests per second.
        burst: Number of requests that may be sent at once after a pause. Keep 1 for the service.
        clock: Returns the time in seconds.

    Raises:
        InvalidCall: An argument is invalid.
    """

    def __init__(
        self, rate: float = REQUESTS_PER_SECOND, burst: int = 1, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(rate, burst, clock)
        self._state = BucketState(self._interval, plain_number(burst))

    def _change(self, change: Callable[[BucketState, float], T]) -> T:
        with self._visit_lock:
            return change(self._state, self._clock())
