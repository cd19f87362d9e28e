"""How calls are made: what every view of a session has of its own."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import attrs

from .._limits.queue import LANES, Lane, Waiting
from ..errors import InvalidCall


class Same(Enum):
    """Marks what a view takes over as it is; for some options None is a value."""

    SAME = "same"


SAME = Same.SAME


@attrs.frozen(kw_only=True)
class Options:
    """How calls are made; every view of a session has its own."""

    timeout: float = 30.0
    retries: int = 3
    lane: Lane = "normal"
    max_wait: float | None = None
    patience: float = 60.0
    max_age: float = 0.0
    coalesce: bool = True
    repeat_writes: bool = False
    on_wait: Callable[[Waiting], object] | None = None


def checked(options: Options) -> Options:
    """*options*, or `InvalidCall` for what makes no sense."""
    complaints = {
        "timeout must be a positive number of seconds": not options.timeout > 0,
        "retries must not be negative": options.retries < 0,
        f"lane must be one of {', '.join(LANES)}": options.lane not in LANES,
        "max_wait must not be negative": options.max_wait is not None and not options.max_wait >= 0,
        "patience must not be negative": not options.patience >= 0,
        "max_age must not be negative": not options.max_age >= 0,
    }
    for complaint, applies in complaints.items():
        if applies:
            raise InvalidCall("Session", complaint)
    return options
