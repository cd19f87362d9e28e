"""The options of a call; each view of a session has its own."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import attrs

from .._limits.queue import LANES, Lane, Waiting
from .._protocol.values import as_number, plain_number, shown
from .._transport.callbacks import checked
from ..errors import InvalidCall


class Same(Enum):
    """Marks an option that a view does not change; None cannot mark it, because None is a value of some options."""

    SAME = "same"


SAME = Same.SAME


# A converter for each type: mypy infers no type variables from converters.


def _count(number: int) -> int:
    return plain_number(number)


def _seconds(number: float) -> float:
    return plain_number(number)


def _seconds_or_none(number: float | None) -> float | None:
    return plain_number(number)


def _ordinary_on_wait(function: Callable[[Waiting], object] | None) -> Callable[[Waiting], object] | None:
    return checked("Session", "on_wait", function)


@attrs.frozen(kw_only=True)
class Options:
    """How calls are made; the meaning of each option is documented at `Session` and `Session.with_options`."""

    timeout: float = attrs.field(converter=_seconds)
    retries: int = attrs.field(converter=_count)
    patience: float = attrs.field(converter=_seconds)
    max_wait: float | None = attrs.field(converter=_seconds_or_none)
    coalesce: bool
    lane: Lane = "normal"
    max_age: float = attrs.field(default=0.0, converter=_seconds)
    repeat_writes: bool = False
    on_wait: Callable[[Waiting], object] | None = attrs.field(default=None, converter=_ordinary_on_wait)

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidCall` for an invalid value; written so that NaN is invalid."""
        requirements = {
            "timeout": ("a positive number of seconds", as_number(self.timeout) > 0),
            "retries": ("a number, 0 or more", as_number(self.retries) >= 0),
            "lane": (f"one of {', '.join(LANES)}", self.lane in LANES),
            "max_wait": ("a number of seconds, 0 or more", self.max_wait is None or as_number(self.max_wait) >= 0),
            "patience": ("a number of seconds, 0 or more", as_number(self.patience) >= 0),
            "max_age": ("a number of seconds, 0 or more", as_number(self.max_age) >= 0),
        }
        for name, (requirement, is_met) in requirements.items():
            if not is_met:
                raise InvalidCall("Session", f"{name} must be {requirement}, got {shown(getattr(self, name))}")
