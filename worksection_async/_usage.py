"""What became of the turns of a limiter."""

import math
from collections import deque

import attrs

from ._queue import Lane

MINUTE = 60.0

NEWEST = 0.2
"""How much the newest of the gaps between turns counts for the pace."""


@attrs.frozen(kw_only=True)
class Statistics:
    """A limiter at a moment."""

    waiting: dict[Lane, int]
    """Calls that wait, by lane."""
    next_slot: float
    """Seconds until a newcomer could go, were there no queue."""
    granted: int
    """Turns given since the start; one that was handed back does not count."""
    refused: int
    """Times the service said that a call came too soon."""
    saved: int
    """Requests that were not needed: identical reads that were merged, or answered from memory."""
    utilisation: float
    """Part of the slots of the last minute (or since the first call) that were used here, 0 to 1."""
    margin: float
    """Part of the interval that is kept back; it grows when the service refuses and decays when it does not."""


@attrs.define(eq=False)
class Usage:
    """Counts turns, and how quickly they came. All times are seconds of one clock, which the caller reads."""

    interval: float
    pace: float = attrs.field(init=False)
    """Seconds from one turn to the next, lately, while somebody waited."""
    granted: int = 0
    refused: int = 0
    saved: int = 0
    _started: float = attrs.field(default=math.inf, init=False)
    _grants: deque[float] = attrs.field(factory=deque[float], init=False)
    """Those of the last minute."""

    def __attrs_post_init__(self) -> None:
        self.pace = self.interval

    def start(self, now: float) -> None:
        """Somebody wants a turn."""
        self._started = min(self._started, now)

    def count(self, at: float, *, is_busy: bool) -> None:
        """A turn was given, and others still wait if it *is_busy*."""
        if not self.granted:
            self.start(at)
        self.granted += 1
        if self._grants and is_busy:
            self.pace += NEWEST * (at - self._grants[-1] - self.pace)
        self._grants.append(at)
        self._forget(at)

    def take_back(self, at: float) -> None:
        """The turn given *at* this time is not needed."""
        self.granted -= 1
        if at in self._grants:  # not if it was more than a minute ago
            self._grants.remove(at)

    def utilisation(self, now: float) -> float:
        """Part of the slots of the last minute (or since the start) that were used, 0 to 1."""
        self._forget(now)
        span = min(MINUTE, now - self._started)
        return min(1.0, len(self._grants) * self.interval / span) if span > self.interval else 0.0

    def _forget(self, now: float) -> None:
        while self._grants and self._grants[0] < now - MINUTE:
            self._grants.popleft()
