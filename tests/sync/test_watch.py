"""Watches poll for events and changes of tags: each is yielded once, across polls, failures and restarts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import anyio
import httpx
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.constants import KEY
from tests.support.events import (
    DAY,
    HOUR,
    MINUTE,
    Service,
    collect,
    create_events,
    events_within,
    keys,
    stored_events,
    with_simulator,
)
from tests.support.virtual_time import run_on_virtual_clock
from worksection_async import ApiKey, Cursor, Session, TokenBucket
from worksection_async._session.caller import SessionCaller
from worksection_async.errors import InvalidCall, TransportError
from worksection_async.models import Event
from worksection_async.testing import Simulator, faults

GAPS = st.floats(0, 3 * HOUR) | st.sampled_from([0.0, 30.0, 7 * HOUR, 4 * DAY])


@pytest.mark.parametrize("restarts", [False, True], ids=["one watch", "a restart after each poll"])
@given(gaps=st.lists(st.tuples(st.integers(0, 3), GAPS), max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_event_is_yielded_once(
    restarts: bool, monkeypatch: pytest.MonkeyPatch, gaps: list[tuple[int, float]]
) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        found: list[Event] = []
        async with sim.session() as ws:
            watch = ws.watch(every=HOUR / 2)
            for count, gap in gaps:
                await create_events(sim, count)
                if restarts:
                    await trio.sleep(gap)
                    watch = ws.watch(every=MINUTE, cursor=Cursor.from_json(watch.cursor.to_json()))
                    found += await events_within(0.5, watch)
                else:
                    found += await events_within(gap, watch)
            found += await events_within(HOUR, watch)
        assert keys(found) == stored_events(sim)

    with_simulator(main)


def test_identical_events_are_yielded_as_often_as_they_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            task = await ws.post_task(next(iter(sim.projects)), "Busy")
            watch = ws.watch(every=20)
            for _ in range(3):
                await ws.complete_task(task.id)
                await ws.reopen_task(task.id)
                assert len(await events_within(30, watch)) in (2, 3)
            assert await events_within(HOUR, watch) == []

    with_simulator(main)


def test_restart_from_a_cursor_yields_the_unhandled_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor covers the events that were yielded, not all events of the last poll."""

    async def main(sim: Service) -> None:
        sim.clear_events()
        await create_events(sim, 5)
        async with sim.session() as ws:
            watch = ws.watch()
            first = [await anext(watch) for _ in range(3)]
            saved = watch.cursor.to_json()
            await trio.sleep(2 * DAY)
            rest = await events_within(MINUTE, ws.watch(cursor=Cursor.from_json(saved)))
        assert keys(first + rest) == stored_events(sim)
        assert [event.date_added for event in first + rest] == sorted(event.date_added for event in first + rest)  # type: ignore[type-var]

    with_simulator(main)


def test_poll_requests_the_shortest_period_in_the_bulk_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        async with sim.session() as ws:
            await events_within(35 * MINUTE, ws.watch(every=10 * MINUTE))
            assert [request.params["period"] for request in sim.requests] == ["3m", "13m", "13m", "13m"]
            sim.requests.clear()
            await events_within(MINUTE, ws.watch(period_start=dt.timedelta(hours=20), every=HOUR))
            assert [request.params["period"] for request in sim.requests] == ["21h"]
            lanes = []
            monkeypatch.setattr(SessionCaller, "_waiter", lambda view, _: lanes.append(view.options.lane))
            with pytest.raises(AttributeError):
                await anext(ws.watch())
            assert lanes == ["bulk"]

    with_simulator(main)


@pytest.mark.parametrize("kind", [int, str])
def test_ids_of_projects_can_be_numbers_or_text(kind: Any) -> None:
    """Such as those of an environment variable."""

    async def main(sim: Service) -> None:
        ids = list(sim.projects)[:3]
        async with sim.session() as ws:
            for count in (1, 2):
                for id_project in ids:
                    await create_events(sim, 1, id_project)
                events = ws.events_since(None, period_start=dt.timedelta(hours=1), projects=map(kind, ids[:count]))
                assert {event.id_project for event in await collect(events)} == set(ids[:count])

    with_simulator(main)


