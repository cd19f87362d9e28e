"""The limiter: waiting on a virtual clock, random orders of events, threads, and closed event loops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.numbers import Int64
from tests.support.virtual_time import run_on_virtual_clock, virtual_time
from worksection_async import Lane, TokenBucket, Waiting
from worksection_async._limits.bucket_state import BACKOFF_STEP, MAX_HOLD_SECONDS, MAX_JITTER, BucketState
from worksection_async._limits.queue import AGEING_PERIOD, LANES, Waiter
from worksection_async._limits.statistics import CONTENTION_REFUSALS, PERIOD_SECONDS
from worksection_async.errors import InvalidCall, SessionClosed, TransportError, WaitTooLong

Call = Callable[[], Coroutine[Any, Any, Any]]

HANG_SECONDS = 20.0

SECOND_SLOT_SECONDS = 1 + MAX_JITTER
"""Seconds from the first slot of a bucket to the second while response times are not known."""


def bucket(rate: float = 1.0, burst: int = 1) -> TokenBucket:
    return TokenBucket(rate, burst, clock=trio.current_time)


async def start(tasks: anyio.abc.TaskGroup, *calls: Call) -> None:
    """Start the calls one after the other, so that they join the queue in this order."""
    for call in calls:
        tasks.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()


@virtual_time
async def test_calls_are_sent_one_per_interval_in_fifo_order() -> None:
    limiter, granted = bucket(), []
    began = trio.current_time()

    def call(number: int) -> Call:
        async def run() -> None:
            granted.append((number, await limiter.acquire()))

        return run

    async with anyio.create_task_group() as tasks:
        await start(tasks, *map(call, range(20)))
    assert [number for number, _ in granted] == list(range(20))
    gaps = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(granted)]
    assert min(gaps) >= 1
    assert max(gaps) == pytest.approx(SECOND_SLOT_SECONDS)
    assert granted[0][1] == began


@virtual_time
async def test_a_new_call_in_a_higher_lane_goes_first() -> None:
    """A slot is granted to a call only when it is due (late binding)."""
    limiter, granted = bucket(), []

    def call(lane: Lane) -> Call:
        async def run() -> None:
            await limiter.acquire(lane)
            granted.append(lane)

        return run

    await limiter.acquire()
    async with anyio.create_task_group() as tasks:
        await start(tasks, call("bulk"), call("bulk"), call("normal"), call("interactive"))
    assert granted == ["interactive", "normal", "bulk", "bulk"]


@virtual_time
async def test_cancelled_calls_use_no_slot() -> None:
    """Of ten waiting calls nine are cancelled, the leader among them: the tenth gets the next slot."""
    limiter, granted = bucket(), []

    async def call(scope: anyio.CancelScope) -> None:
        with scope:
            granted.append(await limiter.acquire())

    began = await limiter.acquire()
    scopes = [anyio.CancelScope() for _ in range(10)]
    async with anyio.create_task_group() as tasks:
        for scope in scopes:
            tasks.start_soon(call, scope)
            await trio.testing.wait_all_tasks_blocked()
        for scope in scopes[:9]:
            scope.cancel()
    assert [at - began for at in granted] == [pytest.approx(SECOND_SLOT_SECONDS)]
    assert limiter.statistics().waiting == {"interactive": 0, "normal": 0, "bulk": 0}


@virtual_time
async def test_a_hold_is_limited() -> None:
    limiter, began = bucket(), trio.current_time()
    await limiter.refused(retry_after=5)
    assert limiter.eta() == pytest.approx(5, abs=0.1)
    assert await limiter.acquire() - began == pytest.approx(5, abs=0.1)
    await limiter.refused(retry_after=48 * 3600)
    assert await limiter.acquire() - began == pytest.approx(5 + MAX_HOLD_SECONDS, abs=0.2)
    assert limiter.statistics().refused == 2


@virtual_time
async def test_with_max_wait_a_longer_forecast_fails_at_once() -> None:
    limiter = bucket()
    async with anyio.create_task_group() as tasks:
        await start(tasks, *[limiter.acquire] * 5)
        began = trio.current_time()
        with pytest.raises(WaitTooLong, match=r"me: the forecast wait of 5\.") as caught:
            await limiter.acquire(max_wait=3, action="me")
        assert caught.value.eta == pytest.approx(5, abs=0.3)
        assert not caught.value.sent
        assert trio.current_time() == began
        await limiter.acquire("interactive", max_wait=3)


@virtual_time
async def test_max_wait_is_kept_when_higher_lanes_fill_later() -> None:
    limiter = bucket()
    began = await limiter.acquire()
    ended: list[float] = []

    async def bulk() -> None:
        with pytest.raises(
            WaitTooLong, match=r"^me: .* 4\.2 s exceeds max_wait \(3\.0 s, of which 3\.0 s have passed\)"
        ):
            await limiter.acquire("bulk", max_wait=3, action="me")
        ended.append(trio.current_time() - began)

    async with anyio.create_task_group() as tasks:
        await start(tasks, bulk)
        for _ in range(6):
            tasks.start_soon(limiter.acquire, "interactive")
    assert ended == [pytest.approx(3)]


@virtual_time
async def test_all_attempts_of_a_call_share_its_max_wait() -> None:
    limiter, waiter = bucket(rate=2), Waiter(max_wait=1.25)
    await limiter.acquire()
    for _ in range(2):
        await limiter.wait(waiter)
        await limiter.sent(waiter)
        await limiter.leave(waiter)
    with pytest.raises(WaitTooLong, match=r"0\.5 s exceeds max_wait \(1\.2 s, of which 1\.\d s have passed\)"):
        await limiter.wait(waiter)


@virtual_time
async def test_the_forecast_is_correct() -> None:
    limiter = bucket(rate=2)
    await limiter.acquire()
    async with anyio.create_task_group() as tasks:
        await start(tasks, *[limiter.acquire] * 4)
        eta, began = limiter.eta(), trio.current_time()
        assert await limiter.acquire() - began == pytest.approx(eta, rel=0.08) == pytest.approx(2.5, rel=0.08)


@virtual_time
async def test_the_forecast_follows_the_pace_of_slow_requests() -> None:
    """Each request is sent one second after its slot was granted, so the slots are two seconds apart."""
    limiter = bucket()

    async def call() -> None:
        waiter = Waiter()
        await limiter.wait(waiter)
        await trio.sleep(1)
        await limiter.sent(waiter)

    async with anyio.create_task_group() as tasks:
        await start(tasks, *[call] * 25)
        await trio.sleep(40)
        eta, began = limiter.eta(), trio.current_time()
        assert await limiter.acquire() - began == pytest.approx(eta, rel=0.08)


@virtual_time
async def test_a_free_slot_is_used_without_waiting() -> None:
    limiter = bucket()
    await limiter.acquire(max_wait=0)
    with pytest.raises(WaitTooLong):
        await limiter.acquire(max_wait=0)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan"), "1", None, b"1"])
def test_an_invalid_rate_is_refused(rate: Any) -> None:
    with pytest.raises(InvalidCall) as caught:
        TokenBucket(rate)
    problem = f"TokenBucket: rate must be a positive number of requests per second, not {rate!r}"
    assert str(caught.value).startswith(problem)


@virtual_time
async def test_integers_of_other_types_are_accepted() -> None:
    limiter = TokenBucket(cast(Any, Int64(2)), burst=cast(Any, Int64(3)), clock=trio.current_time)
    began = trio.current_time()
    for _ in range(4):
        await limiter.acquire()
    assert trio.current_time() - began == pytest.approx(0.5, rel=0.08)


@virtual_time
async def test_other_invalid_arguments_are_refused() -> None:
    with pytest.raises(InvalidCall, match="burst"):
        TokenBucket(1, burst=0)
    with pytest.raises(InvalidCall, match="lane must be one of interactive, normal, bulk"):
        await bucket().acquire("fast")  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match=r"^acquire: max_wait"):
        await bucket().acquire(max_wait=-1)
    with pytest.raises(InvalidCall, match="get_tasks: on_wait must be a function, got int"):
        await bucket().acquire(on_wait=5, action="get_tasks")  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match="TokenBucket: burst must be at least 1, not '1'"):
        TokenBucket(1, burst="1")  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match="get_tasks: max_wait must be a number of seconds, 0 or more, got '5'"):
        await bucket().acquire(max_wait="5", action="get_tasks")  # type: ignore[arg-type]


# Returned slots and late requests


@virtual_time
async def test_a_returned_slot_goes_to_the_next_call_at_once() -> None:
    limiter, first = bucket(), Waiter()
    await limiter.wait(first)
    async with anyio.create_task_group() as tasks:
        await start(tasks, limiter.acquire)
        assert limiter.statistics().waiting["normal"] == 1
        await limiter.leave(first)
        assert limiter.eta() == pytest.approx(1)  # the waiting call is next, and then a new one
        await trio.testing.wait_all_tasks_blocked()
        assert limiter.statistics().waiting["normal"] == 0
    assert limiter.statistics().granted == 1


@virtual_time
async def test_a_used_slot_is_not_returned() -> None:
    limiter, first = bucket(), Waiter()
    await limiter.wait(first)
    await limiter.sent(first)
    await limiter.leave(first)
    assert limiter.statistics().granted == 1
    assert limiter.eta() == pytest.approx(SECOND_SLOT_SECONDS)


@virtual_time
async def test_a_call_that_joins_and_leaves_uses_no_slot() -> None:
    limiter, waiter = bucket(), Waiter()
    limiter.enter(waiter)
    await limiter.leave(waiter)
    assert limiter.statistics().granted == 0
    assert limiter.eta() == 0


@virtual_time
async def test_a_slot_is_not_returned_after_a_hold() -> None:
    limiter, first = bucket(), Waiter()
    await limiter.wait(first)
    await limiter.hold(30)
    await limiter.leave(first)
    began = trio.current_time()
    assert limiter.eta() == pytest.approx(30, abs=0.1)
    assert await limiter.acquire() - began >= 30


@virtual_time
async def test_the_interval_starts_at_the_actual_send_time() -> None:
    """A handshake of 0.4 s delays the next slot by the same time, also for the first request."""
    limiter, first, began = bucket(), Waiter(), trio.current_time()
    await limiter.wait(first)
    async with anyio.create_task_group() as tasks:
        await start(tasks, limiter.acquire)
        await trio.sleep(0.4)
        await limiter.sent(first)
    assert trio.current_time() - began == pytest.approx(0.4 + SECOND_SLOT_SECONDS)


@virtual_time
async def test_a_call_keeps_a_slot_that_it_got_before_it_waited() -> None:
    """It joined the queue, and the leader granted the slot to it, because its lane is higher."""
    limiter, early = bucket(), Waiter(lane="interactive")
    await limiter.acquire()
    async with anyio.create_task_group() as tasks:
        await start(tasks, limiter.acquire)
        limiter.enter(early)
        await trio.sleep(1.5 * SECOND_SLOT_SECONDS)
        began = trio.current_time()
        await limiter.wait(early)
        assert trio.current_time() == began
        assert limiter.statistics().granted == 2


class CountingBucket(TokenBucket):
    """A bucket that counts the visits to its state."""

    visits = 0

    def _change(self, change: Callable[[BucketState, float], Any]) -> Any:
        self.visits += 1
        return super()._change(change)


@pytest.mark.parametrize(("delay", "visits"), [(0.04, 0), (0.06, 1)])
@virtual_time
async def test_only_a_late_request_is_recorded_in_the_bucket(delay: float, visits: int) -> None:
    """A visit to a shared bucket takes time. The tolerance is 0.5 % of the interval, 0.05 s here."""
    limiter, waiter = CountingBucket(rate=0.1, clock=trio.current_time), Waiter()
    await limiter.wait(waiter)
    before = limiter.visits
    await trio.sleep(delay)
    await limiter.sent(waiter)
    assert limiter.visits - before == visits


@virtual_time
async def test_the_reservation_of_a_cancelled_call_goes_to_another_process() -> None:
    limiter, other = bucket(), bucket()
    other._state = limiter._state
    began = await limiter.acquire()
    with anyio.move_on_after(0.5):
        await limiter.acquire()
    assert await other.acquire() - began == pytest.approx(SECOND_SLOT_SECONDS)


@virtual_time
async def test_a_visit_that_ends_after_the_last_call_left_returns_its_ticket() -> None:
    """A visit in a thread can end after the event loop of its leader was closed."""
    limiter, other = bucket(), bucket()
    other._state = limiter._state
    limiter._serve()
    began = trio.current_time()
    assert limiter.eta() == 0
    assert await other.acquire() == began
    limiter._serve()
    assert await other.acquire() - began == pytest.approx(SECOND_SLOT_SECONDS)


class RemoteBucket(TokenBucket):
    """A bucket that is visited in threads, like one in a file; it records them."""

    _is_remote = True

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.threads: set[int] = set()
        self.is_broken = False

    def _change(self, change: Callable[[BucketState, float], Any]) -> Any:
        self.threads.add(threading.get_ident())
        if self.is_broken:
            raise TransportError("limiter", "the bucket cannot be reached", sent=False)
        return super()._change(change)


@pytest.mark.anyio
@pytest.mark.parametrize("is_remote", [True, False])
async def test_only_a_remote_bucket_is_visited_in_a_thread(is_remote: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can block the event loop. A bucket in memory cannot, and a thread takes time."""
    monkeypatch.setattr(RemoteBucket, "_is_remote", is_remote)
    limiter = RemoteBucket(rate=100)
    with anyio.fail_after(10):
        await limiter.acquire()
        await limiter.hold(0.001)
    assert (threading.get_ident() in limiter.threads) is not is_remote


