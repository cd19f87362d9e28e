"""Sleeping to the point."""

import math
from collections.abc import Callable

import anyio
import anyio.lowlevel

from ._pace import TICK

GRAIN = 0.0015
"""Seconds by which a sleep may be too long: event loops sleep in whole milliseconds."""


async def sleep_until(moment: float, clock: Callable[[], float]) -> None:
    """Return when *clock* shows *moment*, and not the millisecond later that event loops are by their nature."""
    if (left := moment - clock()) > GRAIN:
        await anyio.sleep(left - GRAIN)
    before = math.inf
    while TICK < (left := moment - clock()) < before:  # awake, while others have their turns
        before = left
        await anyio.lowlevel.checkpoint()
    if left > TICK:  # the clocks of tests stand still unless all sleep
        await anyio.sleep(left)
