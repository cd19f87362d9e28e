"""Who goes next: calls stand in lanes, and can be woken from any thread."""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, get_args

import anyio
import anyio.lowlevel
import attrs

from ._pace import Slot

Lane = Literal["interactive", "normal", "bulk"]
"""How urgent a call is, most urgent first."""

LANES: tuple[Lane, ...] = get_args(Lane)

PATIENCE = 8
"""One turn in so many goes to whoever has waited longest, whatever the lane."""


@attrs.frozen
class Waiting:
    """How a call stands in the queue."""

    lane: Lane
    position: int
    """Calls that go before it, if nobody comes after it."""
    eta: float
    """Seconds until its turn, as things stand."""


class Waiter:
    """A call in the queue. What happens to it is decided under the queue's lock; `wake` says that something did."""

    def __init__(self, lane: Lane, on_wait: Callable[[Waiting], object] | None = None) -> None:
        self.lane: Lane = lane
        self.on_wait = on_wait
        self.number = -1
        self.position = 0
        self.reported = -1
        self.granted_at: float | None = None
        self.slot: Slot | None = None
        self.pushes = 0
        """How often everybody had been told to wait when it got its turn."""
        self._event: anyio.Event | None = None
        self._loop: Any = None
        self._is_woken = False

    def stand(self) -> None:
        """It has to wait: in this event loop."""
        self._loop = anyio.lowlevel.current_token().native_token

    @property
    def is_gone(self) -> bool:
        """Whether its event loop was closed under it; trio does not allow that."""
        is_closed = getattr(self._loop, "is_closed", None)
        return is_closed is not None and is_closed()

    def wake(self) -> None:
        """Let it look again; from any thread."""
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
    """Better lanes first, first come first served inside a lane, and no lane waits forever."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, OrderedDict[Waiter, None]] = {lane: OrderedDict() for lane in LANES}
        self._numbers = itertools.count()
        self.watchers: set[Waiter] = set()
        """Those who want to know how far they have come."""
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __bool__(self) -> bool:
        return any(self._lanes.values())

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._lanes[waiter.lane]

    def add(self, waiter: Waiter) -> None:
        waiter.number, waiter.position = next(self._numbers), self.ahead_of(waiter.lane)
        self._lanes[waiter.lane][waiter] = None
        if waiter.on_wait is not None:
            self.watchers.add(waiter)

    def discard(self, waiter: Waiter) -> None:
        self._lanes[waiter.lane].pop(waiter, None)
        self.watchers.discard(waiter)

    def promote(self, waiter: Waiter, lane: Lane) -> None:
        """Let *waiter* stand in *lane* if that is the better one, behind those who stand there."""
        if waiter in self and LANES.index(lane) < LANES.index(waiter.lane):
            del self._lanes[waiter.lane][waiter]
            waiter.lane = lane
            self._lanes[lane][waiter] = None

    def head(self) -> Waiter | None:
        firsts = [next(iter(waiters)) for waiters in self._lanes.values() if waiters]
        if self._turn == PATIENCE - 1:
            return min(firsts, key=lambda waiter: waiter.number, default=None)
        return firsts[0] if firsts else None

    def pop(self) -> Waiter | None:
        """Take the head out: it goes."""
        if (head := self.head()) is not None:
            del self._lanes[head.lane][head]
            self.watchers.discard(head)
            self._turn = (self._turn + 1) % PATIENCE
        return head

    def ahead_of(self, lane: Lane) -> int:
        """How many go before a newcomer in *lane*, if nobody comes after it."""
        return self._passed_by(sum(len(self._lanes[other]) for other in LANES[: LANES.index(lane) + 1]), len(self))

    def position(self, waiter: Waiter) -> int:
        """How many go before *waiter*, if nobody comes after it."""
        better = sum(len(self._lanes[other]) for other in LANES[: LANES.index(waiter.lane)])
        return self._passed_by(better + list(self._lanes[waiter.lane]).index(waiter), len(self) - 1)

    def count_off(self) -> None:
        """Let all watchers know their position: once through, for there may be many."""
        better = 0
        for waiters in self._lanes.values() if self.watchers else ():
            for number, waiter in enumerate(waiters, better):
                waiter.position = self._passed_by(number, len(self) - 1)
            better += len(waiters)

    def _passed_by(self, better: int, others: int) -> int:
        """*better*, and those from worse lanes whose turn may come meanwhile."""
        return min(others, better + (self._turn + better) // (PATIENCE - 1))

    def waiting(self) -> dict[Lane, int]:
        return {lane: len(waiters) for lane, waiters in self._lanes.items()}
