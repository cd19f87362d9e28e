"""The queue and the bucket: the arithmetic without a loop, the waiting on a virtual clock, the sharing for real."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading

import anyio
import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st
from virtual_time import on_virtual_time

from worksection_async import ApiKey, Lane, Session, TokenBucket, Waiting
from worksection_async._bucket import shared
from worksection_async._budget import AHEAD
from worksection_async._pace import FIRST_MARGIN, LEAST_MARGIN, LONGEST_PUSH, Pace, Slot
from worksection_async._queue import LANES, PATIENCE, Waiter
from worksection_async.errors import InvalidCall, WaitTooLong


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


def test_a_turn_nobody_wants_any_more_is_given_back() -> None:
    async def main() -> None:
        limiter = bucket()
        waiter = limiter.enter()
        assert waiter.granted_at is not None
        await limiter.leave(waiter)
        assert limiter.statistics().granted == 0
        start = trio.current_time()
        await limiter.acquire()
        assert trio.current_time() == start

    on_virtual_time(main)


def test_a_turn_handed_on_late_is_as_old_as_it_is() -> None:
    """So that whoever sends on it tells by how much it was late, and the next one keeps its distance."""

    async def main() -> None:
        limiter = bucket()
        first, second = limiter.enter(), limiter.enter()
        start = trio.current_time()
        await trio.sleep(0.4)
        await limiter.leave(first)
        assert limiter.statistics().waiting["normal"] == 0
        assert await limiter.wait(second) == start

    on_virtual_time(main)


def test_a_turn_of_old_is_not_handed_on() -> None:
    """Others may be on their way by then."""

    async def main() -> None:
        limiter = bucket()
        first, second = limiter.enter(), limiter.enter()
        start = trio.current_time()
        await trio.sleep(0.6)
        await limiter.leave(first)
        assert await limiter.wait(second) == pytest.approx(start + 1 + FIRST_MARGIN)

    on_virtual_time(main)


def test_a_request_that_leaves_late_holds_up_the_next_turn() -> None:
    """A handshake of 0.4 s, and be it the very first: the interval counts from when the request left."""

    async def main() -> None:
        limiter, start = bucket(), trio.current_time()
        granted_at = await limiter.acquire()
        await trio.sleep(0.4)
        await limiter.sent(granted_at)
        await limiter.acquire()
        assert trio.current_time() - start == pytest.approx(1.4, abs=0.1)
        assert trio.current_time() - start >= 1.4

    on_virtual_time(main)


def test_what_delays_all_requests_alike_costs_no_slots() -> None:
    """With every request leaving 30 ms after its turn, 100 turns take hardly more than 100 intervals."""

    async def main() -> None:
        limiter, start = bucket(), trio.current_time()
        for _ in range(100):
            granted_at = await limiter.acquire()
            await trio.sleep(0.03)
            await limiter.sent(granted_at)
        assert trio.current_time() - start <= 99 * (1 + LEAST_MARGIN) + 1.5

    on_virtual_time(main)


def test_on_wait_tells_how_the_queue_moves() -> None:
    """Positions fall to 0 one by one, and so does the forecast; without a wait nothing is told."""

    async def main() -> None:
        limiter = bucket()
        told: list[Waiting] = []
        await limiter.acquire(on_wait=told.append)
        assert told == []
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(limiter.acquire)
                await trio.testing.wait_all_tasks_blocked()
            tasks.start_soon(lambda: limiter.acquire("normal", on_wait=told.append))
        assert [waiting.position for waiting in told] == [4, 3, 2, 1, 0]
        assert [waiting.eta for waiting in told] == [pytest.approx(eta, rel=0.15) for eta in (5, 4, 3, 2, 1)]
        assert {waiting.lane for waiting in told} == {"normal"}

    on_virtual_time(main)


def test_on_wait_tells_when_somebody_came_first() -> None:
    async def main() -> None:
        limiter = bucket()
        told: list[Waiting] = []
        await limiter.acquire()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: limiter.acquire("bulk", on_wait=told.append))
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(3):
                tasks.start_soon(limiter.acquire, "interactive")
        assert [waiting.position for waiting in told] == [0, 2, 1, 0]

    on_virtual_time(main)


def test_an_on_wait_that_fails_takes_only_its_own_call_along() -> None:
    async def main() -> None:
        limiter = bucket()
        await limiter.acquire()

        def fail(_: Waiting) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            await limiter.acquire(on_wait=fail)
        assert limiter.statistics().waiting["normal"] == 0
        with anyio.fail_after(2):
            await limiter.acquire()

    on_virtual_time(main)


def test_statistics_tell_how_things_stand() -> None:
    async def main() -> None:
        limiter = bucket()
        fresh = limiter.statistics()
        assert (fresh.next_slot, fresh.granted, fresh.utilisation, fresh.margin) == (0, 0, 0, FIRST_MARGIN)
        for _ in range(30):
            await limiter.acquire()
        busy = limiter.statistics()
        assert busy.granted == 30
        assert 0.95 <= busy.utilisation <= 1
        assert busy.next_slot == pytest.approx(1, abs=0.02)
        assert busy.margin == pytest.approx(LEAST_MARGIN)
        await trio.sleep(29)
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

    on_virtual_time(main)


def test_an_interactive_call_waits_two_slots_at_most_behind_a_thousand() -> None:
    async def main() -> None:
        limiter = bucket()
        async with anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(limiter.acquire, "bulk")
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(3 * PATIENCE):
                start = trio.current_time()
                await limiter.acquire("interactive")
                assert trio.current_time() - start <= 2 * (1 + FIRST_MARGIN)
            tasks.cancel_scope.cancel()

    on_virtual_time(main)


@pytest.mark.parametrize("count", [1000, 10_000])
def test_wake_ups_grow_with_the_number_of_waiters_and_no_faster(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waiter sleeps twice: as one of many, and as the one who holds the reservation."""
    naps = looks = 0
    nap, look = Waiter.nap, Waiter._look

    async def counted(self: Waiter, seconds: float) -> None:
        nonlocal naps
        naps += 1
        await nap(self, seconds)

    def looked(self: Waiter) -> None:
        nonlocal looks
        looks += 1
        look(self)

    async def main() -> None:
        limiter = bucket(rate=1000)
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(limiter.acquire)
        assert limiter.statistics().granted == count

    monkeypatch.setattr(Waiter, "nap", counted)
    monkeypatch.setattr(Waiter, "_look", looked)
    on_virtual_time(main)
    assert naps <= 2 * count
    assert looks <= 2 * count


