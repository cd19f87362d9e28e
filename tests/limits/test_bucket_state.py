"""The arithmetic of the shared bucket: no event loop, no clock, no sleeping."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from worksection_async._limits.bucket_state import (
    BACKOFF_STEP,
    MAX_BACKOFF_SECONDS,
    MAX_HOLD_SECONDS,
    MAX_JITTER,
    MIN_JITTER,
    MIN_RESPONSES,
    BucketState,
    Visit,
)


def send(state: BucketState, now: float, held: int | None = None) -> Visit:
    """Send a request as soon as the bucket allows it, and return the visit that used the ticket."""
    while not (visit := state.advance(held, now)).is_used:
        held, now = visit.ticket, now + visit.wait
    return visit


def send_and_answer(state: BucketState, *response_times: float) -> None:
    """Send one request per response time, two distances apart, and record the responses."""
    for response_time in response_times:
        visit = send(state, state.served_at + 2 * state.distance if state.served else 0.0)
        state.answered(visit.ticket, response_time)


class SharedBucket(RuleBasedStateMachine):
    """Several processes reserve, wait, send, cancel, are refused and are put on hold, in any order."""

    reservations = Bundle("reservations")
    used = Bundle("used")

    @initialize(interval=st.sampled_from([0.05, 1.0, 3.7]), start=st.sampled_from([0.0, 1e6, 1.7e9]))
    def begin(self, interval: float, start: float) -> None:
        self.state = BucketState(interval)
        self.now = start
        self.send_times: list[float] = []
        self.held_until = -math.inf

    @rule(share=st.floats(0, 3))
    def time_passes(self, share: float) -> None:
        self.now += share * self.state.interval

    @rule(target=reservations, held=st.none() | st.integers(0, 9))
    def reserve(self, held: int | None) -> Visit:
        """A ticket that belongs to a lost state may have any number."""
        visit = self.state.advance(held if self.state.served == 0 else None, self.now)
        if visit.is_used:
            self.send_times.append(self.now)
        return visit

    @rule(target=used, visit=consumes(reservations), lag=st.floats(0, 0.5), late=st.floats(0, 0.9))
    def wait_and_send(self, visit: Visit, lag: float, late: float) -> int:
        """Wake up late, visit again until the ticket is due, and send with a delay."""
        if visit.is_used:
            return visit.ticket
        while not visit.is_used:
            self.now += visit.wait + lag * self.state.interval
            visit = self.state.advance(visit.ticket, self.now)
        assert self.now >= self.held_until - 1e-6
        self.now += late * self.state.interval
        self.state.sent(self.now)
        self.send_times.append(self.now)
        return visit.ticket

    @rule(ticket=used, response_time=st.floats(0, 5))
    def answer(self, ticket: int, response_time: float) -> None:
        self.state.answered(ticket, response_time)
        assert MIN_JITTER <= self.state.jitter <= MAX_JITTER

    @rule(visit=consumes(reservations))
    def cancel_waiting(self, visit: Visit) -> None:
        if not visit.is_used:
            self.state.give_back(visit)

    @rule(visit=consumes(reservations))
    def cancel_waiting_too_late(self, visit: Visit) -> None:
        """Another visit uses the ticket before the cancelled call gives it back."""
        if not visit.is_used and self.state.advance(visit.ticket, self.now).is_used:
            self.send_times.append(self.now)
        if not visit.is_used:
            self.state.give_back(visit)

    @rule()
    def cancel_with_slot(self) -> None:
        """Return a used ticket before its request was sent."""
        visit = self.state.advance(None, self.now)
        if visit.is_used:
            self.state.give_back(visit)

    @rule(visit=consumes(reservations))
    def kill_process(self, visit: Visit) -> None:
        """A killed process loses its ticket; the bucket stays usable."""

    @rule(share=st.floats(0, 5))
    def hold(self, share: float) -> None:
        self.state.hold(share * self.state.interval, self.now)
        self.held_until = max(self.held_until, self.now + min(share * self.state.interval, MAX_HOLD_SECONDS))

    @rule(chance=st.floats(0, 1))
    def refuse(self, chance: float) -> None:
        self.state.refused(chance)
        assert self.state.backoff <= max(1.0, MAX_BACKOFF_SECONDS / self.state.interval)

    @invariant()
    def requests_are_never_closer_than_the_interval(self) -> None:
        if len(getattr(self, "send_times", [])) > 1:
            assert self.send_times[-1] - self.send_times[-2] >= self.state.interval * (1 - 1e-6)


TestSharedBucket = SharedBucket.TestCase
TestSharedBucket.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@given(st.integers(1, 6), st.integers(1, 40))
def test_with_steady_demand_no_slot_is_lost(processes: int, requests: int) -> None:
    """Each process reserves again after its request: the processes get slots in turn."""
    state, now, send_times = BucketState(1.0), 0.0, []
    held = [state._reserve() for _ in range(processes)]
    for number in range(requests):
        process = number % processes
        while not (visit := state.advance(held[process], now)).is_used:
            now += visit.wait
        assert visit.ticket == held[process]
        send_times.append(now)
        held[process] = state._reserve()
    assert send_times[-1] - send_times[0] <= (requests - 1) * (1 + MAX_JITTER) + 1e-6


@pytest.mark.parametrize("interval", [0.5, 4.0])
def test_a_late_response_delays_the_next_request_by_the_same_time(interval: float) -> None:
    """Up to `MAX_JITTER`: its request may have arrived late."""
    state = BucketState(interval)
    send_and_answer(state, *[0.1] * MIN_RESPONSES, 0.1 + 0.02 * interval)
    assert state.free_in(state.served_at) == pytest.approx(interval * (1 + MIN_JITTER + 0.02), rel=1e-3)


@pytest.mark.parametrize("interval", [0.5, 4.0])
def test_a_refusal_delays_the_next_request_by_a_random_part_of_the_backoff(interval: float) -> None:
    delays = []
    for chance in (0.0, 0.5, 1.0):
        state = BucketState(interval)
        sent = send(state, 100.0)
        state.refused(chance)
        delays.append(state.due(sent.ticket + 1) - 100.0)
    backoff = BACKOFF_STEP * interval
    assert delays == pytest.approx([delays[0], delays[0] + backoff / 2, delays[0] + backoff])


def test_a_late_request_delays_all_reserved_tickets_and_keeps_their_order() -> None:
    state = BucketState(1.0)
    send(state, 0.0)
    second, third = (state.advance(None, 0.0).ticket for _ in range(2))
    state.sent(0.4)
    assert state.due(second) == pytest.approx(0.4 + state.distance)
    assert state.due(third) == pytest.approx(0.4 + 2 * state.distance)


def test_a_returned_slot_is_available_for_the_next_call() -> None:
    state = BucketState(1.0)
    state.give_back(send(state, 0.0))
    assert state.free_in(0.0) == 0


def test_a_returned_slot_moves_the_reserved_tickets_forward() -> None:
    state = BucketState(1.0)
    visit = send(state, 0.0)
    second = state.advance(None, 0.0).ticket
    state.give_back(visit)
    assert state.due(second) == pytest.approx(0.0)


@pytest.mark.parametrize("then", ["sent", "hold"])
def test_a_slot_is_not_returned_after_another_change_of_the_state(then: str) -> None:
    """A late request and a hold define the earliest time of the next request; a returned slot must not undo that."""
    state = BucketState(1.0)
    visit = send(state, 0.0)
    state.sent(0.3) if then == "sent" else state.hold(5.0, 0.0)
    before = state.free_in(0.3)
    state.give_back(visit)
    assert state.free_in(0.3) == before


def test_the_last_reservation_can_be_returned() -> None:
    state = BucketState(1.0)
    send(state, 0.0)
    first, second = state.advance(None, 0.0), state.advance(None, 0.0)
    state.give_back(first)
    assert state.advance(None, 0.0).ticket == second.ticket + 1
    state.give_back(state.advance(None, 0.0))
    assert state.advance(None, 0.0).ticket == second.ticket + 2


@pytest.mark.parametrize(("ahead", "is_reset"), [(2 * MAX_HOLD_SECONDS - 1, False), (2 * MAX_HOLD_SECONDS + 1, True)])
def test_a_state_that_is_too_far_in_the_future_is_that_of_a_clock_that_was_set_back(
    ahead: float, is_reset: bool
) -> None:
    """Then a request may just have been sent. Nearer times are holds."""
    state = BucketState(1.0, next=2, served=1, served_at=100.0 + ahead)
    state.advance(None, 100.0)
    assert state.served_at == (100.0 if is_reset else 100.0 + ahead)


@pytest.mark.parametrize("interval", [0.5, 4.0])
def test_a_large_burst_is_no_clock_that_was_set_back(interval: float) -> None:
    """The requests of a burst reserve the time after them."""
    state = BucketState(interval, burst=1_000)
    assert all(state.advance(None, 100.0).is_used for _ in range(1_000))
    assert not state.advance(None, 100.0).is_used
    assert state.free_in(100.0) > interval


def test_a_used_ticket_is_replaced() -> None:
    """A worker thread used the ticket of a cancelled call for another one."""
    state = BucketState(1.0)
    used = send(state, 0.0)
    assert state.advance(used.ticket, 100.0).ticket == used.ticket + 1


def test_a_ticket_of_a_lost_state_is_reserved_for_one_call_only() -> None:
    state = BucketState(1.0)
    send(state, 0.0)
    assert state.advance(state.next, 0.0).ticket != state.advance(None, 0.0).ticket


@pytest.mark.parametrize("interval", [0.5, 4.0])
def test_a_call_visits_again_when_responses_can_have_made_its_ticket_due(interval: float) -> None:
    """A response reduces the jitter, and with it each of the distances before the ticket."""
    state = BucketState(interval)
    sent = send(state, 100.0)
    first, second = (state.advance(None, 100.0) for _ in range(2))
    soonest = interval * (1 + MIN_JITTER)
    assert (first.wait, second.wait) == pytest.approx((soonest, 2 * soonest))
    assert state.due(second.ticket) - 100.0 == pytest.approx(2 * interval * (1 + MAX_JITTER))
    assert sent.is_used


def test_a_used_reservation_cannot_be_returned() -> None:
    """The call was cancelled while a worker thread used its ticket for another call."""
    state = BucketState(1.0)
    send(state, 0.0)
    unused = state.advance(None, 0.0)
    assert state.advance(unused.ticket, 10.0).is_used
    state.give_back(unused)
    assert state.free_in(10.0) >= 1


def test_a_returned_slot_restores_the_backoff() -> None:
    state = BucketState(1.0)
    state.refused(0.0)
    for number in range(20):
        state.give_back(send(state, 100.0 * number))
    assert state.backoff == pytest.approx(BACKOFF_STEP)


def test_a_hold_blocks_the_bucket_for_a_limited_time() -> None:
    state = BucketState(1.0)
    state.hold(5.0, 0.0)
    assert state.free_in(0.0) == pytest.approx(5.0, abs=MAX_JITTER)
    state.hold(48 * 3600.0, 0.0)
    assert state.free_in(0.0) == pytest.approx(MAX_HOLD_SECONDS, abs=MAX_JITTER)


# Network jitter


def test_before_enough_responses_the_maximum_jitter_is_used() -> None:
    state = BucketState(1.0)
    send_and_answer(state, *[0.1] * (MIN_RESPONSES - 1))
    assert state.jitter == MAX_JITTER
    send_and_answer(state, 0.1)
    assert state.jitter == MIN_JITTER


def test_a_request_that_may_have_arrived_late_delays_the_next() -> None:
    """Its response took 30 ms longer than the shortest one; before the response, the maximum jitter is used."""
    state = BucketState(1.0)
    send_and_answer(state, *[0.1] * MIN_RESPONSES)
    visit = send(state, 100.0)
    assert state.jitter == MAX_JITTER
    state.answered(visit.ticket, 0.13)
    assert state.jitter == pytest.approx(MIN_JITTER + 0.03, abs=0.001)


@given(st.lists(st.floats(0.02, 0.06), min_size=60, max_size=60), st.integers(0, 99))
def test_requests_with_unequal_delays_arrive_an_interval_apart(delays: list[float], seed: int) -> None:
    """The shortest response time (0.02 s) is known from the first two responses."""
    state, now, arrivals = BucketState(1.0), 0.0, []
    for delay in [0.02, 0.02, *[0.04] * MIN_RESPONSES, *delays]:
        held = None
        while not (visit := state.advance(held, now)).is_used:
            held, now = visit.ticket, now + visit.wait
        arrivals.append(now + delay)
        now += delay
        state.answered(visit.ticket, delay)
    assert min(later - earlier for earlier, later in itertools.pairwise(arrivals[2:])) >= 1.0
    assert arrivals[-1] - arrivals[0] <= (len(arrivals) - 1) * (1 + MAX_JITTER)


def test_slow_responses_add_at_most_the_maximum_jitter() -> None:
    state = BucketState(1.0)
    send_and_answer(state, *[0.1, 3.0] * MIN_RESPONSES)
    assert state.jitter == MAX_JITTER


def test_a_permanently_slower_network_is_not_counted_as_jitter() -> None:
    state = BucketState(1.0)
    send_and_answer(state, *[0.1] * 20, *[0.3] * 500)
    assert state.jitter < 2 * MIN_JITTER


# Refusals


def test_the_backoff_is_small_after_one_refusal_and_grows_with_more() -> None:
    state = BucketState(1.0)
    state.refused(0.0)
    assert state.backoff == BACKOFF_STEP
    for _ in range(20):
        state.refused(0.0)
    assert state.backoff == MAX_BACKOFF_SECONDS
    for number in range(100):
        send(state, 100.0 * number)
    assert state.backoff < 0.001, "accepted requests must reduce the backoff"


def test_at_high_rates_the_backoff_can_be_many_intervals() -> None:
    state = BucketState(1 / 40)
    for _ in range(30):
        state.refused(0.0)
    assert state.distance >= MAX_BACKOFF_SECONDS


def test_random_jitter_spreads_the_next_attempt() -> None:
    """Without it, two clients with the same interval would collide again and again."""
    dues = []
    for chance in (0.0, 1.0):
        state = BucketState(1.0)
        send(state, 0.0)
        for _ in range(10):
            state.refused(chance)
        dues.append(state.free_in(0.0))
    assert dues[1] - dues[0] > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_backoff_corrects_a_tenfold_rate_within_seconds(seed: int) -> None:
    """40 requests/s against a service that allows 4: after three seconds at least half of the requests pass."""
    chances = itertools.cycle([0.1, 0.9, 0.4, 0.7, 0.2 * seed])
    state, now, accepted, outcomes = BucketState(1 / 40), 0.0, -1.0, []
    while now < 20:
        held = None
        while not (visit := state.advance(held, now)).is_used:
            held, now = visit.ticket, now + visit.wait
        is_accepted = now - accepted >= 0.25
        accepted = now if is_accepted else accepted
        outcomes.append((now, is_accepted))
        state.answered(visit.ticket, 0.0)
        if not is_accepted:
            state.refused(next(chances))
    later = [is_accepted for at, is_accepted in outcomes if at > 3]
    assert sum(later) >= 17 * 4 * 0.5
    assert sum(later) >= len(later) / 2


# Lost state, clock changes and bursts


def test_a_ticket_of_a_lost_state_is_replaced() -> None:
    old, new = BucketState(1.0), BucketState(1.0)
    for _ in range(5):
        send(old, old.served_at + 10 if old.served else 0.0)
    held = old.advance(None, old.served_at).ticket
    visit = new.advance(held, 100.0)
    assert visit.ticket != held
    assert visit.is_used


def test_an_outdated_ticket_is_replaced() -> None:
    state = BucketState(1.0)
    send(state, 0.0)
    slow = state.advance(None, 0.0).ticket
    send(state, 10.0)
    visit = state.advance(slow, 10.0)
    assert visit.ticket > slow
    assert not visit.is_used


def test_a_clock_that_was_set_back_does_not_block_the_bucket() -> None:
    state = BucketState(1.0)
    send(state, 500_000.0)
    assert state.advance(None, 12.0).wait <= state.distance


def test_a_burst_may_follow_a_pause() -> None:
    state = BucketState(1.0, burst=3)
    visits = [state.advance(None, 100.0) for _ in range(5)]
    assert [visit.is_used for visit in visits] == [True, True, True, False, False]
    assert state.due(visits[3].ticket) == pytest.approx(100 + state.distance)
    assert state.due(visits[4].ticket) == pytest.approx(100 + 2 * state.distance)


def test_a_hold_blocks_bursts() -> None:
    state = BucketState(1.0, burst=3)
    state.hold(5.0, 100.0)
    assert state.free_in(100.0) >= 5.0
