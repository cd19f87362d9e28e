"""The order of the waiting calls, without an event loop."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worksection_async._limits.queue import AGEING_PERIOD, LANES, Lane, Queue, Waiter
from worksection_async.errors import InvalidCall


def waiter(lane: Lane, **options: Any) -> Waiter:
    """A waiter without an event loop."""
    return Waiter(lane=lane, loop=None, **options)


def pop_order(lanes: list[Lane]) -> list[Waiter]:
    queue = Queue()
    for lane in lanes:
        queue.add(waiter(lane))
    return list(iter(queue.pop, None))


@given(st.lists(st.sampled_from(LANES), max_size=60))
def test_a_lane_is_fifo(lanes: list[Lane]) -> None:
    order = pop_order(lanes)
    assert len(order) == len(lanes)
    for lane in LANES:
        numbers = [each.number for each in order if each.lane == lane]
        assert numbers == sorted(numbers)


def test_higher_lanes_go_first() -> None:
    order = pop_order(["bulk", "normal", "interactive"])
    assert [each.lane for each in order] == ["interactive", "normal", "bulk"]


def test_ageing_keeps_every_lane_moving() -> None:
    """While interactive calls keep arriving, bulk gets one slot in AGEING_PERIOD."""
    queue = Queue()
    for _ in range(3):
        queue.add(waiter("bulk"))
    served: list[Lane] = []
    for _ in range(AGEING_PERIOD * 3):
        queue.add(waiter("interactive"))
        head = queue.pop()
        assert head is not None
        served.append(head.lane)
    assert served.count("bulk") == 3
    assert served.index("bulk") == AGEING_PERIOD - 1


@given(st.lists(st.sampled_from(LANES), max_size=40), st.integers(0, AGEING_PERIOD))
def test_a_new_interactive_call_waits_for_at_most_one_other(lanes: list[Lane], grants: int) -> None:
    """The other one is the oldest call of the lower lanes, which ageing serves first."""
    queue = Queue()
    for lane in lanes:
        if lane != "interactive":
            queue.add(waiter(lane))
    for _ in range(grants):
        queue.pop()
    new = waiter("interactive")
    queue.add(new)
    assert new in (queue.pop(), queue.pop())


@given(st.lists(st.sampled_from(LANES), max_size=40), st.integers(0, AGEING_PERIOD))
def test_the_forecast_for_a_new_call_is_its_position(lanes: list[Lane], grants: int) -> None:
    """`ahead_of` before joining equals `position` after joining, and the order of `pop` confirms it."""
    for lane in LANES:
        queue = Queue()
        for each in lanes:
            queue.add(waiter(each))
        for _ in range(grants):
            queue.pop()
        expected, new = queue.ahead_of(lane), waiter(lane)
        queue.add(new)
        assert queue.position(new) == expected
        ahead = 0
        while queue.pop() is not new:
            ahead += 1
        assert ahead <= expected <= ahead + 1 + len(lanes) // (AGEING_PERIOD - 1)


def test_a_promoted_call_joins_the_end_of_the_higher_lane() -> None:
    queue = Queue()
    waiters = [waiter("interactive"), waiter("bulk"), waiter("bulk")]
    for each in waiters:
        queue.add(each)
    queue.promote(waiters[2], "interactive")
    queue.promote(waiters[0], "bulk")  # a lower lane: no change
    assert [queue.pop() for _ in range(3)] == [waiters[0], waiters[2], waiters[1]]


def test_a_call_that_is_promoted_twice_stays_in_the_queue() -> None:
    queue, promoted = Queue(), waiter("bulk")
    queue.add(promoted)
    queue.promote(promoted, "normal")
    queue.promote(promoted, "interactive")
    assert promoted in queue
    assert (promoted.lane, queue.pop(), len(queue)) == ("interactive", promoted, 0)


def test_a_promotion_to_the_own_lane_keeps_the_position() -> None:
    queue, first, second = Queue(), waiter("normal"), waiter("normal")
    queue.add(first)
    queue.add(second)
    queue.promote(first, "normal")
    assert queue.pop() is first


def test_a_promotion_adds_no_call_that_does_not_wait() -> None:
    queue, running = Queue(), waiter("bulk")
    queue.promote(running, "interactive")
    assert not queue
    assert running.lane == "interactive"  # its next attempt waits there


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_position_counts_the_older_calls_that_ageing_serves_first(older: int, others: int) -> None:
    queue = Queue()
    for _ in range(older):
        queue.add(waiter("bulk"))
    calls = [waiter("interactive") for _ in range(others + 1)]
    for each in calls:
        queue.add(each)
    position = queue.position(calls[-1])
    order = list(iter(queue.pop, None))
    assert (position, type(position)) == (order.index(calls[-1]), int)


@given(st.integers(1, 6), st.integers(0, 5))
def test_a_call_that_waits_again_gets_its_old_position(others: int, later: int) -> None:
    """Its attempt was refused or failed; the calls that arrived later stay behind it."""
    queue, again = Queue(), waiter("normal")
    queue.add(again)
    number = again.number
    queue.pop()
    before = [waiter("normal") for _ in range(others)]
    for each in before:
        queue.add(each)
    queue.add(again)
    after = [waiter("normal") for _ in range(later)]
    for each in after:
        queue.add(each)
    assert list(iter(queue.pop, None)) == [again, *before, *after]
    assert again.number == number


def test_positions_of_watched_calls_are_current() -> None:
    queue = Queue()
    watched, first = waiter("bulk", on_wait=print), waiter("normal")
    queue.add(watched)
    queue.add(first)
    assert queue.watchers() == {watched}
    assert watched.position == queue.position(watched) == 1
    queue.pop()
    queue.watchers()
    assert watched.position == 0
    queue.discard(watched)
    assert not queue.watchers()


@given(st.lists(st.sampled_from(LANES), min_size=1, max_size=40), st.integers(0, AGEING_PERIOD))
def test_watched_calls_have_the_positions_of_the_queue(lanes: list[Lane], grants: int) -> None:
    queue, watched = Queue(), [waiter(lane, on_wait=print) for lane in lanes]
    for each in watched:
        queue.add(each)
    for _ in range(grants):
        queue.pop()
    assert all(each.position == queue.position(each) for each in queue.watchers())


def test_calls_of_a_closed_event_loop_are_passed_over() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    queue, alive = Queue(), waiter("normal")
    queue.add(Waiter(lane="normal", loop=loop))
    queue.add(alive)
    assert (queue.pop(), len(queue)) == (alive, 0)


def test_waking_a_call_of_a_closed_event_loop_is_no_error() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    Waiter(lane="normal", loop=loop).wake()


@pytest.mark.anyio
async def test_a_call_that_was_woken_before_it_sleeps_does_not_sleep() -> None:
    """Without it, a call that gets its slot between two steps would sleep for ever."""
    early = Waiter(lane="normal")
    early.wake()
    await anyio.wait_all_tasks_blocked()
    with anyio.fail_after(60):
        await early.sleep(math.inf)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"lane": "slow"}, "lane must be one of interactive, normal, bulk, not 'slow'"),
        ({"max_wait": -1}, "max_wait must be a number of seconds, 0 or more, got -1"),
    ],
)
async def test_a_wrong_option_is_refused_with_the_name_of_the_action(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidCall, match=f"^get_tasks: {problem}"):
        Waiter(action="get_tasks", **options)


@pytest.mark.anyio
async def test_a_call_may_accept_no_waiting_at_all() -> None:
    assert Waiter(max_wait=0).max_wait == 0


def test_the_calls_of_one_session_are_found() -> None:
    queue, owner = Queue(), object()
    own = [waiter("bulk", owner=owner), waiter("interactive", owner=owner)]
    for each in (own[0], waiter("normal"), own[1]):
        queue.add(each)
    assert set(queue.of(owner)) == set(own)