def test_cancelling_wakes_nobody_but_a_new_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[Waiter] = []
    wake = Waiter.wake

    def noted(self: Waiter) -> None:
        woken.append(self)
        wake(self)

    monkeypatch.setattr(Waiter, "wake", noted)

    async def main() -> None:
        limiter = bucket()

        async def call(scope: anyio.CancelScope) -> None:
            with scope:
                await limiter.acquire()

        await limiter.acquire()
        async with anyio.create_task_group() as tasks:
            scopes = [anyio.CancelScope() for _ in range(50)]
            for scope in scopes:
                tasks.start_soon(call, scope)
                await trio.testing.wait_all_tasks_blocked()
            leader, *crowd, _ = scopes
            for scope in crowd:
                scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert woken == []
            leader.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert len(woken) == 1

    on_virtual_time(main)


# Any interleaving


STEP = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(LANES)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("sleep"), st.floats(0, 3)),
    st.tuples(st.just("push"), st.none() | st.floats(0, 4)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=5, max_size=60), st.lists(st.floats(0, 0.9), min_size=1, max_size=10))
@example([("push", AHEAD), ("call", "interactive"), ("cancel", 0), ("push", None)], [0.0])
def test_whatever_callers_do_the_promises_hold(steps: list[tuple[str, object]], lags: list[float]) -> None:
    """Calls come, are given up, are refused and leave late, in any order.

    No two requests leave closer than the interval; every call that was not given up gets one turn; inside a lane
    the order is that of the calls; an interactive call sees two others go first at most, and bulk goes on.
    """
    on_virtual_time(Interleaving(steps, lags).run)


