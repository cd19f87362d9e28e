"""One line on stderr while a call waits for the rate limit: its position and the time left."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable

import attrs

from .._limits.queue import Waiting
from ._text import width_of

MIN_SECONDS = 1.0
"""Shorter waits are not shown."""

INTERVAL_SECONDS = 1.0
"""Time between two updates of the line."""


@attrs.define(eq=False)
class WaitingLine:
    """Shows the waits of one call after the other, if stderr is a terminal. Needs a running asyncio event loop."""

    _clock: Callable[[], float] = time.monotonic
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _shown: str = attrs.field(default="", init=False)

    def show(self, waiting: Waiting) -> None:
        """Show *waiting*, and count its seconds down, unless it is short."""
        if sys.stderr.isatty() and (waiting.eta > MIN_SECONDS or self._shown):
            self._update(waiting.position, self._clock() + waiting.eta)

    def clear(self) -> None:
        """Remove the line: the call has its slot, or something else is printed."""
        self._stop()
        if self._shown:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def _update(self, position: int, ends_at: float) -> None:
        self._stop()
        seconds = math.ceil(ends_at - self._clock())
        if seconds <= 0:
            self.clear()
            return
        self._write(f"Waiting: position {position + 1}, about {seconds} s left")
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_SECONDS, self._update, position, ends_at)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write(self, text: str) -> None:
        """Overwrite the line; a line as wide as the terminal would wrap, so it is cut."""
        text = text[: (width_of(sys.stderr) or 80) - 1]
        sys.stderr.write(f"\r{text.ljust(len(self._shown))}")
        sys.stderr.flush()
        self._shown = text
