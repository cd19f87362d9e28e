"""A clock whose time passes only while all tasks wait, on asyncio and on trio.

Each event loop in which it is read gets another time: that of trio's own `MockClock`, or of a counterpart for asyncio.
It replaces the time of a running loop, because the loop belongs to a test runner; the time continues where
it was, so that timers that were set before stay correct.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from typing import Any

from .._transport.clock import Clock
from ..errors import InvalidCall


class VirtualClock(Clock):
    """A clock that jumps to the next deadline when all tasks wait: ``Simulator(rate=1.0, clock=VirtualClock())``.

    A job that waits for an hour takes no longer than its computations. The clock of the event loop jumps, too, so
    ``asyncio.sleep``, ``trio.sleep`` and all timeouts follow it, from ``async with sim`` on, or else from the first
    call of a session; until the end of ``async with sim``. Time does not pass while code runs.

    Work in threads and traffic on sockets take no virtual time: while a task waits for one of them, a timeout can
    expire at once. Several event loops can use the clock one after the other.

    Args:
        start: Unix time in seconds at which it starts; by default now.
    """

    def __init__(self, start: float | None = None) -> None:
        self._start = time.time() if start is None else start
        self._now = 0.0
        self._loops: dict[object, tuple[_AsyncioTime | _TrioTime, float]] = {}
        """The loops whose time jumps, and the difference of their times to `_now`."""

    def __repr__(self) -> str:
        return f"<VirtualClock {self._now:.3f} s after the start>"

    def time(self) -> float:
        """Return the Unix time in seconds."""
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        for loop_time, ahead in self._loops.values():
            self._now = max(self._now, loop_time.current_time() - ahead)
        loop = _running_loop()
        if loop is not None and loop not in self._loops:
            loop_time = _asyncio_time(loop) if isinstance(loop, asyncio.AbstractEventLoop) else _trio_time()
            self._loops[loop] = loop_time, loop_time.current_time() - self._now
        return self._now

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass at once: what becomes due in them happens at their end."""
        if not 0 <= seconds < math.inf:
            raise InvalidCall("VirtualClock", f"time cannot advance by {seconds} seconds")
        now = self.monotonic()
        for loop_time, _ in self._loops.values():
            loop_time.jump(seconds)
        self._now = now + seconds

    def start(self) -> None:
        """Take over the time of the running event loop; reading the clock in the loop does the same."""
        self.monotonic()

    def stop(self) -> None:
        """Let the time of all its event loops pass by itself again."""
        self.monotonic()
        for loop_time, _ in self._loops.values():
            loop_time.stop()
        self._loops.clear()


def _running_loop() -> object:
    """Return what identifies the event loop of the running task; None without one."""
    if "trio" in sys.modules:
        import trio  # noqa: PLC0415

        if trio.lowlevel.in_trio_task():
            return trio.lowlevel.current_trio_token()
    return asyncio._get_running_loop()


def _asyncio_time(loop: Any) -> _AsyncioTime:
    """Return the time of *loop*, which jumps from now on."""
    loop_time = getattr(loop.time, "__self__", None)
    if not isinstance(loop_time, _AsyncioTime):
        if not hasattr(loop, "_selector"):
            problem = f"the time of a {type(loop).__module__} loop cannot be replaced: use a loop of asyncio, or trio"
            raise InvalidCall("VirtualClock", problem)
        loop_time = _AsyncioTime(loop)
    loop_time.start()
    return loop_time


class _AsyncioTime:
    """The time of an asyncio loop; the counterpart of trio's `MockClock`.

    asyncio asks the selector to wait only if nothing can happen before the next deadline, except for I/O.
    """

    autojump_threshold = math.inf
    """The name is that of `MockClock`, for `is_jumping`."""

    def __init__(self, loop: Any) -> None:
        self._loop, self._real_time, self._real_select = loop, loop.time, loop._selector.select
        self._ahead = 0.0
        """Difference to the real time, while the time passes by itself."""
        loop.time, loop._selector.select = self.current_time, self._select

    def start(self) -> None:
        self._now = self.current_time()
        self.autojump_threshold = 0.0
        self.jump(0.0)

    def stop(self) -> None:
        self._ahead = self._now - self._real_time()
        self.autojump_threshold = math.inf

    def current_time(self) -> float:
        return self._real_time() + self._ahead if self.autojump_threshold else self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds
        # A loop runs a timer that is due within its resolution. On a machine that has been up for half a year, the
        # next number after the present time is farther away, and the loop would turn without end.
        self._loop._clock_resolution = max(self._loop._clock_resolution, math.ulp(self._now))

    def _select(self, timeout: float | None = None) -> Any:
        if self.autojump_threshold or timeout is None or timeout <= 0:
            return self._real_select(timeout)
        events = self._real_select(0)
        if not events:
            self.jump(timeout)
        return events


def _trio_time() -> _TrioTime:
    """Return the time of the current trio run, which jumps from now on."""
    import trio.testing  # noqa: PLC0415

    # There is no public way to replace the clock of a run that has begun, and test runners begin it.
    runner: Any = trio.lowlevel.current_task()._runner
    if not isinstance(runner.clock, trio.testing.MockClock):
        clock = trio.testing.MockClock(rate=1.0)
        clock.jump(runner.clock.current_time() - clock.current_time())
        runner.clock = clock
    return _TrioTime(runner.clock)


class _TrioTime:
    """The time of a trio run."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._before = clock.rate, clock.autojump_threshold
        clock.rate, clock.autojump_threshold = 0.0, 0.0
        self.current_time = clock.current_time
        self.jump = clock.jump

    def stop(self) -> None:
        self._clock.rate, self._clock.autojump_threshold = self._before
