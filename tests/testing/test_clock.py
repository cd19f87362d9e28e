"""The virtual clock: one time for the session, the limiter, tokens, watches, the simulator and the event loop."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
import trio
import trio.testing
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from worksection_async import ApiKey, FileTokenBucket, FileTokenStore, MemoryTokenStore, OAuth2, Session
from worksection_async._transport.clock import is_jumping
from worksection_async._transport.tasks import THREAD_THRESHOLD_BYTES
from worksection_async.errors import CallTimeout, InvalidCall
from worksection_async.testing import Simulator, VirtualClock, faults

HOUR, DAY = 3600.0, 86_400.0
EXACTLY = 1e-6
"""Seconds; times that are sums of many waits differ in their last digits."""


def virtual(**options: Any) -> Simulator:
    return Simulator(clock=VirtualClock(), **options)


# The clock and the event loop


@pytest.mark.anyio
async def test_sleeping_takes_virtual_time_only() -> None:
    async with virtual() as sim:
        began, loop_began, unix_began = sim.clock.monotonic(), anyio.current_time(), sim.clock.time()
        await anyio.sleep(30 * DAY)
        assert sim.clock.monotonic() - began == pytest.approx(30 * DAY, abs=EXACTLY)
        assert sim.clock.time() - unix_began == pytest.approx(30 * DAY, abs=EXACTLY)
        assert anyio.current_time() - loop_began == pytest.approx(30 * DAY, abs=EXACTLY)


@pytest.mark.anyio
async def test_time_passes_where_floating_point_numbers_are_coarse() -> None:
    """The clock of a machine that has been up for years cannot express a nanosecond, the resolution of a loop."""
    async with virtual(rate=3.0) as sim, sim.session() as ws:
        sim.advance(days=1500)
        began = sim.clock.monotonic()
        for _ in range(10):
            await ws.get_projects()
        assert sim.clock.monotonic() - began == pytest.approx(3.0, abs=0.2)


@pytest.mark.anyio
async def test_tasks_wake_in_the_order_of_their_deadlines() -> None:
    woken: list[tuple[float, float]] = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        woken.append((seconds, sim.clock.monotonic()))

    async with virtual() as sim, anyio.create_task_group() as tasks:
        for seconds in (3.0, 1.0, 2.0):
            tasks.start_soon(sleep, seconds)
    assert [seconds for seconds, _ in woken] == [1.0, 2.0, 3.0]
    assert all(at == pytest.approx(seconds, abs=EXACTLY) for seconds, at in woken)


@pytest.mark.anyio
async def test_timeouts_that_began_before_expire_at_their_time() -> None:
    with anyio.move_on_after(100) as scope:
        async with virtual() as sim:
            await anyio.sleep(99)
            assert sim.clock.monotonic() == pytest.approx(99, abs=EXACTLY)
            await anyio.sleep(99)
    assert scope.cancelled_caught
    assert sim.clock.monotonic() == pytest.approx(100, abs=1)


@pytest.mark.anyio
async def test_after_the_end_of_the_simulator_time_passes_by_itself() -> None:
    """The time of the loop continues where it was; it does not go back."""
    assert not is_jumping()
    async with virtual():
        assert is_jumping()
        await anyio.sleep(DAY)
        before = anyio.current_time()
    assert not is_jumping()
    assert before <= anyio.current_time() < before + HOUR
    await anyio.sleep(0.001)
    assert before < anyio.current_time() < before + HOUR


@pytest.mark.anyio
async def test_a_second_simulator_has_a_clock_of_its_own_in_the_same_loop() -> None:
    """As in tests that share an event loop."""
    for _ in range(2):
        async with virtual() as sim:
            await anyio.sleep(DAY)
            assert sim.clock.monotonic() == pytest.approx(DAY, abs=EXACTLY)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_several_event_loops_use_one_clock_one_after_the_other(backend: str) -> None:
    """Without ``async with sim`` the clock begins to jump with the first call."""
    sim = virtual(rate=1.0)
    ws = sim.session()

    async def main() -> None:
        await ws.get_tasks(26)
        await anyio.sleep(10)

    for _ in range(3):
        anyio.run(main, backend=backend)
    assert [request.arrived_at for request in sim.requests] == pytest.approx([0, 10, 20], abs=EXACTLY)


def test_the_clock_jumps_in_a_loop_in_another_thread() -> None:
    sim = virtual(rate=1.0)
    with anyio.from_thread.start_blocking_portal() as portal:
        ws = sim.session()
        for _ in range(3):
            portal.call(ws.get_tasks, 26)
        sim.advance(hours=1)
        portal.call(ws.get_tasks, 26)
    assert [round(request.arrived_at) for request in sim.requests] == [0, 1, 2, 3602]


def test_a_mock_clock_of_the_test_is_used_and_then_restored() -> None:
    clock = trio.testing.MockClock(rate=0.5, autojump_threshold=10)

    async def main() -> None:
        async with virtual() as sim:
            assert trio.lowlevel.current_clock() is clock
            began = trio.current_time()
            await trio.sleep(DAY)
            assert trio.current_time() - began == sim.clock.monotonic() == DAY
        assert (clock.rate, clock.autojump_threshold) == (0.5, 10)

    trio.run(main, clock=clock)


def test_a_loop_whose_time_cannot_be_replaced_is_refused() -> None:
    class OtherLoop(asyncio.SelectorEventLoop):
        """Like uvloop, it waits in other code than that of asyncio."""

    async def main(loop: Any) -> None:
        selector = loop.__dict__.pop("_selector")
        try:
            with pytest.raises(InvalidCall, match=r"tests\.testing\.test_clock loop.* use a loop of asyncio, or trio"):
                VirtualClock().monotonic()
        finally:
            loop._selector = selector

    with asyncio.Runner(loop_factory=OtherLoop) as runner:
        runner.run(main(runner.get_loop()))


# advance


@pytest.mark.anyio
async def test_advance_expires_tokens() -> None:
    async with virtual() as sim:
        store = MemoryTokenStore(sim.issue_pair())
        async with sim.session(OAuth2(sim.oauth_app(), store)) as ws:
            refreshes = []
            for hours in (0, 25, 1, 25):
                sim.advance(hours=hours)
                await ws.me()
                refreshes.append(sim.oauth.refreshes)
        assert refreshes == [0, 1, 1, 2]
        assert all(request.status == 200 for request in sim.requests), "the client knows that the token has expired"
        token = await store.load()
        assert token is not None
        assert token.expires_at == pytest.approx(sim.clock.time() + sim.oauth.access_seconds)


@pytest.mark.anyio
async def test_advance_expires_cached_replies_and_wakes_sleepers() -> None:
    async with virtual() as sim, sim.session() as ws, anyio.create_task_group() as tasks:
        cached, counts = ws.with_options(max_age=60), []
        tasks.start_soon(anyio.sleep, 60)
        await anyio.wait_all_tasks_blocked()
        for seconds in (0, 59, 1):
            sim.advance(seconds=seconds)
            await cached.get_users()
            counts.append(len(sim.requests))
    assert counts == [1, 1, 2]
    assert sim.clock.monotonic() == pytest.approx(60, abs=EXACTLY)


def test_advance_is_refused_without_a_virtual_clock_and_backwards() -> None:
    with pytest.raises(InvalidCall, match=r"needs a virtual clock: Simulator\(clock=VirtualClock\(\)\)"):
        Simulator().advance(hours=1)
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidCall, match="cannot advance by"):
            VirtualClock().advance(seconds)


# What follows the clock


def arrivals(backend: str) -> list[tuple[str, float]]:
    """Make 120 calls of two lanes, which join the queue ten times faster than they leave it."""
    sim = virtual(rate=1.0)

    async def main() -> None:
        async with sim, sim.session(coalesce=False) as ws, anyio.create_task_group() as tasks:
            bulk = ws.with_options(lane="bulk")
            for number in range(40):
                for call in (lambda: ws.get_tasks(26), lambda: bulk.get_comments(2601), bulk.get_users):
                    tasks.start_soon(call)
                    await anyio.wait_all_tasks_blocked()  # trio starts tasks in a random order
                await anyio.sleep(0.1 + number / 1000)

    anyio.run(main, backend=backend)
    assert all(request.accepted for request in sim.requests)
    return [(request.action, request.arrived_at) for request in sim.requests]


def test_a_job_at_the_rate_limit_has_the_same_order_and_times_on_both_event_loops() -> None:
    on_asyncio, on_trio = arrivals("asyncio"), arrivals("trio")
    assert len(on_asyncio) == 120
    assert [action for action, _ in on_asyncio] == [action for action, _ in on_trio]
    times = [at for _, at in on_asyncio]
    assert times == pytest.approx([at for _, at in on_trio], abs=EXACTLY)
    assert 119 < times[-1] - times[0] < 125


@pytest.mark.anyio
async def test_large_replies_and_files_take_no_virtual_time(tmp_path: Path) -> None:
    """They are decoded and written without a thread: while it worked, the clock would jump to the next deadline."""
    async with virtual(rate=1.0) as sim:
        project = sim.add_project("Large", text="")
        for number in range(200):
            sim.add_task(project, f"{number}", text="x" * (THREAD_THRESHOLD_BYTES // 100))
        store = FileTokenStore(tmp_path / "token")
        await store.save(sim.issue_pair())
        limiter = FileTokenBucket(tmp_path / "bucket", clock=sim.clock.monotonic)
        async with sim.session(OAuth2(sim.oauth_app(), store), limiter=limiter, coalesce=False) as ws:
            for _ in range(3):
                assert len(await ws.get_tasks(project.id, extra=["text"])) == 200
            await ws.download(16246, tmp_path)
        assert [round(request.arrived_at) for request in sim.requests] == [0, 1, 2, 3]


@pytest.mark.anyio
async def test_retries_and_pauses_of_the_service_follow_the_clock() -> None:
    async with virtual() as sim, sim.session() as ws:
        sim.fail("get_users", faults.server_error(502), times=3)
        await ws.get_users()
        assert 1 < sim.requests[-1].arrived_at - sim.requests[0].arrived_at < 60
        sim.requests.clear()
        sim.fail("get_users", faults.too_many_requests(retry_after=30))
        await ws.get_users()
        first, second = (request.arrived_at for request in sim.requests)
        assert second - first == pytest.approx(30, abs=0.5)


@pytest.mark.anyio
async def test_timeouts_follow_the_clock() -> None:
    async with virtual() as sim, sim.session(timeout=20, retries=0) as ws:
        sim.fail("get_users", faults.delay(1000))
        began = sim.clock.monotonic()
        with pytest.raises(CallTimeout):
            await ws.get_users()
        assert sim.clock.monotonic() - began == pytest.approx(20, abs=EXACTLY)


@pytest.mark.anyio
async def test_a_watch_polls_by_the_clock() -> None:
    async with virtual() as sim, sim.session() as ws:
        with anyio.move_on_after(HOUR - 1):
            async for _ in ws.watch(every=60):
                pass
        times = [request.arrived_at for request in sim.requests]
        assert times == pytest.approx([60 * number for number in range(60)], abs=EXACTLY)


@pytest.mark.anyio
async def test_timeouts_of_webhooks_follow_the_clock() -> None:
    is_hanging = False

    async def receiver(scope: Scope, receive: Receive, send: Send) -> None:
        if is_hanging:
            await anyio.sleep_forever()
        await PlainTextResponse('{"status":"OK"}')(scope, receive, send)

    async with virtual() as sim, sim.session() as ws:
        sim.connect("https://hooks.test", receiver)
        await ws.add_webhook("https://hooks.test/", ["post_task"])
        await ws.post_task(26, "News")
        is_hanging, began = True, sim.clock.monotonic()
        (delivery,) = await sim.deliver()
        assert delivery.error.startswith("no reply within")
        assert sim.clock.monotonic() - began == pytest.approx(sim._deliveries.seconds, abs=EXACTLY)


@pytest.mark.anyio
async def test_a_session_over_the_transport_alone_follows_the_clock() -> None:
    """Its limiter, too: the limiter that all sessions of this machine share has the time of the machine."""
    async with virtual(rate=1.0) as sim:
        async with Session("http://127.0.0.1", ApiKey(sim.api_key), transport=sim.transport(), coalesce=False) as ws:
            for _ in range(3):
                await ws.get_users()
        assert [round(request.arrived_at) for request in sim.requests] == [0, 1, 2]


def test_a_simulator_with_a_virtual_clock_is_not_served_on_a_socket() -> None:
    with pytest.raises(InvalidCall, match="in process only"):
        virtual().serve()


def test_a_clock_can_begin_at_a_given_time() -> None:
    sim = Simulator(seed="empty", clock=VirtualClock(1_780_000_000.0))
    assert sim.add_project("One").date_added == dt.datetime(2026, 5, 28, 20, 26)
    assert repr(sim.clock) == "<VirtualClock 0.000 s after the start>"
