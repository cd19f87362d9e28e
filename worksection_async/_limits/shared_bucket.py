"""The base of buckets outside this process: the format of the stored state, and the behaviour in an outage."""

from __future__ import annotations

import contextlib
import json
import logging
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

from .._protocol.values import as_number, plain_number, shown
from ..errors import InvalidCall, TransportError
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
    """A bucket outside this process. Visits run in worker threads, so they do not block the event loop.

    Args:
        rate: Requests per second, the same in all processes.
        clock: Returns the time in seconds.
        on_outage: Behaviour if the bucket cannot be reached: ``"error"`` raises `TransportError` (nothing was sent);
            ``"local"`` limits this process alone to *rate* / *peers* and retries after a few seconds.
        peers: Number of processes that share the bucket, for ``"local"``.
    """

    _is_remote = True

    def __init__(
        self, rate: float, *, clock: Callable[[], float], on_outage: Literal["error", "local"], peers: int
    ) -> None:
        super().__init__(rate, clock=clock)
        if on_outage not in ("error", "local"):
            raise InvalidCall(type(self).__name__, f'on_outage must be "error" or "local", not {shown(on_outage)}')
        peers = plain_number(peers)
        if not as_number(peers) >= 1:
            raise InvalidCall(type(self).__name__, f"peers must be at least 1, not {shown(peers)}")
        self._peers = peers if on_outage == "local" else 0
        self._retry_at: float | None = None
        """Time of the next try to reach the shared bucket; None without an outage."""

    @abstractmethod
    def _change_shared(self, change: Callable[[BucketState, float], T]) -> T:
        """Like `_change`, for the shared state; raises `TransportError`."""

    def _change(self, change: Callable[[BucketState, float], T]) -> T:
        if self._retry_at is None or self._clock() >= self._retry_at:
            try:
                return self._change_shared(change if self._retry_at is None else self._after_outage(change))
            except TransportError as error:
                if not self._peers:
                    raise
                self._begin_outage(error)
        return super()._change(change)

    def _begin_outage(self, error: TransportError) -> None:
        now = self._clock()
        if self._retry_at is None:
            logger.warning(
                "without the shared limit, this process alone sends %g requests/s: %s", self.rate / self._peers, error
            )
            # Another process may have sent a request just now.
            self._state = BucketState(self._interval * self._peers, served_at=now)
        self._retry_at = now + COOLDOWN_SECONDS

    def _after_outage(self, change: Callable[[BucketState, float], T]) -> Callable[[BucketState, float], T]:
        """Return *change* for the first visit after an outage."""

        def changed(state: BucketState, now: float) -> T:
            state.sent(now)  # this process may have sent a request just now
            self._retry_at = None
            return change(state, now)

        return changed


def serialize(state: BucketState) -> bytes:
    """Return the stored form of *state*."""
    document = {name: getattr(state, name) for name in FIELDS}
    return json.dumps({**document, "format": FORMAT, "not_before": state.due(state.served + 1)}).encode()


def deserialize(stored: bytes, interval: float, now: float) -> BucketState:
    """Return the stored state: a new bucket for an empty value, a bucket that was just used for an unreadable one."""
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
