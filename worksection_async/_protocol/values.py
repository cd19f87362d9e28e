"""What values of other libraries mean as arguments, and how errors show refused ones."""

import datetime as dt
import math
import operator
import re
from typing import SupportsIndex, TypeVar, cast

T = TypeVar("T")

ISO_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})", re.ASCII)


def as_date(value: object) -> dt.date:
    """Return the day that *value* means: a date, ``"01.12.2026"`` or ``"2026-12-01"``.

    A date-time is refused: its day depends on a time zone, and its time would be dropped.
    """
    if isinstance(value, dt.datetime):
        raise ValueError(
            f"must be a date, got {type(value).__name__}: pass its .date() in the time zone of the account"
        )
    if isinstance(value, str):
        return _date_in(value)
    if not isinstance(value, dt.date):
        raise ValueError(f"must be a date, got {type(value).__name__}")
    return value


def _date_in(text: str) -> dt.date:
    dotted = re.fullmatch(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})", text, re.ASCII)
    match = dotted or ISO_DATE.fullmatch(text)
    if match is None:
        raise ValueError(f'must be a date: a datetime.date, "01.12.2026" or "2026-12-01", got {shown(text)}')
    try:
        return dt.date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError as exc:
        raise ValueError(f"must be a date, got {text!r}: {exc}") from None


def as_integer(value: object) -> int | None:
    """Return *value* as an `int` if it is of an integer type, as `enum.IntEnum` or ``numpy.int64``; a bool is not."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        return None
    try:
        number = int(operator.index(cast(SupportsIndex, value)))
    except TypeError:  # an array of several numbers
        return None
    str(number)  # raises ValueError for thousands of digits, which cannot be sent
    return number


def plain_number(value: T) -> T:
    """Return the `int` for a number of another integer type, as ``numpy.int64``, and any other value unchanged."""
    number = None if isinstance(value, int | float) else as_integer(value)
    return value if number is None else cast(T, number)


def as_number(value: object) -> float:
    """Return *value* if it is an `int` or a `float`, and NaN if it is not, which no comparison accepts."""
    return value if isinstance(value, int | float) else math.nan


def shown(value: object) -> str:
    """Return a refused *value* for an error, with its type if that is not built in."""
    text = f"{value!r:.80}"
    return text if type(value).__module__ == "builtins" else f"{text} (type {type(value).__name__})"


def type_of(value: object) -> str:
    """Return the type of a refused *value* for an error that must not show the value."""
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