@pytest.mark.anyio
async def test_an_error_of_the_bucket_fails_no_call_that_has_a_slot() -> None:
    limiter, waiter = RemoteBucket(rate=100), Waiter()
    with anyio.fail_after(10):
        await limiter.wait(waiter)
    limiter.is_broken = True
    await anyio.sleep(0.001)
    await limiter.sent(waiter)
    await limiter.answered(waiter)
    await limiter.refused(1)
    await limiter.leave(waiter)
    with pytest.raises(TransportError):
        await limiter.acquire()


@pytest.mark.anyio
async def test_a_cancelled_call_returns_its_slot_to_a_remote_bucket() -> None:
    """The visit that returns it is not cancelled."""
    limiter, waiter = RemoteBucket(rate=0.01), Waiter()
    with anyio.fail_after(10):
        with anyio.CancelScope() as scope:
            try:
                await limiter.wait(waiter)
                scope.cancel()
                await anyio.sleep(60)
            finally:
                await limiter.leave(waiter)
        await limiter.acquire()


@virtual_time
async def test_equal_response_times_reduce_the_margin() -> None:
    """Without jitter, 100 requests take at most 101.5 intervals."""
    limiter, began = bucket(), trio.current_time()
    for _ in range(100):
        waiter = Waiter()
        await limiter.wait(waiter)
        await limiter.sent(waiter)
        await trio.sleep(0.03)
        await limiter.answered(waiter)
        await limiter.leave(waiter)
    assert trio.current_time() - began <= 101.5


