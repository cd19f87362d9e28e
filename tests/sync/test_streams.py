"""Streams yield every record of an account once, although one reply holds a limited number of records."""

from __future__ import annotations

import datetime as dt

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worksection_async import MemoryTokenStore, OAuth2, Plan, Session, TokenBucket
from worksection_async._limits.queue import LANES
from worksection_async._protocol.service import REQUESTS_PER_SECOND
from worksection_async._sync.streams import Span
from worksection_async.errors import TooManyRecords, UnexpectedReply
from worksection_async.testing import Simulator, faults

pytestmark = pytest.mark.anyio

DAY = dt.timedelta(days=1)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """An account with 100 tasks; a reply holds at most 20 records."""
    for place in ("_sync.streams.MAX_RECORDS", "testing._actions.tasks.MAX_RECORDS"):
        monkeypatch.setattr(f"worksection_async.{place}", 20)
    sim = Simulator(seed="empty")
    start = dt.datetime(2026, 1, 1, 9, 0)
    for number, count in enumerate((5, 0, 15, 60, 19, 1)):
        project = sim.add_project(f"Project {number}", date_added=start)
        for each in range(count):
            task = sim.add_task(project, f"Task {number}.{each}", date_added=start + each * DAY)
            if each % 3 == 0:
                sim.update(task, status="done")
    return sim


def requested_actions(sim: Simulator) -> list[str]:
    return [request.action for request in sim.requests]


async def test_small_account_needs_one_call() -> None:
    sim, plans = Simulator(), list[Plan]()
    async with sim.session() as ws:
        expected = {task.id for task in await ws.get_all_tasks()}
        sim.requests.clear()
        found = [task.id async for task in ws.iter_tasks(progress=plans.append)]
    assert (set(found), len(found)) == (expected, len(expected))
    assert requested_actions(sim) == ["get_all_tasks"]
    assert [(plan.calls, plan.done, plan.records) for plan in plans] == [(1, 0, 0), (1, 1, len(expected))]
    assert (plans[0].eta, plans[-1].eta) == (0.0, 0.0)


async def test_plan_of_an_unknown_account_assumes_an_empty_queue() -> None:
    """With OAuth2 the account, and with it the limiter, is known only after the first call."""
    ws = Session(None, OAuth2(Simulator().oauth_app("https://localhost/callback"), MemoryTokenStore()))
    plan = ws.iter_tasks().plan
    assert (plan.calls, plan.eta) == (1, 1 / REQUESTS_PER_SECOND)


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize("filter", [None, "active"])
async def test_large_account_is_split_by_project_and_date(limited: Simulator, filter: str | None) -> None:
    expected = [task.id for task in limited.tasks.values() if filter in (None, task.status)]
    plans = list[Plan]()
    async with limited.session() as ws:
        stream = ws.iter_tasks(filter=filter, progress=plans.append)  # type: ignore[arg-type]
        found = [task.id async for task in stream]
    assert sorted(found) == sorted(expected)
    calls = requested_actions(limited)
    assert calls[:2] == ["get_all_tasks", "get_projects"]
    assert calls.count("get_tasks") == len(limited.projects)
    assert calls.count("search_tasks") > 2
    assert stream.plan.done == stream.plan.calls == len(calls) - 1  # get_projects is not part of the plan
    assert [plan.done for plan in plans] == list(range(len(plans)))


async def test_eta_of_a_plan_depends_on_the_lane() -> None:
    """Five calls wait in the normal lane: an interactive stream is served before them, a bulk stream after them."""
    sim, etas = Simulator(), {}
    limiter = TokenBucket(0.01)
    async with sim.session(limiter=limiter) as ws, anyio.create_task_group() as tasks:
        await limiter.acquire()
        for _ in range(5):
            tasks.start_soon(limiter.acquire)
        await anyio.wait_all_tasks_blocked()
        for lane in LANES:
            stream = ws.with_options(lane=lane).iter_tasks()
            stream._done = 1  # only after the first call does the plan ask the limiter
            etas[lane] = stream.plan.eta
        tasks.cancel_scope.cancel()
    assert etas["interactive"] < 150
    assert etas["bulk"] > 500


async def test_exactly_full_reply_is_treated_as_incomplete(limited: Simulator) -> None:
    for task in list(limited.tasks.values())[20:]:
        limited.delete(task)
    async with limited.session() as ws:
        assert len([task async for task in ws.iter_tasks()]) == 20
    assert "get_projects" in requested_actions(limited)


