"""How calls, results and values are put into words."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal

from ..models import User


def printable(text: str) -> str:
    """*text* on one line, and without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def call(action: str, params: Mapping[str, object]) -> str:
    """A call as it would be typed."""
    given = ", ".join(f"{name}={_value(value)}" for name, value in params.items() if value is not None)
    return printable(f"{action}({given})")


def _value(value: object) -> str:
    if isinstance(value, dt.timedelta):
        return f"timedelta(minutes={value // dt.timedelta(minutes=1)})"
    if isinstance(value, dt.date):
        return f"date({value.year}, {value.month}, {value.day})"
    return repr(value)


def result(value: object) -> str:
    """What a call returned, in a word or two."""
    if value is None:
        return "None"
    if isinstance(value, int | str):
        return printable(repr(value))
    if isinstance(value, Sequence):
        return f"{len(value)} × {type(value[0]).__name__}" if value else "none"
    number = getattr(value, "id", None)
    return type(value).__name__ if number is None else f"{type(value).__name__} {number}"


def day(date: dt.date | None) -> str:
    return f"{date:%d %b %Y}" if date else ""


def clock(time: dt.timedelta) -> str:
    """Hours and minutes."""
    minutes = time // dt.timedelta(minutes=1)
    return f"{minutes // 60}:{minutes % 60:02}"


def money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def person(user: User | None) -> str:
    """Who it is, or whom a task waits for."""
    if user is None or user.is_nobody:
        return "nobody"
    return "anybody" if user.is_anybody else printable(user.name)
