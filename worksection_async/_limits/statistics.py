"""Counters of a limiter: granted slots, refusals, avoided requests."""

from __future__ import annotations

import math
from collections import deque

import attrs

from .queue import Lane

PERIOD_SECONDS = 60.0
"""The period of the utilisation and of the share of refusals."""

PACE_SMOOTHING = 0.2
"""Smoothing factor of the mean interval between grants."""

CONTENTION_REFUSALS = 3
"""Refusals within a period that indicate another client; fewer can be caused by network jitter."""


@attrs.frozen(kw_only=True)
class Statistics:
    """The state of a limiter at one moment."""

    waiting: dict[Lane, int]
    """Number of waiting calls by lane."""
    next_slot: float
    """Seconds until a new call could be sent if the queue were empty."""
    granted: int
    """Slots granted since the start, without returned ones."""
    refused: int
    """Requests that the service refused as too early, since the start."""
    refused_share: float
    """Share of the requests of the last minute that were refused, 0 to 1."""
    is_contended: bool
    """Whether another client seems to use the rate limit of the account: several refusals within a minute."""
    saved: int
    """Requests that were avoided: coalesced reads and cached replies."""
    utilisation: float
    """Share of the slots of the last minute (or since the first call) that this limiter used, 0 to 1."""
    margin: float
    """Safety margin as a share of the interval; it grows with refusals and with the jitter of response times."""


@attrs.define(eq=False)
class Usage:
    """Counters of one limiter. All times are seconds of one clock, which the caller reads."""

    interval: float
    pace: float = attrs.field(init=False)
    """Mean seconds between two grants while calls were waiting."""
    granted: int = 0
    refused: int = 0
    saved: int = 0
    is_contended: bool = False
    _started: float = math.inf
    _grants: deque[float] = attrs.field(factory=deque[float])
    _refusals: deque[float] = attrs.field(factory=deque[float])

    def __attrs_post_init__(self) -> None:
        self.pace = self.interval

    def start(self, now: float) -> None:
        """Record that a call was queued."""
        self._started = min(self._started, now)

    def grant(self, now: float, *, is_busy: bool) -> None:
        """Record a granted slot; *is_busy* says whether other calls are still waiting."""
        self.granted += 1
        if self._grants and is_busy:
            self.pace += PACE_SMOOTHING * (now - self._grants[-1] - self.pace)
        self._grants.append(now)

    def take_back(self) -> None:
        """Undo the last grant, because its slot was returned."""
        self.granted -= 1
        if self._grants:
            self._grants.pop()

    def refuse(self, now: float) -> bool:
        """Record a refusal; return whether contention starts with it."""
        self.refused += 1
        self._refusals.append(now)
        self._forget(now)
        has_begun = not self.is_contended and len(self._refusals) >= CONTENTION_REFUSALS
        self.is_contended = self.is_contended or has_begun
        return has_begun

    def accept(self, now: float) -> bool:
        """Record an accepted request; return whether contention ends with it."""
        self._forget(now)
        has_ended = self.is_contended and not self._refusals
        self.is_contended = self.is_contended and not has_ended
        return has_ended

    def statistics(self, now: float, *, waiting: dict[Lane, int], next_slot: float, margin: float) -> Statistics:
        """Return the statistics at the time *now*."""
        self._forget(now)
        span = min(PERIOD_SECONDS, now - self._started)
        return Statistics(
            waiting=waiting,
            next_slot=next_slot,
            granted=self.granted,
            refused=self.refused,
            refused_share=min(1.0, len(self._refusals) / max(1, len(self._grants))),
            is_contended=self.is_contended and bool(self._refusals),
            saved=self.saved,
            utilisation=min(1.0, len(self._grants) * self.interval / span) if span > self.interval else 0.0,
            margin=margin,
        )

    def _forget(self, now: float) -> None:
        for times in (self._grants, self._refusals):
            while times and times[0] < now - PERIOD_SECONDS:
                times.popleft()
