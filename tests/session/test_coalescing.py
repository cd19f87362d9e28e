"""Coalesced reads and cached replies: identical reads share one request, and a recent reply can be reused."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from tests.support.clocks import PausableClock
from worksection_async import AccessToken, ApiKey, Lane, Session, TokenBucket
from worksection_async._session.coalescing import MAX_CACHED, SharedReads
from worksection_async.errors import StateError, WaitTooLong
from worksection_async.testing import Simulator
from worksection_async.testing.faults import server_error

pytestmark = pytest.mark.anyio

INTERVAL_SECONDS = 0.1
HANG_SECONDS = 60.0
REFUSAL = b'{"status":"error","message":"Task is already closed"}'


class Service:
    """Answers every request with one task, after *gate* if there is one; records the requested actions."""

    def __init__(self) -> None:
        self.actions: list[str] = []
        self.gate: anyio.Event | None = None
        self._arrival = anyio.Event()
        self.body = b'{"status":"ok","data":[{"id":"1","name":"One","page":"/project/1/1/"}]}'

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.actions.append(request.url.params["action"])
        self._arrival.set()
        if self.gate is not None:
            await self.gate.wait()
        return httpx.Response(200, content=self.body)

    async def wait_for_requests(self, count: int) -> None:
        while len(self.actions) < count:
            self._arrival = anyio.Event()
            await self._arrival.wait()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def clock() -> PausableClock:
    return PausableClock()


@pytest.fixture
def slow_limiter(clock: PausableClock) -> TokenBucket:
    return TokenBucket(1 / INTERVAL_SECONDS, clock=clock)


@pytest.fixture
async def ws(service: Service, slow_limiter: TokenBucket) -> AsyncIterator[Session]:
    async with session(service, slow_limiter) as ws:
        yield ws


def session(service: Service, limiter: TokenBucket, **options: Any) -> Session:
    auth = options.pop("auth", ApiKey("key"))
    return Session("acme", auth, limiter=limiter, transport=httpx.MockTransport(service), **options)


class Callers:
    """Concurrent calls; each has an outcome (result or exception) and a scope that cancels it."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Any] = {}
        self.scopes: list[anyio.CancelScope] = []

    async def start(self, tasks: anyio.abc.TaskGroup, *calls: Callable[[], Any]) -> None:
        for call in calls:
            self.scopes.append(anyio.CancelScope())
            tasks.start_soon(self._run, len(self.scopes) - 1, call)
            await run_other_tasks()  # trio starts tasks in random order

    async def _run(self, number: int, call: Callable[[], Any]) -> None:
        with self.scopes[number]:
            try:
                self.outcomes[number] = await call()
            except Exception as exc:  # noqa: BLE001
                self.outcomes[number] = exc


