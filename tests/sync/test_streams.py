"""All records of an account, each once, however many: beyond what one answer holds."""

from __future__ import annotations

import datetime as dt

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worksection_async import Plan, TokenBucket
from worksection_async._limits.queue import LANES
from worksection_async._sync.streams import Span
from worksection_async.errors import TooManyRecords, UnexpectedReply
from worksection_async.testing import Simulator, faults

pytestmark = pytest.mark.anyio

DAY = dt.timedelta(days=1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A service that answers with 20 records at most, and an account of 100."""
    for place in ("_sync.streams.MAX_RECORDS", "testing._actions.tasks.MAX_RECORDS"):
        monkeypatch.setattr(f"worksection_async.{place}", 20)
    sim = Simulator(seed="empty")
    begun = dt.datetime(2026, 1, 1, 9, 0)
    for number, count in enumerate((5, 0, 15, 60, 19, 1)):
        project = sim.world.add_project(f"Project {number}")
        project.date_added = begun
        for each in range(count):
            task = sim.world.add_task(project, f"Task {number}.{each}")
            task.date_added = begun + each * DAY
            if each % 3 == 0:
                task.status = "done"
    return sim


def calls_in(sim: Simulator) -> list[str]:
    return [request.action for request in sim.requests]


async def test_an_account_that_fits_is_one_call() -> None:
    sim, plans = Simulator(), list[Plan]()
    async with sim.session() as ws:
        expected = {task.id for task in await ws.get_all_tasks()}
        sim.requests.clear()
        found = [task.id async for task in ws.iter_tasks(progress=plans.append)]
    assert (set(found), len(found)) == (expected, len(expected))
    assert calls_in(sim) == ["get_all_tasks"]
    assert [(plan.calls, plan.done, plan.records) for plan in plans] == [(1, 0, 0), (1, 1, len(expected))]
    assert (plans[0].eta, plans[-1].eta) == (0.0, 0.0)


@pytest.mark.parametrize("filter", [None, "active"])
async def test_what_does_not_fit_comes_by_project_and_by_date_each_record_once(
    small: Simulator, filter: str | None
) -> None:
    expected = [task.id for task in small.world.tasks.values() if filter in (None, task.status)]
    plans = list[Plan]()
    async with small.session() as ws:
        stream = ws.iter_tasks(filter=filter, progress=plans.append)  # type: ignore[arg-type]
        found = [task.id async for task in stream]
    assert sorted(found) == sorted(expected)
    calls = calls_in(small)
    assert calls[:2] == ["get_all_tasks", "get_projects"]
    assert calls.count("get_tasks") == len(small.world.projects)
    assert calls.count("search_tasks") > 2
    assert stream.plan.done == stream.plan.calls == len(calls) - 1  # get_projects plans, it is not planned
    assert [plan.done for plan in plans] == list(range(len(plans)))


async def test_the_forecast_of_a_plan_is_that_of_its_lane() -> None:
    """Five calls wait in the normal lane: an interactive stream goes before them, a bulk one after them."""
    sim, etas = Simulator(), {}
    limiter = TokenBucket(0.01)
    async with sim.session(limiter=limiter) as ws, anyio.create_task_group() as tasks:
        await limiter.acquire()
        for _ in range(5):
            tasks.start_soon(limiter.acquire)
        await anyio.wait_all_tasks_blocked()
        for lane in LANES:
            stream = ws.with_options(lane=lane).iter_tasks()
            stream._done = 1  # after a first call the limiter is asked
            etas[lane] = stream.plan.eta
        tasks.cancel_scope.cancel()
    assert etas["interactive"] < 150
    assert etas["bulk"] > 500


async def test_exactly_as_many_as_fit_may_be_a_part_of_more(small: Simulator) -> None:
    for task in list(small.world.tasks.values())[20:]:
        task.project.tasks.remove(task)
        del small.world.tasks[task.id]
    async with small.session() as ws:
        assert len([task async for task in ws.iter_tasks()]) == 20
    assert "get_projects" in calls_in(small)


async def test_subtasks_stay_where_the_lists_have_them(small: Simulator) -> None:
    parent = next(task for task in small.world.tasks.values() if len(task.project.tasks) == 60)
    for number in range(5):
        small.world.add_task(parent.project, f"Subtask {number}", parent=parent)
    async with small.session() as ws:
        found = [task async for task in ws.iter_tasks()]
    assert len(found) == 100
    assert not any(task.name.startswith("Subtask") for task in found)


async def test_parts_that_a_search_cannot_return_are_said(small: Simulator) -> None:
    async with small.session() as ws:
        assert len([task async for task in ws.iter_tasks(extra=["tags", "text"])]) == 100
        with pytest.raises(TooManyRecords, match="has no comments"):
            [task async for task in ws.iter_tasks(extra=["comments"])]


async def test_archived_projects_only_if_asked_for(small: Simulator) -> None:
    archived = next(iter(small.world.projects.values()))
    archived.status = "archive"
    async with small.session() as ws:
        assert len([task async for task in ws.iter_tasks()]) == 95
        assert len([task async for task in ws.iter_tasks(extra=["archive"])]) == 100


async def test_a_day_with_too_many_is_an_error_that_names_it(small: Simulator) -> None:
    for task in small.world.tasks.values():
        task.date_added = dt.datetime(2026, 5, 5, 9, 0)
    async with small.session() as ws:
        with pytest.raises(TooManyRecords, match=r"from 2026-05-05 to 2026-05-05"):
            [task async for task in ws.iter_tasks()]


async def test_costs_come_by_project_and_by_date_as_well(small: Simulator) -> None:
    world = small.world
    tasks = [task for task in world.tasks.values() if len(task.project.tasks) == 60]
    for number, task in enumerate(tasks):
        world.add_cost(task, DAY / 24, date=dt.date(2026, 1, 1) + number * DAY)
    expected = sorted(world.costs)
    async with small.session() as ws:
        assert sorted([cost.id async for cost in ws.iter_costs()]) == expected
        calls = calls_in(small)
        assert calls[:2] == ["get_costs", "get_projects"]
        some = [cost.date async for cost in ws.iter_costs(datestart=dt.date(2026, 1, 3), dateend=dt.date(2026, 2, 20))]
        assert len(some) == 49
        for cost in world.costs.values():
            cost.date = dt.date(2026, 1, 1)
        with pytest.raises(TooManyRecords):
            [cost async for cost in ws.iter_costs()]


async def test_after_an_error_it_goes_on_where_it_was(small: Simulator) -> None:
    expected = sorted(task.id for task in small.world.tasks.values())
    found: list[int] = []
    for action in ("get_all_tasks", "get_projects", "get_tasks", "search_tasks"):
        small.faults.add(action, faults.server_error(500))
    async with small.session(retries=0) as ws:
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


async def test_one_who_has_enough_can_stop(small: Simulator) -> None:
    async with small.session() as ws:
        async for _ in ws.iter_tasks():
            break
    assert len(calls_in(small)) <= 4


@given(
    st.none() | st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)),
    st.none() | st.integers(0, 4000),
    st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)),
)
def test_halves_of_a_span_are_the_span_and_get_smaller(
    first: dt.date | None, days: int | None, around: dt.date
) -> None:
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


async def test_60_000_tasks_one_project_of_which_has_14_000() -> None:
    """All of them, once each, in less than twice the memory of one full answer."""
    sim = Simulator(seed="empty")
    counts = [14_000] + [582] * 78 + [604]
    day = dt.datetime(2026, 1, 1)
    for number, count in enumerate(counts):
        project = sim.world.add_project(f"P{number}")
        project.date_added = day
        for each in range(count):
            sim.world.add_task(project, f"T{number}.{each}").date_added = day + dt.timedelta(days=each % 300)
    assert len(sim.world.tasks) == sum(counts) == 60_000
    seen: set[int] = set()
    async with sim.session() as ws:
        total = 0
        async for task in ws.iter_tasks():
            total += 1
            seen.add(task.id)
    assert (total, len(seen)) == (60_000, 60_000)
