"""Formats of composed parameters (choices, filters, options, schedules, files) and of parameters of unknown actions."""

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import cast, get_args

import attrs

from ..models import ProjectOptions, UploadedFile
from .filter_fields import FILTER_OPERATORS
from .filter_language import Filter
from .formats import (
    Format,
    Json,
    Spread,
    Structured,
    WireValue,
    sequence,
    to_clock,
    to_date,
    to_flag,
    to_money,
    to_names,
    to_str,
    to_text,
)
from .names import nearest
from .values import ISO_DATE, as_integer, shown


def to_options(value: object) -> Spread:
    """Encode the rules of a project as ``options.*``."""
    if not isinstance(value, ProjectOptions):
        raise ValueError(f"must be ProjectOptions, got {type(value).__name__}")
    rules = attrs.asdict(value, filter=lambda field, rule: field.name != "extra" and rule is not None)
    return Spread({f"options.{name}": to_flag(rule) for name, rule in rules.items()})


def to_uploads(value: object) -> Structured:
    """Encode results of ``upload_files``; a result with an error is refused."""
    given = sequence(value)
    files = [file for file in given if isinstance(file, UploadedFile) and file.id]
    if len(files) != len(given):
        raise ValueError("must be results of upload_files, without those that have an error")
    values = [attrs.asdict(file, filter=lambda field, _: field.name != "extra") for file in files]
    return Structured(values, in_query=False)


@attrs.frozen
class Choice:
    """One value of a Literal, or (``several``) a sequence or comma-separated list of them."""

    enum: object
    several: bool

    def __call__(self, value: object) -> str:
        items = re.split(r",\s*", value) if self.several and isinstance(value, str) else value
        return ",".join(map(self._encode_one, sequence(items) if self.several else [items]))

    def _encode_one(self, value: object) -> str:
        if value not in get_args(self.enum):
            known = get_args(self.enum)
            advice = nearest(value, known) if isinstance(value, str) else ""
            raise ValueError(f"must be one of {', '.join(known)}, got {shown(value)}{advice}")
        return to_str(value)


def choice(enum: object) -> Choice:
    return Choice(enum, several=False)


def choices(enum: object) -> Choice:
    return Choice(enum, several=True)


@attrs.frozen
class FilterFormat:
    """The ``filter`` of *action*: text is sent unchanged; the fields and operators of a `Filter` are checked."""

    action: str

    def __call__(self, value: object) -> str:
        if isinstance(value, str):
            return to_str(value)
        if not isinstance(value, Filter):
            raise ValueError(f"must be an expression of F or text, got {type(value).__name__}")
        known = FILTER_OPERATORS[self.action]
        for comparison in value.comparisons():
            field, operator = comparison.field, comparison.operator
            if field not in known:
                raise ValueError(f"unknown field {field!r}; known fields: {', '.join(known)}")
            if operator not in known[field]:
                raise ValueError(f"operator {operator} is not available for {field}, only {' '.join(known[field])}")
        return str(value)


def schedule(enum: object) -> Format:
    """Return the format of a schedule: ``{user: {date: one of enum}}``."""
    encode_day = choice(enum)

    def to_days(value: object) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a mapping of days, got {type(value).__name__}")
        return {to_date(day): encode_day(kind) for day, kind in value.items()}

    def to_schedule(value: object) -> Structured:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a mapping of users, got {type(value).__name__}")
        return Structured({to_str(user): to_days(days) for user, days in value.items()})

    return to_schedule


@attrs.frozen
class TextOrFormat:
    """Sends text unchanged, because a value can be newer than this release; other values are encoded by *format*.

    An ISO date is encoded too: the service does not read it.
    """

    format: Format

    def __call__(self, value: object) -> WireValue | Spread:
        if isinstance(value, str):
            return to_date(value) if self.format is to_date and ISO_DATE.fullmatch(value) else to_text(value)
        return by_type(value) if isinstance(self.format, Choice) else self.format(value)


def to_json(value: object) -> Structured:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, RecursionError) as exc:
        raise ValueError(f"cannot be encoded as JSON: {exc}") from None
    return Structured(cast(Json, value))


def by_type(value: object) -> WireValue:
    """Encode a parameter of an unknown action by the Python type of its value."""
    if isinstance(value, bool):
        return int(value)
    if (number := as_integer(value)) is not None:
        return number
    if isinstance(value, dt.date):
        return to_date(value)
    if hasattr(type(value), "__float__"):
        return to_money(value)
    if isinstance(value, dt.timedelta):
        return to_clock(value)
    if isinstance(value, Mapping):
        return to_json(value)
    return to_names(value)


def to_attach(value: object) -> Structured:
    """Mark a parameter as files that are sent beside the other parameters; `attachments` encodes them."""
    raise NotImplementedError


def to_files(value: object) -> Structured:
    """Mark a parameter as files that are the whole body; `attachments` encodes them."""
    raise NotImplementedError
