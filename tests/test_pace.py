"""The arithmetic of a shared bucket: no loop, no clock, no sleeping."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from worksection_async._pace import FIRST_MARGIN, LEAST_MARGIN, LONGEST_PUSH, MOST_MARGIN, SAFETY, TICK, Pace, Slot


class Sharers(RuleBasedStateMachine):
    """Several holders of one bucket reserve, wait, go, give up and are pushed back, in any order."""

    slots = Bundle("slots")

    @initialize(interval=st.sampled_from([0.05, 1.0, 3.7]), start=st.sampled_from([0.0, 1e6]))
    def begin(self, interval: float, start: float) -> None:
        self.pace = Pace(interval)
        self.now = start
        self.went: list[float] = []
        self.barrier = -math.inf

    @rule(share=st.floats(0, 3))
    def time_passes(self, share: float) -> None:
        self.now += share * self.pace.interval

    @rule(target=slots)
    def reserve(self) -> Slot:
        return self.pace.reserve(self.now)

    @rule(slot=consumes(slots), lag=st.floats(0, 0.5), ahead=st.sampled_from([TICK, 0.002, 0.02]))
    def go(self, slot: Slot, lag: float, ahead: float) -> None:
        """Sleep until the slot comes, wake up a little late, and look again: it may have moved."""
        while True:
            visit = self.pace.visit(slot, self.now, ahead)
            if visit.is_used:
                break
            slot = visit.slot
            self.now += visit.wait + lag * self.pace.interval
        self.now += visit.wait
        assert self.now >= self.barrier - 1e-6
        self.went.append(self.now)

    @rule(slot=consumes(slots))
    def give_back(self, slot: Slot) -> None:
        self.pace.give_back(slot)

    @rule(slot=consumes(slots))
    def die(self, slot: Slot) -> None:
        """Its holder was killed: the slot is lost, and nothing else."""

    @rule(share=st.floats(0, 5))
    def push(self, share: float) -> None:
        until = self.now + share * self.pace.interval
        self.pace.push(until, self.now)
        self.barrier = max(self.barrier, until)

    @rule(retry_after=st.none() | st.floats(0, 10))
    def refuse(self, retry_after: float | None) -> None:
        self.pace.refused(retry_after, self.now)
        assert LEAST_MARGIN <= self.pace.margin <= MOST_MARGIN

    @invariant()
    def never_two_closer_than_the_interval(self) -> None:
        if len(getattr(self, "went", [])) > 1:
            assert self.went[-1] - self.went[-2] >= self.pace.interval * (1 - 1e-6)


TestSharers = Sharers.TestCase
TestSharers.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


@given(st.integers(1, 6), st.integers(1, 40))
def test_with_steady_demand_no_slot_is_lost(holders: int, turns: int) -> None:
    """Each holder reserves again as soon as it went: turns are even, and go around."""
    pace, now = Pace(1.0, margin=LEAST_MARGIN), 0.0
    held = [pace.reserve(now) for _ in range(holders)]
    went = []
    for turn in range(turns):
        slot = held[turn % holders]
        now = max(now, now + pace.wait(slot, now))
        pace.use(slot, now)
        went.append(now)
        held[turn % holders] = pace.reserve(now)
    assert went == sorted(went)
    assert went[-1] - went[0] <= (turns - 1) * (1 + LEAST_MARGIN) + 1e-6


def test_a_late_start_moves_all_who_hold_a_slot_and_keeps_their_order() -> None:
    pace = Pace(1.0, margin=LEAST_MARGIN)
    first, second, third = (pace.reserve(0.0) for _ in range(3))
    pace.use(first, 0.4)
    waits = [pace.wait(slot, 0.4) / (1 + LEAST_MARGIN) for slot in (second, third)]
    assert waits == [pytest.approx(1.0), pytest.approx(2.0)]


def test_a_request_that_leaves_late_moves_the_others() -> None:
    """The interval counts from when the request was sent, not from when its turn came."""
    pace = Pace(1.0, margin=LEAST_MARGIN)
    first, second = pace.reserve(0.0), pace.reserve(0.0)
    pace.use(first, 0.0)
    pace.push(0.3 + 1.0, now=0.3)
    assert pace.wait(second, 0.3) == pytest.approx(1.0 + LEAST_MARGIN)


def test_slots_that_were_reserved_before_a_refusal_keep_the_new_distance() -> None:
    """Else three of four processes would go on at the old one, and be refused, too."""
    pace, now = Pace(1.0), 0.0
    slots = [pace.reserve(now) for _ in range(4)]
    pace.visit(slots[0], now)
    for trip in (0.1, 0.5):
        pace.refused(None, now, trip)
    margin, went = pace.margin, []
    assert margin > 0.5
    for slot in slots[1:]:
        now += pace.wait(slot, now)
        assert pace.visit(slot, now).is_used
        went.append(now)
    assert min(later - earlier for earlier, later in itertools.pairwise(went)) > 1.5


def test_a_slot_that_was_used_in_vain_is_there_for_the_next() -> None:
    pace = Pace(1.0)
    slot = pace.visit(None, 0.0).slot
    pace.give_back(slot)
    assert pace.next_free(0.0) == 0
    assert pace.visit(None, 0.0).is_used


def test_a_refusal_holds_everybody_back_but_not_for_ever() -> None:
    pace = Pace(1.0)
    pace.refused(5.0, 0.0)
    assert pace.next_free(0.0) == pytest.approx(5.0)
    pace.refused(48 * 3600.0, 0.0)
    assert pace.next_free(0.0) == pytest.approx(LONGEST_PUSH)


def test_the_margin_grows_with_refusals_and_decays_without() -> None:
    pace = Pace(1.0, margin=LEAST_MARGIN)
    pace.refused(None, 0.0)
    once, floor = pace.margin, pace.floor
    pace.refused(None, 0.0)
    assert LEAST_MARGIN < once <= pace.margin
    assert LEAST_MARGIN < floor < pace.floor
    for turn in range(1, 2000):
        pace.use(pace.reserve(turn * 2.0), turn * 2.0)
    assert pace.margin == LEAST_MARGIN


def test_after_two_refusals_the_margin_follows_the_unevenness_of_trips() -> None:
    """Trips of 0.1 to 0.3 s: after two refusals, that and more is kept back until trips are even, or it is long ago."""
    pace = Pace(1.0)

    def go_on(turns: int, trips: Sequence[float]) -> None:
        for turn, trip in zip(range(turns), itertools.cycle(trips), strict=False):
            pace.learn(trip)
            pace.use(pace.reserve(turn * 2.0), turn * 2.0)

    go_on(50, [0.1, 0.3])
    assert pace.margin == LEAST_MARGIN, "nobody complains"
    pace.refused(None, 0.0, 0.2)
    go_on(50, [0.1, 0.3])
    assert pace.margin < 0.1, "one refusal may be an accident"
    pace.refused(None, 0.0, 0.2)
    assert pace.margin == pytest.approx(0.2 * SAFETY, rel=0.1)
    go_on(200, [0.1, 0.3])
    assert pace.margin == pytest.approx(0.2 * SAFETY, rel=0.1)
    go_on(200, [0.2])
    assert pace.margin < 0.1, "trips are even now"
    go_on(600, [0.1, 0.3])
    assert pace.margin == LEAST_MARGIN, "it is long ago"


def test_the_margin_has_its_limit() -> None:
    pace = Pace(1.0)
    for trip in (0.1, 100.0, 100.0):
        pace.refused(None, 0.0, trip)
    assert pace.margin == MOST_MARGIN
    for _ in range(20):
        pace.refused(None, 0.0)
    assert pace.margin == pace.floor == MOST_MARGIN


def test_a_slot_of_a_state_that_was_lost_is_worth_nothing() -> None:
    """Its holder stands at the end of the new order, and the new order knows of it."""
    old, new = Pace(1.0), Pace(1.0)
    old.visit(None, 0.0)
    held = old.reserve(0.0)
    visit = new.visit(held, 5.0)
    assert visit.slot != held
    assert visit.is_used
    assert new.visit(None, 5.0).wait == pytest.approx(1 + FIRST_MARGIN)
    new.push(60.0, 5.0)
    first = new.reserve(5.0)
    assert new.visit(Slot(3600.0, 3601.0), 5.0).slot.at >= first.end


def test_a_burst_may_follow_a_pause() -> None:
    pace = Pace(1.0, burst=3, margin=0.0)
    waits = []
    for _ in range(5):
        waits.append(pace.visit(None, 100.0).wait)
    assert waits == [0.0, 0.0, 0.0, pytest.approx(1.0, abs=0.05), pytest.approx(2.0, abs=0.05)]


def test_a_slot_given_back_is_free_again_if_it_was_the_last() -> None:
    pace = Pace(1.0)
    pace.visit(None, 0.0)
    first, second = pace.reserve(0.0), pace.reserve(0.0)
    pace.give_back(first)
    assert pace.reserve(0.0).at > second.at
    pace = Pace(1.0)
    pace.visit(None, 0.0)
    only = pace.reserve(0.0)
    pace.give_back(only)
    assert pace.reserve(0.0) == only