def test_the_age_of_the_first_events_is_a_timedelta() -> None:
    with pytest.raises(InvalidCall, match="period_start: must be a timedelta, got 60"):
        Service().session().watch(period_start=60)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("projects", "problem"),
    [
        ("26", "must be a sequence of ids, got text"),
        (26, "must be a sequence, got int"),
        ([-1, 26], "must be a positive integer, got -1"),
        (["x"], "must be a positive integer, got 'x'"),
    ],
)
def test_ids_of_projects_are_checked(projects: Any, problem: str) -> None:
    ws = Service().session()
    for make in (ws.watch, lambda **options: ws.events_since(None, **options)):
        with pytest.raises(InvalidCall, match=f"^watch: projects: {problem}"):
            make(projects=projects)


def test_watch_of_some_projects_needs_one_call_per_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        one, two, three = list(sim._world.projects)[:3]
        for project in (one, two, three):
            await create_events(sim, 1, project)
        sim.requests.clear()
        async with sim.session() as ws:
            recent = dt.timedelta(minutes=1)
            some = await events_within(30, ws.watch(period_start=recent, projects=[one, three]))
            only = await events_within(30, ws.watch(period_start=recent, projects=[two]))
        assert (len(some), len(only), len(sim.requests)) == (4, 2, 2)
        assert "id_project" not in sim.requests[0].params
        assert sim.requests[1].params["id_project"] == str(two)

    with_simulator(main)


def test_watch_continues_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session(retries=0) as ws:
            watch = ws.watch()
            assert await events_within(10, watch) == []
            await create_events(sim, 1)
            sim.fail("get_events", "reset")
            with pytest.raises(TransportError):
                await anext(watch)
            assert keys(await events_within(10 * MINUTE, watch)) == stored_events(sim)

    with_simulator(main)


def test_size_of_the_cursor_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        sizes = []
        async with sim.session() as ws:
            watch = ws.watch(every=HOUR)
            for _ in range(6):
                await create_events(sim, 10)
                await events_within(20 * HOUR, watch)
                sizes.append(len(watch.cursor.seen))
        assert sizes[-1] <= 60, "only events that can be returned again"

    with_simulator(main)


@given(
    st.text(max_size=20) | st.sampled_from(["{}", "[]", "null", '{"looked_at": "x", "seen": {}}', '{"looked_at": 1}'])
)
def test_invalid_cursor_text_raises_value_error(text: str) -> None:
    with pytest.raises(InvalidCall, match="not a cursor"):
        Cursor.from_json(text)


@pytest.mark.parametrize("every", [0, -1, float("nan")])
def test_interval_must_be_positive(every: float) -> None:
    ws = Simulator().session()
    for watch in (ws.watch, ws.watch_tags):
        with pytest.raises(InvalidCall, match="every must be a positive number"):
            watch(every=every)


# The start of a watch


@pytest.mark.parametrize("skew", [0, 10 * MINUTE, -10 * MINUTE, 20 * DAY], ids=lambda skew: f"clock {skew:+g} s")
def test_a_watch_begins_now(monkeypatch: pytest.MonkeyPatch, skew: float) -> None:
    """Events of earlier minutes are not yielded, those after the call are, and wrong local clocks do not matter."""

    async def main(sim: Service) -> None:
        sim.machine.skew = skew
        sim.clear_events()
        for _ in range(4):
            await create_events(sim, 1)
            await trio.sleep(50)
        await trio.sleep(15)
        before = stored_events(sim)
        async with sim.session() as ws:
            watch = ws.watch(every=10 * MINUTE)
            await create_events(sim, 1)
            await trio.sleep(2 * MINUTE)
            await create_events(sim, 1)
            found = await events_within(MINUTE, watch)
            await create_events(sim, 1)
            found += await events_within(HOUR, watch)
        assert keys(found) == stored_events(sim) - before
        assert len(before) == 8

    with_simulator(main)


@pytest.mark.parametrize("executed", [False, True], ids=["before the service reads the events", "after it"])
@pytest.mark.parametrize("restarts", [False, True], ids=["watch", "events_since"])
def test_a_long_wait_for_the_reply_loses_no_event(
    monkeypatch: pytest.MonkeyPatch, restarts: bool, executed: bool
) -> None:
    """The period ends when the service reads the events, which may be long after the watch asked for a slot."""

    async def main(sim: Service) -> None:
        async def create_later() -> None:
            for _ in range(5):
                await trio.sleep(20 * MINUTE)
                await sim.emit("update", task)

        task = next(iter(sim.tasks.values()))
        sim.clear_events()
        found: list[Event] = []
        async with sim.session(timeout=2 * HOUR) as ws, anyio.create_task_group() as tasks:
            watch = ws.watch(every=10 * MINUTE)
            found += await events_within(MINUTE, watch)
            await create_events(sim, 1)
            for _ in range(2):
                sim.fail("get_events", faults.delay(HOUR, executed=executed))
            tasks.start_soon(create_later)
            if restarts:
                job = ws.events_since(watch.cursor)
                found += await collect(job)
                await trio.sleep(2 * HOUR)
                found += await collect(ws.events_since(job.cursor))
            else:
                found += await events_within(5 * HOUR, watch)
        assert keys(found) == stored_events(sim)
        assert len(found) == 7

    with_simulator(main)


