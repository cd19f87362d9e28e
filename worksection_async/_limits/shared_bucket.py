"""What buckets outside this process have in common: the format of their state, and how an outage is bridged."""

from __future__ import annotations

import contextlib
import json
import logging
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

from ..errors import TransportError
from .bucket_state import BucketState
from .limiter import T
from .token_bucket import TokenBucket

logger = logging.getLogger("worksection_async")

FORMAT = 1
"""Version of the stored state; a change of `FIELDS` needs a new one. All versions have `format` and `not_before`."""

FIELDS = ("next", "served", "served_at", "jitter", "backoff", "quickest", "answers")

COOLDOWN_SECONDS = 5.0
"""Time after an outage until the shared bucket is tried again."""


class SharedTokenBucket(TokenBucket):
    """A bucket outside this process. Visits happen in worker threads, so they never block the event loop.

    Args:
        rate: Requests per second, the same in all processes.
        clock: Returns the time in seconds.
        on_outage: What happens when the bucket cannot be reached: ``"error"`` raises `TransportError` (nothing was
            sent), ``"local"`` goes on with *rate* / *peers* in this process and soon tries again.
        peers: Number of processes that share the bucket, for ``"local"``.
    """

    _is_remote = True

    def __init__(
        self, rate: float, *, clock: Callable[[], float], on_outage: Literal["error", "local"], peers: int
    ) -> None:
        super().__init__(rate, clock=clock)
        if on_outage not in ("error", "local"):
            raise ValueError(f'on_outage must be "error" or "local", not {on_outage!r}')
        if peers < 1:
            raise ValueError(f"peers must be at least 1, not {peers!r}")
        self._peers = peers if on_outage == "local" else 0
        self._retry_at: float | None = None
        """During an outage, when the shared bucket is tried again."""

    @abstractmethod
    def _change_shared(self, change: Callable[[BucketState, float], T]) -> T:
        """`_change` of the shared state; raises `TransportError`."""

    def _change(self, change: Callable[[BucketState, float], T]) -> T:
        if self._retry_at is None or self._clock() >= self._retry_at:
            try:
                return self._change_shared(change if self._retry_at is None else self._returning(change))
            except TransportError as error:
                if not self._peers:
                    raise
                self._begin_outage(error)
        return super()._change(change)

    def _begin_outage(self, error: TransportError) -> None:
        now = self._clock()
        if self._retry_at is None:
            logger.warning("this process goes on alone at %g requests/s: %s", self.rate / self._peers, error)
            # Another process may have sent a request just now.
            self._state = BucketState(self._interval * self._peers, served_at=now)
        self._retry_at = now + COOLDOWN_SECONDS

    def _returning(self, change: Callable[[BucketState, float], T]) -> Callable[[BucketState, float], T]:
        """*change*, for the first visit after an outage."""

        def changed(state: BucketState, now: float) -> T:
            state.sent(now)  # this process may have sent a request just now
            self._retry_at = None
            return change(state, now)

        return changed


def packed(state: BucketState) -> bytes:
    """*state* as it is stored."""
    document = {name: getattr(state, name) for name in FIELDS}
    return json.dumps({**document, "format": FORMAT, "not_before": state.due(state.served + 1)}).encode()


def unpacked(stored: bytes, interval: float, now: float) -> BucketState:
    """The stored state. Nothing stored belongs to a new bucket, anything unreadable to one that was just used."""
    if not stored:
        return BucketState(interval)
    with contextlib.suppress(ValueError, TypeError, LookupError):
        document = json.loads(stored)
        if document["format"] != FORMAT:
            return BucketState(interval, served_at=_number(document["not_before"]) - interval)
        return BucketState(interval, 1, **{name: _number(document[name]) for name in FIELDS})
    return BucketState(interval, served_at=now)


def _number(value: Any) -> Any:
    if not isinstance(value, int | float) or not value < math.inf:
        raise ValueError(value)
    return value
