"""The rate limit of the service."""

import attrs

from ._reply import ServiceRefusal, SimulatedReply, error_reply

_TOLERANCE_SECONDS = 1e-9
"""Rounding errors of float arithmetic must not refuse a request that arrives exactly on time."""


def rate_limit_reply(status: int = 200, retry_after: float | None = None) -> SimulatedReply:
    """Return the refusal. Its real status is unknown: 200 is likely (as for other errors), 429 is the convention."""
    reply = attrs.evolve(error_reply(ServiceRefusal("Too many requests")), status=status)
    retry_header = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return attrs.evolve(reply, headers={**reply.headers, **retry_header})


@attrs.define
class RateCheck:
    """Refuses a request that arrives less than one interval after the last accepted request.

    The service is probably more lenient, so a client that respects this limit also respects the service's.
    """

    per_second: float | None
    """Accepted requests per second; None disables the check."""
    refusal: SimulatedReply = attrs.field(factory=rate_limit_reply, init=False)
    _last: float | None = attrs.field(default=None, init=False)

    def refuse_with(self, status: int = 200, retry_after: float | None = None) -> None:
        """Set the reply to refused requests: its HTTP *status*, and the seconds of a ``Retry-After`` header."""
        self.refusal = rate_limit_reply(status, retry_after)

    def admits(self, arrival: float) -> bool:
        """Return True if a request that arrives at *arrival* (seconds) is accepted."""
        interval = 1 / self.per_second - _TOLERANCE_SECONDS if self.per_second else 0.0
        if self._last is not None and arrival - self._last < interval:
            return False
        self._last = arrival
        return True
