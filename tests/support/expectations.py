"""Expectations about the service that do not depend on the spec, so that the tests can find errors in the spec.

`find_lost_values` compares a reply with its result, key by key. `find_type_errors` compares a value with its declared
type. `MESSAGES` maps each message of the service to an error class.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import attrs

from tests.support.constants import SAMPLES
from worksection_async import Session, errors, models
from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.envelope import Reply, read_reply
from worksection_async._protocol.structure import Structure
from worksection_async.errors import WorksectionError

MESSAGES: dict[str, type[WorksectionError]] = {
    "Access token is expired": errors.AuthError,
    "Action hash is missed or invalid": errors.AuthError,
    "Action is invalid": errors.ApiError,
    "At least one of fields required": errors.FieldError,
    "Authorization code has been revoked": errors.ApiError,
    "Cannot decrypt the refresh token": errors.ApiError,
    "Client authentication failed": errors.ApiError,
    "Field is required": errors.FieldError,
    "File not found": errors.NotFound,
    "Invalid email": errors.FieldError,
    "Malformed UTF-8 characters": errors.ApiError,
    "Only one parameter (options.time_require or options.time_today or options.timer_only) can be set as 1.": (
        errors.FieldError
    ),
    "Parent task is done": errors.StateError,
    "Project is already active": errors.StateError,
    "Project is already closed": errors.StateError,
    "Project is invalid": errors.NotFound,
    "Quota exceeded": errors.QuotaExceeded,
    "Tag is invalid": errors.FieldError,
    "Task has children": errors.StateError,
    "Task is already active": errors.StateError,
    "Task is already closed": errors.StateError,
    "Task is closed": errors.StateError,
    "Task is invalid": errors.NotFound,
    "Timer is already started": errors.StateError,
    "Timer is not started": errors.StateError,
    "Timer not found": errors.NotFound,
    "Too many requests": errors.RateLimited,
    "Too many tasks (10000 max)": errors.TooManyRecords,
    "Url should respond 200 HTTP_CODE and JSON {status:OK}": errors.FieldError,
    "WebHook not found": errors.NotFound,
    "invalid JSON": errors.ApiError,
}
"""Message of the service → class of the error that is raised."""

VALUE_ALIASES = {"archived": "archive", "true": "1", "false": "0"}
KEY_ALIASES = {"data_added": "date_added"}
ABSENT_VALUES: tuple[object, ...] = (None, "", [], {}, "0000-00-00", "0000-00-00 00:00")
"""Values of a reply that are treated as absent."""


# Replies


@attrs.frozen
class Sample:
    """A reply, and the action that it belongs to."""

    name: str
    action: str
    http_status: int
    body: Any

    @property
    def reply(self) -> Reply:
        return Reply(self.http_status, {}, json.dumps(self.body).encode(), 0.0)

    @property
    def message(self) -> str | None:
        """The message of an error; None if the status is ok."""
        message: str | None = self.body.get("errorDescription") or self.body.get("message")
        return None if self.body.get("status") == "ok" else message


def load(path: Path, action: str | None = None) -> Sample:
    content = json.loads(path.read_text())
    return Sample(path.stem, action or content["action"], content["http_status"] or 200, content["body"])


def declared_result_type(action: str) -> Any:
    """Return the declared result type of *action*."""
    return get_type_hints(getattr(Session, action), include_extras=True)["return"]


def returns_data(action: str) -> bool:
    """Return True if the result of *action* consists of records."""
    return declared_result_type(action) not in (type(None), int, str) and action != "download"


def read(sample: Sample, tz: dt.tzinfo | None = None) -> Any:
    return read_reply(ACTIONS[sample.action], sample.reply, Structure(tz))


# Lost values


def find_lost_values(envelope: Mapping[str, Any], value: object) -> list[str]:
    """Return the paths of all values of a reply that *value* does not contain at the same place."""
    members = {key: member for key, member in envelope.items() if key != "status"}
    if isinstance(value, models.Costs | models.CostsTotal):
        return list(_lost("$", members, value))
    data = members.pop("data", None)
    return [*(f"$.{key}" for key in members), *_lost("$.data", data, value)]


def _lost(path: str, raw: Any, value: Any) -> Iterator[str]:
    if raw in ABSENT_VALUES and not isinstance(raw, bool | int):
        return
    if isinstance(value, models.Model):
        yield from _lost_of_model(path, raw, value)
    elif isinstance(value, list | tuple) and not isinstance(raw, str):
        yield from _lost_of_list(path, raw, value)
    elif isinstance(value, Mapping):
        yield from _lost_of_map(path, raw, value)
    elif not _is_decoded(path.rpartition(".")[2], raw, value):
        yield path


def _lost_of_model(path: str, raw: Any, model: models.Model) -> Iterator[str]:
    if isinstance(raw, list) and len(raw) == 1:
        path, raw = f"{path}[0]", raw[0]
    if not isinstance(raw, dict):
        yield path
        return
    fields = {field.name.rstrip("_"): field.name for field in attrs.fields(type(model)) if field.name != "extra"}
    for key, each in raw.items():
        if key in model.extra:
            if model.extra[key] != each or type(model.extra[key]) is not type(each):
                yield f"{path}.{key}"
        elif (name := fields.get(KEY_ALIASES.get(key, key))) is None:
            yield f"{path}.{key}"
        elif name == "time" and not isinstance(each, str):
            unit = (
                dt.timedelta(seconds=1) if isinstance(model, models.Timer | models.MyTimer) else dt.timedelta(hours=1)
            )
            if getattr(model, name) != each * unit:
                yield f"{path}.{key}"
        else:
            yield from _lost(f"{path}.{key}", each, getattr(model, name))


def _lost_of_list(path: str, raw: Any, values: list[Any] | tuple[Any, ...]) -> Iterator[str]:
    if isinstance(raw, dict):
        raw = list(raw.values()) if all(key.isdecimal() for key in raw) else [raw]
    if not isinstance(raw, list) or len(raw) != len(values):
        yield path
        return
    for index, (each, value) in enumerate(zip(raw, values, strict=True)):
        yield from _lost(f"{path}[{index}]", each, value)


def _lost_of_map(path: str, raw: Any, values: Mapping[Any, Any]) -> Iterator[str]:
    if isinstance(raw, list):
        raw = {record["id"]: record for record in raw}
    found = {key.isoformat() if isinstance(key, dt.date) else str(key): value for key, value in values.items()}
    if not isinstance(raw, dict) or raw.keys() != found.keys():
        yield path
        return
    for key, each in raw.items():
        yield from _lost(f"{path}.{key}", each, found[key])


def _is_decoded(key: str, raw: Any, value: Any) -> bool:
    """Return True if *value* is the decoded form of *raw*; *key* is its name in the reply."""
    if type(raw) is type(value) and raw == value:
        return True
    text = str(raw)
    match value:
        case bool():
            return VALUE_ALIASES.get(text.lower(), text) == str(int(value))
        case int():
            return text == str(value)
        case str():
            return value == (text.lower() if key == "role" else VALUE_ALIASES.get(text, text))
        case dt.datetime():
            return f"{value:%Y-%m-%d %H:%M}" == text.replace("—", "-")
        case dt.date():
            return value.isoformat() == text.replace("—", "-")
        case dt.time():
            return f"{value:%H:%M}" == text.zfill(5)
        case Decimal():
            return Decimal(text.replace(",", ".")) == value
        case dt.timedelta() if ":" in text:
            units = zip(map(int, text.split(":")), (3600, 60, 1), strict=False)
            return value.total_seconds() == sum(number * unit for number, unit in units)
        case dt.timedelta():
            return value == dt.timedelta(hours=float(text))
        case tuple():
            return [part.strip() for part in text.split(",")] == [str(item) for item in value]
    return False


# Declared types


def find_type_errors(value: object, declared: Any, path: str = "value") -> list[str]:
    """Return a message with the path for each part of *value* that does not have its *declared* type."""
    origin, args = get_origin(declared), get_args(declared)
    if hasattr(declared, "__metadata__"):
        return find_type_errors(value, args[0], path)
    if declared is object or (origin is Literal and value in args):
        return []
    if args and origin not in (list, tuple, dict, Literal, Mapping):  # a union
        is_valid = any(not find_type_errors(value, each, path) for each in args)
        return [] if is_valid else [f"{path}: {value!r} is not {declared}"]
    if origin is Literal or (origin is None and not isinstance(declared, type)):
        return [f"{path}: {value!r} is not {declared}"]
    if not isinstance(value, origin or declared) or (isinstance(value, bool) and declared is int):
        return [f"{path}: {value!r} is not {declared}"]
    return list(_find_nested_type_errors(value, declared, path))


def _find_nested_type_errors(value: Any, declared: Any, path: str) -> Iterator[str]:
    if isinstance(value, models.Model):
        if type(value) is not declared:
            yield f"{path}: a {type(value).__name__} is not {declared.__name__}"
        for name, type_ in _hints(cast(Any, type(value))).items():
            yield from find_type_errors(getattr(value, name), type_, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from find_type_errors(item, get_args(declared)[0], f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find_type_errors(key, get_args(declared)[0], f"{path}, key {key}")
            yield from find_type_errors(item, get_args(declared)[1], f"{path}[{key}]")


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    attrs.resolve_types(cls, include_extras=True)
    return {field.name: field.type for field in attrs.fields(cls) if field.name != "extra"}


__all__ = [
    "MESSAGES",
    "SAMPLES",
    "Sample",
    "declared_result_type",
    "find_lost_values",
    "find_type_errors",
    "load",
    "read",
    "returns_data",
]
