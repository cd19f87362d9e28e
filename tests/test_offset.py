"""Two clocks, compared through messages that take their time: arithmetic, without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worksection_async._offset import EXCHANGES, Offset

WAYS = st.tuples(st.floats(0.0001, 5), st.floats(0.0001, 5))
"""Seconds there, and seconds back."""


def exchange(offset: Offset, asked_at: float, there: float, back: float, ahead: float) -> None:
    """With a clock that is *ahead* of ours."""
    offset.learn(asked_at, asked_at + there + ahead, asked_at + there + back)


@given(ways=st.lists(WAYS, min_size=1, max_size=EXCHANGES), ahead=st.floats(-1e6, 1e6))
def test_the_quickest_ways_tell_what_the_others_leave_open(ways: list[tuple[float, float]], ahead: float) -> None:
    offset = Offset()
    for number, (there, back) in enumerate(ways):
        exchange(offset, 2.0 * number, there, back, ahead)
    best = (min(there for there, _ in ways) + min(back for _, back in ways)) / 2
    assert offset.ours(1000.0 + ahead) == pytest.approx(1000.0, abs=best + 1e-8)


def test_one_slow_way_moves_nothing() -> None:
    offset = Offset()
    exchange(offset, 0.0, 0.001, 0.001, 50.0)
    before = offset.ours(100.0)
    exchange(offset, 1.0, 0.001, 0.300, 50.0)
    exchange(offset, 2.0, 0.300, 0.001, 50.0)
    assert offset.ours(100.0) == pytest.approx(before)


@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 0.01, -0.01])
def test_a_clock_that_was_set_is_believed_at_once(ahead: float) -> None:
    offset = Offset()
    for second in range(5):
        exchange(offset, second, 0.001, 0.001, 0.0)
    exchange(offset, 6.0, 0.001, 0.001, ahead)
    assert offset.ours(100.0 + ahead) == pytest.approx(100.0, abs=0.001)


def test_clocks_that_drift_apart_are_followed() -> None:
    offset = Offset()
    for second in range(10_000):
        exchange(offset, second, 0.001, 0.002, second * 1e-5)
    assert offset.ours(10_000 * (1 + 1e-5)) == pytest.approx(10_000, abs=0.002)


def test_rare_exchanges_with_slow_ways_leave_no_old_opinion() -> None:
    """One a minute, 0.2 s there and back, and a drift of 100 millionths."""
    offset = Offset()
    for minute in range(100):
        exchange(offset, 60.0 * minute, 0.1, 0.1, 60.0 * minute * 1e-4)
    assert offset.ours(5940 * (1 + 1e-4)) == pytest.approx(5940, abs=0.001)
