"""Decides whether a failed call is made again, and when; pure functions.

Another attempt waits for a slot of the limiter like any call. A refused attempt (`RateLimited`) is not decided here: it
was not executed, so the session makes the call wait for another slot.

* never sent → any action is retried
* the service says when to come back (``Retry-After``) → in the next slot; the limiter knows the time
* 5xx, connection lost or timeout after sending → only reads, and writes that give the same result if executed twice
* a failure that the next attempt would repeat (a certificate, a proxy setting, a broken transport) → no retry
* anything else → no retry
"""

from collections.abc import Callable

from .._protocol.call import Action
from ..errors import ApiError, TransportError, UnexpectedReply, WorksectionError

FIRST_DELAY_SECONDS = 0.5
"""Delay before the second attempt; it doubles before each further one (exponential backoff)."""

MAX_DOUBLINGS = 4
"""How often the delay doubles: it grows to eight seconds."""


def retry_delay(
    action: Action[object], error: WorksectionError, attempt: int, *, repeat_writes: bool, jitter: Callable[[], float]
) -> float | None:
    """Return the seconds to wait before the next attempt, or None if *error* is final.

    Args:
        action: What was called.
        error: How the attempt ended.
        attempt: Number of that attempt, from 1.
        repeat_writes: Whether the caller accepts that a write is executed twice.
        jitter: Returns a random number from 0 to 1.
    """
    if not _is_transient(error):
        return None
    if error.sent and not (action.repeatable or repeat_writes):
        return None
    if error.retry_after:
        return 0.0
    delay = FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, MAX_DOUBLINGS)
    return delay * (0.5 + jitter() / 2)


def _is_transient(error: WorksectionError) -> bool:
    if isinstance(error, ApiError | UnexpectedReply):
        return error.http_status >= 500
    return isinstance(error, TransportError) and not error.is_permanent


def is_already_done(action: Action[object], error: WorksectionError) -> bool:
    """Return True if the error of a retry shows that the first attempt succeeded (for example "already closed")."""
    return (
        action.already_done is not None
        and isinstance(error, ApiError)
        and error.message.startswith(action.already_done)
    )
