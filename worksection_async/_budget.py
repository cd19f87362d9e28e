"""What is shared: a bucket, wherever it is kept. How it is waited for is the limiter's part."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from ._pace import Slot, Visit

AHEAD = 0.008
"""Seconds before its slot that a call gets its turn, so that its request can be made ready meanwhile."""

MOST_AHEAD = 0.2
"""Part of the interval that this can be at most."""


class Budget(ABC):
    """What a bucket does; each call is one visit to it.

    Args:
        rate: Requests per second.
        burst: Requests that may go at once after a pause.
        clock: Where the time comes from, in seconds.
        ahead: Seconds before a slot that it can be used.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float], ahead: float) -> None:
        if not 0 < rate < math.inf:
            raise ValueError(f"rate must be a positive number of requests per second, not {rate!r}")
        if burst < 1:
            raise ValueError(f"burst must be at least 1, not {burst!r}")
        self._interval = 1 / rate
        self._clock = clock
        self._ahead = min(ahead, MOST_AHEAD * self._interval)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return 1 / self._interval

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
