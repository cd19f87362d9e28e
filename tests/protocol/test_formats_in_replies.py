"""Decoding: every `from_…` function with valid and invalid values, and round trips with `to_…`."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.constants import TOKEN
from worksection_async._protocol.formats import to_clock, to_flag, to_hours, to_id, to_money, to_str
from worksection_async.models import _reply_formats as reply_formats
from worksection_async.models._reply_formats import (
    from_clock,
    from_date,
    from_datetime,
    from_flag,
    from_hours,
    from_id,
    from_money,
    from_seconds,
    from_str,
    from_time,
    is_no_date,
    shown,
)

Read = Callable[[Any], object]


def span(hours: int = 0, minutes: int = 0, seconds: float = 0) -> dt.timedelta:
    return dt.timedelta(hours=hours, minutes=minutes, seconds=seconds)


VALID: list[tuple[Read, object, object]] = [
    (from_id, "26", 26),
    (from_id, 26, 26),
    (from_id, 26.0, 26),
    (from_id, "1 000", 1000),
    (from_id, "1\u00a0234\u202f567", 1234567),
    (from_id, "-12\u2009000", -12000),
    (from_id, "-4", -4),  # ids of tag sets are negative
    (from_str, "text", "text"),
    (from_str, "", ""),
    (from_str, 352, "352"),
    (from_str, 75.17, "75.17"),
    (from_flag, 1, True),
    (from_flag, 0, False),
    (from_flag, "1", True),
    (from_flag, "0", False),
    (from_flag, True, True),
    (from_flag, False, False),
    (from_flag, "true", True),
    (from_flag, "false", False),
    (from_date, "2026-12-31", dt.date(2026, 12, 31)),
    (from_date, "2026-12-31 10:30", dt.date(2026, 12, 31)),
    (from_date, "2026—12—31", dt.date(2026, 12, 31)),  # the vendor's documentation prints em dashes
    (from_date, "31.12.2026", dt.date(2026, 12, 31)),
    (from_date, "1.2.2026 9:30", dt.date(2026, 2, 1)),
    (from_date, "2026-12-31 24:00", dt.date(2026, 12, 31)),  # the day that the text names
    (from_date, "31.12.2026 24:00", dt.date(2026, 12, 31)),
    (from_datetime, "31.12.2026", dt.datetime(2026, 12, 31)),
    (from_datetime, "31.12.2026 10:30", dt.datetime(2026, 12, 31, 10, 30)),
    (from_datetime, "01.02.2026 9:05:07", dt.datetime(2026, 2, 1, 9, 5, 7)),
    (from_datetime, "2026-12-31 9:30", dt.datetime(2026, 12, 31, 9, 30)),
    (from_datetime, "2026-12-31 24:00", dt.datetime(2027, 1, 1)),
    (from_datetime, "28.02.2027 24:00:00", dt.datetime(2027, 3, 1)),
    (from_datetime, "2026—12—31T24:00", dt.datetime(2027, 1, 1)),
    (from_datetime, "2026-12-31 10:30", dt.datetime(2026, 12, 31, 10, 30)),
    (from_datetime, "2026-12-31 10:30:15", dt.datetime(2026, 12, 31, 10, 30, 15)),
    (from_datetime, "2026—12—31 10:30", dt.datetime(2026, 12, 31, 10, 30)),
    (from_datetime, "2026-12-31", dt.datetime(2026, 12, 31)),
    (from_datetime, " 20261231T1030 ", dt.datetime(2026, 12, 31, 10, 30)),
    (from_time, "08:00", dt.time(8)),
    (from_time, "8:05", dt.time(8, 5)),
    (from_time, "18:30:10", dt.time(18, 30, 10)),
    (from_time, "24:00", dt.time.max),  # 0:00 would be a day early
    (from_time, "24:00:00", dt.time.max),
    (from_money, "1 000", Decimal(1000)),
    (from_money, "12 345,50", Decimal("12345.50")),
    (from_money, "-12\u00a0345\u00a0678,5", Decimal("-12345678.5")),
    (from_money, "1\u202f000.25", Decimal("1000.25")),
    (from_hours, "1 000", span(1000)),
    (from_hours, "1\u00a0000,5", span(1000, 30)),
    (from_clock, "1 000:30", span(1000, 30)),
    (from_clock, "24:00", span(24)),
    (from_seconds, "12 345", span(seconds=12345)),
    (from_money, "75.17", Decimal("75.17")),
    (from_money, "75,17", Decimal("75.17")),
    (from_money, "0", Decimal(0)),
    (from_money, 352, Decimal(352)),
    (from_money, 75.17, Decimal("75.17")),
    (from_money, "-12.50", Decimal("-12.50")),
    (from_clock, "6:50", span(6, 50)),
    (from_clock, "103:39", span(103, 39)),
    (from_clock, "0:00", span()),
    (from_clock, "00:11:13", span(0, 11, 13)),
    (from_clock, "-1:30", -span(1, 30)),
    (from_hours, 352, span(352)),
    (from_hours, 1.5, span(1, 30)),
    (from_hours, "352", span(352)),
    (from_hours, "1.5", span(1, 30)),
    (from_hours, "1,5", span(1, 30)),
    (from_hours, "1:30", span(1, 30)),
    (from_seconds, "00:11:13", span(0, 11, 13)),
    (from_seconds, "100:00:01", span(100, 0, 1)),
    (from_seconds, 4360, span(1, 12, 40)),
    (from_seconds, "4360", span(1, 12, 40)),
    (from_seconds, 0, span()),
]


@pytest.mark.parametrize(
    ("read", "value", "result"), [pytest.param(*row, id=f"{row[0].__name__}-{row[1]}-{row[2]}") for row in VALID]
)
def test_all_known_formats_are_read(read: Read, value: object, result: object) -> None:
    assert read(value) == result
    assert type(read(value)) is type(result)


INVALID: list[tuple[Read, object]] = [
    (from_id, "1 00"), (from_id, "1 2"), (from_id, "1 000,5"), (from_money, "5 EUR"), (from_money, "1 2"),
    (from_datetime, "2026-12-31 24:01"), (from_datetime, "31.12.2026 25:00"), (from_date, "30.02.2026"),
    (from_datetime, "9999-12-31 24:00"), (from_time, "24:00:01"), (from_date, "12/31/2026"),
    (from_id, None), (from_id, True), (from_id, 2.5), (from_id, "x"), (from_id, ""),
    (from_id, []), (from_id, {}), (from_id, float("inf")),
    (from_str, None), (from_str, True), (from_str, []), (from_str, {}),
    (from_flag, None), (from_flag, 2), (from_flag, "yes"), (from_flag, ""), (from_flag, []),
    (from_date, None), (from_date, 20261231), (from_date, ""), (from_date, "31.13.2026"),
    (from_date, "0000-00-00"), (from_date, "2026-02-30"), (from_date, []),
    (from_datetime, None), (from_datetime, "10:30"), (from_datetime, {}), (from_datetime, 0),
    (from_time, None), (from_time, "24:01"), (from_time, ""), (from_time, 8), (from_time, []),
    (from_time, {}), (from_time, {"a": 1}), (from_time, True), (from_time, b"08:00"),
    (from_money, None), (from_money, True), (from_money, ""), (from_money, "NaN"),
    (from_money, float("inf")), (from_money, "1,234.50"), (from_money, [1]),
    (from_clock, None), (from_clock, True), (from_clock, ""), (from_clock, ":"),
    (from_clock, "1:"), (from_clock, "1:-30"), (from_clock, "1:2:3:4"), (from_clock, "--1:30"),
    (from_clock, "9999999999:00"), (from_clock, 10**30), (from_clock, "1e400"), (from_clock, []),
    (from_seconds, None), (from_seconds, True), (from_seconds, "soon"), (from_seconds, "1e400"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("read", "value"), [pytest.param(*row, id=f"{row[0].__name__}-{row[1]!r:.20}") for row in INVALID]
)
def test_invalid_values_are_refused(read: Read, value: object) -> None:
    with pytest.raises((ValueError, TypeError, ArithmeticError)):
        read(value)


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (from_id, [2], "must be a number, got [2]"),
        (from_str, [2], "must be text, got [2]"),
        (from_flag, "yes", "must be 0 or 1, got 'yes'"),
        (from_datetime, "2026-12-31 24:01", "must be a date and a time, got '2026-12-31 24:01'"),
        (from_time, 8, "must be a time, got 8"),
        (from_money, [2], "must be a number, got [2]"),
        (from_money, "NaN", "must be a number, got 'NaN'"),
        (from_money, "much", "must be a number, got 'much'"),
        (from_clock, "1:2:3:4", "must be hours and minutes, got '1:2:3:4'"),
    ],
)
def test_the_error_of_an_invalid_value_shows_it(read: Read, value: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        read(value)
    assert str(caught.value) == message


def test_a_shown_value_is_short_and_contains_no_secret() -> None:
    assert shown("one two three four five six seven eight nine ten") == "'one two three four five six seven eight"
    assert shown({"token": TOKEN}) == "{'token': '…'}"


@pytest.mark.parametrize("value", [None, True, 8, 8.5, b"08:00", [], ["08:00"], {}, {"a": 1}], ids=repr)
def test_time_of_a_wrong_type_is_a_value_error(value: object) -> None:
    """On Python 3.12 slices are hashable, so an unchecked ``value[1:2]`` of a dict would raise `KeyError`."""
    with pytest.raises(ValueError, match="must be a time, got "):
        from_time(value)


@pytest.mark.parametrize(
    "value",
    [
        "0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00:00+02:00", "0000—00—00 00:00",
        "-0001-11-30", "-0001-11-30 00:00:00", "-0001-11-29 23:58", "-1-11-30", "-001-11-30T00:00:00+00:00",
        "30.11.-0001", "30.11.-0001 00:00", "30.11.-1", "00.00.0000", "00.00.0000 00:00",
    ],
)  # fmt: skip
def test_empty_dates_of_php_are_no_date(value: str) -> None:
    assert is_no_date(value)
    for read in (from_date, from_datetime):
        with pytest.raises(ValueError):  # noqa: PT011
            read(value)


@pytest.mark.parametrize("value", ["2026-12-31", "0001-01-01", "31.12.2026", "soon", "-5", "", "0", None, 0, []])
def test_other_values_are_not_taken_for_an_empty_date(value: object) -> None:
    assert not is_no_date(value)


@given(st.datetimes(), st.sampled_from(["", " ", "T"]))
def test_dates_that_start_with_the_day_are_read_exactly(moment: dt.datetime, between: str) -> None:
    moment, day = moment.replace(microsecond=0), f"{moment.day:02}.{moment.month:02}.{moment.year:04}"
    assert from_date(day) == moment.date()
    if between:
        assert from_datetime(f"{day}{between}{moment:%H:%M:%S}") == moment


@given(st.integers(-(10**15), 10**15), st.sampled_from(" \u00a0\u2009\u202f"))
def test_separated_thousands_are_read_exactly(number: int, blank: str) -> None:
    text = f"{number:,}".replace(",", blank)
    assert (from_id(text), from_money(f"{text},25")) == (number, Decimal(f"{number}.25"))


# Round trips

minutes = st.integers(0, 10**7).map(lambda number: dt.timedelta(minutes=number))


@given(minutes)
def test_clock_round_trip_is_exact_to_the_minute(duration: dt.timedelta) -> None:
    assert from_clock(to_clock(duration)) == duration


@given(st.integers(0, 10**7))
def test_hours_round_trip_is_exact_to_the_hundredth(hundredths: int) -> None:
    duration = dt.timedelta(seconds=36 * hundredths)
    assert from_hours(to_hours(duration)) == duration


@given(st.decimals(-(10**9), 10**9, places=4))
def test_money_round_trip_is_exact_to_the_fourth_decimal(money: Decimal) -> None:
    assert from_money(to_money(money)) == money


@given(st.floats(-1e9, 1e9).map(lambda number: round(number, 2)))
def test_float_money_round_trip(money: float) -> None:
    assert from_money(to_money(money)) == Decimal(repr(money))


@given(st.integers(1, 2**63))
def test_id_round_trip(number: int) -> None:
    assert from_id(to_id(str(number))) == number


@given(st.booleans())
def test_flag_round_trip(flag: bool) -> None:
    assert from_flag(to_flag(flag)) is flag
    assert from_flag(str(to_flag(flag))) is flag


@given(st.text(st.characters(codec="utf-8")))
def test_text_round_trip(text: str) -> None:
    assert from_str(to_str(text)) == text


@given(st.datetimes())
def test_iso_dates_and_times_are_read_exactly(moment: dt.datetime) -> None:
    assert from_datetime(f"{moment:%Y-%m-%d %H:%M:%S}".zfill(19)) == moment.replace(microsecond=0)
    assert from_date(moment.date().isoformat()) == moment.date()
    assert from_time(f"{moment.hour}:{moment.minute:02}") == moment.time().replace(second=0, microsecond=0)


@given(st.timedeltas(dt.timedelta(0), dt.timedelta(days=9999)))
def test_timer_is_read_in_both_formats(duration: dt.timedelta) -> None:
    seconds = duration // dt.timedelta(seconds=1)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    assert from_seconds(text) == from_seconds(seconds) == dt.timedelta(seconds=seconds)


# Any JSON value

READERS = {name: getattr(reply_formats, name) for name in dir(reply_formats) if name.startswith("from_")}
json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.text("0123456789:-+., eENaT", max_size=12)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=2), inner, max_size=2)),
    max_leaves=3,
)


@settings(max_examples=500)
@given(st.sampled_from(sorted(READERS)), json_values)
def test_any_json_value_is_read_or_raises_an_expected_error(name: str, value: object) -> None:
    kinds = {
        "from_id": int, "from_str": str, "from_flag": bool, "from_date": dt.date, "from_datetime": dt.datetime,
        "from_time": dt.time, "from_money": Decimal, "from_clock": dt.timedelta, "from_hours": dt.timedelta,
        "from_seconds": dt.timedelta,
    }  # fmt: skip
    assert kinds.keys() == READERS.keys()
    try:
        result = READERS[name](value)
    except (ValueError, TypeError, ArithmeticError, AttributeError):  # OverflowError is an ArithmeticError
        return
    assert type(result) is kinds[name]
