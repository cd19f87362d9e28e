"""The queue and the bucket: the arithmetic without a loop, the waiting on a virtual clock, the sharing for real."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest
import trio
import trio.testing

from worksection_async import ApiKey, Lane, Session, TokenBucket, Waiting
from worksection_async._bucket import shared
from worksection_async._pace import FIRST_MARGIN, LONGEST_PUSH, Pace, Slot
from worksection_async._queue import Waiter
from worksection_async.errors import WaitTooLong


def on_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main* where sleeping takes no time."""

    async def run() -> None:
        await main()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def bucket(rate: float = 1.0, burst: int = 1) -> TokenBucket:
    return TokenBucket(rate, burst, clock=trio.current_time)


# Waiting


def test_calls_go_one_per_interval_in_the_order_they_came() -> None:
    async def main() -> None:
        limiter, went = bucket(), []

        async def call(number: int) -> None:
            await limiter.acquire()
            went.append((number, trio.current_time()))

        start = trio.current_time()
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(call, number)
                await trio.testing.wait_all_tasks_blocked()
        assert [number for number, _ in went] == list(range(20))
        assert all(1.0 <= later - earlier <= 1 + FIRST_MARGIN for (_, earlier), (_, later) in itertools.pairwise(went))
        assert went[0][1] == start

    on_virtual_time(main)


def test_a_newcomer_in_a_better_lane_goes_first() -> None:
    async def main() -> None:
        limiter, went = bucket(), []

        async def call(lane: Lane) -> None:
            await limiter.acquire(lane)
            went.append(lane)

        await limiter.acquire()
        async with anyio.create_task_group() as tasks:
            for lane in ("bulk", "bulk", "normal", "interactive"):
                tasks.start_soon(call, lane)
                await trio.testing.wait_all_tasks_blocked()
        assert went == ["interactive", "normal", "bulk", "bulk"]

    on_virtual_time(main)


def test_a_cancelled_waiter_costs_no_slot() -> None:
    """Of ten waiters nine are cancelled, the head among them: the tenth gets the very next slot."""

    async def main() -> None:
        limiter, went = bucket(), []

        async def call(scope: anyio.CancelScope) -> None:
            with scope:
                await limiter.acquire()
                went.append(trio.current_time())

        start = trio.current_time()
        await limiter.acquire()
        scopes = [anyio.CancelScope() for _ in range(10)]
        async with anyio.create_task_group() as tasks:
            for scope in scopes:
                tasks.start_soon(call, scope)
                await trio.testing.wait_all_tasks_blocked()
            for scope in scopes[:9]:
                scope.cancel()
        assert [at - start for at in went] == [pytest.approx(1 + FIRST_MARGIN)]
        assert limiter.statistics().waiting == {"interactive": 0, "normal": 0, "bulk": 0}

    on_virtual_time(main)


def test_nobody_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred waiters wake up about once each, not at every slot."""
    naps = 0
    nap = Waiter.nap

    async def counted(self: Waiter, seconds: float) -> None:
        nonlocal naps
        naps += 1
        await nap(self, seconds)

    async def main() -> None:
        limiter = bucket()
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(limiter.acquire)

    monkeypatch.setattr(Waiter, "nap", counted)
    on_virtual_time(main)
    assert naps <= 2 * 100


def test_a_refusal_holds_everybody_back_but_not_for_ever() -> None:
    async def main() -> None:
        limiter = bucket()
        start = trio.current_time()
        await limiter.refused(retry_after=5)
        await limiter.acquire()
        assert trio.current_time() - start == pytest.approx(5)
        await limiter.refused(retry_after=48 * 3600)
        await limiter.acquire()
        assert trio.current_time() - start == pytest.approx(5 + LONGEST_PUSH, abs=0.1)
        assert limiter.statistics().refused == 2

    on_virtual_time(main)


def test_max_wait_refuses_at_once_with_the_forecast() -> None:
    async def main() -> None:
        limiter = bucket()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(limiter.acquire)
            await trio.testing.wait_all_tasks_blocked()
            start = trio.current_time()
            with pytest.raises(WaitTooLong, match=r"me: a turn is 5\.") as caught:
                await limiter.acquire(max_wait=3, action="me")
            assert caught.value.eta == pytest.approx(5, abs=0.1)
            assert not caught.value.sent
            assert trio.current_time() == start
            await limiter.acquire("interactive", max_wait=3)

    on_virtual_time(main)


def test_max_wait_holds_even_when_better_lanes_fill_up_later() -> None:
    async def main() -> None:
        limiter = bucket()
        await limiter.acquire()
        outcome: list[float] = []

        async def patient() -> None:
            with pytest.raises(WaitTooLong):
                await limiter.acquire("bulk", max_wait=3)
            outcome.append(trio.current_time())

        start = trio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(patient)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(6):
                tasks.start_soon(limiter.acquire, "interactive")
        assert outcome == [pytest.approx(start + 3)]

    on_virtual_time(main)


def test_the_forecast_is_what_happens() -> None:
    async def main() -> None:
        limiter = bucket(rate=2)
        await limiter.acquire()
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(limiter.acquire)
            await trio.testing.wait_all_tasks_blocked()
            eta, start = limiter.eta(), trio.current_time()
            await limiter.acquire()
            assert trio.current_time() - start == pytest.approx(eta, rel=0.08) == pytest.approx(2.5, rel=0.08)

    on_virtual_time(main)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_makes_no_sense_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate must be a positive number"):
        TokenBucket(rate)


def test_other_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="burst"):
        TokenBucket(1, burst=0)

    async def main() -> None:
        with pytest.raises(ValueError, match="lane must be one of interactive, normal, bulk"):
            await bucket().acquire("fast")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="max_wait"):
            await bucket().acquire(max_wait=-1)

    on_virtual_time(main)


# Sharing


def test_sessions_of_one_account_share_a_bucket_without_being_asked() -> None:
    first, second = Session("acme", ApiKey("a")), Session("https://ACME.worksection.com/", ApiKey("b"))
    assert first.limiter is second.limiter is shared("https://acme.worksection.com")
    assert Session("other", ApiKey("a")).limiter is not first.limiter


def test_threads_with_loops_of_their_own_share_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads, two on asyncio and two on trio: all get their turns, no two of them closer than the interval."""
    limiter = TokenBucket(rate=200)
    went: list[float] = []
    use = Pace.use

    def noted(self: Pace, slot: Slot, now: float) -> None:
        went.append(now)
        use(self, slot, now)

    monkeypatch.setattr(Pace, "use", noted)

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
        thread.join(30)
    assert len(went) == limiter.statistics().granted == 100
    assert min(later - earlier for earlier, later in itertools.pairwise(went)) >= 1 / 200 - 1e-9


def test_a_loop_that_ended_does_not_hold_up_the_others() -> None:
    """A waiter whose event loop was closed under it is skipped."""
    limiter = TokenBucket(rate=50)

    async def abandon() -> None:
        await limiter.acquire()
        limiter.enter("interactive")

    anyio.run(abandon)
    assert limiter.statistics().waiting["interactive"] == 1

    async def call() -> None:
        with anyio.fail_after(5):
            await limiter.acquire()

    anyio.run(call)