@virtual_time
async def test_a_refusal_without_a_pause_does_not_block_the_bucket() -> None:
    limiter = bucket()
    await limiter.refused()
    assert limiter.eta() == 0


@virtual_time
async def test_a_refusal_increases_the_distance_of_the_next_requests() -> None:
    limiter = bucket()
    began = await limiter.acquire()
    await limiter.refused()
    assert await limiter.acquire() - began >= SECOND_SLOT_SECONDS + BACKOFF_STEP
    assert limiter.statistics().margin > MAX_JITTER


@virtual_time
async def test_a_promoted_call_goes_first() -> None:
    limiter, granted = bucket(), []
    waiters = [Waiter(lane="bulk", action=name) for name in ("first", "second")]

    def call(waiter: Waiter) -> Call:
        async def run() -> None:
            await limiter.wait(waiter)
            granted.append(waiter.action)

        return run

    await limiter.acquire()
    async with anyio.create_task_group() as tasks:
        await start(tasks, *map(call, waiters))
        limiter.promote(waiters[1], "interactive")
    assert granted == ["second", "first"]


# Callbacks, statistics and logs


@virtual_time
async def test_the_representation_shows_the_class_the_rate_and_the_queue() -> None:
    limiter = bucket(rate=2)
    limiter.enter(Waiter())
    assert repr(limiter) == "<TokenBucket 2/s, 1 waiting>"