async def run_other_tasks() -> None:
    """Let all other tasks run until they wait for a slot, a response or a lock."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def block_next_slot(limiter: TokenBucket, clock: PausableClock) -> None:
    """Use the first slot of *limiter*; the next one becomes due when the clock has been resumed."""
    clock.pause()
    await limiter.acquire()


def is_idle(limiter: TokenBucket) -> bool:
    """Whether no call waits in *limiter* and no reservation is left."""
    return not any(limiter.statistics().waiting.values()) and limiter._leader is None and limiter._held is None


# Coalescing


async def test_read_uses_one_slot(ws: Session, slow_limiter: TokenBucket) -> None:
    await ws.get_tasks(1)
    assert slow_limiter.statistics().granted == 1


async def test_identical_waiting_reads_share_one_request(
    ws: Session, service: Service, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    await block_next_slot(slow_limiter, clock)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, *[lambda: ws.get_tasks(1)] * 10)
        assert slow_limiter.statistics().waiting["normal"] == 1
        clock.resume()
    assert service.actions == ["get_tasks"]
    assert slow_limiter.statistics().saved == 9
    assert all(tasks[0].name == "One" for tasks in callers.outcomes.values())


async def test_identical_reads_in_flight_share_one_request(ws: Session, service: Service) -> None:
    service.gate = anyio.Event()
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, lambda: ws.get_tasks(1))
        assert service.actions == ["get_tasks"]
        await callers.start(tasks, lambda: ws.get_tasks(1), lambda: ws.get_tasks(1))
        service.gate.set()
    assert service.actions == ["get_tasks"]
    assert len(callers.outcomes) == 3


async def test_sequential_reads_are_separate_requests(ws: Session, service: Service, slow_limiter: TokenBucket) -> None:
    await ws.get_tasks(1)
    await ws.get_tasks(1)
    assert len(service.actions) == 2
    assert slow_limiter.statistics().saved == 0


async def test_different_reads_are_not_coalesced(service: Service, fast_limiter: TokenBucket) -> None:
    """Reads differ by parameters, action, credential or session."""
    service.gate = anyio.Event()
    callers = Callers()
    async with (
        session(service, fast_limiter) as ws,
        session(service, fast_limiter, auth=AccessToken("token")) as other,
        session(service, fast_limiter, auth=AccessToken("token")) as third,
        anyio.create_task_group() as tasks,
    ):
        await callers.start(
            tasks,
            lambda: ws.get_tasks(1),
            lambda: ws.get_tasks(2),
            lambda: ws.get_tasks(1, filter="active"),
            ws.get_all_tasks,
            lambda: other.get_tasks(1),
            lambda: third.get_tasks(1),
        )
        assert len(service.actions) == 6
        service.gate.set()


async def test_reads_with_reordered_keyword_arguments_are_coalesced(ws: Session, service: Service) -> None:
    service.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await Callers().start(
            tasks,
            lambda: ws.get_tasks(id_project=1, filter="active", extra=["text"]),
            lambda: ws.get_tasks(extra=["text"], filter="active", id_project=1),
        )
        service.gate.set()
    assert len(service.actions) == 1


async def test_models_and_raw_envelopes_are_not_coalesced(ws: Session, service: Service) -> None:
    service.gate = anyio.Event()
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, lambda: ws.get_tasks(1), lambda: ws.call("get_tasks", {"id_project": 1}))
        service.gate.set()
    assert callers.outcomes[0][0].id == 1
    assert callers.outcomes[1]["data"][0]["id"] == "1"


async def test_each_caller_gets_its_own_copy_of_the_reply(
    ws: Session, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    await block_next_slot(slow_limiter, clock)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(
            tasks, *[lambda: ws.get_tasks(1)] * 2, *[lambda: ws.call("get_tasks", {"id_project": 1})] * 2
        )
        clock.resume()
    first, second, raw, other_raw = (callers.outcomes[number] for number in range(4))
    first.clear()
    raw["data"].clear()
    assert len(second) == len(other_raw["data"]) == 1
    assert slow_limiter.statistics().saved == 2


async def test_writes_are_never_coalesced(ws: Session, service: Service) -> None:
    service.body = b'{"status":"ok","data":{"id":"1","name":"One","page":"/project/1/1/"}}'
    async with anyio.create_task_group() as tasks:
        await Callers().start(tasks, *[lambda: ws.post_task(1, "One")] * 3)
    assert service.actions == ["post_task"] * 3


async def test_without_coalescing_each_read_is_sent(ws: Session, service: Service, slow_limiter: TokenBucket) -> None:
    """`max_age` alone does not coalesce reads in flight."""
    for view in (ws.with_options(coalesce=False), ws.with_options(coalesce=False, max_age=60)):
        service.actions.clear()
        async with anyio.create_task_group() as tasks:
            await Callers().start(tasks, *[lambda view=view: view.get_tasks(1)] * 3)
        assert len(service.actions) == 3
    assert slow_limiter.statistics().saved == 0


# Cancellation


@pytest.mark.parametrize("cancelled", [[0], [2], [4], [0, 1, 2, 3], [1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("state", ["waiting", "in flight"])
async def test_cancelling_some_callers_does_not_cancel_the_read(
    cancelled: list[int], state: str, ws: Session, service: Service, *, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    callers = Callers()
    if state == "waiting":
        await block_next_slot(slow_limiter, clock)
    else:
        service.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, *[lambda: ws.get_tasks(1)] * 5)
        for number in cancelled:
            callers.scopes[number].cancel()
        await run_other_tasks()
        clock.resume()
        if service.gate:
            service.gate.set()
    assert callers.outcomes.keys() == {0, 1, 2, 3, 4} - set(cancelled)
    assert all(tasks[0].id == 1 for tasks in callers.outcomes.values())
    assert service.actions == ["get_tasks"]
    assert is_idle(slow_limiter)


async def test_read_is_not_sent_after_all_callers_were_cancelled(
    ws: Session, service: Service, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    await block_next_slot(slow_limiter, clock)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, *[lambda: ws.get_tasks(1)] * 3)
        for scope in callers.scopes:
            scope.cancel()
    await run_other_tasks()
    assert is_idle(slow_limiter)
    clock.resume()
    await anyio.sleep(1.5 * INTERVAL_SECONDS)
    assert service.actions == []
    assert [task.id for task in await ws.get_tasks(1)] == [1]


async def test_cancelled_read_is_not_joined(
    ws: Session, service: Service, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    """A caller that arrives while the last caller is being cancelled starts a new read."""
    await block_next_slot(slow_limiter, clock)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, lambda: ws.get_tasks(1))
        callers.scopes[0].cancel()
        await callers.start(tasks, lambda: ws.get_tasks(1))
        clock.resume()
    assert callers.outcomes.keys() == {1}
    assert service.actions == ["get_tasks"]


async def test_cancelling_a_caller_before_its_read_starts_leaves_nothing(
    ws: Session, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    await block_next_slot(slow_limiter, clock)
    with contextlib.suppress(TimeoutError), anyio.fail_after(0):
        await ws.get_tasks(1)
    await run_other_tasks()
    assert is_idle(slow_limiter)
    assert ws._caller.connection.reads(ws._caller.auth)._in_flight == {}


async def test_call_of_a_closed_session_leaves_the_queue(
    slow_limiter: TokenBucket, clock: PausableClock, service: Service
) -> None:
    """Otherwise the bucket, which other sessions share, would wait for a leader that never looks."""
    await block_next_slot(slow_limiter, clock)
    ws = session(service, slow_limiter)
    await ws.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await ws.get_tasks(1)
    assert is_idle(slow_limiter)
    clock.resume()
    with anyio.fail_after(HANG_SECONDS):
        await slow_limiter.acquire()


# Errors


async def test_each_caller_gets_its_own_copy_of_the_error(ws: Session, service: Service) -> None:
    service.body = REFUSAL
    service.gate = anyio.Event()
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, *[lambda: ws.get_task(1)] * 3)
        service.gate.set()
    errors = list(callers.outcomes.values())
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        assert isinstance(error, StateError)
        assert (error.action, error.message, error.sent) == ("get_task", "Task is already closed", True)
        assert str(error) == str(errors[0])
    assert service.actions == ["get_task"]


async def test_failed_read_is_not_cached(ws: Session, service: Service) -> None:
    view, body = ws.with_options(max_age=60), service.body
    service.body = REFUSAL
    with pytest.raises(StateError):
        await view.get_tasks(1)
    service.body = body
    assert len(await view.get_tasks(1)) == 1


async def test_retry_waits_for_another_slot() -> None:
    """All callers still share the one read."""
    sim, limiter = Simulator(), TokenBucket(1 / INTERVAL_SECONDS)
    sim.fail("get_users", server_error(503))
    callers = Callers()
    async with sim.session(limiter=limiter) as ws, anyio.create_task_group() as tasks:
        await callers.start(tasks, *[ws.get_users] * 3)
    assert len(sim.requests) == limiter.statistics().granted == 2
    assert len({len(users) for users in callers.outcomes.values()}) == 1


# Lanes


async def test_interactive_caller_promotes_a_waiting_read(
    ws: Session, service: Service, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    await block_next_slot(slow_limiter, clock)
    bulk, interactive = ws.with_options(lane="bulk"), ws.with_options(lane="interactive")
    async with anyio.create_task_group() as tasks:
        await Callers().start(
            tasks, *[lambda number=number: bulk.get_tasks(number) for number in (1, 2)], bulk.get_users,
        )  # fmt: skip
        await Callers().start(tasks, interactive.get_users)
        assert slow_limiter.statistics().waiting == {"interactive": 1, "normal": 0, "bulk": 2}
        clock.resume()
    assert service.actions == ["get_users", "get_tasks", "get_tasks"]


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize("lane", ["normal", "bulk"])
async def test_caller_in_a_lower_lane_does_not_demote_a_read(
    lane: Lane, ws: Session, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    await block_next_slot(slow_limiter, clock)
    async with anyio.create_task_group() as tasks:
        await Callers().start(tasks, ws.with_options(lane="interactive").get_users)
        await Callers().start(tasks, ws.with_options(lane=lane).get_users)
        assert slow_limiter.statistics().waiting == {"interactive": 1, "normal": 0, "bulk": 0}
        clock.resume()


async def test_joining_caller_raises_wait_too_long(
    ws: Session, service: Service, slow_limiter: TokenBucket, clock: PausableClock
) -> None:
    await block_next_slot(slow_limiter, clock)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, ws.get_users, ws.get_projects)
        await callers.start(tasks, ws.with_options(max_wait=0.01).get_projects)
        error = callers.outcomes[2]
        assert isinstance(error, WaitTooLong)
        assert error.eta == pytest.approx(2 * INTERVAL_SECONDS, rel=0.05)
        await callers.start(tasks, ws.with_options(max_wait=5).get_projects)
        clock.resume()
    assert callers.outcomes[1] == callers.outcomes[3]
    assert service.actions == ["get_users", "get_projects"]
    assert slow_limiter.statistics().saved == 1


# Cache


@pytest.fixture
def cache_time(ws: Session) -> list[float]:
    """The time of the reply cache (seconds), which a test can change."""
    time = [1000.0]
    ws._caller.connection.reads(ws._caller.auth)._clock = lambda: time[0]
    return time


async def test_repeated_read_is_cached_for_max_age(
    ws: Session, service: Service, slow_limiter: TokenBucket, cache_time: list[float]
) -> None:
    view = ws.with_options(max_age=60)
    first = await view.get_tasks(1)
    first.clear()
    cache_time[0] += 59
    again = await view.get_tasks(1)
    assert [task.id for task in again] == [1]
    again.clear()
    assert len(await view.get_tasks(1)) == 1
    assert len(service.actions) == 1
    assert slow_limiter.statistics().saved == 2
    cache_time[0] += 2
    await view.get_tasks(1)
    assert len(service.actions) == 2


async def test_each_view_has_its_own_max_age(ws: Session, service: Service, cache_time: list[float]) -> None:
    await ws.with_options(max_age=60).get_tasks(1)
    cache_time[0] += 10
    await ws.with_options(max_age=5).get_tasks(1)
    await ws.get_tasks(1)
    assert len(service.actions) == 3
    await ws.with_options(max_age=60, coalesce=False).get_tasks(1)
    assert len(service.actions) == 4


async def test_joining_caller_can_have_the_reply_cached(ws: Session, service: Service) -> None:
    service.gate = anyio.Event()
    caching = ws.with_options(max_age=60)
    async with anyio.create_task_group() as tasks:
        await Callers().start(tasks, lambda: ws.get_tasks(1), lambda: caching.get_tasks(1))
        service.gate.set()
    await caching.get_tasks(1)
    assert len(service.actions) == 1


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize("through", ["the session", "another view", "an action unknown to this release"])
async def test_write_invalidates_the_cache(through: str, ws: Session, service: Service) -> None:
    view = ws.with_options(max_age=math.inf)
    await view.get_tasks(1)
    if through == "the session":
        await ws.complete_task(1)
    elif through == "another view":
        await ws.with_options(lane="bulk").complete_task(1)
    else:
        await ws.call("frobnicate_tasks", unchecked=True)
    await view.get_tasks(1)
    assert service.actions.count("get_tasks") == 2


async def test_failed_write_invalidates_the_cache(ws: Session, service: Service) -> None:
    view = ws.with_options(max_age=math.inf)
    await view.get_tasks(1)
    body, service.body = service.body, REFUSAL
    with pytest.raises(StateError):
        await ws.reopen_task(1)
    service.body = body
    await view.get_tasks(1)
    assert service.actions.count("get_tasks") == 2


async def test_read_in_flight_during_a_write_is_neither_cached_nor_joined(ws: Session, service: Service) -> None:
    """Such a read may return the state before the write: only the callers that started it get that reply."""
    service.gate = anyio.Event()
    view = ws.with_options(max_age=math.inf)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, lambda: view.get_tasks(1))
        await callers.start(tasks, lambda: ws.complete_task(1))
        await callers.start(tasks, lambda: view.get_tasks(1))
        with anyio.fail_after(HANG_SECONDS):
            await service.wait_for_requests(3)
        assert service.actions == ["get_tasks", "complete_task", "get_tasks"]
        service.gate.set()
    await view.get_tasks(1)
    assert service.actions.count("get_tasks") == 3


async def test_number_of_cached_replies_is_limited(service: Service, fast_limiter: TokenBucket) -> None:
    async with session(service, fast_limiter) as ws:
        view = ws.with_options(max_age=math.inf)
        for number in range(MAX_CACHED + 10):
            await view.get_tasks(number + 1)
        assert len(ws._caller.connection.reads(ws._caller.auth)._cached) == MAX_CACHED
        await view.get_tasks(MAX_CACHED + 10)
        assert len(service.actions) == MAX_CACHED + 10
        await view.get_tasks(1)
        assert len(service.actions) == MAX_CACHED + 11


# Several event loops


def test_reads_are_not_shared_between_event_loops(fast_limiter: TokenBucket) -> None:
    """A task can be awaited in its own event loop only, so each loop has its own reads."""
    service = Service()
    ws = session(service, fast_limiter)
    barrier = threading.Barrier(4)
    counts: list[int] = []

    async def work() -> None:
        for _ in range(20):
            await anyio.to_thread.run_sync(barrier.wait)
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(read)

    async def read() -> None:
        counts.append(len(await ws.get_tasks(1)))

    threads = [
        threading.Thread(target=anyio.run, args=(work,), kwargs={"backend": name}) for name in ("asyncio", "trio") * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)
    assert counts == [1] * 240
    assert 80 <= len(service.actions) <= 240
    assert ws._caller.connection.reads(ws._caller.auth)._in_flight == {}


def test_threads_can_fill_one_cache(fast_limiter: TokenBucket, frequent_thread_switches: None) -> None:
    reads = SharedReads(fast_limiter, time.monotonic)

    def fill(thread: int) -> None:
        for number in range(50_000):
            reads._cache((thread, number), "reply", reads._generation)

    with ThreadPoolExecutor() as threads:
        list(threads.map(fill, range(2)))
    assert len(reads._cached) == MAX_CACHED


@pytest.fixture
def frequent_thread_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
