"""How far two clocks are apart."""

from __future__ import annotations

from collections import deque

EXCHANGES = 10
"""Those that count; before them, a clock may have run at another pace."""


class Offset:
    """What to add to the time of a clock elsewhere to get ours.

    An exchange says that its reading was taken after we asked and before we knew: several together say it as exactly
    as the quickest there and the quickest back, whatever held up the others.
    """

    def __init__(self) -> None:
        self._bounds: deque[tuple[float, float]] = deque(maxlen=EXCHANGES)

    def learn(self, asked_at: float, reading: float, answered_at: float) -> None:
        """The other clock showed *reading* between *asked_at* and *answered_at* of ours."""
        self._bounds.append((asked_at - reading, answered_at - reading))
        least, most = self._range()
        if least > most:  # one of the clocks was set
            newest = self._bounds.pop()
            self._bounds.clear()
            self._bounds.append(newest)

    def ours(self, theirs: float) -> float:
        """The time here when it is *theirs* there; `learn` has to come first."""
        return theirs + sum(self._range()) / 2

    def _range(self) -> tuple[float, float]:
        return max(least for least, _ in self._bounds), min(most for _, most in self._bounds)
