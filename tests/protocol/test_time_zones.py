"""Time zones: checked where they enter, and defined for the hours that a change of the clock repeats or skips."""

from __future__ import annotations

import datetime as dt
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worksection_async import ApiKey, Session
from worksection_async._protocol.structure import Structure
from worksection_async._protocol.time_zones import to_time_zone
from worksection_async.errors import InvalidCall
from worksection_async.models import Task
from worksection_async.webhooks import WebhookReceiver, parse_events

KYIV = zoneinfo.ZoneInfo("Europe/Kyiv")
HOUR = dt.timedelta(hours=1)


async def ignore(_: object) -> None:
    """Handle no event."""


ENTRANCES: dict[str, Callable[[Any], object]] = {
    "Session": lambda tz: Session("acme", ApiKey("key"), tz=tz),
    "WebhookReceiver": lambda tz: WebhookReceiver(ignore, tz=tz),
    "parse_events": lambda tz: parse_events(b"[]", tz=tz),
}


class MeanSolarTime(dt.tzinfo):
    """Behaves like a zone of pytz: attached to a date, it has the offset of the oldest record of the city."""

    zone = "Europe/Kyiv"

    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=2, minutes=2)


class Failing(dt.tzinfo):
    """A tzinfo without methods, which fails when it is used."""


class FailingZone(zoneinfo.ZoneInfo):
    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        raise LookupError("no rules")


class NonsenseZone(zoneinfo.ZoneInfo):
    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(days=3)


@pytest.fixture(params=ENTRANCES)
def entrance(request: pytest.FixtureRequest) -> Callable[[Any], object]:
    return ENTRANCES[request.param]


# What is taken


@pytest.mark.parametrize(
    ("tz", "offset"),
    [
        (KYIV, 3 * HOUR),
        (dt.UTC, 0 * HOUR),
        (dt.timezone(-5 * HOUR), -5 * HOUR),
        ("Europe/Kyiv", 3 * HOUR),
        ("America/New_York", -4 * HOUR),
        ("UTC", 0 * HOUR),
    ],
    ids=str,
)
def test_a_zone_of_the_standard_library_or_its_name_is_taken(
    entrance: Callable[[Any], object], tz: Any, offset: dt.timedelta
) -> None:
    entrance(tz)
    zone = to_time_zone("Session", tz)
    assert dt.datetime(2026, 7, 1, tzinfo=zone).utcoffset() == offset
    assert zone is tz or isinstance(tz, str)


def test_without_a_zone_there_is_none() -> None:
    assert to_time_zone("Session", None) is None


# What is refused


@pytest.mark.parametrize(
    ("tz", "words"),
    [
        (MeanSolarTime(), r"MeanSolarTime \(pass \"Europe/Kyiv\"\)"),  # type: ignore[abstract]
        (Failing(), "an object of .*Failing"),  # type: ignore[abstract]
        (FailingZone("Europe/Kyiv"), "FailingZone fails: no rules"),
        (NonsenseZone("Europe/Kyiv"), "NonsenseZone fails: "),
        (zoneinfo.ZoneInfo, "the class ZoneInfo"),
        (2, "an object of builtins.int"),
        (0, "an object of builtins.int"),
        (b"Europe/Kyiv", "an object of builtins.bytes"),
        (dt.timedelta(hours=2), "an object of datetime.timedelta"),
        ("Europe/Kyyiv", r"no time zone 'Europe/Kyyiv', the nearest one is Europe/Kyiv"),
        ("America/New York", r"no time zone 'America/New York', the nearest one is America/New_York"),
        ("europe/kyiv", r"no time zone 'europe/kyiv', the nearest one is Europe/Kyiv"),
        ("Europe", "no time zone 'Europe'"),
        ("+02:00", r"no time zone '\+02:00'"),
        ("", "no time zone ''"),
        ("../../etc/passwd", "no time zone"),
        ("/etc/localtime", "no time zone"),
        ("a\0b", "no time zone"),
        ("\udcff", "no time zone"),
        ("x/" * 3000, "no time zone"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_another_zone_is_refused_in_words_that_say_what_to_pass(
    entrance: Callable[[Any], object], tz: Any, words: str
) -> None:
    with pytest.raises(InvalidCall, match=words) as caught:
        entrance(tz)
    assert 'a zoneinfo.ZoneInfo, a datetime.timezone, or an IANA name such as "Europe/Kyiv"' in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.action in ENTRANCES


@given(st.text(max_size=40))
def test_any_name_is_a_zone_or_an_invalid_call(name: str) -> None:
    try:
        zone = to_time_zone("Session", name)
    except InvalidCall:
        return
    assert isinstance(zone, zoneinfo.ZoneInfo)


@pytest.fixture
def without_tzdata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = zoneinfo.TZPATH
    for module in {"tzdata", *(name for name in sys.modules if name.startswith("tzdata."))}:
        monkeypatch.setitem(sys.modules, module, None)
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(to=path)
    zoneinfo.ZoneInfo.clear_cache()


@pytest.mark.usefixtures("without_tzdata")
@pytest.mark.parametrize("name", ["Europe/Kyiv", "UTC", "America/New_York"])
def test_a_machine_without_time_zones_is_told_to_install_them(entrance: Callable[[Any], object], name: str) -> None:
    with pytest.raises(InvalidCall, match="this machine has no time zones: install the package tzdata"):
        entrance(name)


# Changes of the clock


def moment(text: str, zone: dt.tzinfo) -> dt.datetime:
    read = Structure(zone).at("$", {"id": 1, "date_added": text}, Task).date_added
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("name", "repeated", "first"),
    [
        ("Europe/Kyiv", "2026-10-25 03:30", "2026-10-25 00:30"),
        ("Europe/Warsaw", "2026-10-25 02:30", "2026-10-25 00:30"),
        ("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45"),
    ],
)
def test_a_repeated_local_time_is_its_first_occurrence(name: str, repeated: str, first: str) -> None:
    read = moment(repeated, zoneinfo.ZoneInfo(name))
    assert read.fold == 0
    assert f"{read:%Y-%m-%d %H:%M}" == repeated
    assert f"{read.astimezone(dt.UTC):%Y-%m-%d %H:%M}" == first
    assert read.replace(fold=1).utcoffset() != read.utcoffset()


@pytest.mark.parametrize(
    ("name", "skipped", "instant"),
    [
        ("Europe/Kyiv", "2026-03-29 03:30", "2026-03-29 01:30"),
        ("Europe/Warsaw", "2026-03-29 02:30", "2026-03-29 01:30"),
        ("America/New_York", "2026-03-08 02:30", "2026-03-08 07:30"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:45"),
    ],
)
def test_a_skipped_local_time_keeps_its_digits_and_the_offset_before_the_change(
    name: str, skipped: str, instant: str
) -> None:
    read = moment(skipped, zoneinfo.ZoneInfo(name))
    assert f"{read:%Y-%m-%d %H:%M}" == skipped
    assert f"{read.astimezone(dt.UTC):%Y-%m-%d %H:%M}" == instant


@pytest.mark.parametrize("text", ["2026-10-25 03:30", "2026-03-29 03:30", "2026-07-01 10:00"])
def test_an_event_at_a_change_of_the_clock_has_the_same_key_with_and_without_a_zone(text: str) -> None:
    body = '{"action": "close", "object": {"type": "task", "id": 9}, "date_added": "%s"}' % text  # noqa: UP031
    (naive,), (aware,) = parse_events(body), parse_events(body, tz="Europe/Kyiv")
    assert naive.key == aware.key
