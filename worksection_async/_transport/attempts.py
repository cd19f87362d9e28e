"""The attempts of a call: how many there were, and how they ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import attrs

from .._protocol.request import Request
from ..errors import WorksectionError


@attrs.define(eq=False)
class Attempts:
    """The number of attempts, and the headers of the current one.

    A download keeps one for all its requests, because each request for the missing rest of a file is a further attempt.
    """

    _headers: Callable[[], Mapping[str, str]] = dict
    """Returns the headers that only the current attempt has, such as ``Range``."""
    count: int = attrs.field(default=0, init=False)
    """Number of the current attempt, from 1; an attempt that the service refused as too early does not count."""

    def with_attempt_headers(self, request: Request) -> Request:
        """Return *request* with the headers of the current attempt added."""
        headers = self._headers()
        return attrs.evolve(request, headers={**request.headers, **headers}) if headers else request


@attrs.define(eq=False)
class History:
    """What has happened to one call so far."""

    timeout: float
    """Timeout of the next attempt in seconds; attempts and pauses of a call with a deadline reduce it."""
    has_deadline: bool = True
    """Whether the timeout limits all attempts together; otherwise it limits each read and write of each attempt."""
    is_read: bool = False
    """Whether the call only reads. Such a call can be repeated after any failure."""
    is_in_doubt: bool = False
    """Whether an earlier attempt may have been executed although its answer is missing."""
    renewals: int = 0
    """How often the credential was renewed for this call."""
    last_failure: WorksectionError | None = None
    refused_since: float = math.inf
    """Time of the first refusal in the current series of refusals (seconds of the event loop's clock)."""
    request: Request | None = None
    """The request of the current attempt, once it is signed."""
    exchange_began_at: float = math.inf
    """Time when the current attempt was handed to the transport (seconds of the event loop's clock)."""

    def start_attempt(self) -> None:
        """Reset what belongs to a single attempt."""
        self.request, self.exchange_began_at = None, math.inf

    @property
    def time_left(self) -> float:
        """Seconds until the deadline of the call."""
        return self.timeout if self.has_deadline else math.inf

    def spend(self, seconds: float) -> None:
        """Subtract the time of an attempt or of a pause from the time left; nothing if that is negative."""
        if self.has_deadline:
            self.timeout = max(0.0, self.timeout - max(0.0, seconds))

    def add_refusal(self, error: WorksectionError, now: float) -> float:
        """Record that the service refused the attempt as too early; return the seconds since the first refusal."""
        self.last_failure, self.refused_since = error, min(self.refused_since, now)
        return now - self.refused_since

    def add_failure(self, error: WorksectionError) -> None:
        """Record that the attempt failed and that another one follows."""
        self.last_failure, self.refused_since = error, math.inf
        self.is_in_doubt = self.is_in_doubt or error.sent

    def as_final(self, error: WorksectionError) -> WorksectionError:
        """Return *error* as the result of the call, with a warning if an earlier attempt may have been executed."""
        if self.is_read:
            error.of_read()
        return error.in_doubt() if self.is_in_doubt else error
