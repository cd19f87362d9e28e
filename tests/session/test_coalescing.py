"""Fewer requests: reads at one time that are identical become one, and a repeated one can come from memory."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from worksection_async import AccessToken, ApiKey, Lane, Session, TokenBucket
from worksection_async._session.coalescing import MAX_CACHED
from worksection_async.errors import StateError, WaitTooLong
from worksection_async.testing import Simulator
from worksection_async.testing.faults import server_error

pytestmark = pytest.mark.anyio

INTERVAL = 0.1
REFUSAL = b'{"status":"error","message":"Task is already closed"}'


class Service:
    """Answers every read with one task, when it is let; counts what came."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.gate: anyio.Event | None = None
        self.body = b'{"status":"ok","data":[{"id":"1","name":"One","page":"/project/1/1/"}]}'

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.came.append(request.url.params["action"])
        if self.gate is not None:
            await self.gate.wait()
        return httpx.Response(200, content=self.body)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def slow() -> TokenBucket:
    return TokenBucket(1 / INTERVAL)


@pytest.fixture
async def ws(service: Service, slow: TokenBucket) -> AsyncIterator[Session]:
    async with session(service, slow) as ws:
        yield ws


def session(service: Service, limiter: TokenBucket, **options: Any) -> Session:
    auth = options.pop("auth", ApiKey("key"))
    return Session("acme", auth, limiter=limiter, transport=httpx.MockTransport(service), **options)