@virtual_time
async def test_avoided_requests_are_counted() -> None:
    limiter = bucket()
    limiter.count_saved()
    limiter.count_saved()
    assert limiter.statistics().saved == 2


@virtual_time
async def test_a_call_that_is_not_queued_has_no_wait_ahead() -> None:
    limiter, waiter = bucket(), Waiter()
    await limiter.wait(waiter)
    assert limiter.eta_of(waiter) == 0


@virtual_time
async def test_on_wait_reports_each_change_of_the_position() -> None:
    """Position and forecast decrease step by step; a call that need not wait gets no report."""
    limiter = bucket()
    reports: list[Waiting] = []
    await limiter.acquire(on_wait=reports.append)
    assert reports == []
    async with anyio.create_task_group() as tasks:
        await start(tasks, *[limiter.acquire] * 4, lambda: limiter.acquire("normal", on_wait=reports.append))
    assert [waiting.position for waiting in reports] == [4, 3, 2, 1, 0]
    assert [waiting.eta for waiting in reports] == [pytest.approx(eta, rel=0.15) for eta in (5, 4, 3, 2, 1)]
    assert {waiting.lane for waiting in reports} == {"normal"}


@virtual_time
async def test_on_wait_reports_a_single_call_ahead() -> None:
    limiter, reports = bucket(), list[Waiting]()
    await limiter.acquire()
    async with anyio.create_task_group() as tasks:
        await start(tasks, limiter.acquire, lambda: limiter.acquire(on_wait=reports.append))
    assert [waiting.position for waiting in reports] == [1, 0]


