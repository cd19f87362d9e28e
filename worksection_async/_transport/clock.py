"""The clock from which all parts of a session read the time, and event loops whose clock jumps."""

from __future__ import annotations

import math
import time
from typing import Any

import anyio.lowlevel


class Clock:
    """The clock of this machine."""

    def time(self) -> float:
        """Return the Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since an unknown start; unlike `time` they are never set back."""
        return time.monotonic()


SYSTEM_CLOCK = Clock()


def clock_of(transport: object) -> Clock:
    """Return the clock of *transport*: that of a simulator may be virtual."""
    clock = getattr(transport, "clock", None)
    return clock if isinstance(clock, Clock) else SYSTEM_CLOCK


def is_jumping() -> bool:
    """Return whether the clock of the running event loop jumps to the next deadline when all tasks wait.

    Such a clock does not wait for a thread, so that a timeout would expire while the thread works.
    """
    loop: Any = anyio.lowlevel.current_token().native_token
    if hasattr(loop, "time"):
        clock = getattr(loop.time, "__self__", None)  # of a `VirtualClock`; otherwise the loop itself
    else:
        import trio  # noqa: PLC0415

        clock = trio.lowlevel.current_clock()
    return getattr(clock, "autojump_threshold", math.inf) < math.inf
