"""What a limiter has seen: its turns, and the refusals of the service."""

from __future__ import annotations

import math
from collections import deque

import attrs

from .queue import Lane

PERIOD_SECONDS = 60.0
"""The period that utilisation and the share of refusals are about."""

PACE_SMOOTHING = 0.2
"""Weight of the newest gap between two turns in their mean."""

CONTENTION_REFUSALS = 3
"""Refusals within a period that are no longer taken for an accident of the network."""


@attrs.frozen(kw_only=True)
class Statistics:
    """The state of a limiter at one moment."""

    waiting: dict[Lane, int]
    """Calls that wait, by lane."""
    next_slot: float
    """Seconds until a new call could be sent if nothing waited."""
    granted: int
    """Turns given since the start, without those that were handed back."""
    refused: int
    """Requests that the service refused as too early, since the start."""
    refused_share: float
    """Share of the requests of the last minute that were refused, 0 to 1."""
    is_contended: bool
    """Whether another client seems to use the budget of the account: several refusals within a minute."""
    saved: int
    """Requests that were not needed: identical reads that were merged, or answered from memory."""
    utilisation: float
    """Share of the slots of the last minute (or since the first call) that were used here, 0 to 1."""
    margin: float
    """Part of the interval that is kept back; it grows with refusals and with uneven response times."""


@attrs.define(eq=False)
class Usage:
    """Counters of one limiter. All times are seconds of one clock, which the caller reads."""

    interval: float
    pace: float = attrs.field(init=False)
    """Mean seconds between two turns while calls waited."""
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
        """A call wants a turn."""
        self._started = min(self._started, now)

    def grant(self, now: float, *, is_busy: bool) -> None:
        """A turn was given; other calls still wait if it *is_busy*."""
        self.granted += 1
        if self._grants and is_busy:
            self.pace += PACE_SMOOTHING * (now - self._grants[-1] - self.pace)
        self._grants.append(now)

    def take_back(self) -> None:
        """A turn that was just given is not used."""
        self.granted -= 1
        if self._grants:
            self._grants.pop()

    def refuse(self, now: float) -> bool:
        """The service refused a request; return whether contention begins with that."""
        self.refused += 1
        self._refusals.append(now)
        self._forget(now)
        has_begun = not self.is_contended and len(self._refusals) >= CONTENTION_REFUSALS
        self.is_contended = self.is_contended or has_begun
        return has_begun

    def accept(self, now: float) -> bool:
        """The service accepted a request; return whether contention ends with that."""
        self._forget(now)
        has_ended = self.is_contended and not self._refusals
        self.is_contended = self.is_contended and not has_ended
        return has_ended

    def statistics(self, now: float, *, waiting: dict[Lane, int], next_slot: float, margin: float) -> Statistics:
        """All figures at this moment."""
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
