"""The limit on requests."""

import attrs

from ._reply import Refused, Reply, error_reply

_ROUNDING = 1e-9


def too_many(status: int = 200, retry_after: float | None = None) -> Reply:
    """The service's refusal. Its status is not known: 200 by analogy, 429 by custom."""
    reply = attrs.evolve(error_reply(Refused("Too many requests")), status=status)
    wait = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return attrs.evolve(reply, headers={**reply.headers, **wait})


@attrs.define
class RateCheck:
    """Refuses what arrives too soon after the last request that was let in; a refused one does not count.

    The service is thought to be more lenient; a client that passes here passes there.
    """

    per_second: float | None
    """None switches the check off."""
    refusal: Reply = attrs.field(factory=too_many, init=False)
    _last: float | None = attrs.field(default=None, init=False)

    def refuse_with(self, status: int = 200, retry_after: float | None = None) -> None:
        """Choose how the refused are answered."""
        self.refusal = too_many(status, retry_after)

    def admits(self, arrival: float) -> bool:
        """Decide about a request that arrives now."""
        interval = 1 / self.per_second - _ROUNDING if self.per_second else 0.0
        if self._last is not None and arrival - self._last < interval:
            return False
        self._last = arrival
        return True