@virtual_time
async def test_on_wait_reports_the_wait_after_a_refusal() -> None:
    """The position is the same as before, but the wait is another one."""
    limiter, reports = bucket(), list[Waiting]()
    await limiter.acquire()
    waiter = Waiter(on_wait=reports.append)
    for _ in range(2):
        await limiter.wait(waiter)
        await limiter.sent(waiter)
        await limiter.leave(waiter)
    assert [report.position for report in reports] == [0, 0]


@virtual_time
async def test_on_wait_reports_a_call_that_overtakes() -> None:
    limiter = bucket()
    reports: list[Waiting] = []
    await limiter.acquire()
    async with anyio.create_task_group() as tasks:
        await start(tasks, lambda: limiter.acquire("bulk", on_wait=reports.append))
        for _ in range(3):
            tasks.start_soon(limiter.acquire, "interactive")
    assert [waiting.position for waiting in reports] == [0, 2, 1, 0]


@virtual_time
async def test_a_failing_on_wait_callback_fails_only_its_own_call() -> None:
    limiter = bucket()
    await limiter.acquire()

    def fail(_: Waiting) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await limiter.acquire(on_wait=fail)
    assert limiter.statistics().waiting["normal"] == 0
    with anyio.fail_after(2):
        await limiter.acquire()


@virtual_time
async def test_statistics_contain_utilisation_and_waiting_calls() -> None:
    limiter = bucket()
    fresh = limiter.statistics()
    assert (fresh.next_slot, fresh.granted, fresh.utilisation, fresh.refused_share, fresh.margin) == (0, 0, 0, 0, 0)
    for _ in range(30):
        await limiter.acquire()
    busy = limiter.statistics()
    assert busy.granted == 30
    assert 0.94 <= busy.utilisation <= 1
    assert busy.next_slot == pytest.approx(SECOND_SLOT_SECONDS)
    assert busy.margin == MAX_JITTER
    await trio.sleep(30)
    half = limiter.statistics()
    assert half.utilisation == pytest.approx(0.5, abs=0.05)
    assert half.next_slot == 0
    await trio.sleep(60)
    assert limiter.statistics().utilisation == 0
    async with anyio.create_task_group() as tasks:
        for lane in ("bulk", "bulk", "interactive", "normal"):
            tasks.start_soon(limiter.acquire, lane)
        await trio.testing.wait_all_tasks_blocked()
        assert sum(limiter.statistics().waiting.values()) == 3
        tasks.cancel_scope.cancel()


@virtual_time
async def test_contention_is_logged_once_when_it_starts_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "worksection_async")
    limiter = bucket()

    async def request(*, is_refused: bool) -> None:
        await limiter.acquire()
        if is_refused:
            await limiter.refused()
        else:
            limiter.accepted()

    for number in range(4 * CONTENTION_REFUSALS):
        await request(is_refused=number % 2 == 0)
    assert limiter.statistics().is_contended
    assert limiter.statistics().refused_share == pytest.approx(0.5, abs=0.1)
    (warning,) = caplog.messages
    assert warning == (
        "another client uses the rate limit of this account: 60 % of the requests of the last minute were refused as "
        "too early. Let all clients of the account share one limiter."
    )
    await trio.sleep(PERIOD_SECONDS + 1)
    for _ in range(3):
        await request(is_refused=False)
    assert not limiter.statistics().is_contended
    assert caplog.messages[1:] == ["no request was refused as too early for a minute: the other client has stopped"]


@virtual_time
async def test_contention_ends_after_a_minute_without_requests() -> None:
    limiter = bucket()
    for _ in range(CONTENTION_REFUSALS):
        await limiter.refused()
    assert limiter.statistics().is_contended
    await trio.sleep(PERIOD_SECONDS + 1)
    assert not limiter.statistics().is_contended


@virtual_time
async def test_a_single_refusal_is_not_logged_as_contention(caplog: pytest.LogCaptureFixture) -> None:
    limiter = bucket()
    for _ in range(3):
        await limiter.acquire()
        await limiter.refused()
        await trio.sleep(PERIOD_SECONDS)
    assert not caplog.records
    assert not limiter.statistics().is_contended


