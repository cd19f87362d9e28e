"""`event.changes`: old and new values in the formats of the models' fields."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.constants import SAMPLES
from worksection_async import models
from worksection_async.models import Change, Event, EventObject, User
from worksection_async.webhooks import parse_events

ANNA = {"id": "3", "email": "anna@example.com", "name": "Anna"}


def event(record: str | None = "task", *, new: dict[str, object], old: dict[str, object] | None = None) -> Event:
    return Event(action="update", object=EventObject(type=record, id=26), new=new, old=old or {})


@pytest.mark.parametrize(
    ("name", "old", "new", "change"),
    [
        ("date_end", "2026-12-31", "", Change(dt.date(2026, 12, 31), None)),
        ("date_start", "0000-00-00", "31.12.2026", Change(None, dt.date(2026, 12, 31))),
        ("priority", "5", 7, Change(5, 7)),
        ("name", "Owl", "Eagle", Change("Owl", "Eagle")),
        ("time_end", "9:00", "18:30", Change(dt.time(9), dt.time(18, 30))),
        ("max_time", "1.5", "103:39", Change(dt.timedelta(hours=1.5), dt.timedelta(hours=103, minutes=39))),
        ("max_money", "12,50", 75, Change(Decimal("12.50"), Decimal(75))),
        ("status", "active", "done", Change("active", "done")),
        ("user_to", "", ANNA, Change(None, User(id=3, email="anna@example.com", name="Anna"))),
        ("user_to", "anna@example.com", "NOONE", Change(User(email="anna@example.com"), User(email="NOONE"))),
    ],
)
def test_values_have_the_format_of_the_field(name: str, old: object, new: object, change: Change) -> None:
    assert event(old={name: old}, new={name: new}).changes == {name: change}


@pytest.mark.parametrize(("name", "value"), [("mood", "good"), ("date_end", "soon"), ("tags", {"7": "Review"})])
def test_a_value_of_unknown_format_stays_as_it_was_sent(name: str, value: Any) -> None:
    assert event(new={name: value}).changes == {name: Change(None, value)}


def test_a_value_of_an_unknown_record_stays_as_it_was_sent() -> None:
    assert event("milestone", new={"priority": "7"}).changes == {"priority": Change(None, "7")}


def test_a_new_record_has_only_new_values() -> None:
    assert event(new={"user_to": ANNA}).changes["user_to"].old is None


def test_a_removed_value_is_a_change_without_a_new_one() -> None:
    assert event(old={"priority": 3}, new={}).changes == {"priority": Change(3, None)}


def test_the_values_as_sent_are_kept() -> None:
    changed = event(old={"priority": "1"}, new={"priority": 7})
    assert (changed.old, changed.new) == ({"priority": "1"}, {"priority": 7})


def test_date_times_have_the_zone_of_the_event() -> None:
    tz = dt.timezone(dt.timedelta(hours=2))
    changed = Event(
        action="update",
        object=EventObject(type="task", id=26),
        date_added=dt.datetime(2026, 12, 1, 9, 30, tzinfo=tz),
        new={"date_closed": "2026-12-01 09:29"},
    )
    assert changed.changes["date_closed"].new == dt.datetime(2026, 12, 1, 9, 29, tzinfo=tz)


def test_webhook_and_get_events_have_the_same_changes() -> None:
    body = (SAMPLES / "get_events.json").read_bytes()
    events = parse_events(json.dumps(json.loads(body)["body"]["data"][:1]).encode())
    assert events[0].changes == {
        "date_end": Change(None, dt.date(2026, 2, 3)),
        "priority": Change(1, 7),
    }
    assert models.from_dict(Event, models.to_dict(events[0])).changes == events[0].changes