class Callers:
    """Calls made at one time, each with an outcome and a way to give it up."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Any] = {}
        self.scopes: list[anyio.CancelScope] = []

    async def start(self, tasks: anyio.abc.TaskGroup, *calls: Callable[[], Any]) -> None:
        for call in calls:
            self.scopes.append(anyio.CancelScope())
            tasks.start_soon(self._run, len(self.scopes) - 1, call)
            await settle()  # trio starts tasks in any order

    async def _run(self, number: int, call: Callable[[], Any]) -> None:
        with self.scopes[number]:
            try:
                self.outcomes[number] = await call()
            except Exception as exc:  # noqa: BLE001
                self.outcomes[number] = exc


async def settle() -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


def nobody_waits(limiter: TokenBucket) -> bool:
    return not any(limiter.statistics().waiting.values()) and limiter._leader is None and limiter._held is None


async def taken(limiter: TokenBucket) -> None:
    """Let the next call wait for its turn."""
    await limiter.acquire()


# One request for all


async def test_a_read_takes_one_turn(ws: Session, slow: TokenBucket) -> None:
    await ws.get_tasks(1)
    assert slow.statistics().granted == 1


async def test_identical_reads_that_wait_become_one_request(ws: Session, service: Service, slow: TokenBucket) -> None:
    await taken(slow)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, *[lambda: ws.get_tasks(1)] * 10)
        assert slow.statistics().waiting["normal"] == 1
    assert service.came == ["get_tasks"]
    assert slow.statistics().saved == 9
    assert all(tasks[0].name == "One" for tasks in callers.outcomes.values())


async def test_identical_reads_that_are_in_flight_become_one_request(ws: Session, service: Service) -> None:
    service.gate = anyio.Event()
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, lambda: ws.get_tasks(1))
        assert service.came == ["get_tasks"]
        await callers.start(tasks, lambda: ws.get_tasks(1), lambda: ws.get_tasks(1))
        service.gate.set()
    assert service.came == ["get_tasks"]
    assert len(callers.outcomes) == 3


async def test_reads_one_after_the_other_are_separate(ws: Session, service: Service, slow: TokenBucket) -> None:
    await ws.get_tasks(1)
    await ws.get_tasks(1)
    assert len(service.came) == 2
    assert slow.statistics().saved == 0


async def test_what_differs_is_not_merged(service: Service, fast: TokenBucket) -> None:
    """Other parameters, another action, another credential, another session."""
    service.gate = anyio.Event()
    callers = Callers()
    async with (
        session(service, fast) as ws,
        session(service, fast, auth=AccessToken("token")) as other,
        session(service, fast, auth=AccessToken("token")) as third,
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
        assert len(service.came) == 6
        service.gate.set()


async def test_the_order_of_named_parameters_makes_no_difference(ws: Session, service: Service) -> None:
    service.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await Callers().start(
            tasks,
            lambda: ws.get_tasks(id_project=1, filter="active", extra=["text"]),
            lambda: ws.get_tasks(extra=["text"], filter="active", id_project=1),
        )
        service.gate.set()
    assert len(service.came) == 1


async def test_models_and_raw_envelopes_do_not_mix(ws: Session, service: Service) -> None:
    service.gate = anyio.Event()
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, lambda: ws.get_tasks(1), lambda: ws.call("get_tasks", {"id_project": 1}))
        service.gate.set()
    assert callers.outcomes[0][0].id == 1
    assert callers.outcomes[1]["data"][0]["id"] == "1"


async def test_each_caller_gets_a_list_of_its_own(ws: Session) -> None:
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(
            tasks, *[lambda: ws.get_tasks(1)] * 2, *[lambda: ws.call("get_tasks", {"id_project": 1})] * 2
        )
    first, second, raw, other_raw = (callers.outcomes[number] for number in range(4))
    first.clear()
    raw["data"].clear()
    assert len(second) == len(other_raw["data"]) == 1


async def test_writes_are_never_merged(ws: Session, service: Service) -> None:
    service.body = b'{"status":"ok","data":{"id":"1","name":"One","page":"/project/1/1/"}}'
    async with anyio.create_task_group() as tasks:
        await Callers().start(tasks, *[lambda: ws.post_task(1, "One")] * 3)
    assert service.came == ["post_task"] * 3


async def test_without_coalescing_each_read_is_sent(ws: Session, service: Service, slow: TokenBucket) -> None:
    """`max_age` alone does not merge what is under way either."""
    for view in (ws.with_options(coalesce=False), ws.with_options(coalesce=False, max_age=60)):
        service.came.clear()
        async with anyio.create_task_group() as tasks:
            await Callers().start(tasks, *[lambda view=view: view.get_tasks(1)] * 3)
        assert len(service.came) == 3
    assert slow.statistics().saved == 0


# Giving up


@pytest.mark.parametrize("gone", [[0], [2], [4], [0, 1, 2, 3], [1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("when", ["waiting", "in flight"])
async def test_one_caller_gives_up_and_the_others_get_their_answer(
    gone: list[int], when: str, ws: Session, service: Service, slow: TokenBucket
) -> None:
    callers = Callers()
    if when == "waiting":
        await taken(slow)
    else:
        service.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, *[lambda: ws.get_tasks(1)] * 5)
        for number in gone:
            callers.scopes[number].cancel()
        await settle()
        if service.gate:
            service.gate.set()
    assert callers.outcomes.keys() == {0, 1, 2, 3, 4} - set(gone)
    assert all(tasks[0].id == 1 for tasks in callers.outcomes.values())
    assert service.came == ["get_tasks"]
    assert nobody_waits(slow)


async def test_when_all_give_up_nothing_is_sent(ws: Session, service: Service, slow: TokenBucket) -> None:
    await taken(slow)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, *[lambda: ws.get_tasks(1)] * 3)
        for scope in callers.scopes:
            scope.cancel()
    await settle()
    assert nobody_waits(slow)
    await anyio.sleep(1.5 * INTERVAL)
    assert service.came == []
    assert [task.id for task in await ws.get_tasks(1)] == [1]


async def test_a_read_that_all_gave_up_is_not_joined(ws: Session, service: Service, slow: TokenBucket) -> None:
    """Who comes in the very moment in which the last one gives up starts anew."""
    await taken(slow)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, lambda: ws.get_tasks(1))
        callers.scopes[0].cancel()
        await callers.start(tasks, lambda: ws.get_tasks(1))
    assert callers.outcomes.keys() == {1}
    assert service.came == ["get_tasks"]


async def test_a_closed_session_leaves_nobody_in_the_queue(slow: TokenBucket, service: Service) -> None:
    """Else the bucket, which others share, would wait for a leader that never looks."""
    await taken(slow)
    ws = session(service, slow)
    await ws.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await ws.get_tasks(1)
    assert nobody_waits(slow)
    with anyio.fail_after(2):
        await slow.acquire()


# Failing


async def test_an_error_reaches_every_caller_as_its_own(ws: Session, service: Service) -> None:
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
    assert service.came == ["get_task"]


async def test_a_failed_read_is_not_remembered(ws: Session, service: Service) -> None:
    view, body = ws.with_options(max_age=60), service.body
    service.body = REFUSAL
    with pytest.raises(StateError):
        await view.get_tasks(1)
    service.body = body
    assert len(await view.get_tasks(1)) == 1


async def test_a_retry_stands_in_the_queue_again() -> None:
    """And it is still one read to all who wait for it."""
    sim, limiter = Simulator(), TokenBucket(1 / INTERVAL)
    sim.faults.add("get_users", server_error(503))
    callers = Callers()
    async with sim.session(limiter=limiter) as ws, anyio.create_task_group() as tasks:
        await callers.start(tasks, *[ws.get_users] * 3)
    assert len(sim.requests) == limiter.statistics().granted == 2
    assert len({len(users) for users in callers.outcomes.values()}) == 1


# Urgency


async def test_an_interactive_caller_moves_a_queued_read_up(ws: Session, service: Service, slow: TokenBucket) -> None:
    await taken(slow)
    bulk, urgent = ws.with_options(lane="bulk"), ws.with_options(lane="interactive")
    async with anyio.create_task_group() as tasks:
        await Callers().start(
            tasks, *[lambda number=number: bulk.get_tasks(number) for number in (1, 2)], bulk.get_users,
        )  # fmt: skip
        await Callers().start(tasks, urgent.get_users)
        assert slow.statistics().waiting == {"interactive": 1, "normal": 0, "bulk": 2}
    assert service.came == ["get_users", "get_tasks", "get_tasks"]


@pytest.mark.parametrize("lane", ["normal", "bulk"])
async def test_a_less_urgent_caller_does_not_move_it_down(lane: Lane, ws: Session, slow: TokenBucket) -> None:
    await taken(slow)
    async with anyio.create_task_group() as tasks:
        await Callers().start(tasks, ws.with_options(lane="interactive").get_users)
        await Callers().start(tasks, ws.with_options(lane=lane).get_users)
        assert slow.statistics().waiting == {"interactive": 1, "normal": 0, "bulk": 0}


async def test_who_joins_with_too_little_patience_is_refused(ws: Session, service: Service, slow: TokenBucket) -> None:
    await taken(slow)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, ws.get_users, ws.get_projects)
        await callers.start(tasks, ws.with_options(max_wait=0.01).get_projects)
        error = callers.outcomes[2]
        assert isinstance(error, WaitTooLong)
        assert error.eta == pytest.approx(2 * INTERVAL, rel=0.3)
        await callers.start(tasks, ws.with_options(max_wait=5).get_projects)
    assert callers.outcomes[1] == callers.outcomes[3]
    assert service.came == ["get_users", "get_projects"]
    assert slow.statistics().saved == 1


# Memory


@pytest.fixture
def now(ws: Session) -> list[float]:
    """The time by which answers age."""
    time = [1000.0]
    ws._caller.connection.reads(ws._caller.auth)._clock = lambda: time[0]
    return time


async def test_a_repeated_read_comes_from_memory_while_it_is_young(
    ws: Session, service: Service, slow: TokenBucket, now: list[float]
) -> None:
    view = ws.with_options(max_age=60)
    first = await view.get_tasks(1)
    first.clear()
    now[0] += 59
    again = await view.get_tasks(1)
    assert [task.id for task in again] == [1]
    again.clear()
    assert len(await view.get_tasks(1)) == 1
    assert len(service.came) == 1
    assert slow.statistics().saved == 2
    now[0] += 2
    await view.get_tasks(1)
    assert len(service.came) == 2


async def test_each_view_has_its_own_idea_of_young(ws: Session, service: Service, now: list[float]) -> None:
    await ws.with_options(max_age=60).get_tasks(1)
    now[0] += 10
    await ws.with_options(max_age=5).get_tasks(1)
    await ws.get_tasks(1)
    assert len(service.came) == 3
    await ws.with_options(max_age=60, coalesce=False).get_tasks(1)
    assert len(service.came) == 4


async def test_who_joins_a_read_can_have_it_kept(ws: Session, service: Service) -> None:
    service.gate = anyio.Event()
    keeping = ws.with_options(max_age=60)
    async with anyio.create_task_group() as tasks:
        await Callers().start(tasks, lambda: ws.get_tasks(1), lambda: keeping.get_tasks(1))
        service.gate.set()
    await keeping.get_tasks(1)
    assert len(service.came) == 1


@pytest.mark.parametrize("through", ["the session", "another view", "an action unknown to this release"])
async def test_a_write_empties_the_memory(through: str, ws: Session, service: Service) -> None:
    view = ws.with_options(max_age=math.inf)
    await view.get_tasks(1)
    if through == "the session":
        await ws.complete_task(1)
    elif through == "another view":
        await ws.with_options(lane="bulk").complete_task(1)
    else:
        await ws.call("frobnicate_tasks")
    await view.get_tasks(1)
    assert service.came.count("get_tasks") == 2


async def test_a_write_that_failed_empties_it_too(ws: Session, service: Service) -> None:
    view = ws.with_options(max_age=math.inf)
    await view.get_tasks(1)
    body, service.body = service.body, REFUSAL
    with pytest.raises(StateError):
        await ws.reopen_task(1)
    service.body = body
    await view.get_tasks(1)
    assert service.came.count("get_tasks") == 2


async def test_what_was_read_beside_a_write_is_not_kept_nor_joined(ws: Session, service: Service) -> None:
    """A read that began before the write may show the time before it: its own callers get that, nobody after."""
    service.gate = anyio.Event()
    view = ws.with_options(max_age=math.inf)
    callers = Callers()
    async with anyio.create_task_group() as tasks:
        await callers.start(tasks, lambda: view.get_tasks(1))
        await callers.start(tasks, lambda: ws.complete_task(1))
        await callers.start(tasks, lambda: view.get_tasks(1))
        await anyio.sleep(3 * INTERVAL)
        assert service.came == ["get_tasks", "complete_task", "get_tasks"]
        service.gate.set()
    await view.get_tasks(1)
    assert service.came.count("get_tasks") == 3


async def test_memory_has_an_end(service: Service, fast: TokenBucket) -> None:
    async with session(service, fast) as ws:
        view = ws.with_options(max_age=math.inf)
        for number in range(MAX_CACHED + 10):
            await view.get_tasks(number + 1)
        assert len(ws._caller.connection.reads(ws._caller.auth)._cached) == MAX_CACHED
        await view.get_tasks(MAX_CACHED + 10)
        assert len(service.came) == MAX_CACHED + 10
        await view.get_tasks(1)
        assert len(service.came) == MAX_CACHED + 11


# Several loops


def test_event_loops_that_use_one_session_do_not_mix(fast: TokenBucket) -> None:
    """Each loop has reads of its own, for a task of one cannot wait for a task of the other."""
    service = Service()
    ws = session(service, fast)
    together = threading.Barrier(4)
    counts: list[int] = []

    async def work() -> None:
        for _ in range(20):
            await anyio.to_thread.run_sync(together.wait)
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
        thread.join(30)
    assert counts == [1] * 240
    assert 80 <= len(service.came) <= 240
    assert ws._caller.connection.reads(ws._caller.auth)._in_flight == {}


async def test_a_read_whose_caller_is_cancelled_at_once_leaves_nothing(ws: Session, slow: TokenBucket) -> None:
    """Before its own task could begin."""
    await taken(slow)
    with contextlib.suppress(TimeoutError), anyio.fail_after(0):
        await ws.get_tasks(1)
    await settle()
    assert nobody_waits(slow)
    assert ws._caller.connection.reads(ws._caller.auth)._in_flight == {}
