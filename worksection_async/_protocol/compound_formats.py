"""Parameters that are made of others: choices, filters, options, schedules, uploads; and those nothing is known of."""

import datetime as dt
import json
import re
from collections.abc import Mapping
from decimal import Decimal
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


def to_options(value: object) -> Spread:
    """Rules of a project: ``options.*``."""
    if not isinstance(value, ProjectOptions):
        raise ValueError(f"ProjectOptions expected, not {type(value).__name__}")
    rules = attrs.asdict(value, filter=lambda field, rule: field.name != "extra" and rule is not None)
    return Spread({f"options.{name}": to_flag(rule) for name, rule in rules.items()})


def to_uploads(value: object) -> Structured:
    """Files stored before; those that failed are refused."""
    given = sequence(value)
    files = [file for file in given if isinstance(file, UploadedFile) and file.id]
    if len(files) != len(given):
        raise ValueError("what upload_files returned expected, without those that have an error")
    values = [attrs.asdict(file, filter=lambda field, _: field.name != "extra") for file in files]
    return Structured(values, in_query=False)


@attrs.frozen
class Choice:
    """One of the values of a Literal, or a comma list of them; a string may be either."""

    enum: object
    several: bool

    def __call__(self, value: object) -> str:
        items = re.split(r",\s*", value) if self.several and isinstance(value, str) else value
        return ",".join(map(self._one, sequence(items) if self.several else [items]))

    def _one(self, value: object) -> str:
        if value not in get_args(self.enum):
            raise ValueError(f"one of {', '.join(get_args(self.enum))} expected, not {value!r}")
        return str(value)


def choice(enum: object) -> Choice:
    return Choice(enum, several=False)


def choices(enum: object) -> Choice:
    return Choice(enum, several=True)


@attrs.frozen
class Conditions:
    """The ``filter`` of *action*: text as it is, or an expression of fields and operators that the action knows."""

    action: str

    def __call__(self, value: object) -> str:
        if isinstance(value, str):
            return to_str(value)
        if not isinstance(value, Filter):
            raise ValueError(f"an expression of F or text expected, not {type(value).__name__}")
        known = FILTER_OPERATORS[self.action]
        for comparison in value.comparisons():
            field, operator = comparison.field, comparison.operator
            if field not in known:
                raise ValueError(f"{self.action} has no field {field!r}; known are {', '.join(known)}")
            if operator not in known[field]:
                raise ValueError(f"{self.action} knows {field} with {' '.join(known[field])}, not {operator}")
        return str(value)


def schedule(enum: object) -> Format:
    """User → day → what to make of it."""
    one = choice(enum)

    def to_days(value: object) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise ValueError(f"a mapping of days expected, not {type(value).__name__}")
        return {to_date(day): one(change) for day, change in value.items()}

    def to_schedule(value: object) -> Structured:
        if not isinstance(value, Mapping):
            raise ValueError(f"a mapping of users expected, not {type(value).__name__}")
        return Structured({to_str(user): to_days(days) for user, days in value.items()})

    return to_schedule


@attrs.frozen
class Lenient:
    """Text goes as it is, for values newer than this release; anything else as *format* has it, if it can."""

    format: Format

    def __call__(self, value: object) -> WireValue | Spread:
        if isinstance(value, str):
            return to_text(value)
        return by_type(value) if isinstance(self.format, Choice) else self.format(value)


def to_json(value: object) -> Structured:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, RecursionError) as exc:
        raise ValueError(f"it cannot be written as JSON: {exc}") from None
    return Structured(cast(Json, value))


def by_type(value: object) -> WireValue:
    """A value of a parameter that nothing is known of."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, dt.date):
        return to_date(value)
    if isinstance(value, Decimal | float):
        return to_money(value)
    if isinstance(value, dt.timedelta):
        return to_clock(value)
    if isinstance(value, Mapping):
        return to_json(value)
    return to_names(value)


def to_attach(value: object) -> Structured:
    """Files beside the other parameters, in the body; `worksection_async._files` knows the forms they can have."""
    raise NotImplementedError("files are no parameters")


def to_files(value: object) -> Structured:
    """Files that are the whole body."""
    raise NotImplementedError("files are no parameters")
