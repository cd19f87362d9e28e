"""The options of a call; each view of a session has its own."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import attrs

from .._limits.queue import LANES, Lane, Waiting
from .._protocol.values import as_number
from .._transport.callbacks import checked
from ..errors import InvalidCall


class Same(Enum):
    """Marks an option that a view does not change; None cannot mark it, because None is a value of some options."""

    SAME = "same"


SAME = Same.SAME


def _ordinary_on_wait(function: Callable[[Waiting], object] | None) -> Callable[[Waiting], object] | None:
    return checked("Session", "on_wait", function)


@attrs.frozen(kw_only=True)
class Options:
    """How calls are made; the meaning of each option is documented at `Session` and `Session.with_options`."""

    timeout: float = 30.0
    retries: int = 3
    lane: Lane = "normal"
    max_wait: float | None = None
    patience: float = 60.0
    max_age: float = 0.0
    coalesce: bool = True
    repeat_writes: bool = False
    on_wait: Callable[[Waiting], object] | None = attrs.field(default=None, converter=_ordinary_on_wait)

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidCall` for an invalid value; written so that NaN is invalid."""
        problems = {
            "timeout must be a positive number of seconds": not as_number(self.timeout) > 0,
            "retries must not be negative": not as_number(self.retries) >= 0,
            f"lane must be one of {', '.join(LANES)}": self.lane not in LANES,
            "max_wait must not be negative": self.max_wait is not None and not as_number(self.max_wait) >= 0,
            "patience must not be negative": not as_number(self.patience) >= 0,
            "max_age must not be negative": not as_number(self.max_age) >= 0,
        }
        for problem, is_present in problems.items():
            if is_present:
                raise InvalidCall("Session", problem)
