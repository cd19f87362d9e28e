"""The queue of waiting calls: priority lanes with ageing. A waiter can be woken from any thread."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import anyio
import anyio.lowlevel
import attrs

from .._protocol.values import as_number, shown
from .._transport.tasks import is_closed
from ..errors import InvalidCall
from .bucket_state import Visit

Lane = Literal["interactive", "normal", "bulk"]
"""Priority of a call, highest first."""

LANES: tuple[Lane, ...] = get_args(Lane)

AGEING_PERIOD = 8
"""Every so many slots, one goes to the oldest call of all lanes, so that low lanes do not starve."""


@attrs.frozen
class Waiting:
    """The position of a waiting call."""

    lane: Lane
    position: int
    """Number of calls that get their slots first, if no further call joins."""
    eta: float
    """Forecast of the seconds until its slot."""


def _is_lane(waiter: Waiter, _: object, lane: Lane) -> None:
    if lane not in LANES:
        raise InvalidCall(waiter.action, f"lane must be one of {', '.join(LANES)}, not {shown(lane)}")


def _is_duration(waiter: Waiter, _: object, seconds: float | None) -> None:
    if seconds is not None and not as_number(seconds) >= 0:
        raise InvalidCall(waiter.action, f"max_wait must be a number of seconds, 0 or more, got {shown(seconds)}")


@attrs.define(eq=False, kw_only=True)
class Waiter:
    """The position of one call in the queue, for all its attempts. The limiter changes it under its lock.

    Args:
        lane: Priority of the call.
        action: Name of the call in errors.
        max_wait: Maximum waiting time in seconds, all attempts together.
        on_wait: Called with a `Waiting` when the call is queued and when its position changes.
        owner: The connection of its session; closing the connection dismisses the waiter.
        loop: The native token of its event loop.
    """

    lane: Lane = attrs.field(default="normal", validator=_is_lane)
    action: str = "acquire"
    max_wait: float | None = attrs.field(default=None, validator=_is_duration)
    on_wait: Callable[[Waiting], object] | None = None
    owner: object = None
    loop: Any = attrs.field(factory=lambda: anyio.lowlevel.current_token().native_token)
    number: int = attrs.field(default=-1, init=False)
    """Order of arrival; all attempts keep it."""
    position: int = attrs.field(default=0, init=False)
    reported: int = attrs.field(default=-1, init=False)
    """The position of the last call of `on_wait`."""
    waited: float = attrs.field(default=0.0, init=False)
    """Seconds that the attempts so far have waited."""
    granted_at: float = attrs.field(default=math.nan, init=False)
    sent_at: float = attrs.field(default=math.nan, init=False)
    visit: Visit | None = attrs.field(default=None, init=False)
    """The granted slot, until the request is sent."""
    ticket: int = attrs.field(default=0, init=False)
    """The ticket of the request that was sent."""
    is_dismissed: bool = attrs.field(default=False, init=False)
    _event: anyio.Event | None = attrs.field(default=None, init=False)
    _is_woken: bool = attrs.field(default=False, init=False)

    @property
    def has_slot(self) -> bool:
        """Whether it was granted a slot, used or not."""
        return not math.isnan(self.granted_at)

    @property
    def time_left(self) -> float:
        """Seconds that it may still wait."""
        return math.inf if self.max_wait is None else max(0.0, self.max_wait - self.waited)

    @property
    def is_loop_closed(self) -> bool:
        """Whether its event loop was closed while it waited."""
        return is_closed(self.loop)

    def wake(self) -> None:
        """Wake the waiter (thread-safe)."""
        soon = getattr(self.loop, "call_soon_threadsafe", None) or self.loop.run_sync_soon  # asyncio or trio
        with contextlib.suppress(RuntimeError):  # its event loop was closed
            soon(self._on_wake)

    async def sleep(self, seconds: float) -> None:
        """Sleep for *seconds* or until `wake`; a `wake` since the last sleep counts."""
        if not self._is_woken:
            self._event = anyio.Event()
            with anyio.move_on_after(seconds):
                await self._event.wait()
            self._event = None
        self._is_woken = False

    def _on_wake(self) -> None:
        self._is_woken = True
        if self._event is not None:
            self._event.set()


class Queue:
    """Waiting calls by lane: higher lanes first, FIFO inside a lane, and ageing across lanes."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, dict[Waiter, None]] = {lane: {} for lane in LANES}
        self._numbers = itertools.count()
        self._watchers: set[Waiter] = set()
        """Waiters with an `on_wait` callback."""
        self._grants = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __bool__(self) -> bool:
        return any(self._lanes.values())

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._lanes[waiter.lane]

    def of(self, owner: object) -> list[Waiter]:
        """Return the waiters of one session."""
        return [waiter for lane in self._lanes.values() for waiter in lane if waiter.owner is owner]

    def add(self, waiter: Waiter) -> None:
        """Add *waiter* at the end of its lane; a waiter that was queued before gets its old position."""
        lane = self._lanes[waiter.lane]
        later = [other for other in lane if other.number > waiter.number] if waiter.number >= 0 else []
        waiter.number = waiter.number if waiter.number >= 0 else next(self._numbers)
        lane[waiter] = None
        for other in later:
            lane[other] = lane.pop(other)
        if waiter.on_wait is not None:
            self._watchers.add(waiter)
            waiter.position = self.position(waiter)

    def discard(self, waiter: Waiter) -> None:
        """Remove *waiter* if it is queued."""
        self._lanes[waiter.lane].pop(waiter, None)
        self._watchers.discard(waiter)

    def discard_closed(self) -> None:
        """Remove all waiters of closed event loops."""
        for waiter in [waiter for lane in self._lanes.values() for waiter in lane if waiter.is_loop_closed]:
            self.discard(waiter)

    def promote(self, waiter: Waiter, lane: Lane) -> None:
        """Move *waiter* to the end of *lane* if that is higher than its own."""
        if LANES.index(lane) < LANES.index(waiter.lane):
            if self._lanes[waiter.lane].pop(waiter, self) is None:
                self._lanes[lane][waiter] = None
            waiter.lane = lane

    def head(self) -> Waiter | None:
        """Return the waiter that gets the next slot; waiters of closed event loops are removed."""
        while (head := self._first()) is not None and head.is_loop_closed:
            self.discard(head)
        return head

    def first_of(self, loop: object) -> Waiter | None:
        """Return the first waiter of an event loop."""
        return next((waiter for lane in self._lanes.values() for waiter in lane if waiter.loop is loop), None)

    def _first(self) -> Waiter | None:
        firsts = [next(iter(waiters)) for waiters in self._lanes.values() if waiters]
        if self._grants == AGEING_PERIOD - 1:
            return min(firsts, key=lambda waiter: waiter.number, default=None)
        return firsts[0] if firsts else None

    def pop(self) -> Waiter | None:
        """Remove and return the head."""
        if (head := self.head()) is not None:
            self.discard(head)
            self._grants = (self._grants + 1) % AGEING_PERIOD
        return head

    def ahead_of(self, lane: Lane) -> int:
        """Return the number of calls before a new one in *lane*, if no further call joins."""
        return self._with_ageing(sum(len(self._lanes[other]) for other in LANES[: LANES.index(lane) + 1]), len(self))

    def position(self, waiter: Waiter) -> int:
        """Return the number of calls before *waiter*, if no further call joins."""
        better = sum(len(self._lanes[other]) for other in LANES[: LANES.index(waiter.lane)])
        return self._with_ageing(better + list(self._lanes[waiter.lane]).index(waiter), len(self) - 1)

    def watchers(self) -> set[Waiter]:
        """Return the waiters with an `on_wait` callback, with updated positions."""
        numbered = enumerate(waiter for lane in self._lanes.values() for waiter in lane) if self._watchers else ()
        for better, waiter in numbered:
            waiter.position = self._with_ageing(better, len(self) - 1)
        return self._watchers

    def _with_ageing(self, better: int, others: int) -> int:
        """Return *better* plus the number of calls of lower lanes that ageing serves before."""
        return min(others, better + (self._grants + better) // (AGEING_PERIOD - 1))

    def waiting(self) -> dict[Lane, int]:
        """Return the number of waiters by lane."""
        return {lane: len(waiters) for lane, waiters in self._lanes.items()}
