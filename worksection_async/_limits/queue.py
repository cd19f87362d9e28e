"""The waiting calls: in which order they get their turns. A waiter can be woken from any thread."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import anyio
import anyio.lowlevel
import attrs

from .._transport.tasks import is_closed
from .bucket_state import Visit

Lane = Literal["interactive", "normal", "bulk"]
"""Priority of a call, highest first."""

LANES: tuple[Lane, ...] = get_args(Lane)

AGEING_PERIOD = 8
"""One turn in so many goes to the call that has waited longest, whatever its lane."""


@attrs.frozen
class Waiting:
    """The position of a waiting call."""

    lane: Lane
    position: int
    """Number of calls before it, if no other call joins."""
    eta: float
    """Seconds until its turn, as things stand."""


def _is_lane(_: object, __: object, lane: Lane) -> None:
    if lane not in LANES:
        raise ValueError(f"lane must be one of {', '.join(LANES)}, not {lane!r}")


def _is_duration(_: object, __: object, seconds: float | None) -> None:
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"max_wait must not be negative, not {seconds!r}")


@attrs.define(eq=False, kw_only=True)
class Waiter:
    """A call in the queue, for all its attempts. The limiter changes it under its lock; `wake` tells the call.

    Args:
        lane: Priority of the call.
        action: Name for errors.
        max_wait: Seconds it may still wait, all attempts together.
        on_wait: Called with a `Waiting` when a wait begins and whenever the position has changed.
        owner: The connection of its session: closing that dismisses the waiter.
    """

    lane: Lane = attrs.field(default="normal", validator=_is_lane)
    action: str = "acquire"
    max_wait: float | None = attrs.field(default=None, validator=_is_duration)
    on_wait: Callable[[Waiting], object] | None = None
    owner: object = None
    _loop: Any = attrs.field(factory=lambda: anyio.lowlevel.current_token().native_token)
    number: int = attrs.field(default=-1, init=False)
    """Order of arrival; it stays for all attempts."""
    position: int = attrs.field(default=0, init=False)
    reported: int = attrs.field(default=-1, init=False)
    """The position that `on_wait` was last called with."""
    granted_at: float = attrs.field(default=math.nan, init=False)
    sent_at: float = attrs.field(default=math.nan, init=False)
    visit: Visit | None = attrs.field(default=None, init=False)
    """The slot of a call that has its turn and has not sent its request."""
    ticket: int = attrs.field(default=0, init=False)
    """The slot of a call that has sent its request."""
    is_dismissed: bool = attrs.field(default=False, init=False)
    _event: anyio.Event | None = attrs.field(default=None, init=False)
    _is_woken: bool = attrs.field(default=False, init=False)

    @property
    def has_turn(self) -> bool:
        """Whether it got its turn, used or not."""
        return not math.isnan(self.granted_at)

    @property
    def is_gone(self) -> bool:
        """Whether its event loop was closed while it waited."""
        return is_closed(self._loop)

    def wake(self) -> None:
        """Let it look again (thread-safe)."""
        soon = getattr(self._loop, "call_soon_threadsafe", None) or self._loop.run_sync_soon  # asyncio or trio
        with contextlib.suppress(RuntimeError):  # its event loop has ended
            soon(self._look)

    async def nap(self, seconds: float) -> None:
        """Sleep until woken, or for so long; a call of `wake` that came before counts."""
        if not self._is_woken:
            self._event = anyio.Event()
            with anyio.move_on_after(seconds):
                await self._event.wait()
            self._event = None
        self._is_woken = False

    def _look(self) -> None:
        self._is_woken = True
        if self._event is not None:
            self._event.set()


class Queue:
    """Higher lanes first, first come, first served inside a lane; ageing keeps every lane moving."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, dict[Waiter, None]] = {lane: {} for lane in LANES}
        self._numbers = itertools.count()
        self._watchers: set[Waiter] = set()
        """Waiters with an `on_wait` callback."""
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __bool__(self) -> bool:
        return any(self._lanes.values())

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._lanes[waiter.lane]

    def of(self, owner: object) -> list[Waiter]:
        """The waiters of one session."""
        return [waiter for lane in self._lanes.values() for waiter in lane if waiter.owner is owner]

    def add(self, waiter: Waiter) -> None:
        """Add *waiter* at the end of its lane, or, if it has been here before, in its old place."""
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
        """Remove *waiter* if it is here."""
        self._lanes[waiter.lane].pop(waiter, None)
        self._watchers.discard(waiter)

    def promote(self, waiter: Waiter, lane: Lane) -> None:
        """Move *waiter* to the end of *lane* if that is higher than its own."""
        if LANES.index(lane) < LANES.index(waiter.lane):
            if self._lanes[waiter.lane].pop(waiter, self) is None:
                self._lanes[lane][waiter] = None
            waiter.lane = lane

    def head(self) -> Waiter | None:
        """The waiter whose turn is next; those whose event loop was closed are removed."""
        while (head := self._first()) is not None and head.is_gone:
            self.discard(head)
        return head

    def _first(self) -> Waiter | None:
        firsts = [next(iter(waiters)) for waiters in self._lanes.values() if waiters]
        if self._turn == AGEING_PERIOD - 1:
            return min(firsts, key=lambda waiter: waiter.number, default=None)
        return firsts[0] if firsts else None

    def pop(self) -> Waiter | None:
        """Remove and return the head."""
        if (head := self.head()) is not None:
            self.discard(head)
            self._turn = (self._turn + 1) % AGEING_PERIOD
        return head

    def ahead_of(self, lane: Lane) -> int:
        """Number of calls before a new one in *lane*, if no other call joins."""
        return self._passed_by(sum(len(self._lanes[other]) for other in LANES[: LANES.index(lane) + 1]), len(self))

    def position(self, waiter: Waiter) -> int:
        """Number of calls before *waiter*, if no other call joins."""
        better = sum(len(self._lanes[other]) for other in LANES[: LANES.index(waiter.lane)])
        return self._passed_by(better + list(self._lanes[waiter.lane]).index(waiter), len(self) - 1)

    def watchers(self) -> set[Waiter]:
        """The waiters with an `on_wait` callback, with their positions brought up to date."""
        numbered = enumerate(waiter for lane in self._lanes.values() for waiter in lane) if self._watchers else ()
        for better, waiter in numbered:
            waiter.position = self._passed_by(better, len(self) - 1)
        return self._watchers

    def _passed_by(self, better: int, others: int) -> int:
        """*better*, and the calls of lower lanes that ageing lets pass meanwhile."""
        return min(others, better + (self._turn + better) // (AGEING_PERIOD - 1))

    def waiting(self) -> dict[Lane, int]:
        """Number of waiters by lane."""
        return {lane: len(waiters) for lane, waiters in self._lanes.items()}