@virtual_time
async def test_calls_of_a_closed_session_stop_waiting_at_once() -> None:
    limiter, owner, ended = bucket(), object(), []
    await limiter.acquire()

    async def call() -> None:
        waiter = Waiter(action="get_tasks", owner=owner)
        with pytest.raises(SessionClosed, match="get_tasks") as caught:
            await limiter.wait(waiter)
        await limiter.leave(waiter)
        assert not caught.value.sent
        ended.append(trio.current_time())

    async with anyio.create_task_group() as tasks:
        await start(tasks, call, limiter.acquire, call)
        began = trio.current_time()
        limiter.dismiss(owner)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [began, began]
        assert limiter.statistics().waiting["normal"] == 1
    assert limiter.statistics().granted == 2


# Many calls


@virtual_time
async def test_an_interactive_call_waits_at_most_two_slots_behind_a_thousand() -> None:
    limiter = bucket()
    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(limiter.acquire, "bulk")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3 * AGEING_PERIOD):
            began = trio.current_time()
            assert await limiter.acquire("interactive") - began <= 2 * SECOND_SLOT_SECONDS + 1e-6
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("count", [300, 3000])
def test_each_waiting_call_is_woken_at_most_twice(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once to become the leader and once for its slot; there is no polling."""
    sleeps = wakes = 0
    original_sleep, original_on_wake = Waiter.sleep, Waiter._on_wake

    async def counting_sleep(self: Waiter, seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        await original_sleep(self, seconds)

    def counting_on_wake(self: Waiter) -> None:
        nonlocal wakes
        wakes += 1
        original_on_wake(self)

    async def main() -> None:
        limiter = bucket(rate=1000)
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(limiter.acquire)
        assert limiter.statistics().granted == count

    monkeypatch.setattr(Waiter, "sleep", counting_sleep)
    monkeypatch.setattr(Waiter, "_on_wake", counting_on_wake)
    run_on_virtual_clock(main)
    assert sleeps <= 3 * count
    assert wakes <= 2 * count


@virtual_time
async def test_a_cancellation_wakes_only_a_new_leader() -> None:
    woken: list[Waiter] = []
    limiter, wake = bucket(), Waiter.wake

    def recording_wake(self: Waiter) -> None:
        woken.append(self)
        wake(self)

    async def call(scope: anyio.CancelScope) -> None:
        with scope:
            await limiter.acquire()

    await limiter.acquire()
    with pytest.MonkeyPatch.context() as patch:
        async with anyio.create_task_group() as tasks:
            scopes = [anyio.CancelScope() for _ in range(50)]
            for scope in scopes:
                tasks.start_soon(call, scope)
                await trio.testing.wait_all_tasks_blocked()
            patch.setattr(Waiter, "wake", recording_wake)
            leader, *crowd, _ = scopes
            for scope in crowd:
                scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert woken == []
            leader.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert len(woken) == 1


# Random orders of events


STEP = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(LANES)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("sleep"), st.floats(0, 3)),
    st.tuples(st.just("refuse"), st.none() | st.floats(0, 4)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=5, max_size=60), st.lists(st.floats(0, 0.9), min_size=1, max_size=10))
def test_the_promises_hold_for_any_order_of_events(steps: list[tuple[str, object]], lags: list[float]) -> None:
    """Calls join, are cancelled, are refused and are sent late.

    No two requests are sent closer than the interval. Each call that was not cancelled gets one slot. A lane is FIFO.
    Ageing limits how many calls of lower lanes pass an interactive call, and bulk does not starve.
    """
    run_on_virtual_clock(Interleaving(steps, lags).run)


class Interleaving:
    def __init__(self, steps: list[tuple[str, object]], lags: list[float]) -> None:
        self.steps, self.lags = steps, itertools.cycle(lags)
        self.calls: list[Lane] = []
        self.scopes: list[anyio.CancelScope] = []
        self.sent: list[float] = []
        self.granted: list[int] = []
        self.ahead: dict[int, list[Lane]] = {}
        self.older: dict[int, int] = {}

    async def run(self) -> None:
        self.limiter = bucket()
        async with anyio.create_task_group() as tasks:
            for name, value in self.steps:
                if name == "call":
                    self.calls.append(value)  # type: ignore[arg-type]
                    self.scopes.append(anyio.CancelScope())
                    tasks.start_soon(self.call, len(self.calls) - 1)
                elif name == "cancel" and self.scopes:
                    self.scopes[value % len(self.scopes)].cancel()  # type: ignore[operator]
                elif name == "refuse":
                    await self.limiter.refused(value)  # type: ignore[arg-type]
                elif name == "sleep":
                    await trio.sleep(value)  # type: ignore[arg-type]
                if name != "cancel":
                    await trio.testing.wait_all_tasks_blocked()
        self.check()

    async def call(self, number: int) -> None:
        lane = self.calls[number]
        waiter = Waiter(lane=lane)
        with self.scopes[number]:
            self.ahead[number], self.older[number] = [], sum(self.limiter.statistics().waiting.values())
            try:
                await self.limiter.wait(waiter)
                self.granted.append(number)
                for other in self.ahead.keys() - set(self.granted):
                    self.ahead[other].append(lane)
                with anyio.CancelScope(shield=True):
                    await self.send(waiter)
            finally:
                await self.limiter.leave(waiter)

    async def send(self, waiter: Waiter) -> None:
        lag = next(self.lags)
        await trio.sleep(lag)
        self.sent.append(trio.current_time())
        await self.limiter.sent(waiter)
        await self.limiter.answered(waiter)

    def check(self) -> None:
        gaps = [later - earlier for earlier, later in itertools.pairwise(sorted(self.sent))]
        assert all(gap >= 1 - 1e-6 for gap in gaps), gaps
        stayed = [number for number, scope in enumerate(self.scopes) if not scope.cancel_called]
        assert len(set(self.granted)) == len(self.granted)
        assert set(stayed) <= set(self.granted)
        for lane in LANES:
            order = [number for number in self.granted if self.calls[number] == lane]
            assert order == sorted(order)
        for number in self.granted:
            ahead = self.ahead[number]
            assert len(ahead) <= AGEING_PERIOD * (self.older[number] + 1)
            if self.calls[number] == "interactive":
                others = len(ahead) - ahead.count("interactive")
                assert others <= 1 + ahead.count("interactive") // (AGEING_PERIOD - 1)
        statistics = self.limiter.statistics()
        assert statistics.granted == len(self.granted)
        assert not any(statistics.waiting.values())
        assert self.limiter._leader is None
        assert self.limiter._held is None


# Threads and event loops


def test_threads_with_event_loops_of_their_own_share_a_bucket(slot_times: list[float]) -> None:
    """Two threads on asyncio, two on trio: all calls get slots, and no two slots are closer than the interval."""
    limiter = TokenBucket(rate=200)

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(call)

    async def call() -> None:
        for _ in range(5):
            await limiter.acquire()

    backends = ["asyncio", "trio", "asyncio", "trio"]
    threads = [threading.Thread(target=anyio.run, args=(work,), kwargs={"backend": name}) for name in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(slot_times) == limiter.statistics().granted == 100
    assert min(later - earlier for earlier, later in itertools.pairwise(slot_times)) >= 1 / 200 - 1e-5


def test_calls_of_a_closed_event_loop_are_skipped() -> None:
    limiter = TokenBucket(rate=50)

    async def abandon() -> None:
        await limiter.acquire()
        limiter.enter(Waiter(lane="interactive"))

    anyio.run(abandon)
    assert limiter.statistics().waiting["interactive"] == 1

    async def call() -> None:
        with anyio.fail_after(5):
            await limiter.acquire()

    anyio.run(call)
    assert limiter.statistics().waiting["interactive"] == 0


@pytest.mark.parametrize("lane", ["interactive", "normal", "bulk"])
def test_forecasts_do_not_count_calls_of_a_closed_event_loop(lane: Lane) -> None:
    limiter = TokenBucket(rate=50)

    async def abandon() -> None:
        await limiter.acquire()
        for _ in range(5000):
            limiter.enter(Waiter(lane=lane))

    anyio.run(abandon)
    anyio.run(functools.partial(limiter.acquire, lane, max_wait=5))
    assert sum(limiter.statistics().waiting.values()) == 0


@pytest.mark.parametrize("max_wait", [None, 0.0])
def test_a_new_call_replaces_a_leader_of_a_closed_event_loop(max_wait: float | None) -> None:
    """Another waiter of the closed event loop is queued as well; the remaining calls run in other threads.

    The new call may be refused, because its forecast exceeds `max_wait`.
    """
    limiter = TokenBucket(rate=50)
    slots: list[float] = []

    async def abandon() -> None:
        await limiter.acquire()
        for _ in range(2):
            limiter.enter(Waiter())

    async def follow() -> None:
        with anyio.fail_after(10):
            slots.append(await limiter.acquire())

    async def join() -> None:
        waiter = Waiter(max_wait=max_wait)
        with contextlib.suppress(WaitTooLong):
            limiter.enter(waiter)
            await limiter.wait(waiter)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(abandon())
    thread = threading.Thread(target=anyio.run, args=(follow,))
    thread.start()
    while limiter.statistics().waiting["normal"] < 3:
        pass
    loop.close()
    anyio.run(join, backend="trio")
    thread.join(60)
    assert len(slots) == 1
    assert limiter.statistics().waiting["normal"] == 0


def test_calls_of_other_event_loops_do_not_wait_for_a_stopped_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader waits in an event loop that runs no more, but is not closed; a blocked one looks the same."""
    monkeypatch.setattr("worksection_async._limits.limiter.LEADER_GRACE_SECONDS", 0.01)
    began, is_stopped = time.monotonic(), threading.Event()
    # The second slot is not due before the loop is stopped, however slow the machine is.
    limiter = TokenBucket(rate=50, clock=lambda: time.monotonic() if is_stopped.is_set() else began)

    async def stop_while_waiting() -> asyncio.Task[float]:
        await limiter.acquire()
        task = asyncio.ensure_future(limiter.acquire())
        await asyncio.sleep(0)
        assert limiter.statistics().waiting["normal"] == 1
        return task

    async def call() -> None:
        with anyio.fail_after(HANG_SECONDS):
            await limiter.acquire()

    stopped = asyncio.new_event_loop()
    task = stopped.run_until_complete(stop_while_waiting())
    is_stopped.set()
    anyio.run(call)
    anyio.run(call, backend="trio")
    stopped.run_until_complete(task)
    stopped.close()
    assert limiter.statistics().granted == 4
    assert limiter._leader is None


def test_a_leader_of_another_event_loop_has_a_second_after_its_slot_was_due() -> None:
    """A busy loop serves the queue a bit late; it is replaced only when it is likely that it does not run."""
    clocks: list[Callable[[], float]] = [float]

    def now() -> float:
        return clocks[-1]()

    limiter = TokenBucket(clock=now)

    async def stop_while_waiting() -> asyncio.Task[float]:
        await limiter.acquire()
        task = asyncio.ensure_future(limiter.acquire())
        await asyncio.sleep(0)
        return task

    async def call() -> float:
        began = trio.current_time()
        clocks.append(lambda: trio.current_time() - began)
        await trio.sleep(0.5)
        await limiter.acquire()
        at = trio.current_time() - began
        clocks.append(lambda: at)
        return at

    busy = asyncio.new_event_loop()
    task = busy.run_until_complete(stop_while_waiting())
    at = trio.run(call, clock=trio.testing.MockClock(autojump_threshold=0))
    busy.run_until_complete(task)
    busy.close()
    assert at >= SECOND_SLOT_SECONDS + 1.0 + SECOND_SLOT_SECONDS  # after the slot of the leader, which came late


def test_a_stopped_event_loop_delays_the_others_only_once() -> None:
    """Not again whenever the next call, because of ageing, is one of the stopped loop."""
    clocks: list[Callable[[], float]] = [float]
    times: list[float] = []

    def now() -> float:
        return clocks[-1]()

    limiter = TokenBucket(clock=now)

    async def stop_while_waiting() -> list[asyncio.Task[float]]:
        await limiter.acquire()
        tasks = [asyncio.ensure_future(limiter.acquire("bulk")) for _ in range(3)]
        await asyncio.sleep(0)
        return tasks

    async def call() -> None:
        await limiter.acquire()
        times.append(trio.current_time())

    async def call_often() -> None:
        clocks.append(trio.current_time)
        async with trio.open_nursery() as nursery:
            for _ in range(3 * AGEING_PERIOD):
                nursery.start_soon(call)
        clocks.append(functools.partial(float, trio.current_time()))

    stopped = asyncio.new_event_loop()
    tasks = stopped.run_until_complete(stop_while_waiting())
    trio.run(call_often, clock=trio.testing.MockClock(autojump_threshold=0))
    stopped.run_until_complete(asyncio.gather(*tasks))
    stopped.close()
    # Between two of them is at most one slot of the stopped loop.
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 2 * SECOND_SLOT_SECONDS + 1e-6
