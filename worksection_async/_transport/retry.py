"""Whether a failed call is tried again, and how soon: a pure decision.

The next attempt waits for a turn like any other. A refused request (`RateLimited`) is no attempt: it was not carried
out, and the session lets it wait for another turn.

* never sent → any action
* the service says when to come back (``Retry-After``) → as soon as the limiter, which knows it, gives a turn
* 5xx, cut off or timed out once sent → what may be repeated: reads, and writes that leave the account as the first did
* anything else → no
"""

from collections.abc import Callable

from .._protocol.call import Action
from ..errors import ApiError, TransportError, UnexpectedReply, WorksectionError

FIRST_DELAY = 0.5
"""Seconds before the second attempt; doubled before each further one."""

LONGEST_DELAY = 8.0


def retry_delay(
    action: Action[object], error: WorksectionError, attempt: int, *, repeat_writes: bool, jitter: Callable[[], float]
) -> float | None:
    """Seconds to wait before trying again, or None where *error* is final.

    Args:
        action: What was called.
        error: How attempt number *attempt* (from 1) ended.
        repeat_writes: Whether the caller accepts that a write happens twice.
        jitter: A random number from 0 to 1.
    """
    if not _is_passing(error):
        return None
    if error.sent and not (action.repeatable or repeat_writes):
        return None
    if error.retry_after:
        return 0.0
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (attempt - 1))
    return longest * (0.5 + jitter() / 2)


def _is_passing(error: WorksectionError) -> bool:
    if isinstance(error, ApiError | UnexpectedReply):
        return error.http_status >= 500
    return isinstance(error, TransportError)


def is_settled(action: Action[object], error: WorksectionError) -> bool:
    """Whether *error*, met on a repetition, says that an earlier attempt had worked after all."""
    return action.settled is not None and isinstance(error, ApiError) and error.message.startswith(action.settled)
