"""The changes of an event, with the values in the formats of the models' fields."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from . import _reply_formats
from ._changed_fields import FORMATS
from .members import User


@attrs.frozen
class Change:
    """A change of one field."""

    old: object
    """The value before; None if it was empty or the service does not send it."""

    new: object
    """The value after; None if it is empty."""


def changes_of(
    record: str | None, old: Mapping[str, object], new: Mapping[str, object], tz: dt.tzinfo | None
) -> dict[str, Change]:
    """Return the changes of a *record* (type of the object of an event) by the name of the field."""
    formats = FORMATS.get(record or "", {})

    def read(values: Mapping[str, object], name: str) -> object:
        return _read(values.get(name), formats.get(name, ""), tz)

    return {name: Change(read(old, name), read(new, name)) for name in {**new, **old}}


def _read(value: object, format_: str, tz: dt.tzinfo | None) -> object:
    """Return *value* in Python's form; as it was sent if the format is unknown or does not fit."""
    if value in (None, "") or (format_ in ("date", "datetime") and _reply_formats.is_no_date(value)):
        return None
    try:
        result = _READERS[format_](value)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        return value
    if tz is not None and isinstance(result, dt.datetime) and result.tzinfo is None:
        return result.replace(tzinfo=tz)
    return result


def _read_user(value: Any) -> User:
    """Decode a user, or the email address of one."""
    if isinstance(value, str):
        return User(email=value)
    return User(
        id=_reply_formats.from_id(value["id"]) if value.get("id") else None,
        email=_reply_formats.from_str(value.get("email") or ""),
        name=_reply_formats.from_str(value.get("name") or ""),
        extra={name: value[name] for name in value if name not in ("id", "email", "name")},
    )


_READERS: Mapping[str, Callable[[Any], object]] = {
    "id": _reply_formats.from_id,
    "int": _reply_formats.from_id,
    "str": _reply_formats.from_str,
    "bool": _reply_formats.from_flag,
    "date": _reply_formats.from_date,
    "datetime": _reply_formats.from_datetime,
    "time": _reply_formats.from_time,
    "hours": _reply_formats.from_hours,
    "clock": _reply_formats.from_clock,
    "timer": _reply_formats.from_seconds,
    "money": _reply_formats.from_money,
    "User": _read_user,
}