async def test_subtasks_are_not_yielded_as_tasks(limited: Simulator) -> None:
    parent = next(task for task in limited.tasks.values() if task.name == "Task 3.0")
    assert parent.project
    for number in range(5):
        limited.add_task(parent.project, f"Subtask {number}", parent=parent)
    async with limited.session() as ws:
        found = [task async for task in ws.iter_tasks()]
    assert len(found) == 100
    assert not any(task.name.startswith("Subtask") for task in found)


async def test_extra_that_a_search_cannot_return_is_an_error(limited: Simulator) -> None:
    async with limited.session() as ws:
        assert len([task async for task in ws.iter_tasks(extra=["tags", "text"])]) == 100
        with pytest.raises(TooManyRecords, match="has no comments"):
            [task async for task in ws.iter_tasks(extra=["comments"])]


async def test_archived_projects_are_optional(limited: Simulator) -> None:
    limited.update(next(iter(limited.projects.values())), status="archive")
    async with limited.session() as ws:
        assert len([task async for task in ws.iter_tasks()]) == 95
        assert len([task async for task in ws.iter_tasks(extra=["archive"])]) == 100


async def test_error_names_a_day_with_too_many_records(limited: Simulator) -> None:
    for task in limited.tasks.values():
        limited.update(task, date_added=dt.datetime(2026, 5, 5, 9, 0))
    async with limited.session() as ws:
        with pytest.raises(TooManyRecords, match=r"from 2026-05-05 to 2026-05-05"):
            [task async for task in ws.iter_tasks()]


async def test_costs_are_split_by_project_and_date(limited: Simulator) -> None:
    tasks = [task for task in limited.tasks.values() if task.name.startswith("Task 3.")]
    for number, task in enumerate(tasks):
        limited.add_costs(task, DAY / 24, date=dt.date(2026, 1, 1) + number * DAY)
    expected = sorted(limited.costs)
    async with limited.session() as ws:
        assert sorted([cost.id async for cost in ws.iter_costs()]) == expected
        calls = requested_actions(limited)
        assert calls[:2] == ["get_costs", "get_projects"]
        some = [cost.date async for cost in ws.iter_costs(datestart=dt.date(2026, 1, 3), dateend=dt.date(2026, 2, 20))]
        assert len(some) == 49
        for task in tasks[:21]:
            limited.add_costs(task, DAY / 24, date=dt.date(2026, 1, 1))
        with pytest.raises(TooManyRecords):
            [cost async for cost in ws.iter_costs()]


async def test_stream_continues_after_an_error(limited: Simulator) -> None:
    expected = sorted(limited.tasks)
    found: list[int] = []
    for action in ("get_all_tasks", "get_projects", "get_tasks", "search_tasks"):
        limited.fail(action, faults.server_error(500))
    async with limited.session(retries=0) as ws:
        stream, failures = ws.iter_tasks(), 0
        for _ in range(10):
            try:
                async for task in stream:
                    found.append(task.id)
                break
            except UnexpectedReply:
                failures += 1
    assert failures == 4
    assert sorted(found) == expected


async def test_breaking_out_of_the_loop_stops_the_calls(limited: Simulator) -> None:
    async with limited.session() as ws:
        async for _ in ws.iter_tasks():
            break
    assert len(requested_actions(limited)) <= 4


@given(
    st.none() | st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)),
    st.none() | st.integers(0, 4000),
    st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)),
)
def test_halves_of_a_span_cover_it_and_get_smaller(first: dt.date | None, days: int | None, around: dt.date) -> None:
    last = None if days is None else (first or around) + days * DAY
    spans = [Span(first, last)]
    for _ in range(40):
        halves = spans.pop().halves(around)
        if halves is None:
            break
        left, right = halves
        assert left.last is not None
        assert right.first is not None
        assert right.first - left.last == DAY
        assert left.first is None or left.first <= left.last
        assert right.last is None or right.first <= right.last
        spans.append(left if left.first is not None else right)
    else:
        assert spans[0].first is None or spans[0].last is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # slow, and independent of the event loop
async def test_stream_of_12_000_tasks_yields_each_task_once() -> None:
    """Each task is yielded once, although the reply for the large project is full."""
    sim = Simulator(seed="empty")
    counts = [10_400] + [20] * 78 + [40]
    day = dt.datetime(2026, 1, 1)
    for number, count in enumerate(counts):
        project = sim.add_project(f"P{number}", date_added=day)
        for each in range(count):
            sim.add_task(project, f"T{number}.{each}", date_added=day + dt.timedelta(days=each % 300))
    assert len(sim.tasks) == sum(counts) == 12_000
    seen: set[int] = set()
    async with sim.session() as ws:
        total = 0
        async for task in ws.iter_tasks():
            total += 1
            seen.add(task.id)
    assert (total, len(seen)) == (12_000, 12_000)
