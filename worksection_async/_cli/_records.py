"""The records in a reply, and their columns in CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_type_hints

import attrs

from ..models import Model


def records_of(reply: object) -> list[Model] | None:
    """Return the records in the result of a call, or None if it is no record: an id, a message, nothing."""
    if isinstance(reply, Model):
        field = _field_of_records(type(reply))
        return [reply] if field is None else records_of(getattr(reply, field)) or []
    if isinstance(reply, Mapping):
        reply = list(reply.values())
    if isinstance(reply, list | tuple) and all(isinstance(record, Model) for record in reply):
        return list(reply)
    return None


def rest_of(reply: object) -> Model | None:
    """Return *reply* without its records if it contains more than them, such as the total of costs."""
    field = _field_of_records(type(reply)) if isinstance(reply, Model) else None
    if field is None or not isinstance(reply, Model):
        return None
    empty: Any = type(getattr(reply, field))()
    return attrs.evolve(reply, **{field: empty})


def model_of_records(model: type[Model]) -> type[Model]:
    """Return the model of the records in a reply of *model*."""
    if (field := _field_of_records(model)) is None:
        return model
    items: tuple[Any, ...] = get_args(get_type_hints(model)[field])
    return next(model_of_records(item) for item in items if _is_model(item))


def columns_of(model: type[Model]) -> list[str]:
    """Return the columns of *model*; the fields of a nested record are columns of their own: ``user_to.email``."""
    return [*(name for field, hint in _hints(model) for name in _columns(field, hint)), "extra"]


def flat(record: Mapping[str, object]) -> dict[str, object]:
    """Return *record*, a result of `to_dict`, by column; lists and deeper records are JSON text."""
    cells: dict[str, object] = {}
    for name, value in record.items():
        nested = {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, Mapping) else {}
        cells |= {key: _cell(item) for key, item in {name: value, **nested}.items()}
    return cells


def _cell(value: object) -> object:
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=False) if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _columns(name: str, hint: Any) -> Iterator[str]:
    nested = [item for item in (hint, *get_args(hint)) if _is_model(item)]
    if nested and not _is_collection(hint):
        yield from (f"{name}.{field}" for field, _ in _hints(nested[0]))
    else:
        yield name


def _hints(model: type[Model]) -> list[tuple[str, Any]]:
    hints = get_type_hints(model)
    return [(field.name, hints[field.name]) for field in attrs.fields(model) if field.name != "extra"]


def _field_of_records(model: type[Model]) -> str | None:
    return next((field.name for field in attrs.fields(model) if field.metadata.get("records")), None)


def _is_collection(hint: Any) -> bool:
    return getattr(hint, "__origin__", None) in (tuple, list, dict)


def _is_model(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, Model)
