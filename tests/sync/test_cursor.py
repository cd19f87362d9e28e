"""The pure part of watches: no event is lost or yielded twice, for any service that the documentation allows."""

from __future__ import annotations

import datetime as dt
import random
import zoneinfo
from collections import Counter

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worksection_async import Cursor
from worksection_async._protocol.formats import to_period
from worksection_async._sync.event_tracker import OVERLAP, EventTracker
from worksection_async.models import Event, EventObject

START = 1_780_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}
ZONES = st.sampled_from([dt.timedelta(hours=hours) for hours in (-10, -3.5, 0, 3, 5.75, 14)])


@attrs.frozen
class Change:
    """A change in the account; changes with the same *id* within a minute are identical events."""

    at: float
    id: int
    late: float = 0.0
    """Seconds until the service lists it."""


@attrs.define
class FakeService:
    """Lists changes as events, in local time without seconds."""

    changes: list[Change]
    zone: dt.timedelta = dt.timedelta(0)
    stores_seconds: bool = True
    tz: dt.tzinfo | None = None
    """The zone instead of *zone*; a session with ``tz`` knows it, so the times of events have it, without a fold."""

    def label(self, moment: float) -> dt.datetime:
        local = dt.datetime.fromtimestamp(moment, self.tz or dt.UTC)
        if self.tz is None:
            local = local.replace(tzinfo=None) + self.zone
        return local.replace(second=0, microsecond=0, fold=0)

    def event(self, change: Change) -> Event:
        page = f"/project/7/{change.id}/"
        task = EventObject(type="task", id=change.id, page=page)
        return Event(action="update", object=task, date_added=self.label(change.at), new={})

    def get_events(self, period: dt.timedelta, now: float) -> list[Event]:
        text = to_period(period)
        oldest = now - int(text[:-1]) * UNITS[text[-1]]
        found = [
            change
            for change in self.changes
            if change.at + change.late <= now
            and (change.at if self.stores_seconds else change.at // MINUTE * MINUTE) >= oldest
        ]
        events = [self.event(change) for change in found]
        random.Random(len(events)).shuffle(events)
        return events

    def keys(self, since: float = 0.0) -> Counter[str]:
        return Counter(self.event(change).key for change in self.changes if change.at >= since)


def look(tracker: EventTracker, service: FakeService, now: float, waited: float = 0.0) -> None:
    """Make one look as `EventLog` does; the request arrives *waited* seconds after *now*."""
    spare = 0.0
    while True:
        period = tracker.period(now, spare)
        now, spare = now + waited, waited
        events = service.get_events(period, now)
        if tracker.covers(period, now):
            break
    tracker.add(tracker.oldest_first(events), period=period, looked_at=now - waited, now=now)


def take_all(tracker: EventTracker, limit: int | None = None) -> list[Event]:
    events: list[Event] = []
    while (limit is None or len(events) < limit) and (event := tracker.take()) is not None:
        events.append(event)
    return events


def fresh(now: float) -> EventTracker:
    return EventTracker(Cursor(looked_at=now, since=now))


def keys(events: list[Event]) -> Counter[str]:
    return Counter(event.key for event in events)


RUNS = st.lists(
    st.tuples(
        st.floats(0, 3 * HOUR) | st.sampled_from([0.0, 20.0, 7 * HOUR, DAY, 4 * DAY]),  # until the run
        st.sampled_from([0.0, 0.0, 1.0, 59.0, HOUR]),  # in the queue
        st.none() | st.integers(0, 3),  # events before a crash
    ),
    min_size=1,
    max_size=8,
)
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 3), st.floats(0, MINUTE) | st.just(MINUTE)), max_size=30)


@given(runs=RUNS, drawn=CHANGES, zone=ZONES, stores_seconds=st.booleans())
@example(runs=[(DAY, HOUR, None)] * 3, drawn=[(0.34, 1, 60.0)], zone=dt.timedelta(0), stores_seconds=False)
def test_runs_from_saved_cursors_yield_every_event_once(
    runs: list[tuple[float, float, int | None]],
    drawn: list[tuple[float, int, float]],
    zone: dt.timedelta,
    stores_seconds: bool,
) -> None:
    """For any delays of runs and calls, crashes after any event, and events that are listed up to a minute late."""
    end = START + sum(gap + 10 * waited for gap, waited, _ in runs)
    service = FakeService(
        [Change(START + MINUTE + place * (end - START), number, late) for place, number, late in drawn],
        zone,
        stores_seconds,
    )
    now, saved, found = START, fresh(START).cursor.to_json(), []
    for gap, waited, limit in [*runs, (end - START, 0.0, None), (5 * MINUTE, 0.0, None)]:
        now += gap
        tracker = EventTracker(Cursor.from_json(saved))
        look(tracker, service, now, waited)
        found += take_all(tracker, limit)
        saved, now = tracker.cursor.to_json(), now + 2 * waited
    assert keys(found) == service.keys()


