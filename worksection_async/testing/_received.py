"""What tests ask afterwards: which requests came in, and what became of them."""

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True, eq=False)
class ReceivedRequest:
    """One request. What could give access (query, headers) is kept for assertions and never shown."""

    method: str
    path: str
    query: bytes = attrs.field(repr=False)
    """As received, undecoded."""
    headers: Mapping[str, str] = attrs.field(repr=False)
    action: str
    params: Mapping[str, Any]
    """From query and body together, without what could give access."""
    arrived_at: float
    """By the simulator's monotonic clock."""
    accepted: bool
    """False when the rate check refused it; it lets the requests of OAuth pass."""
    executed: bool = False
    """Whether the action was carried out, whatever the caller was told."""
    error: str | None = None
    """The message of the service, if it refused."""
    status: int | None = None
    """Of the reply; None when there was none, or none yet."""


def settle(log: list[ReceivedRequest], request: ReceivedRequest, **outcome: Any) -> ReceivedRequest:
    """Write down what became of *request*, in its place; a log that was cleared meanwhile stays so."""
    settled = attrs.evolve(request, **outcome)
    for index in reversed(range(len(log))):  # it is among the latest, and logs get long
        if log[index] is request:
            log[index] = settled
            break
    return settled
