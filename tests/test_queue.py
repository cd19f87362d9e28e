"""Who goes next, without an event loop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worksection_async._queue import LANES, PATIENCE, Lane, Queue, Waiter


class Standing(Waiter):
    """A waiter without an event loop."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.number = 0
        self.on_wait = None


def leave_order(lanes: list[Lane]) -> list[Waiter]:
    queue = Queue()
    for lane in lanes:
        queue.add(Standing(lane))
    order = []
    while (head := queue.head()) is not None:
        order.append(head)
        queue.pop()
    return order


@given(st.lists(st.sampled_from(LANES), max_size=60))
def test_inside_a_lane_it_is_first_come_first_served(lanes: list[Lane]) -> None:
    order = leave_order(lanes)
    assert len(order) == len(lanes)
    for lane in LANES:
        numbers = [waiter.number for waiter in order if waiter.lane == lane]
        assert numbers == sorted(numbers)


def test_better_lanes_go_first() -> None:
    order = leave_order(["bulk", "normal", "interactive"])
    assert [waiter.lane for waiter in order] == ["interactive", "normal", "bulk"]


def test_a_lane_that_is_passed_by_all_the_time_still_moves() -> None:
    """With interactive calls coming in forever, bulk gets one turn in PATIENCE."""
    queue = Queue()
    for _ in range(3):
        queue.add(Standing("bulk"))
    gone: list[Lane] = []
    for _ in range(PATIENCE * 3):
        queue.add(Standing("interactive"))
        head = queue.head()
        assert head is not None
        gone.append(head.lane)
        queue.pop()
    assert gone.count("bulk") == 3


@given(st.lists(st.sampled_from(LANES), max_size=40), st.integers(0, PATIENCE))
def test_an_interactive_newcomer_waits_for_one_other_at_most(lanes: list[Lane], turns: int) -> None:
    """Whatever stands in the other lanes: behind it only those of its own lane, and one that waited longest."""
    queue = Queue()
    for lane in lanes:
        if lane != "interactive":
            queue.add(Standing(lane))
    for _ in range(turns):
        queue.pop()
    newcomer = Standing("interactive")
    queue.add(newcomer)
    if queue.head() is not newcomer:
        queue.pop()
    assert queue.head() is newcomer


@given(st.lists(st.sampled_from(LANES), max_size=40), st.integers(0, PATIENCE))
def test_the_forecast_of_a_newcomer_and_its_position_agree(lanes: list[Lane], turns: int) -> None:
    """What `ahead_of` says beforehand, `position` says afterwards, and popping proves."""
    for lane in LANES:
        queue = Queue()
        for each in lanes:
            queue.add(Standing(each))
        for _ in range(turns):
            queue.pop()
        expected, newcomer = queue.ahead_of(lane), Standing(lane)
        queue.add(newcomer)
        assert queue.position(newcomer) == expected
        ahead = 0
        while queue.pop() is not newcomer:
            ahead += 1
        assert ahead <= expected <= ahead + 1 + len(lanes) // (PATIENCE - 1)


def test_a_promoted_waiter_stands_behind_those_of_the_better_lane() -> None:
    queue = Queue()
    waiters = [Standing("interactive"), Standing("bulk"), Standing("bulk")]
    for waiter in waiters:
        queue.add(waiter)
    queue.promote(waiters[2], "interactive")
    queue.promote(waiters[0], "bulk")
    assert [queue.pop() for _ in range(3)] == [waiters[0], waiters[2], waiters[1]]
