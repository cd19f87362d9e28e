"""The simulated account in a JSON file. A record that refers to another one contains its id."""

import datetime as dt
import functools
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, get_origin

import attrs
from cattrs import BaseValidationError, Converter
from cattrs.preconf.json import make_converter

from .._transport.paths import replace_text
from ._fields import SENTINELS
from ._records import (
    Comment,
    Contact,
    Cost,
    CustomField,
    Event,
    Group,
    Project,
    Relation,
    StoredFile,
    Tag,
    TagGroup,
    Task,
    Timer,
    User,
    Webhook,
)
from ._world import World

FORMAT = 1

TABLES: Mapping[str, type] = {
    "users": User, "contacts": Contact, "groups": Group, "contact_groups": Group, "tag_groups": TagGroup, "tags": Tag,
    "custom_fields": CustomField, "files": StoredFile, "projects": Project, "tasks": Task, "comments": Comment,
    "costs": Cost, "timers": Timer, "webhooks": Webhook,
}  # fmt: skip
"""The attributes of `World` with records by id; a record refers to records of earlier tables and of its own one."""

REFERENCES = {User: "users", Tag: "tags", TagGroup: "tag_groups", CustomField: "custom_fields", StoredFile: "files",
              Project: "projects", Task: "tasks"}  # fmt: skip

DERIVED = frozenset({(Project, "tasks"), (Task, "children"), (Task, "comments"), (Task, "relations")})
"""Attributes that follow from the records that refer to the record."""


def dump(world: World, path: Path) -> None:
    """Write the account to a file."""
    converter = _converter(world)
    tables = {name: [_fields(converter, record) for record in getattr(world, name).values()] for name in TABLES}
    relations = [relation for task in world.tasks.values() for relation in task.relations if relation.earlier is task]
    content = {
        "format": FORMAT,
        "owner": world.owner.id,
        **tables,
        "relations": [_fields(converter, relation) for relation in relations],
        "events": [_fields(converter, event) for event in world.events if _exists(world, event)],
    }
    replace_text(path, json.dumps(content, ensure_ascii=False, indent=1))


def load(world: World, path: Path) -> None:
    """Replace the content of *world* by that of a file; raise `ValueError` if `dump` did not write it."""
    loaded = World(world.now)
    loaded.clear()
    try:
        _fill(loaded, _read(path))
    except (AttributeError, KeyError, TypeError, ValueError, BaseValidationError) as exc:
        problem = f"{path} is not an account of format {FORMAT} ({type(exc).__name__}: {exc})"
    else:
        world.become(loaded)
        return
    raise ValueError(problem)


def _read(path: Path) -> Any:
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["format"] != FORMAT:
        raise ValueError("another format")
    return content


def _fill(world: World, content: Any) -> None:
    converter = _converter(world)
    for name, cls in TABLES.items():
        for fields in content[name]:
            world.keep(name, _record(converter, cls, fields))
    world.owner = world.users[content["owner"]]
    for fields in content["relations"]:
        relation = _record(converter, Relation, fields)
        world.relate(relation.earlier, relation.later, relation.type)
    world.events.extend(_record(converter, Event, fields) for fields in content["events"])


def _exists(world: World, event: Event) -> bool:
    task = event.task
    return event.project.id in world.projects and (task is None or task.id in world.tasks)


def _fields(converter: Converter, record: Any) -> dict[str, Any]:
    return {
        field.name: converter.unstructure(getattr(record, field.name), field.type)
        for field in attrs.fields(type(record))
        if (type(record), field.name) not in DERIVED
    }


def _record(converter: Converter, cls: type, fields: Mapping[str, Any]) -> Any:
    types = {field.name: field.type for field in attrs.fields(attrs.resolve_types(cls))}
    return cls(**{name: converter.structure(value, types[name]) for name, value in fields.items()})


def _converter(world: World) -> Converter:
    converter = make_converter()
    converter.register_unstructure_hook_func(_is_set, sorted)
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, lambda value, _: Decimal(value))
    converter.register_unstructure_hook(dt.timedelta, dt.timedelta.total_seconds)
    converter.register_structure_hook(dt.timedelta, lambda value, _: dt.timedelta(seconds=value))
    converter.register_structure_hook_func(lambda type_: type_ is object, lambda value, _: value)
    for cls, name in REFERENCES.items():
        converter.register_unstructure_hook(cls, lambda record: record.id)
        converter.register_structure_hook(cls, functools.partial(_find, getattr(world, name)))
    return converter


def _is_set(type_: Any) -> bool:
    return get_origin(type_) is set


def _find(known: Mapping[int, Any], number: str | int, cls: type) -> Any:
    number = int(number)  # keys of JSON objects are text
    return SENTINELS[number] if cls is User and number in SENTINELS and number not in known else known[number]
