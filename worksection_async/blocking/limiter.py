"""The rate limiter as a blocking session shows it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from .._limits.limiter import Limiter
from .._limits.queue import Lane, Waiting
from .._limits.statistics import Statistics
from .loop import background


@attrs.frozen
class BlockingLimiter:
    """The `Limiter` of an account, without ``await``."""

    _limiter: Limiter

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self._limiter.rate

    def acquire(
        self,
        lane: Lane = "normal",
        *,
        max_wait: float | None = None,
        action: str = "acquire",
        on_wait: Callable[[Waiting], object] | None = None,
    ) -> float:
        """Wait for a slot, use it, and return its time. A cancelled call uses no slot.

        Args:
            lane: Priority of the call: ``"interactive"``, ``"normal"`` or ``"bulk"``.
            max_wait: Maximum waiting time in seconds; a longer forecast raises `WaitTooLong` at once.
            action: Name of the call in errors.
            on_wait: Called with a `Waiting` when the call is queued and when its position changes. It is not awaited.

        Raises:
            InvalidCall: *lane*, *max_wait* or *on_wait* is invalid.
            WaitTooLong: The forecast exceeds *max_wait*.
        """
        return background.run(self._limiter.acquire, lane, max_wait=max_wait, action=action, on_wait=on_wait)

    def eta(self, lane: Lane = "normal") -> float:
        """Return the forecast of the waiting time of a new call in *lane*, in seconds."""
        return self._limiter.eta(lane)

    def statistics(self) -> Statistics:
        """Return the current statistics."""
        return self._limiter.statistics()
