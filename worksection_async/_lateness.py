"""How late requests leave."""

from __future__ import annotations

from collections import deque

import attrs

LAGS = 20
"""Requests that tell how late they usually are."""

LATE = 0.005
"""Part of the interval by which a request may leave later than usual without a word about it."""


@attrs.define(eq=False)
class Lateness:
    """Watches by how much requests miss the moment of their turn.

    What all have in common moves all of them, and counts for nothing.
    """

    interval: float
    _lags: deque[float] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lags = deque([0.0], maxlen=LAGS)  # the first may have nothing in common with the next

    def pause(self, lag: float) -> float:
        """A request has left *lag* seconds late: seconds from now for which nobody may go; zero needs no word."""
        self._lags.append(lag)
        usual = min(self._lags)
        return self.interval - usual if lag - usual > LATE * self.interval else 0.0
