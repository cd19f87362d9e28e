"""Formats calls, results and values for the terminal, and wraps text at its width."""

import datetime as dt
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import IO

from ..models import User


def printable(text: str) -> str:
    """Return *text* on one line, without control characters, which a terminal would execute."""
    return "".join(char if char.isprintable() else " " for char in text)


def width_of(stream: IO[str]) -> int | None:
    """Return the width of the terminal to which *stream* writes, or None if it is no terminal."""
    try:
        if not stream.isatty():
            return None
        return int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None


def wrapped(text: str, width: int | None) -> str:
    """Return *text* in lines of at most *width* characters; longer words, such as URLs, stay whole."""
    if not width:
        return text
    filler = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(filler.fill(line) if " " in line.strip() else line for line in text.split("\n"))


def print_error(text: str) -> None:
    """Print *text* on stderr, without control characters."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    shown = f"{wrapped(lines, width_of(sys.stderr))}\n"
    sys.stderr.write(shown.encode(encoding, "backslashreplace").decode(encoding))


def close_stdout() -> None:
    """Discard further output: the interpreter flushes stdout at its exit, which must not fail on a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
