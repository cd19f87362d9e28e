"""Formats of values in requests and replies. No code is shared with the client, so that a bug there cannot hide here.

Requests: dates ``31.12.2026`` (schedules: also ISO), hours ``1.5``, ``1,5`` or ``1:30``, money ``75.17``, and
periods ``3d``.
Replies: ``2026-12-31``, ``2026-12-31 10:30``, ``103:39``, ``00:11:13``, ``75.17``.
The ``parse_…`` functions raise `ValueError` for an invalid text.
"""

import datetime as dt
import re
from decimal import Decimal

_MAX_PERIODS = {"m": ("minutes", 360), "h": ("hours", 72), "d": ("days", 30)}


def parse_date(text: str) -> dt.date:
    match = re.fullmatch(r"(\d{2})\.(\d{2})\.(\d{4})", text, re.ASCII)
    if match is None:
        raise ValueError(text)
    day, month, year = map(int, match.groups())
    return dt.date(year, month, day)


def parse_schedule_date(text: str) -> dt.date:
    return dt.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else parse_date(text)


def parse_decimal(text: str) -> Decimal:
    if not re.fullmatch(r"-?\d{1,12}([.,]\d{1,12})?", text, re.ASCII):
        raise ValueError(text)
    return Decimal(text.replace(",", "."))


def parse_hours(text: str) -> dt.timedelta:
    """Parse hours; ``0.15``, ``0,15`` and ``0:09`` all mean nine minutes."""
    if match := re.fullmatch(r"(\d{1,9}):(\d{2})", text, re.ASCII):
        return dt.timedelta(hours=int(match[1]), minutes=int(match[2]))
    return dt.timedelta(minutes=round(parse_decimal(text) * 60))


def parse_period(text: str) -> dt.timedelta:
    match = re.fullmatch(r"(\d{1,3})([mhd])", text, re.ASCII)
    if match is None:
        raise ValueError(text)
    unit, maximum = _MAX_PERIODS[match[2]]
    if not 1 <= int(match[1]) <= maximum:
        raise ValueError(text)
    return dt.timedelta(**{unit: int(match[1])})


def moment_text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


def clock_text(time: dt.timedelta) -> str:
    """Return hours and minutes without padding of the hours: ``6:50``, ``103:39``."""
    hours, minutes = divmod(int(time.total_seconds()) // 60, 60)
    return f"{hours}:{minutes:02}"


def timer_text(time: dt.timedelta) -> str:
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def money_text(money: Decimal) -> str:
    return f"{money:.2f}"


def plain_number(number: Decimal) -> int | float:
    """Return a JSON number for an estimate or rate; a whole number has no decimal point."""
    return int(number) if number == int(number) else float(number)
