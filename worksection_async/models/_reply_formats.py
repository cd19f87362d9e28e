"""Decodes values of replies, one pure function per format; `_protocol.formats` encodes those of requests.

Each function raises `ValueError` or `TypeError` for an invalid value.

* id → ``int``; ``"2026-12-31"`` → ``date``; ``"2026-12-31 10:30"`` → ``datetime``; ``"10:30"`` → ``time``
* ``352`` hours, ``"103:39"``, ``"00:11:13"``, seconds → ``timedelta``; ``"75.17"`` → ``Decimal``; 0/1 → ``bool``
* also as people write them: ``"31.12.2026 10:30"``, ``"24:00"``, ``"12 345,50"``
"""

import datetime as dt
import re
import reprlib
from decimal import Decimal, InvalidOperation
from typing import Any

from ..errors import mask_secrets


def shown(value: object) -> str:
    """Return a short ``repr`` of *value* for a message, without secrets. Never builds the whole ``repr``."""
    return mask_secrets(_SHORT.repr(value))[:40]


_SHORT = reprlib.Repr()
_SHORT.maxstring = 80  # long enough for a secret to be recognized as one


def _without_separators(text: str) -> str:
    """Return *text* without the blanks that separate thousands: ``"12 345,50"`` → ``"12345,50"``."""
    return re.sub(r"(?<=\d)[ \u00a0\u2009\u202f](?=\d{3}(?!\d))", "", text)


def from_id(value: Any, _: object = None) -> int:
    if type(value) is str:
        try:
            return int(value)
        except ValueError:
            return int(_without_separators(value))
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise TypeError(f"must be a number, got {shown(value)}")


def from_str(value: Any, _: object = None) -> str:
    if type(value) is str:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"must be text, got {shown(value)}")


def from_flag(value: Any, _: object = None) -> bool:
    if value in (1, "1", "true"):  # also True
        return True
    if value in (0, "0", "false"):
        return False
    raise ValueError(f"must be 0 or 1, got {shown(value)}")


def is_no_date(value: object) -> bool:
    """Return True for the year 0 or a negative year: PHP prints the empty date of MySQL as ``-0001-11-30``."""
    pattern = r"\s*(?:(?:-\d+|0000)[-—]\d\d?[-—]\d\d?|\d\d?\.\d\d?\.(?:-\d+|0000))(?!\d)"
    return isinstance(value, str) and re.match(pattern, value) is not None


def from_date(value: Any, _: object = None) -> dt.date:
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        return _from_other_format(value)[0].date()


def from_datetime(value: Any, _: object = None) -> dt.datetime:
    """Decode ``"2026-12-31 10:30"`` or ``"31.12.2026 10:30"``; 24:00 is 0:00 of the next day."""
    try:
        return dt.datetime.fromisoformat(value)
    except ValueError:
        moment, is_end_of_day = _from_other_format(value)
        return moment + dt.timedelta(days=is_end_of_day)


def _from_other_format(value: str) -> tuple[dt.datetime, bool]:
    """Decode a date-time that is not in ISO format; also tell whether its time is 24:00, which is returned as 0:00."""
    text = value.strip().replace("—", "-")  # some replies have em dashes in dates: 2026—12—31
    date = r"(?:(\d{4})-(\d\d?)-(\d\d?)|(\d\d?)\.(\d\d?)\.(\d{4}))"
    found = re.fullmatch(date + r"(?:(?:T|\s+)(\d\d?)(:\d\d.*))?", text)
    if found is None:
        return dt.datetime.fromisoformat(text), False
    year, month, day = found.group(1, 2, 3) if found[1] else found.group(6, 5, 4)
    hour, rest = found[7] or "0", found[8] or ":00"
    moment = dt.datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{'00' if hour == '24' else hour:0>2}{rest}")
    if hour == "24" and moment.time() != dt.time(0):
        raise ValueError(f"must be a date and a time, got {shown(value)}")
    return moment, hour == "24"


def from_time(value: Any, _: object = None) -> dt.time:
    """Decode ``"10:30"``. 24:00 is the last moment of the day, because 0:00 would be a day early on the same date."""
    if type(value) is not str:
        raise ValueError(f"must be a time, got {shown(value)}")
    if value in ("24:00", "24:00:00"):
        return dt.time.max
    return dt.time.fromisoformat(value if value[1:2] != ":" else f"0{value}")


def from_money(value: Any, _: object = None) -> Decimal:
    if type(value) is int:
        return Decimal(value)
    if type(value) is not str and type(value) is not float:
        raise TypeError(f"must be a number, got {shown(value)}")
    text = str(value).replace(",", ".")
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = _separated_decimal(text)
    if not number.is_finite():
        raise ValueError(f"must be a number, got {shown(value)}")
    return number


def _separated_decimal(text: str) -> Decimal:
    try:
        return Decimal(_without_separators(text))
    except InvalidOperation:
        return Decimal("NaN")


def from_clock(value: Any, _: object = None) -> dt.timedelta:
    """Decode ``"103:39"``, ``"0:11:13"`` or a number of hours."""
    if type(value) is int:
        return dt.timedelta(0, value * 3600)
    if type(value) is str and ":" in value:
        parts = re.fullmatch(r"(-?)(\d{1,9}):(\d{1,2})(?::(\d{1,2}))?", _without_separators(value))
        if parts is None:
            raise ValueError(f"must be hours and minutes, got {shown(value)}")
        span = dt.timedelta(hours=int(parts[2]), minutes=int(parts[3]), seconds=int(parts[4] or 0))
        return -span if parts[1] else span
    return dt.timedelta(hours=float(from_money(value)))


from_hours = from_clock


def from_seconds(value: Any, _: object = None) -> dt.timedelta:
    """Decode ``"00:11:13"`` or a number of seconds."""
    if type(value) is str and ":" in value:
        return from_clock(value)
    return dt.timedelta(seconds=float(from_money(value)))
