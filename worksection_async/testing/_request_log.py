"""The log of received requests and their outcomes, for assertions in tests."""

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True, eq=False)
class ReceivedRequest:
    """A received request and its outcome. Query and headers can contain secrets: the repr omits them."""

    method: str
    path: str
    query: bytes = attrs.field(repr=False)
    """The bytes as received, not decoded."""
    headers: Mapping[str, str] = attrs.field(repr=False)
    action: str
    sender: str = ""
    """``admin key``, the e-mail address of the token's user, the client id of an OAuth2 request, or ``unknown``."""
    params: Mapping[str, Any]
    """The parameters of query and body, without secrets."""
    arrived_at: float
    """Arrival time in seconds, on the monotonic clock of the simulator; on a virtual clock since its start."""
    accepted: bool
    """False if the rate check refused the request; OAuth2 requests are not checked."""
    executed: bool = False
    """True if the action was carried out, even if the client received an error or no reply."""
    error: str | None = None
    """The error message of the service, or None."""
    status: int | None = None
    """The HTTP status of the reply, or None without a reply (yet)."""

    @property
    def outcome(self) -> str:
        """The result of the request, in a few words."""
        if not self.accepted:
            return "refused as too early"
        if self.error is not None:
            return f"refused: {self.error}"
        if self.executed:
            return "ok" if self.status == 200 else f"executed, answered with {self.status or 'nothing'}"
        return f"not executed, answered with {self.status or 'nothing'}"


def record_outcome(log: list[ReceivedRequest], request: ReceivedRequest, **outcome: Any) -> ReceivedRequest:
    """Replace *request* in *log* by a copy with its *outcome*, unless the log was cleared; return the copy."""
    updated = attrs.evolve(request, **outcome)
    for index in reversed(range(len(log))):  # from the end: the entry is recent, and the log can be long
        if log[index] is request:
            log[index] = updated
            break
    return updated
