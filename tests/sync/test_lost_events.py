"""A watch that was away for long: it yields what the service still lists, and says what is lost."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio

from tests.support.events import (
    DAY,
    HOUR,
    MINUTE,
    START,
    Service,
    collect,
    create_events,
    events_within,
    keys,
    stored_events,
    with_simulator,
)
from worksection_async import Cursor
from worksection_async.errors import EventsLost, InvalidCall
from worksection_async.models import Event
from worksection_async.testing import _reply

LIMIT = 40
"""Records per reply here, so that a test needs few events."""


def limit_replies(monkeypatch: pytest.MonkeyPatch, *, newest: bool, oldest_first: bool = False) -> None:
    """Let the simulator list *LIMIT* events at most: the newest of a period, or the oldest; in either order."""
    original: Callable[[Any], Any] = _reply.ok

    def ok(data: Any) -> Any:
        kept = data[:LIMIT] if newest else data[-LIMIT:]
        return original(kept[::-1] if oldest_first else kept)

    monkeypatch.setattr("worksection_async.testing._actions.projects.ok", ok)
    monkeypatch.setattr("worksection_async._sync.event_reader.MAX_RECORDS", LIMIT)


def utc(moment: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(moment, dt.UTC)


def is_in_order(events: Sequence[Event]) -> bool:
    times = [event.date_added for event in events if event.date_added]
    return times == sorted(times)


def test_all_events_come_in_order_after_29_days() -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            saved = ws.events_since(None).cursor
            for _ in range(29):
                await create_events(sim, 2)
                await trio.sleep(DAY)
            found = await events_within(MINUTE, ws.watch(cursor=saved))
        assert keys(found) == stored_events(sim)
        assert is_in_order(found)
        assert [event.action for event in found[:2]] == ["post", "close"]

    with_simulator(main)


@pytest.mark.parametrize("skew", [0, -20 * DAY, 20 * DAY], ids=lambda skew: f"clock {skew:+g} s")
def test_after_31_days_the_lost_span_is_raised_once_and_the_watch_goes_on(skew: float) -> None:
    """The service's clock decides, not the clock of this machine."""

    async def main(sim: Service) -> None:
        sim.clear_events()
        await create_events(sim, 1)
        lost = stored_events(sim)
        saved = Cursor(looked_at=sim.clock.time())
        await trio.sleep(2 * DAY)
        await create_events(sim, 1)
        await trio.sleep(29 * DAY)
        sim.machine.skew = skew
        async with sim.session() as ws:
            watch = ws.watch(cursor=saved)
            with pytest.raises(
                EventsLost, match=r"may be lost: the service stores events for 30 days\. Read"
            ) as caught:
                await anext(watch)
            error = caught.value
            assert (error.since, error.action) == (utc(saved.looked_at), "get_events")
            assert abs(error.until - utc(sim.clock.time() - 30 * DAY)) < dt.timedelta(seconds=5)
            found = await events_within(HOUR, ws.watch(cursor=watch.cursor))
            assert keys(await events_within(HOUR, watch)) == keys(found)
        assert keys(found) == stored_events(sim) - lost

    with_simulator(main)


@pytest.mark.parametrize("age", [30.1, 31, 365])
def test_a_job_raises_the_lost_span_and_goes_on(age: float) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        await create_events(sim, 1)
        async with sim.session() as ws:
            events = ws.events_since(Cursor(looked_at=sim.clock.time() - age * DAY))
            with pytest.raises(EventsLost):
                await anext(events)
            assert keys(await collect(events)) == stored_events(sim)

    with_simulator(main)


def test_a_start_before_the_stored_events_is_refused() -> None:
    ws = Service().session()
    for start in (dt.timedelta(days=31), dt.timedelta(days=-1)):
        with pytest.raises(InvalidCall, match="period_start: must not be negative, and at most 30 days"):
            ws.watch(period_start=start)


@pytest.mark.parametrize("newest", [True, False], ids=["the newest first", "the oldest first"])
def test_more_events_than_a_reply_contains_are_read_by_project(monkeypatch: pytest.MonkeyPatch, newest: bool) -> None:
    limit_replies(monkeypatch, newest=newest)

    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            saved = ws.events_since(None).cursor
            for _, project in itertools.product(range(3), list(sim.projects)[:4]):
                await create_events(sim, 5, project)
                await trio.sleep(HOUR)
            sim.requests.clear()
            watch = ws.watch(cursor=saved)
            found = await events_within(2 * MINUTE, watch)
            counts = [request.action for request in sim.requests].count("get_projects"), len(sim.requests)
            assert await events_within(2 * HOUR, watch) == []
        assert len(found) == 120
        assert keys(found) == stored_events(sim)
        assert is_in_order(found)
        assert counts == (1, 1 + 1 + len(sim.projects) + 1)

    with_simulator(main)