KYIV = zoneinfo.ZoneInfo("Europe/Kyiv")
SUMMER_TIME = {"begins": 1_774_746_000.0, "ends": 1_792_890_000.0}
"""Changes of the clocks in Kyiv in 2026: 29 March and 25 October, 01:00 UTC."""


@pytest.mark.parametrize("change", SUMMER_TIME)
@given(
    every=st.integers(1, 20),
    drawn=st.lists(st.tuples(st.integers(-110, 110), st.integers(1, 2)), max_size=30),
    crash=st.none() | st.integers(0, 12),
)
@example(every=5, drawn=[(-50, 1), (10, 1)], crash=None)
@example(every=20, drawn=[(-1, 1), (59, 1)], crash=8)
def test_equal_events_in_the_repeated_hour_are_each_yielded(
    change: str, every: int, drawn: list[tuple[int, int]], crash: int | None
) -> None:
    """With a known time zone; a poll every *every* minutes, and one poll over the whole time at the end."""
    middle = SUMMER_TIME[change]
    service = FakeService([Change(middle + at * MINUTE, number) for at, number in drawn], tz=KYIV)
    now, found = middle - 2 * HOUR, []
    tracker = fresh(now)
    while now < middle + 2 * HOUR:
        now += every * MINUTE
        look(tracker, service, now)
        found += take_all(tracker)
        if crash is not None and now > middle - 2 * HOUR + crash * 20 * MINUTE:
            tracker, crash = EventTracker(Cursor.from_json(tracker.cursor.to_json())), None
    assert keys(found) == service.keys()
    rerun = EventTracker(attrs.evolve(tracker.cursor, looked_at=middle - 2 * HOUR))
    look(rerun, service, now)
    assert take_all(rerun) == []


def test_a_start_before_the_repeated_hour_loses_no_event_of_it() -> None:
    """The newest time in the reply is one of the first pass, which is later than those of the second one."""
    ends = SUMMER_TIME["ends"]
    service = FakeService([Change(ends + at * MINUTE, at + 10) for at in (-1, 1, 2, 9)], tz=KYIV)
    tracker = fresh(ends - HOUR / 2)
    look(tracker, service, ends + 10 * MINUTE)
    assert keys(take_all(tracker)) == service.keys()


@pytest.mark.parametrize("offset", [0, 10, 20, 30, 45, 50, 59])
def test_hourly_looks_yield_equal_events_of_the_repeated_hour(offset: int) -> None:
    ends = SUMMER_TIME["ends"]
    service = FakeService([Change(ends - 25 * MINUTE, 1), Change(ends + 35 * MINUTE, 1)], tz=KYIV)
    tracker, found = fresh(ends - 2 * HOUR), []
    for number in range(-1, 4):
        look(tracker, service, ends + number * HOUR + offset * MINUTE)
        found += take_all(tracker)
    assert len(found) == 2


@given(
    ages=st.lists(st.floats(-9 * MINUTE, 5 * DAY), max_size=20),
    zone=ZONES,
    runs=st.lists(st.floats(0, 5 * HOUR), max_size=5),
    delay=st.floats(0.01, 8 * MINUTE),
)
@example(ages=[101.0], zone=dt.timedelta(0), runs=[15 * MINUTE], delay=1.0)
def test_a_fresh_start_yields_no_event_of_an_earlier_minute(
    ages: list[float], zone: dt.timedelta, runs: list[float], delay: float
) -> None:
    service = FakeService([Change(START - age, number) for number, age in enumerate(ages, 1)], zone)
    tracker, found, now = fresh(START), [], START
    for gap in [delay, *runs, 10 * MINUTE]:
        now += gap
        look(tracker, service, now)
        found += take_all(tracker)
    assert keys(found) >= service.keys(since=START)
    assert all(event.date_added and event.date_added >= service.label(START - 5) for event in found)


@given(age=st.floats(0, 29 * DAY), zone=ZONES, later=st.floats(0, DAY))
def test_no_event_after_the_start_is_lost_if_the_time_zone_cannot_be_found(
    age: float, zone: dt.timedelta, later: float
) -> None:
    """The only event is hours old, so its time fits to several zones."""
    service = FakeService([Change(START - age, 1)], zone)
    tracker = fresh(START - age)
    look(tracker, service, START + later)
    assert keys(take_all(tracker)) == service.keys()


