"""Pure arithmetic of the token bucket: when a request may be sent. It reads no clock and never sleeps.

Each reservation has a ticket number. Ticket *n* is due *n - served* distances after the request of the ticket *served*
was sent. A delay of one request (a late timer, a slow handshake, a ``Retry-After``) therefore delays all reserved
tickets by the same time: their order stays, and two requests are never sent closer than the interval.
"""

from __future__ import annotations

import math

import attrs

MIN_JITTER = 0.01
MAX_JITTER = 0.05
"""Bounds of the safety margin for network jitter, as a share of the interval.

A response time that is longer than the shortest one shows how late its request may have arrived. It also depends on
the work of the service, so it counts only up to the upper bound; beyond that the backoff after refusals takes over.
"""

MIN_RESPONSES = 8
"""With fewer responses the shortest response time is not reliable, and the upper bound is used."""

QUICKEST_DRIFT = 0.01
"""Weight of a longer response time in the shortest one, so that it can rise again when the network gets slower."""

BACKOFF_STEP = 0.02
BACKOFF_GROWTH = 1.5
"""A refusal multiplies the backoff by the growth and adds the step (a share of the interval)."""

BACKOFF_DECAY = 0.9
"""Each request multiplies the backoff by this factor."""

MAX_BACKOFF_SECONDS = 1.0
"""Upper bound of the backoff; one interval if that is longer.

A longer backoff does not help against a client that sends at random times: each request is refused with the same
probability, and there are fewer requests.
"""

MAX_HOLD_SECONDS = 60.0
"""Upper bound of a pause that the service requests (``Retry-After``)."""

EPSILON_SECONDS = 1e-6
"""Times that differ by less are equal: a float of seconds since 1970 has about this precision."""


@attrs.frozen
class Visit:
    """The result of a visit to the bucket: a ticket, and whether its request may be sent now."""

    ticket: int
    wait: float
    """Seconds until the next visit; the ticket is not due earlier."""
    is_used: bool
    """Whether the ticket was due and is used; otherwise it stays reserved until the next visit."""
    served_at: float
    """`BucketState.served_at` after the visit; it shows a later `give_back` whether the state has changed."""
    margin: float
    """Safety margin as a share of the interval: jitter plus backoff."""
    free_in: float
    """Seconds until the next unreserved ticket is due."""


@attrs.define(eq=False)
class BucketState:
    """The state that all processes of a bucket share. All times are seconds of one clock, which the caller reads."""

    interval: float
    burst: int = 1
    next: int = 1
    """The next unreserved ticket."""
    served: int = 0
    """The last ticket that was used."""
    served_at: float = -math.inf
    """Time when its request was sent; it is moved forward while the bucket is on hold."""
    jitter: float = MAX_JITTER
    """Share of the interval by which the last request may have arrived later than the next one."""
    backoff: float = 0.0
    """Share of the interval that refusals have added."""
    quickest: float = 0.0
    """The shortest recent response time in seconds."""
    answers: int = 0

    @property
    def distance(self) -> float:
        """Seconds between two tickets."""
        return self.interval * (1 + self.margin)

    @property
    def margin(self) -> float:
        """Safety margin as a share of the interval."""
        return self.jitter + self.backoff

    def advance(self, held: int | None, now: float) -> Visit:
        """Use the ticket *held*, or a new one, if it is due; otherwise keep it reserved.

        A ticket that is older than the last used one, or that belongs to a lost state, is replaced by a new one.
        """
        self._reset_if_impossible(now)
        ticket = held if held is not None and self.served < held < self.next else self._reserve()
        wait = max(0.0, self.due(ticket) - now)
        if is_used := wait <= EPSILON_SECONDS:
            self._use(ticket, now)
        else:  # a response before that time may reduce the jitter, and with it the wait
            soonest = wait - (ticket - self.served) * self.interval * (self.jitter - MIN_JITTER)
            wait = soonest if soonest > EPSILON_SECONDS else wait
        return Visit(ticket, wait, is_used, self.served_at, self.margin, self.free_in(now))

    def due(self, ticket: int) -> float:
        """Return the time when the request of *ticket* may be sent."""
        return self._nominal(ticket) - (self.burst - 1) * self.distance

    def free_in(self, now: float) -> float:
        """Seconds until the next unreserved ticket is due."""
        return max(0.0, self.due(self.next) - now)

    def sent(self, now: float) -> None:
        """Record the actual send time of a request; the interval starts here."""
        self.served_at = max(self.served_at, now)

    def answered(self, ticket: int, response_time: float) -> None:
        """Record that the response to *ticket* arrived *response_time* seconds after its request was sent."""
        quickest = self.quickest if self.answers else response_time
        self.quickest = min(response_time, quickest + QUICKEST_DRIFT * (response_time - quickest))
        self.answers += 1
        if ticket == self.served and self.answers >= MIN_RESPONSES:
            self.jitter = min(MAX_JITTER, MIN_JITTER + (response_time - self.quickest) / self.interval)

    def hold(self, seconds: float, now: float) -> None:
        """Block the bucket for *seconds*; the order of the reserved tickets stays."""
        until = now + min(seconds, MAX_HOLD_SECONDS)
        self.served_at = max(self.served_at, until - self.interval + (self.burst - 1) * self.distance)

    def refused(self, chance: float) -> None:
        """Increase the backoff, because the service refused a request as too early.

        Args:
            chance: A random number from 0 to 1, for the jitter of the next attempt: without it, two clients with the
                same interval collide again and again.
        """
        most = max(1.0, MAX_BACKOFF_SECONDS / self.interval)
        self.backoff = min(most, self.backoff * BACKOFF_GROWTH + BACKOFF_STEP)
        self.served_at += self.interval * self.backoff * chance

    def give_back(self, visit: Visit) -> None:
        """Return a ticket whose request was not sent; tickets after it become due earlier."""
        if not visit.is_used:
            if self.served < visit.ticket == self.next - 1:
                self.next = visit.ticket
        elif visit.ticket == self.served and visit.served_at == self.served_at:
            self.served_at -= self.distance
            self.backoff /= BACKOFF_DECAY

    def _reserve(self) -> int:
        self.next += 1
        return self.next - 1

    def _use(self, ticket: int, now: float) -> None:
        self.served_at = max(self._nominal(ticket), now)
        self.served = ticket
        self.jitter = MAX_JITTER
        self.backoff *= BACKOFF_DECAY

    def _nominal(self, ticket: int) -> float:
        """Return the time when *ticket* is due if the burst is one."""
        return self.served_at + (ticket - self.served) * self.distance

    def _reset_if_impossible(self, now: float) -> None:
        """If the clock was set back (as by a restart of the machine), assume that a request was just sent."""
        if self.served_at > now + 2 * MAX_HOLD_SECONDS + (self.burst - 1) * self.distance:
            self.served_at = now
