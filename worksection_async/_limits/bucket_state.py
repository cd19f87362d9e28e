"""Pure arithmetic of the shared token bucket: when which request may be sent. It knows no clock and never sleeps.

Requests take numbered tickets. Ticket *n* is due *n - served* distances after the request of the ticket *served* was
sent. Whatever delays one request (a late timer, a slow handshake, a ``Retry-After``) therefore delays all reserved
tickets by the same time: their order stays, and no two requests are sent closer than the interval.
"""

from __future__ import annotations

import math

import attrs

LEAST_JITTER = 0.01
MOST_JITTER = 0.05
"""Bounds of the part of the interval that is kept back because requests take unequal times to arrive.

A response time shows how late its request may have arrived, compared with the quickest one. It also depends on the
work of the service, so it counts up to the upper bound only; beyond that, refusals slow the bucket down.
"""

LEAST_ANSWERS = 8
"""With fewer responses the quickest one says little, and the upper bound is assumed."""

QUICKEST_DRIFT = 0.01
"""How far a response moves the quickest response time towards its own."""

BACKOFF_STEP = 0.02
BACKOFF_GROWTH = 1.5
"""A refusal multiplies the backoff by the growth and adds the step (both are parts of the interval)."""

BACKOFF_DECAY = 0.9
"""Factor of the backoff at each request."""

LONGEST_BACKOFF_SECONDS = 1.0
"""Upper bound of the backoff, or one interval, if that is longer.

Against a client that sends at random, waiting longer wins nothing: a request finds a free moment with the same
probability, only less often.
"""

LONGEST_HOLD_SECONDS = 60.0
"""Upper bound of a pause the service asks for."""

TICK_SECONDS = 1e-6
"""Difference between two times that does not count: of seconds since 1970, floats have hardly more digits."""


@attrs.frozen
class Visit:
    """Result of a visit to the bucket: a ticket, and whether its request may be sent now."""

    ticket: int
    wait: float
    """Seconds until the next visit: the ticket is due then at the soonest."""
    is_used: bool
    """Whether the ticket was due and is used; otherwise it stays reserved until the next visit."""
    served_at: float
    """`BucketState.served_at` after the visit; tells a later `give_back` whether anything has changed since."""
    margin: float
    """Part of the interval that is kept back: jitter and backoff together."""
    free_in: float
    """Seconds until the next ticket that nobody has reserved is due."""


@attrs.define(eq=False)
class BucketState:
    """What all who share a bucket have in common. All times are seconds of one clock, which the caller reads."""

    interval: float
    burst: int = 1
    next: int = 1
    """The next ticket that nobody has reserved."""
    served: int = 0
    """The last ticket that was used."""
    served_at: float = -math.inf
    """When its request was sent; later if the bucket has been idle or on hold since."""
    jitter: float = MOST_JITTER
    """Part of the interval by which the last request may have arrived later than the next one will."""
    backoff: float = 0.0
    """Part of the interval that refusals have added."""
    quickest: float = 0.0
    """The shortest of the latest response times, in seconds."""
    answers: int = 0

    @property
    def distance(self) -> float:
        """Seconds from one ticket to the next."""
        return self.interval * (1 + self.margin)

    @property
    def margin(self) -> float:
        """Part of the interval that is kept back."""
        return self.jitter + self.backoff

    def advance(self, held: int | None, now: float) -> Visit:
        """Use the ticket *held*, or a new one, if it is due; otherwise keep it reserved.

        A ticket that was passed by, or belongs to a state that was lost, is replaced by a new one.
        """
        self._forget_impossible(now)
        ticket = held if held is not None and self.served < held < self.next else self._reserve(now)
        wait = max(0.0, self.due(ticket) - now)
        if is_used := wait <= TICK_SECONDS:
            self._use(ticket, now)
        else:  # until then, responses may bring the ticket forward
            soonest = wait - (ticket - self.served) * self.interval * (self.jitter - LEAST_JITTER)
            wait = soonest if soonest > TICK_SECONDS else wait
        return Visit(ticket, wait, is_used, self.served_at, self.margin, self.free_in(now))

    def due(self, ticket: int) -> float:
        """When the request of *ticket* may be sent."""
        return self._nominal(ticket) - (self.burst - 1) * self.distance

    def free_in(self, now: float) -> float:
        """Seconds until the next ticket that nobody has reserved is due."""
        return max(0.0, self.due(self.next) - now)

    def sent(self, now: float) -> None:
        """A request is sent only now, later than its ticket was used: the interval counts from here."""
        self.served_at = max(self.served_at, now)

    def answered(self, ticket: int, response_time: float) -> None:
        """The request of *ticket* was answered, so many seconds after it was sent."""
        quickest = self.quickest if self.answers else response_time
        self.quickest = min(response_time, quickest + QUICKEST_DRIFT * (response_time - quickest))
        self.answers += 1
        if ticket == self.served and self.answers >= LEAST_ANSWERS:
            self.jitter = min(MOST_JITTER, LEAST_JITTER + (response_time - self.quickest) / self.interval)

    def hold(self, seconds: float, now: float) -> None:
        """Send nothing for so many *seconds*; the order of the reserved tickets stays."""
        until = now + min(seconds, LONGEST_HOLD_SECONDS)
        self.served_at = max(self.served_at, until - self.interval + (self.burst - 1) * self.distance)

    def refused(self, chance: float) -> None:
        """The service has refused a request as too early: slow down.

        Args:
            chance: A random number from 0 to 1. It spreads the next attempt, so that two clients with the same
                interval do not meet at the same moment again and again.
        """
        most = max(1.0, LONGEST_BACKOFF_SECONDS / self.interval)
        self.backoff = min(most, self.backoff * BACKOFF_GROWTH + BACKOFF_STEP)
        self.served_at += self.interval * self.backoff * chance

    def give_back(self, visit: Visit) -> None:
        """Return a ticket without having sent a request; those reserved behind a used one move up."""
        if not visit.is_used:
            if self.served < visit.ticket == self.next - 1:
                self.next = visit.ticket
        elif visit.ticket == self.served and visit.served_at == self.served_at:
            self.served_at -= self.distance
            self.backoff /= BACKOFF_DECAY

    def _reserve(self, now: float) -> int:
        ticket = self.next
        self.next += 1
        self.served_at = max(self.served_at, now - (ticket - self.served) * self.distance)
        return ticket

    def _use(self, ticket: int, now: float) -> None:
        self.served_at = max(self._nominal(ticket), now)
        self.served = ticket
        self.jitter = MOST_JITTER
        self.backoff *= BACKOFF_DECAY

    def _nominal(self, ticket: int) -> float:
        """When *ticket* is due if no burst is allowed."""
        return self.served_at + (ticket - self.served) * self.distance

    def _forget_impossible(self, now: float) -> None:
        """After a restart of the machine, or when the clock was set back, assume that a request was just sent."""
        if self.served_at > now + 2 * LONGEST_HOLD_SECONDS + (self.burst - 1) * self.distance:
            self.served_at = now