def test_a_watch_reads_no_cached_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            cached = ws.with_options(max_age=HOUR)
            watch = cached.watch()
            assert await events_within(10, watch) == []
            await cached.get_events("4m")
            await create_events(sim, 1)
            assert keys(await events_within(2 * MINUTE, watch)) == stored_events(sim)

    with_simulator(main)


def test_a_start_in_the_future_is_refused() -> None:
    ws = Simulator().session()
    for start in (
        lambda: ws.watch(period_start=-dt.timedelta(1)),
        lambda: ws.events_since(None, period_start=-dt.timedelta(1)),
    ):
        with pytest.raises(InvalidCall, match="period_start: must not be negative"):
            start()


# Events up to now


def test_events_since_yields_what_has_happened_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        await create_events(sim, 2)
        await trio.sleep(HOUR)
        async with sim.session() as ws:
            sim.requests.clear()
            events = ws.events_since(None, period_start=dt.timedelta(days=1))
            assert keys(await collect(events)) == stored_events(sim)
            await create_events(sim, 1)
            assert await collect(events) == [], "an iterator that has ended stays at its end"
            await trio.sleep(DAY)
            rest = await collect(ws.events_since(events.cursor))
            assert [request.params["period"] for request in sim.requests if request.action == "get_events"] == [
                "25h"
            ] * 2
        assert [event.action for event in rest] == ["close", "post"] or [event.action for event in rest] == [
            "post",
            "close",
        ]

    with_simulator(main)


def test_events_since_without_a_cursor_begins_now(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        await create_events(sim, 1)
        await trio.sleep(MINUTE)
        sim.clear_events()
        async with sim.session() as ws:
            first = ws.events_since(None)
            assert await collect(first) == []
            await create_events(sim, 1)
            await trio.sleep(DAY)
            assert keys(await collect(ws.events_since(first.cursor))) == stored_events(sim)

    with_simulator(main)


def test_a_crash_in_the_middle_of_events_since_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session(retries=0) as ws:
            start = ws.events_since(None).cursor
            await create_events(sim, 3)
            await trio.sleep(DAY)
            events = ws.events_since(start)
            sim.fail("get_events", "reset")
            with pytest.raises(TransportError):
                await anext(events)
            found = [await anext(events) for _ in range(2)]
            rest = await collect(ws.events_since(Cursor.from_json(events.cursor.to_json())))
            assert keys(found + rest) == stored_events(sim)
            assert len(rest) == 4

    with_simulator(main)


def test_events_since_and_watch_continue_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            watch = ws.watch()
            await create_events(sim, 1)
            found = await events_within(MINUTE, watch)
            await create_events(sim, 1)
            job = ws.events_since(watch.cursor)
            found += await collect(job)
            await create_events(sim, 1)
            found += await events_within(5 * MINUTE, ws.watch(cursor=job.cursor))
        assert keys(found) == stored_events(sim)

    with_simulator(main)


SKEWS = st.sampled_from([0.0, -HOUR, HOUR])


@given(nights=st.lists(st.tuples(st.integers(0, 4), st.floats(0, 20 * HOUR), st.floats(0, MINUTE), SKEWS), max_size=8))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nightly_runs_yield_late_events_once(
    monkeypatch: pytest.MonkeyPatch, nights: list[tuple[int, float, float, float]]
) -> None:
    """Each run is a program on another machine; before it, some events happen that the service lists only after it."""

    async def main(sim: Service) -> None:
        sim.clear_events()
        found: list[Event] = []
        saved = sim.session().events_since(None).cursor.to_json()
        for count, gap, late, skew in [*nights, (0, DAY, 0.0, 0.0)]:
            sim.machine.skew = skew
            await create_events(sim, count)
            await trio.sleep(gap)
            listed = sim._world.events[:]
            await create_events(sim, count)
            await trio.sleep(MINUTE - late)
            late_events, sim._world.events[:] = sim._world.events[len(listed) :], listed
            async with sim.session() as ws:
                events = ws.events_since(Cursor.from_json(saved))
                found += await collect(events)
                saved = events.cursor.to_json()
            sim._world.events += late_events
        assert keys(found) == stored_events(sim)

    with_simulator(main)


# Tags


def test_tag_changes_of_tasks_and_subtasks_are_yielded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        project = next(iter(sim._world.projects.values()))
        async with sim.session() as ws:
            task = await ws.post_task(project.id, "Tagged")
            child = await ws.post_task(project.id, "Child", id_parent=task.id)
            names = [tag.title for group in await ws.get_task_tags() for tag in [group]][:2]
            watch = ws.watch_tags(every=100)
            found = []

            async def collect() -> None:
                async for change in watch:
                    found.append((change.task.id, sorted(change.added.values()), sorted(change.removed.values())))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collect)
                await trio.sleep(50)
                await ws.update_task_tags(task.id, plus=[names[0]])
                await ws.update_task_tags(child.id, plus=[names[1]])
                fresh = await ws.post_task(project.id, "New", tags=[names[0]])
                await trio.sleep(100)
                assert sorted(found) == sorted([(task.id, [names[0]], []), (child.id, [names[1]], [])])
                found.clear()
                await ws.update_task_tags(task.id, plus=[names[1]], minus=[names[0]])
                await ws.update_task_tags(fresh.id, minus=[names[0]])
                await trio.sleep(100)
                assert sorted(found) == sorted([(task.id, [names[1]], [names[0]]), (fresh.id, [], [names[0]])])
                await trio.sleep(300)
                tasks.cancel_scope.cancel()
            assert len(found) == 2

    with_simulator(main)


