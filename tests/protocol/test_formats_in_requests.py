"""Encoding: every `to_…` function encodes a valid value for the service, and raises ValueError for an invalid one."""

import copy
import datetime as dt
import enum
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.numbers import Int64
from worksection_async._protocol import compound_formats, formats
from worksection_async._protocol.compound_formats import to_attach, to_files, to_options, to_uploads
from worksection_async._protocol.formats import (
    Repeated,
    Spread,
    Structured,
    to_assignee,
    to_clock,
    to_date,
    to_email,
    to_emails,
    to_flag,
    to_hours,
    to_id,
    to_ids,
    to_money,
    to_name,
    to_names,
    to_period,
    to_priority,
    to_str,
    to_text,
    to_todo,
)
from worksection_async.models import ProjectOptions, UploadedFile

Fruit = Literal["apple", "pear", "fig tree"]
DAY = dt.date(2026, 12, 31)
STORED = UploadedFile(id="k1", ext="pdf", name="план.pdf", icon="pdf")
FAILED = UploadedFile(ext="exe", name="a.exe", error="refused")
LONGEST = "я" * 65_536

UNITS = {"m": dt.timedelta(minutes=1), "h": dt.timedelta(hours=1), "d": dt.timedelta(days=1)}


# Functions, so that the formats are made inside the tests.


def to_fruit(value: object) -> str:
    return compound_formats.choice(Fruit)(value)


def to_fruits(value: object) -> str:
    return compound_formats.choices(Fruit)(value)


def to_plan(value: object) -> formats.WireValue | formats.Spread:
    return compound_formats.schedule(Fruit)(value)


def unread(value: object) -> object:
    """Return a copy of an iterator, so that a test can run twice in one process."""
    return copy.copy(value) if isinstance(value, Iterator) else value


FORMATS: dict[str, formats.Format] = {
    name: getattr(module, name)
    for module in (formats, compound_formats)
    for name in dir(module)
    if name.startswith("to_") and name not in ("to_attach", "to_files")
} | {
    "choice": to_fruit,
    "choices": to_fruits,
    "schedule": to_plan,
    "by_type": compound_formats.by_type,
}


def hours(number: float) -> dt.timedelta:
    return dt.timedelta(hours=number)


class Float32:
    """A number of another library with only ``__float__``, as ``numpy.float32``."""

    def __float__(self) -> float:
        return 0.10000000149011612

    def __repr__(self) -> str:
        return "float32(0.1)"


