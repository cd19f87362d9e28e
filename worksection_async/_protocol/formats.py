"""Encodes Python values for requests, one pure function per format; `models._reply_formats` decodes those of replies.

Each function raises `ValueError` for an invalid value.

* ``date`` → ``"31.12.2026"``; ``timedelta`` → hours (``"1.5"``) or hours and minutes (``"1:30"``); money → ``"75.17"``
* ``bool`` → 1 or 0; sequence → comma-separated list; checklist → repeated parameter
"""

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

import attrs

from ..models._reply_formats import from_clock
from .service import MAX_TEXT_CHARACTERS
from .values import as_date, as_integer, shown

MAX_INTEGER_DIGITS = 12
"""Digits before the decimal point that are accepted for hours and money; keeps ``Decimal("1E+999999")`` out."""

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


@attrs.frozen
class Repeated:
    """A repeated parameter: ``todo[]=a&todo[]=b`` in a query, an array in JSON."""

    values: tuple[str, ...]


@attrs.frozen
class Structured:
    """A JSON value: JSON text in a query, nested in a JSON body."""

    value: Json
    in_query: bool = True
    """Whether the service reads the value from a query."""


@attrs.frozen
class Spread:
    """One argument that is sent as several parameters: ``options.allow_close``, …"""

    values: Mapping[str, int]


WireValue = str | int | Repeated | Structured
Format = Callable[[object], WireValue | Spread]


# Requests


def to_str(value: object) -> str:
    # `str(value)` of a member of an enumeration is its name.
    text = str.__str__(value) if isinstance(value, str) else None
    if (number := as_integer(value)) is not None:
        text = str(number)
    if text is None:
        raise ValueError(f"must be text, got {type(value).__name__}")
    text.encode()  # raises ValueError for a lone surrogate, which cannot be sent as UTF-8
    return text


to_name = to_str


def to_text(value: object) -> str:
    text = to_str(value)
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"{len(text)} characters; the service truncates at {MAX_TEXT_CHARACTERS}")
    return text


def to_id(value: object) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() and value.isascii() else as_integer(value)
    if number is None or number < 1:
        raise ValueError(f"must be a positive integer, got {shown(value)}")
    return number


def to_priority(value: object) -> int:
    number = as_integer(value)
    if number is None or not 0 <= number <= 10:
        raise ValueError(f"must be a number from 0 to 10, got {shown(value)}")
    return number


def to_flag(value: object) -> int:
    number = int(value) if isinstance(value, bool) else as_integer(value)
    if number not in (0, 1):
        raise ValueError(f"must be True or False, got {shown(value)}")
    return number


def to_email(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[^,;\s]+", value):
        raise ValueError(f"must be one e-mail address, got {shown(value)}")
    return to_str(value)


to_assignee = to_email


def to_names(value: object) -> str:
    """Encode a comma-separated list; a string is sent unchanged."""
    if isinstance(value, str):
        return to_str(value)
    items = [to_name(item) for item in sequence(value)]
    for item in items:
        if "," in item:
            raise ValueError(f"{item!r} contains a comma, which separates names")
        if not item.strip():
            raise ValueError("a name must not be blank")
    return ",".join(items)


def to_emails(value: object) -> str:
    return to_str(value) if isinstance(value, str) else ",".join(to_email(item) for item in sequence(value))


def to_ids(value: object) -> str:
    return to_str(value) if isinstance(value, str) else ",".join(str(to_id(item)) for item in sequence(value))


def to_todo(value: object) -> Repeated:
    if isinstance(value, str):
        raise ValueError("must be a sequence of items, got one string")
    return Repeated(tuple(to_text(item) for item in sequence(value)))


def to_date(value: object) -> str:
    day = as_date(value)
    return f"{day.day:02}.{day.month:02}.{day.year:04}"


def to_money(value: object) -> str:
    return _plain(_number(value))


def to_hours(value: object) -> str:
    """Encode a duration as a decimal number of hours."""
    return _plain(_not_negative(_hours(value)))


def to_clock(value: object) -> str:
    """Encode a duration as hours and minutes, rounded to the minute: the service stores no seconds."""
    hours = _not_negative(_hours(value))
    minutes = int((hours * 60).to_integral_value())
    if hours and not minutes:
        raise ValueError("must be 0 or more than half a minute: the service stores whole minutes")
    return f"{minutes // 60}:{minutes % 60:02}"


def to_period(value: object) -> str:
    """Encode a period as ``3d``; a `timedelta` is rounded up to the smallest unit in which it is allowed."""
    limits = {"m": 360, "h": 72, "d": 30}
    if isinstance(value, dt.timedelta):
        if value < dt.timedelta(0):
            raise ValueError("must not be negative")
        units = {"m": dt.timedelta(minutes=1), "h": dt.timedelta(hours=1), "d": dt.timedelta(days=1)}
        sizes = ((max(1, -(-value // size)), unit) for unit, size in units.items())
        value = next((f"{n}{unit}" for n, unit in sizes if n <= limits[unit]), None)
    match = re.fullmatch(r"([1-9]\d{0,3})([mhd])", value) if isinstance(value, str) else None
    if match is None or int(match[1]) > limits[match[2]]:
        raise ValueError("must be 1m..360m, 1h..72h, 1d..30d or a timedelta up to 30 days")
    return match[0]


def sequence(value: object) -> Sequence[object]:
    """Return the items of *value*; raise `ValueError` for bytes, a mapping or a single value."""
    if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
        return tuple(value)
    raise ValueError(f"must be a sequence, got {type(value).__name__}")


def _number(value: object) -> Decimal:
    with contextlib.suppress(InvalidOperation):
        number = _exact(value)
        if number is not None and number.is_finite() and number.adjusted() < MAX_INTEGER_DIGITS:
            return number
    raise ValueError(f"must be a number, got {shown(value)}")


def _exact(value: object) -> Decimal | None:
    """Return *value* with the decimal digits of its text form, or None if it is not a number."""
    if isinstance(value, str):
        return Decimal(to_str(value))
    if isinstance(value, Decimal):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(float.__repr__(value))
    if (number := as_integer(value)) is not None:
        return Decimal(number)
    if hasattr(type(value), "__float__") and not isinstance(value, bool):
        # Its nearest float has other digits: numpy.float32(0.1) is 0.10000000149011612.
        raise ValueError(f"must be a Decimal, an int or text, got {shown(value)}, whose decimal digits are not exact")
    return None


def _hours(value: object) -> Decimal:
    if isinstance(value, dt.timedelta):
        return Decimal(value // dt.timedelta(microseconds=1)) / 3_600_000_000
    if not isinstance(value, str):
        return _number(value)
    text = to_str(value)
    return _hours(from_clock(text)) if ":" in text else _number(text.replace(",", "."))


def _not_negative(number: Decimal) -> Decimal:
    if number < 0:
        raise ValueError("must not be negative")
    return number


def _plain(number: Decimal) -> str:
    """Return *number* without exponent and trailing zeros. Four decimals of an hour are 0.36 s."""
    text = f"{number:.4f}".rstrip("0").rstrip(".")
    if number and text in ("0", "-0"):
        raise ValueError("must be 0 or at least 0.0001")
    return "0" if text == "-0" else text
