"""When calls may go: the arithmetic of a token bucket that many share. It knows no clock and never sleeps.

Slots are numbered by a time of their own, in which they are evenly spaced, and `shift` leads from there to real time.
Whatever delays one call (a timer that fired late, a slow handshake, the service's own wish) moves the shift, and with
it every slot that was reserved before: nobody loses a place, and no two calls come closer than the interval.
"""

from __future__ import annotations

import math

import attrs

FIRST_MARGIN = 0.08
"""Part of the interval that is kept back at the start: the first request takes longer to arrive than the next."""

LEAST_MARGIN = 0.01
MOST_MARGIN = 0.75

DECAY = 0.75
"""What is left of the margin after a call that went well, until it is at its floor."""

FLOOR_DECAY = 0.998
"""What is left of the floor, which refusals have raised."""

GROWTH = 2.0
"""What a refusal makes of the floor, at least."""

WARY = LEAST_MARGIN * GROWTH
"""A floor above this tells of a second refusal: the first may have been an accident, but not both."""

SAFETY = 2.0
"""How much more than the unevenness of trips is kept back by who is wary."""

OBLIVION = 0.02
"""How far a trip moves what counts as slow and as quick, unless it is slower or quicker than that."""

TICK = 1e-9
"""Seconds that do not count: times are sums of floats."""

LONGEST_PUSH = 60.0
"""Seconds at most that the service's own wishes can hold everybody up."""


@attrs.frozen
class Slot:
    """A place in the order of calls, to be used, or given back."""

    at: float
    end: float
    """Where the next one begins."""


@attrs.frozen
class Visit:
    """What one look at the bucket came to."""

    slot: Slot
    wait: float
    """Seconds until the slot comes."""
    is_used: bool
    """Whether it was taken; otherwise it is reserved, to be asked about again when it comes."""
    margin: float
    """Part of the interval that is kept back."""


@attrs.define(eq=False)
class Pace:
    """State and rules of a bucket. All times are seconds of one clock, which the caller reads."""

    interval: float
    burst: int = 1
    free: float = -math.inf
    """Where the next slot that nobody holds begins."""
    last: float = -math.inf
    """Where the last slot that was used began."""
    shift: float = 0.0
    barrier: float = -math.inf
    """Real time before which nobody goes."""
    margin: float = FIRST_MARGIN
    """Part of the interval that is kept back: arrivals are not as even as sends."""
    floor: float = LEAST_MARGIN
    """What the margin decays to."""
    quick: float = 0.0
    """Seconds that the quickest trips there and back take, lately."""
    slow: float = 0.0
    """Seconds that the slowest take."""

    def reserve(self, now: float) -> Slot:
        """The next slot."""
        at = max(self.free, now - self.shift)
        slot = Slot(at, at + self.interval * (1 + self.margin))
        self.free = slot.end
        return slot

    def take(self, now: float) -> Visit | None:
        """Use the next slot if it is free now."""
        if self._comes(self.free) > now + TICK:
            return None
        slot = self.reserve(now)
        self.use(slot, now)
        return Visit(slot, 0.0, True, self.margin)

    def visit(self, held: Slot | None, now: float, ahead: float = 0.0, trip: float = 0.0) -> Visit:
        """Use *held*, or a new slot, if it has come, or comes within *ahead* seconds; *trip* is for `learn`."""
        self.learn(trip)
        slot = held if held is not None and self._knows(held) else self.reserve(now)
        wait = max(0.0, self.wait(slot, now))
        if is_used := wait <= ahead + TICK:
            self.use(slot, now + wait)
        return Visit(slot, wait, is_used, self.margin)

    def _knows(self, held: Slot) -> bool:
        """Whether *held* is still to come. Who overslept, or holds what a lost state gave out, stands at the end."""
        return self.last < held.at and held.end <= self.free

    def wait(self, slot: Slot, now: float) -> float:
        """Seconds until *slot*; not positive: it has come."""
        return self._comes(slot.at) - now

    def use(self, slot: Slot, now: float) -> None:
        """Go. Where that is late, all further slots are later by as much."""
        self.last = max(self.last, slot.at)
        self.shift = max(self.shift, now - slot.at)
        self.floor = max(LEAST_MARGIN, self.floor * FLOOR_DECAY)
        self.margin = max(self._needed(), self.margin * DECAY)

    def give_back(self, slot: Slot) -> None:
        """Let somebody else have *slot*, if nobody reserved one behind it."""
        if self.free == slot.end:
            self.free = slot.at
            self.last = min(self.last, slot.at - (slot.end - slot.at))

    def push(self, until: float, now: float) -> None:
        """Let nobody go before *until*; the order stays as it is."""
        soonest = max(self.last + self.shift + self.interval, self.barrier, now)
        self.shift += max(0.0, until - soonest)
        self.free = max(self.free, until - self.shift)
        self.barrier = max(self.barrier, until)

    def refused(self, retry_after: float | None, now: float, trip: float = 0.0) -> None:
        """The service said that a call came too soon: keep away for a while, and keep more distance from then on."""
        self.learn(trip)
        self.floor = min(MOST_MARGIN, self.floor * GROWTH)
        self.margin = max(self._needed(), self.margin, FIRST_MARGIN)
        pause = self.interval if retry_after is None else min(retry_after, LONGEST_PUSH)
        self.push(now + pause, now)

    def learn(self, trip: float) -> None:
        """A request and its answer took *trip* seconds; zero says nothing, more than an interval no more than that."""
        if trip <= 0:
            return
        trip = min(trip, self.interval)
        if not self.slow:
            self.quick = self.slow = trip
        self.quick = min(trip, self.quick + (trip - self.quick) * OBLIVION)
        self.slow = max(trip, self.slow + (trip - self.slow) * OBLIVION)

    def _needed(self) -> float:
        """The least margin there may be now.

        By how much trips differ counts for the wary only: answers differ for other reasons than arrivals, too.
        """
        unevenness = (self.slow - self.quick) * SAFETY / self.interval if self.floor > WARY else 0.0
        return min(MOST_MARGIN, max(self.floor, unevenness))

    def next_free(self, now: float) -> float:
        """Seconds until a slot that nobody holds."""
        return max(0.0, self._comes(self.free) - now)

    def _comes(self, at: float) -> float:
        """Real time of a slot. One that was reserved before the margin grew keeps the distance of today."""
        distance = self.interval * (1 + self.margin)
        return max(self.barrier, max(at, self.last + distance) + self.shift - (self.burst - 1) * distance)