class Float64(float):
    """A subclass of `float` with a repr of its own, as ``numpy.float64``."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)})"

    __str__ = __repr__


class IntegerArray:
    """An array: it has ``__index__``, which works for one integer only."""

    def __index__(self) -> int:
        raise TypeError("only integer scalar arrays can be converted to a scalar index")

    def __repr__(self) -> str:
        return "array([1, 2])"


class Timestamp(dt.datetime):
    """As ``pandas.Timestamp``."""


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 7


class Kind(int, enum.Enum):
    PROJECT = 26


class Status(str, enum.Enum):  # noqa: UP042  # `str` of its members is not their value
    APPLE = "apple"
    DAY = "2026-12-31"
    HOURS = "1:30"
    ADDRESS = "ann@example.com"


HUGE = Int64(10**5000)


# Valid values


def case_id(write: object, value: object) -> str:
    """Return a test id without object addresses, because parallel workers must collect the same ids."""
    if value is HUGE:
        return f"{getattr(write, '__name__', 'choice')}-huge"
    shown = re.sub(r" at 0x[0-9a-f]+", "", str(value))[:30]
    return f"{getattr(write, '__name__', 'choice')}-{shown!a}"


VALID: list[tuple[formats.Format, object, object]] = [
    (to_str, "Привіт, 100 % & more", "Привіт, 100 % & more"),
    (to_str, 5, "5"),
    (to_text, LONGEST, LONGEST),
    (to_name, "On hold", "On hold"),
    (to_name, 17, "17"),
    (to_id, 26, 26),
    (to_id, "26", 26),
    (to_id, Int64(26), 26),
    (to_id, Level.HIGH, 7),
    (to_id, Kind.PROJECT, 26),
    (to_ids, [Int64(1), Kind.PROJECT, "3"], "1,26,3"),
    (to_str, Int64(5), "5"),
    (to_str, Kind.PROJECT, "26"),
    (to_str, Status.APPLE, "apple"),
    (to_names, [Status.APPLE, Int64(17)], "apple,17"),
    (to_email, Status.ADDRESS, "ann@example.com"),
    (to_priority, Int64(10), 10),
    (to_priority, Level.LOW, 1),
    (to_flag, Int64(0), 0),
    (to_flag, Level.LOW, 1),
    (to_date, Status.DAY, "31.12.2026"),
    (to_money, Int64(75), "75"),
    (to_money, Level.HIGH, "7"),
    (to_money, Float64(75.17), "75.17"),
    (to_hours, Int64(40), "40"),
    (to_hours, Status.HOURS, "1.5"),
    (to_clock, Float64(1.5), "1:30"),
    (to_fruit, Status.APPLE, "apple"),
    (to_fruits, [Status.APPLE, "pear"], "apple,pear"),
    (compound_formats.by_type, Int64(7), 7),
    (compound_formats.by_type, Level.HIGH, 7),
    (compound_formats.by_type, Float64(1.5), "1.5"),
    (compound_formats.by_type, 2**70, 2**70),
    (compound_formats.by_type, Status.APPLE, "apple"),
    (to_priority, 0, 0),
    (to_priority, 10, 10),
    (to_flag, True, 1),
    (to_flag, False, 0),
    (to_flag, 1, 1),
    (to_flag, 0, 0),
    (to_email, "ann@example.com", "ann@example.com"),
    (to_assignee, "NOONE", "NOONE"),
    (to_names, ["On hold", 17], "On hold,17"),
    (to_names, ("a",), "a"),
    (to_names, "a,b", "a,b"),
    (to_names, [], ""),
    (to_emails, ["ann@example.com", "bob@example.com"], "ann@example.com,bob@example.com"),
    (to_emails, "ann@example.com,bob@example.com", "ann@example.com,bob@example.com"),
    (to_ids, [1, "2", 3], "1,2,3"),
    (to_ids, "1,2", "1,2"),
    (to_todo, ["first, of all", "second"], Repeated(("first, of all", "second"))),
    (to_todo, iter(["first"]), Repeated(("first",))),
    (to_date, dt.date(2026, 1, 2), "02.01.2026"),
    (to_date, "2026-12-01", "01.12.2026"),
    (to_date, "2.1.2026", "02.01.2026"),
    (to_date, "2028-02-29", "29.02.2028"),
    (to_date, dt.date(987, 6, 5), "05.06.0987"),
    (to_date, "02.01.2026", "02.01.2026"),
    (to_money, 75, "75"),
    (to_money, 75.17, "75.17"),
    (to_money, Decimal("75.10"), "75.1"),
    (to_money, Decimal("1E+3"), "1000"),
    (to_money, 1e11, "100000000000"),
    (to_money, 0.1 + 0.2, "0.3"),
    (to_money, -0.0, "0"),
    (to_money, -12.5, "-12.5"),
    (to_money, "75.17", "75.17"),
    (to_hours, hours(1.5), "1.5"),
    (to_hours, dt.timedelta(seconds=1), "0.0003"),
    (to_hours, 40, "40"),
    (to_hours, Decimal("0.25"), "0.25"),
    (to_hours, "1,5", "1.5"),
    (to_hours, "1:30", "1.5"),
    (to_hours, 0, "0"),
    (to_clock, hours(1.5), "1:30"),
    (to_clock, dt.timedelta(days=4, hours=7, minutes=39), "103:39"),
    (to_clock, dt.timedelta(minutes=5), "0:05"),
    (to_clock, dt.timedelta(minutes=59, seconds=31), "1:00"),
    (to_clock, 1.5, "1:30"),
    (to_clock, Decimal("0.1"), "0:06"),
    (to_clock, "103:39", "103:39"),
    (to_clock, "0:11:13", "0:11"),
    (to_period, "1m", "1m"),
    (to_period, "360m", "360m"),
    (to_period, "72h", "72h"),
    (to_period, "30d", "30d"),
    (to_period, dt.timedelta(0), "1m"),
    (to_period, dt.timedelta(seconds=61), "2m"),
    (to_period, hours(6), "360m"),
    (to_period, hours(6) + dt.timedelta(microseconds=1), "7h"),
    (to_period, hours(72), "72h"),
    (to_period, hours(72.5), "4d"),
    (to_period, dt.timedelta(days=30), "30d"),
    (to_options, ProjectOptions(allow_close=True, timer_only=False),
     Spread({"options.allow_close": 1, "options.timer_only": 0})),
    (to_options, ProjectOptions(), Spread({})),
    (to_options, ProjectOptions(allow_give=True, extra={"new_rule": "1"}), Spread({"options.allow_give": 1})),
    (to_uploads, [STORED], Structured(
        [{"id": "k1", "ext": "pdf", "name": "план.pdf", "icon": "pdf", "error": None}], in_query=False)),
    (to_uploads, iter([STORED, STORED]), Structured(
        [{"id": "k1", "ext": "pdf", "name": "план.pdf", "icon": "pdf", "error": None}] * 2, in_query=False)),
    (to_fruit, "fig tree", "fig tree"),
    (to_fruits, ["apple", "pear"], "apple,pear"),
    (to_fruits, "apple, pear,fig tree", "apple,pear,fig tree"),
    (to_fruits, "apple", "apple"),
    (to_fruits, [], ""),
    (to_plan, {"ann@example.com": {DAY: "apple"}, 5: {"01.02.2026": "pear"}},
     Structured({"ann@example.com": {"31.12.2026": "apple"}, "5": {"01.02.2026": "pear"}})),
    (compound_formats.by_type, True, 1),
    (compound_formats.by_type, 7, 7),
    (compound_formats.by_type, DAY, "31.12.2026"),
    (compound_formats.by_type, Decimal("1.50"), "1.5"),
    (compound_formats.by_type, 1.5, "1.5"),
    (compound_formats.by_type, hours(1.5), "1:30"),
    (compound_formats.by_type, {"a": [1, None]}, Structured({"a": [1, None]})),
    (compound_formats.by_type, ["a", 1], "a,1"),
    (compound_formats.by_type, "a,b", "a,b"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "value", "written"),
    [pytest.param(*row, id=case_id(row[0], row[1])) for row in VALID],
)
def test_value_is_encoded_for_the_service(write: formats.Format, value: object, written: object) -> None:
    result = write(unread(value))
    assert result == written
    assert type(result) is type(written)  # a flag is 1, not True


# Invalid values

INVALID: list[tuple[formats.Format, object, str]] = [
    (to_str, True, "must be text, got bool"),
    (to_str, None, "must be text, got NoneType"),
    (to_str, 1.5, "must be text, got float"),
    (to_str, b"bytes", "must be text, got bytes"),
    (to_str, "lone surrogate \ud83d", "surrogates not allowed"),
    (to_text, LONGEST + "я", "65537 characters; the service truncates at 65536"),
    (to_id, 0, "must be a positive integer, got 0"),
    (to_id, -1, "positive"),
    (to_id, True, "positive"),
    (to_id, 26.0, "must be a positive integer, got 26.0"),
    (to_id, Float64(26), "got np.float64(26.0) (type Float64)"),
    (to_id, Float32(), "got float32(0.1) (type Float32)"),
    (to_id, Decimal(26), "got Decimal('26') (type Decimal)"),
    (to_id, IntegerArray(), "got array([1, 2]) (type IntegerArray)"),
    (to_id, Int64(0), "got int64(0) (type Int64)"),
    (to_id, HUGE, "Exceeds the limit"),
    (to_id, "9" * 5000, "Exceeds the limit"),
    (to_money, HUGE, "Exceeds the limit"),
    (compound_formats.by_type, HUGE, "Exceeds the limit"),
    (to_ids, [1, 2.0], "got 2.0"),
    (to_priority, 7.0, "must be a number from 0 to 10, got 7.0"),
    (to_priority, Int64(11), "got int64(11)"),
    (to_flag, 1.0, "must be True or False, got 1.0"),
    (to_flag, Int64(2), "must be True or False, got int64(2)"),
    (to_money, Float32(), "must be a Decimal, an int or text, got float32(0.1) (type Float32)"),
    (to_hours, Fraction(1, 3), "must be a Decimal, an int or text, got Fraction(1, 3) (type Fraction)"),
    (to_clock, Float32(), "must be a Decimal, an int or text, got float32(0.1)"),
    (compound_formats.by_type, Float32(), "must be a Decimal, an int or text, got float32(0.1)"),
    (to_money, Int64(10**12), "must be a number, got int64(1000000000000)"),
    (to_money, 1j, "must be a number, got 1j"),
    (to_id, "", "positive"),
    (to_id, "26 ", "positive"),
    (to_id, "٢٦", "positive"),
    (to_id, "²", "positive"),
    (to_priority, 11, "0 to 10"),
    (to_priority, -1, "0 to 10"),
    (to_priority, "7", "0 to 10"),
    (to_priority, True, "0 to 10"),
    (to_flag, 2, "must be True or False, got 2"),
    (to_flag, "1", "True or False"),
    (to_flag, [], "True or False"),
    (to_flag, Decimal("sNaN"), "True or False"),
    (to_email, "", "one e-mail address"),
    (to_email, "ann@example.com,bob@example.com", "one e-mail address, got 'ann@example.com,bob@example.com'"),
    (to_email, "ann@example.com;bob@example.com", "one e-mail address"),
    (to_email, "ann@example.com bob@example.com", "one e-mail address"),
    (to_email, "ann@example.com\r", "one e-mail address"),
    (to_email, "ann@example.com\u00a0", "one e-mail address"),
    (to_email, ["ann@example.com"], "one e-mail address"),
    (to_email, 5, "one e-mail address"),
    (to_assignee, "ANY,NOONE", "one e-mail address"),
    (to_names, ["fine", "not, fine"], "'not, fine' contains a comma"),
    (to_names, 5, "must be a sequence, got int"),
    (to_names, b"ab", "must be a sequence, got bytes"),
    (to_names, {"a": 1}, "must be a sequence, got dict"),
    (to_names, [True], "must be text, got bool"),
    (to_names, [None], "must be text, got NoneType"),
    (to_emails, ["ann@example.com, bob@example.com"], "one e-mail address"),
    (to_emails, [""], "one e-mail address"),
    (to_ids, [1, 0], "positive"),
    (to_ids, 5, "must be a sequence, got int"),
    (to_todo, "one string", "must be a sequence of items, got one string"),
    (to_todo, ["fine", LONGEST + "я"], "65537 characters"),
    (to_date, "2026-12-31T10:00", 'must be a date: a datetime.date, "01.12.2026" or "2026-12-01", got \'2026-12-31T'),
    (to_date, "2026-12-31 ", "got '2026-12-31 '"),
    (to_date, "20261231", "got '20261231'"),
    (to_date, "12/31/2026", "got '12/31/2026'"),
    (to_date, "٠١.٠٢.٢٠٢٦", "must be a date: "),
    (to_date, "", "got ''"),
    (to_date, "31.02.2026", "must be a date, got '31.02.2026': day"),
    (to_date, "2026-02-29", "must be a date, got '2026-02-29': day"),
    (to_date, "0000-01-01", "must be a date, got '0000-01-01': year"),
    (to_date, dt.datetime(2026, 1, 2, 23, 59), "got datetime: pass its .date() in the time zone of the account"),
    (to_date, dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "got datetime: pass its .date()"),
    (to_date, Timestamp(2026, 1, 2), "got Timestamp: pass its .date()"),
    (to_date, 5, "must be a date, got int"),
    (to_date, dt.time(1), "must be a date, got time"),
    (to_money, True, "must be a number, got True"),
    (to_money, float("nan"), "must be a number, got nan"),
    (to_money, float("inf"), "must be a number"),
    (to_money, Decimal("sNaN"), "must be a number"),
    (to_money, Decimal("1E+999999"), "must be a number"),
    (to_money, 10**12, "must be a number"),
    (to_money, "ten", "must be a number, got 'ten'"),
    (to_money, None, "must be a number, got None"),
    (to_money, (0, (1, 2), 1), "must be a number"),
    (to_hours, -1, "must not be negative"),
    (to_hours, dt.timedelta(seconds=-1), "must not be negative"),
    (to_hours, "an hour", "must be a number"),
    (to_hours, "1E+999999", "must be a number"),
    (to_clock, "-1:30", "must not be negative"),
    (to_clock, dt.timedelta(seconds=29), "more than half a minute"),
    (to_money, 1e-7, "at least 0.0001"),
    (to_money, -1e-7, "at least 0.0001"),
    (to_hours, Decimal("0.00001"), "at least 0.0001"),
    (to_clock, "1:-30", "must be hours and minutes"),
    (to_clock, "1:2:3:4", "must be hours and minutes"),
    (to_clock, "99999999999:00", "must be hours and minutes"),
    (to_clock, Decimal("1E+999999"), "must be a number"),
    (to_period, "0m", "1m..360m"),
    (to_period, "361m", "1m..360m"),
    (to_period, "73h", "1m..360m"),
    (to_period, "60d", "1m..360m"),
    (to_period, "3w", "1m..360m"),
    (to_period, "3d\n", "1m..360m"),
    (to_period, 3, "1m..360m"),
    (to_period, dt.timedelta(days=30, microseconds=1), "1m..360m"),
    (to_period, dt.timedelta(seconds=-1), "must not be negative"),
    (to_options, {"allow_close": True}, "must be ProjectOptions, got dict"),
    (to_uploads, [STORED, FAILED], "without those that have an error"),
    (to_uploads, iter([FAILED]), "without those that have an error"),
    (to_uploads, ["k1"], "must be results of upload_files"),
    (to_uploads, STORED, "must be a sequence, got UploadedFile"),
    (to_fruit, "plum", "must be one of apple, pear, fig tree, got 'plum'"),
    (to_fruit, "aple", "must be one of apple, pear, fig tree, got 'aple', the nearest one is apple"),
    (to_fruit, "apple,pear", "one of"),
    (to_fruit, ["apple"], "one of"),
    (to_fruits, ["apple", "plum"], "must be one of apple, pear, fig tree, got 'plum'"),
    (to_fruits, "apple,plum", "got 'plum'"),
    (to_fruits, 5, "must be a sequence, got int"),
    (to_plan, [], "must be a mapping of users, got list"),
    (to_plan, {"ann@example.com": [DAY]}, "must be a mapping of days, got list"),
    (to_plan, {"ann@example.com": {DAY: "plum"}}, "one of"),
    (to_plan, {"ann@example.com": {"soon": "apple"}}, "must be a date: "),
    (to_plan, {"ann@example.com": {dt.datetime(2026, 1, 2): "apple"}}, "got datetime: pass"),
    (compound_formats.by_type, b"ab", "must be a sequence, got bytes"),
    (compound_formats.by_type, {"title": "lone surrogate \ud83d"}, "surrogates not allowed"),
    (compound_formats.by_type, {"day": DAY}, "cannot be encoded as JSON"),
    (compound_formats.by_type, {"sum": float("nan")}, "not JSON compliant"),
    (compound_formats.by_type, MappingProxyType({}), "cannot be encoded as JSON"),
]


@pytest.mark.parametrize(
    ("write", "value", "problem"),
    [pytest.param(*row, id=case_id(row[0], row[1])) for row in INVALID],
)
def test_invalid_value_is_refused_with_a_reason(write: formats.Format, value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        write(unread(value))


@pytest.mark.parametrize(
    ("write", "value", "problem"),
    [
        (to_fruit, 5, "must be one of apple, pear, fig tree, got 5"),
        (to_clock, dt.timedelta(seconds=1), "must be 0 or more than half a minute: the service stores whole minutes"),
        (to_money, 1e-7, "must be 0 or at least 0.0001"),
        (to_id, 1.5, "must be a positive integer, got 1.5"),
    ],
)
def test_a_reason_has_no_needless_end(write: formats.Format, value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        write(value)


@pytest.mark.parametrize("write", [to_attach, to_files])
def test_files_are_not_encoded_as_parameters(write: formats.Format) -> None:
    with pytest.raises(NotImplementedError):
        write([])


# Any value

moneys = st.decimals(min_value=-(10**11), max_value=10**11, allow_nan=False, allow_infinity=False)
numbers = st.one_of(moneys, st.floats(-1e11, 1e11), st.integers(-(10**11), 10**11))
spans = st.timedeltas(min_value=dt.timedelta(0), max_value=dt.timedelta(days=30))
anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(), st.binary(), st.dates(),
        st.times(), st.timedeltas(), st.complex_numbers(), st.just(STORED), st.just(ProjectOptions()), st.just(object),
        st.datetimes(), st.fractions(), st.builds(Int64, st.integers()), st.builds(Float32), st.sampled_from(Status),
        st.from_regex(r"-?\d+:-?\d+(:\d+)?"), st.characters(categories=["Cs"]), st.sampled_from(["sNaN", "1e999999"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip


def _is_not_too_small(number: Any) -> bool:
    return not 0 < abs(number) < 0.00005


@given(numbers.filter(_is_not_too_small))
def test_money_is_digits_rounded_to_the_fourth_decimal(number: Decimal | float) -> None:
    text = to_money(number)
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d{0,3}[1-9])?", text)
    assert text != "-0"
    assert abs(Decimal(text) - Decimal(str(number))) <= Decimal("0.00005")


@given(spans.filter(lambda span: not dt.timedelta(0) < span < dt.timedelta(seconds=0.2)))
def test_hours_are_exact_to_a_fifth_of_a_second(span: dt.timedelta) -> None:
    assert abs(dt.timedelta(hours=float(to_hours(span))) - span) <= dt.timedelta(seconds=0.2)


@given(spans.filter(lambda span: not dt.timedelta(0) < span <= dt.timedelta(seconds=30)))
def test_a_clock_is_exact_to_half_a_minute_and_has_two_digits_of_minutes(span: dt.timedelta) -> None:
    hours_, minutes = re.fullmatch(r"(0|[1-9]\d*):([0-5]\d)", to_clock(span)).groups()  # type: ignore[union-attr]
    assert abs(dt.timedelta(hours=int(hours_), minutes=int(minutes)) - span) <= dt.timedelta(seconds=30)


@given(spans)
def test_period_is_rounded_up_by_less_than_its_unit(span: dt.timedelta) -> None:
    period = to_period(span)
    unit = UNITS[period[-1]]
    assert span <= int(period[:-1]) * unit
    assert int(period[:-1]) * unit < span + unit or period == "1m"
    assert to_period(period) == period


@given(st.dates())
def test_date_is_day_month_year_with_leading_zeros(day: dt.date) -> None:
    text = to_date(day)
    assert re.fullmatch(r"\d\d\.\d\d\.\d{4}", text)
    assert [int(part) for part in text.split(".")] == [day.day, day.month, day.year]
    assert to_date(text) == text


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1).filter(str.strip)))
def test_names_can_be_split_at_the_commas(names: list[str]) -> None:
    assert to_names(names) == ",".join(names)
    assert not names or to_names(names).split(",") == names


@settings(max_examples=500)
@given(st.sampled_from(sorted(FORMATS)), anything)
def test_any_value_is_encoded_or_raises_a_value_error(name: str, value: object) -> None:
    try:
        written = FORMATS[name](value)
    except ValueError:
        return
    assert isinstance(written, str | int | Repeated | Structured | Spread)