def test_a_crash_does_not_bring_back_events_from_before_the_start() -> None:
    """Even if the period of the next run is rounded up to a day, and reaches back behind the start."""
    service = FakeService([Change(START - 5 * HOUR, 1), Change(START + HOUR, 2), Change(START + 4 * DAY, 3)])
    saved = fresh(START).cursor.to_json()
    tracker = EventTracker(Cursor.from_json(saved))
    look(tracker, service, START + 4 * DAY + MINUTE)
    assert [event.object.id for event in take_all(tracker)] == [2, 3]


def test_a_forgotten_event_is_not_yielded_again() -> None:
    service = FakeService([Change(START + MINUTE, 1), Change(START + 2 * DAY, 2)])
    tracker = EventTracker(Cursor(looked_at=START))
    for day in (1, 2, 3):
        look(tracker, service, START + day * DAY)
        take_all(tracker)
    assert len(tracker.cursor.seen) == 1
    month = dt.timedelta(days=30)
    tracker.add(service.get_events(month, START + 4 * DAY), period=month, looked_at=START, now=START + 4 * DAY)
    assert tracker.take() is None


def test_the_cursor_moves_on_with_the_last_event() -> None:
    service = FakeService([Change(START + MINUTE, 1), Change(START + 2 * MINUTE, 2)])
    tracker = fresh(START)
    look(tracker, service, START + 5 * MINUTE)
    positions = [(tracker.take(), tracker.cursor.looked_at)[1] for _ in range(3)]
    assert positions == [START, START + 5 * MINUTE, START + 5 * MINUTE]


@pytest.mark.parametrize("wrong", [dt.datetime(2099, 1, 1), dt.datetime(1, 1, 1), None], ids=str)
def test_an_event_with_a_nonsense_time_hides_no_other_event(wrong: dt.datetime | None) -> None:
    service = FakeService([])
    odd = attrs.evolve(service.event(Change(START, 9)), date_added=wrong)
    tracker = fresh(START)
    for number in range(1, 5):
        now = START + number * MINUTE
        service.changes.append(Change(now, number))
        period = tracker.period(now)
        tracker.add([odd, *service.get_events(period, now)], period=period, looked_at=now, now=now)
        assert number in [event.object.id for event in take_all(tracker)]
    assert tracker.period(START + 5 * MINUTE) == OVERLAP + dt.timedelta(minutes=1)


@pytest.mark.parametrize("wrong", [dt.datetime(2099, 1, 1), dt.datetime(1, 1, 1), None], ids=str)
def test_an_event_with_a_nonsense_time_alone_is_no_error(wrong: dt.datetime | None) -> None:
    odd = attrs.evolve(FakeService([]).event(Change(START, 9)), date_added=wrong)
    tracker, found = fresh(START), []
    for number in range(4):
        tracker.add([odd], period=OVERLAP, looked_at=START + number, now=START + number)
        found += take_all(tracker)
    assert len(found) <= 1


def test_the_period_is_at_most_what_the_service_stores() -> None:
    tracker = EventTracker(Cursor(looked_at=START))
    assert tracker.period(START + 30 * DAY) == tracker.period(START + 300 * DAY) == dt.timedelta(days=30)


def test_events_that_are_not_stored_any_more_are_skipped_once() -> None:
    tracker = EventTracker(Cursor(looked_at=START))
    assert tracker.skip_lost(START + 30 * DAY) is None
    assert tracker.skip_lost(START + 31 * DAY) == START
    assert tracker.cursor.looked_at == START + DAY
    assert tracker.skip_lost(START + 31 * DAY + MINUTE) is None


def test_a_cursor_without_a_start_can_be_read() -> None:
    cursor = Cursor.from_json('{"looked_at": 1, "seen": {"a": ["2026-01-02 03:04:00+02:00", [1]], "b": ["", [1, 2]]}}')
    assert (cursor.since, cursor.seen["b"]) == (None, ("", (1.0, 2.0)))
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.from_json('{"looked_at": 1, "seen": {"a": ["yesterday", [1]]}}')


@pytest.mark.parametrize("moment", ["NaN", "Infinity", "-Infinity", "1e300", "1e18", "true", "[]", '"x"'])
def test_a_cursor_with_an_impossible_time_is_refused(moment: str) -> None:
    for text in (f'{{"looked_at": {moment}, "seen": {{}}}}', f'{{"looked_at": 1, "since": {moment}, "seen": {{}}}}'):
        with pytest.raises(ValueError, match="not a cursor"):
            Cursor.from_json(text)
