"""Clocks that a test controls, so that no assertion depends on the speed of the machine.

Use a `worksection_async.testing.VirtualClock` where no sockets are needed: sleeping takes no time there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import anyio
import trio

from worksection_async._transport.clock import SYSTEM_CLOCK, Clock

POLL_SECONDS = 0.01


class SetClock(Clock):
    """A clock that only `advance` moves. It does not change the time of event loops, as a `VirtualClock` does, so a
    limiter that waits needs another one.
    """

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class SkewedClock(Clock):
    """The clock of a machine that is *skew* seconds ahead of *clock*."""

    def __init__(self, skew: float = 0.0, clock: Clock = SYSTEM_CLOCK) -> None:
        self.skew = skew
        self.clock = clock

    def time(self) -> float:
        return self.clock.time() + self.skew

    def monotonic(self) -> float:
        return self.clock.monotonic()


class PausableClock:
    """A monotonic clock for a limiter (seconds): while it is paused, no further slot becomes due."""

    def __init__(self) -> None:
        self._lag = 0.0
        self._paused_at: float | None = None

    def __call__(self) -> float:
        return time.monotonic() - self._lag if self._paused_at is None else self._paused_at

    def pause(self) -> None:
        self._paused_at = self()

    def resume(self) -> None:
        """Continue at the time of the pause; does nothing if the clock is not paused."""
        if self._paused_at is not None:
            self._lag, self._paused_at = time.monotonic() - self._paused_at, None


class LoopClock(trio.abc.Clock):
    """The clock of an event loop (seconds), which only `advance` moves: timeouts on real sockets expire on demand."""

    def __init__(self) -> None:
        self._now = 0.0

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def run(self, main: Callable[[], Awaitable[None]], backend: str) -> None:
        """Run *main* in a new event loop of *backend* (``asyncio`` or ``trio``) with this clock."""
        options = {"clock": self} if backend == "trio" else {"loop_factory": self._new_loop}
        anyio.run(main, backend=backend, backend_options=options)

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.time = self.current_time  # type: ignore[method-assign]
        return loop

    # What trio needs

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return 0.0 if deadline <= self._now else POLL_SECONDS
