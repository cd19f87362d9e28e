"""How far two clocks are apart."""

from __future__ import annotations

from collections import deque

EXCHANGES = 10
"""How many count."""

AGE = 30.0
"""Seconds for which they do: clocks drift apart."""


class Offset:
    """What to add to the time of a clock elsewhere to get ours.

    An exchange says that its reading was taken after we asked and before we knew: several together say it as exactly
    as the quickest there and the quickest back, whatever held up the others.
    """

    def __init__(self) -> None:
        self._bounds: deque[tuple[float, float, float]] = deque(maxlen=EXCHANGES)

    def learn(self, asked_at: float, reading: float, answered_at: float) -> None:
        """The other clock showed *reading* between *asked_at* and *answered_at* of ours."""
        while self._bounds and self._bounds[0][0] < answered_at - AGE:
            self._bounds.popleft()
        newest = answered_at, asked_at - reading, answered_at - reading
        self._bounds.append(newest)
        least, most = self._range()
        if least > most:  # one of the clocks was set
            self._bounds.clear()
            self._bounds.append(newest)

    def ours(self, theirs: float) -> float:
        """The time here when it is *theirs* there; `learn` has to come first."""
        return theirs + sum(self._range()) / 2

    def _range(self) -> tuple[float, float]:
        return max(least for _, least, _ in self._bounds), min(most for _, _, most in self._bounds)
