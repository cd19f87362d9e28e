"""The attempts of a call: how many there were, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Self

import attrs

from .._protocol.request import Request
from ..errors import WorksectionError


@attrs.define(eq=False)
class Attempts:
    """Counts from 1, and goes on where one call takes several requests: what arrives in part is asked for again."""

    _headers: Callable[[], Mapping[str, str]] = dict
    made: int = attrs.field(default=0, init=False)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        self.made += 1
        return self.made

    def uncount(self) -> None:
        """The present attempt does not count: the service has refused it unseen."""
        self.made -= 1

    def with_attempt_headers(self, request: Request) -> Request:
        """*request*, with the headers that the present attempt needs."""
        headers = self._headers()
        return attrs.evolve(request, headers={**request.headers, **headers}) if headers else request


@attrs.define(eq=False)
class History:
    """What has happened to a call so far."""

    time_left: float
    """Seconds that further attempts may spend being sent and answered."""
    in_doubt: bool = False
    """Whether an attempt may have been carried out although its answer is missing."""
    is_signed_anew: bool = False
    """Whether the credential was renewed."""
    failure: WorksectionError | None = None
    """How the last attempt failed."""
    refused_since: float = math.inf
    """When the refusals in a row began that the last attempt belongs to."""
    request: Request | None = None
    started_at: float = math.inf
    """When the last attempt was handed to the transport."""

    def begin(self) -> None:
        """Another attempt begins."""
        self.request, self.started_at = None, math.inf

    def refuse(self, error: WorksectionError, now: float) -> float:
        """The attempt was refused as too early: seconds since the first refusal in a row."""
        self.failure, self.refused_since = error, min(self.refused_since, now)
        return now - self.refused_since

    def fail(self, error: WorksectionError) -> None:
        """The attempt failed, and there will be another one."""
        self.failure, self.refused_since = error, math.inf
        self.in_doubt = self.in_doubt or error.sent

    def told(self, error: WorksectionError) -> WorksectionError:
        """*error*, as the end of the call."""
        return error.in_doubt() if self.in_doubt else error