def test_tag_changes_are_yielded_once_although_a_poll_failed_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        for place in ("_sync.streams.MAX_RECORDS", "testing._actions.tasks.MAX_RECORDS"):
            monkeypatch.setattr(f"worksection_async.{place}", 10)
        async with sim.session(retries=0) as ws:
            names = [tag.title for tag in await ws.get_task_tags()][:1]
            watch = ws.watch_tags(every=100)
            found: list[int] = []
            with anyio.move_on_after(50):
                await anext(watch)
            for task in sim.tasks.values():
                await ws.update_task_tags(task.id, plus=names)
            sim.fail("get_tasks", faults.delay(0))
            sim.fail("get_tasks", "reset")
            for _ in range(3):
                with anyio.move_on_after(500):
                    try:
                        async for change in watch:
                            found.append(change.task.id)
                    except TransportError:
                        continue
        assert len(found) == len(set(found)) > 3

    with_simulator(main)


@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([{"1": "a"}, "odd", {"1": "a"}, {"2": "b"}], [(["b"], ["a"])]),
        ([{"1": "a"}, "odd", {"2": "b"}], [(["b"], ["a"])]),
        (["odd", {"1": "a"}, {}], [([], ["a"])]),
    ],
)
def test_tags_that_cannot_be_read_are_no_change(polls: list[object], expected: list[object]) -> None:
    replies = iter(polls)

    def service(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status": "ok", "data": [{"id": 7, "tags": next(replies)}]})

    async def main() -> None:
        limiter = TokenBucket(clock=trio.current_time)
        async with Session("acme", ApiKey(KEY), limiter=limiter, transport=httpx.MockTransport(service)) as ws:
            found = []
            with anyio.move_on_after(100 * len(polls) - 50):
                async for change in ws.watch_tags(every=100):
                    found.append((list(change.added.values()), list(change.removed.values())))
            assert found == expected

    run_on_virtual_clock(main)


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_no_event_is_lost_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        found = []
        async with sim.session() as ws:
            watch = ws.watch(every=10 * MINUTE)
            await create_events(sim, 1)
            found += await events_within(MINUTE, watch)
            sim.machine.skew = step
            for _ in range(10):
                await create_events(sim, 1)
                found += await events_within(9 * MINUTE, watch)
            saved, sim.machine.skew = watch.cursor, -step
            await create_events(sim, 2)
            found += await events_within(30 * MINUTE, ws.watch(cursor=saved))
        assert keys(found) == stored_events(sim)

    with_simulator(main)


def test_watch_can_start_at_the_limit_of_the_retention(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Service) -> None:
        async with sim.session() as ws:
            await events_within(30, ws.watch(period_start=dt.timedelta(days=30)))
        assert sim.requests[0].params["period"] == "30d"

    with_simulator(main)
