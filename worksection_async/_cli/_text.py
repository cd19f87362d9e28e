"""Formats calls, results and values for the terminal."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal

from ..models import User


def printable(text: str) -> str:
    """Return *text* on one line, without control characters, which a terminal would execute."""
    return "".join(char if char.isprintable() else " " for char in text)


def format_call(action: str, params: Mapping[str, object]) -> str:
    """Return a call as Python code."""
    given = ", ".join(f"{name}={_format_value(value)}" for name, value in params.items() if value is not None)
    return printable(f"{action}({given})")


def _format_value(value: object) -> str:
    if isinstance(value, dt.timedelta):
        return f"timedelta(minutes={value // dt.timedelta(minutes=1)})"
    if isinstance(value, dt.date):
        return f"date({value.year}, {value.month}, {value.day})"
    return repr(value)


def format_result(value: object) -> str:
    """Return a short description of the result of a call."""
    if value is None:
        return "None"
    if isinstance(value, int | str):
        return printable(repr(value))
    if isinstance(value, Sequence):
        return f"{len(value)} × {type(value[0]).__name__}" if value else "[]"
    number = getattr(value, "id", None)
    return type(value).__name__ if number is None else f"{type(value).__name__} {number}"


def format_date(date: dt.date | None) -> str:
    return f"{date:%d %b %Y}" if date else ""


def format_duration(time: dt.timedelta) -> str:
    """Return hours and minutes, such as ``1:30``."""
    minutes = time // dt.timedelta(minutes=1)
    return f"{minutes // 60}:{minutes % 60:02}"


def format_money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def format_user(user: User | None) -> str:
    """Return the name of a user or assignee."""
    if user is None or user.is_nobody:
        return "unassigned"
    return "any member" if user.is_anybody else printable(user.name)