def test_a_watch_of_some_projects_reads_only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_replies(monkeypatch, newest=True)

    async def main(sim: Service) -> None:
        sim.clear_events()
        first, second, third = list(sim.projects)[:3]
        async with sim.session() as ws:
            saved = ws.events_since(None).cursor
            for project in (first, second, third):
                await create_events(sim, 15, project)
            sim.requests.clear()
            found = await collect(ws.events_since(saved, projects=[first, third]))
        assert len(found) == 60
        assert {request.params.get("id_project") for request in sim.requests} == {None, str(first), str(third)}

    with_simulator(main)


@pytest.mark.parametrize("newest", [True, False], ids=["the newest first", "the oldest first"])
def test_more_events_of_one_project_are_read_in_shorter_periods(monkeypatch: pytest.MonkeyPatch, newest: bool) -> None:
    """If the service lists the oldest events of a period, shorter periods list the others. Otherwise some are lost."""
    limit_replies(monkeypatch, newest=newest)

    async def main(sim: Service) -> None:
        sim.clear_events()
        project = next(iter(sim.projects))
        async with sim.session() as ws:
            saved = ws.events_since(None).cursor
            for _ in range(12):
                await create_events(sim, 2, project)
                await trio.sleep(HOUR)
            events = ws.events_since(saved)
            if newest:
                with pytest.raises(EventsLost, match="the project 26 has 40 events or more") as caught:
                    await anext(events)
                assert caught.value.since == utc(saved.looked_at)
                assert caught.value.since.timestamp() == START
            found = await collect(events)
        if newest:
            assert keys(found) == keys(list(sim.events)[-LIMIT:])
        else:
            assert keys(found) == stored_events(sim)

    with_simulator(main)


def test_gaps_between_shorter_periods_are_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_replies(monkeypatch, newest=False)

    async def main(sim: Service) -> None:
        sim.clear_events()
        project = next(iter(sim.projects))
        async with sim.session() as ws:
            saved = ws.events_since(None).cursor
            for _ in range(75):
                await create_events(sim, 1, project)
                await trio.sleep(4 * MINUTE)
            assert keys(await collect(ws.events_since(saved))) == stored_events(sim)
        assert len(sim.events) == 150

    with_simulator(main)


def test_events_of_projects_that_are_not_listed_are_reported_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the full reply only, which does not contain all of them."""
    limit_replies(monkeypatch, newest=False)

    async def main(sim: Service) -> None:
        sim.clear_events()
        first, second = list(sim.projects)[:2]
        async with sim.session() as ws:
            saved = ws.events_since(None).cursor
            await create_events(sim, 15, first)
            await trio.sleep(HOUR)
            await create_events(sim, 15, second)
            del sim._world.projects[second]
            events = ws.events_since(saved)
            with pytest.raises(EventsLost, match="there are 40 events or more, some of which are of no project"):
                await anext(events)
            assert len(await collect(events)) == 40

    with_simulator(main)


@pytest.mark.parametrize("oldest_first", [True, False], ids=["the oldest first", "the newest first"])
@pytest.mark.parametrize("newest", [True, False], ids=["the newest are kept", "the oldest are kept"])
def test_the_events_of_one_minute_keep_their_order(
    monkeypatch: pytest.MonkeyPatch, newest: bool, oldest_first: bool
) -> None:
    """Whatever the service keeps of a full reply, and in which order it lists the events."""
    limit_replies(monkeypatch, newest=newest, oldest_first=oldest_first)

    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            saved = ws.events_since(None).cursor
            for _ in range(10):
                for project in list(sim.projects)[:3]:
                    await create_events(sim, 1, project)
                await trio.sleep(MINUTE)
            found = await collect(ws.events_since(saved))
        by_task: dict[int, list[str]] = {}
        for event in found:
            by_task.setdefault(event.object.id, []).append(event.action)
        assert list(by_task.values()) == [["post", "close"]] * 30

    with_simulator(main)


def test_the_events_of_a_single_minute_are_in_their_order() -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            watch = ws.watch()
            task = await ws.post_task(next(iter(sim.projects)), "Quick")
            await ws.complete_task(task.id)
            await ws.reopen_task(task.id)
            found = await events_within(MINUTE, watch)
        assert [event.action for event in found] == ["post", "close", "reopen"]

    with_simulator(main)