class Interleaving:
    def __init__(self, steps: list[tuple[str, object]], lags: list[float]) -> None:
        self.steps, self.lags = steps, itertools.cycle(lags)
        self.calls: list[Lane] = []
        self.scopes: list[anyio.CancelScope] = []
        self.left: list[float] = []
        self.went: list[int] = []
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
                elif name == "push":
                    await self.limiter.refused(value)  # type: ignore[arg-type]
                elif name == "sleep":
                    await trio.sleep(value)  # type: ignore[arg-type]
                if name != "cancel":
                    await trio.testing.wait_all_tasks_blocked()
        self.check()

    async def call(self, number: int) -> None:
        lane = self.calls[number]
        with self.scopes[number]:
            self.ahead[number], self.older[number] = [], sum(self.limiter.statistics().waiting.values())
            granted_at = await self.limiter.acquire(lane)
            self.went.append(number)
            for other in self.ahead.keys() - set(self.went):
                self.ahead[other].append(lane)
            with anyio.CancelScope(shield=True):
                await self.leave(granted_at)

    async def leave(self, granted_at: float) -> None:
        """The request leaves late, and says so."""
        await trio.sleep(next(self.lags))
        self.left.append(trio.current_time())
        await self.limiter.sent(granted_at)

    def check(self) -> None:
        gaps = [later - earlier for earlier, later in itertools.pairwise(sorted(self.left))]
        assert all(gap >= 1 - 1e-6 for gap in gaps), gaps
        stayed = [number for number, scope in enumerate(self.scopes) if not scope.cancel_called]
        assert len(set(self.went)) == len(self.went)
        assert set(stayed) <= set(self.went)
        for lane in LANES:
            order = [number for number in self.went if self.calls[number] == lane]
            assert order == sorted(order)
        for number in self.went:
            ahead = self.ahead[number]
            assert len(ahead) <= PATIENCE * (self.older[number] + 1)
            if self.calls[number] == "interactive":
                assert len(ahead) - ahead.count("interactive") <= 1 + ahead.count("interactive") // (PATIENCE - 1)
        statistics = self.limiter.statistics()
        assert statistics.granted == len(self.went)
        assert not any(statistics.waiting.values())
        assert self.limiter._leader is None
        assert self.limiter._held is None


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


def test_waiters_behind_a_dead_leader_go_on_when_the_next_call_comes() -> None:
    """Its loop was closed under it while others, in other threads, waited behind it; one of those is dead as well."""
    limiter = TokenBucket(rate=50)
    turns: list[float] = []

    async def abandon() -> None:
        await limiter.acquire()
        for _ in range(2):
            limiter.enter()

    def follow() -> None:
        anyio.run(followed)

    async def followed() -> None:
        with anyio.fail_after(10):
            turns.append(await limiter.acquire())

    loop = asyncio.new_event_loop()
    loop.run_until_complete(abandon())
    thread = threading.Thread(target=follow)
    thread.start()
    while limiter.statistics().waiting["normal"] < 3:
        pass
    loop.close()
    anyio.run(limiter.acquire, backend="trio")
    thread.join(10)
    assert len(turns) == 1
    assert limiter.statistics().waiting["normal"] == 0


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidCall, match="max_wait must not be negative"):
        Session("acme", ApiKey("a"), max_wait=-1)
    session = Session("acme", ApiKey("a"), max_wait=2)
    for options in (
        {"lane": "fast"},
        {"max_wait": -0.1},
        {"max_age": -1},
        {"max_age": math.nan},
        {"max_wait": math.nan},
    ):
        with pytest.raises(InvalidCall, match=next(iter(options))):
            session.with_options(**options)
    assert session.with_options(max_wait=None, lane="bulk").limiter is session.limiter
