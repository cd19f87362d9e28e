"""The form of a model in JSON: keys, aliases, and the legacy formats of a record."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

import attrs

from ..models import Model, ProjectRef, TaskRef
from ..models._reply_formats import from_str, shown


def is_model(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Model)


def as_list(value: Any, item: Any) -> list[Any]:
    """Return the items of a list in any of its formats: a list, an object with numeric keys, comma-separated text."""
    if type(value) is str and not is_model(item):
        return [part for part in re.split(r"\s*,\s*", value.strip()) if part]
    if isinstance(value, dict) and all(key.isdecimal() for key in value):
        return list(value.values())
    if type(value) is not list:
        raise TypeError(f"must be a list, got {shown(value)}")
    return value


def as_map(value: Any) -> dict[str, Any]:
    """Return the members of an object; the service sends an empty object as ``[]``."""
    if type(value) is dict:
        return value
    if value in ([], "", None):
        return {}
    raise TypeError(f"must be an object, got {shown(value)}")


def key_of(field: "attrs.Attribute[object]") -> str:
    """Return the key of *field* in JSON: the field ``from_`` is named "from" there."""
    return field.name.rstrip("_")


def is_essential(field: "attrs.Attribute[object]") -> bool:
    """Return True if a record without a valid value of *field* is invalid, because it identifies or is the record."""
    return field.default is attrs.NOTHING or "records" in field.metadata


def value_hook(field: "attrs.Attribute[object]") -> Callable[..., str] | None:
    """Return the hook of a field whose values have aliases."""
    if (aliases := field.metadata.get("value_aliases")) is None:
        return None
    return lambda value, _=None: aliases.get(value, from_str(value))


@attrs.frozen
class Layout:
    """The fields of a model, as a record in JSON contains them."""

    fields: "tuple[attrs.Attribute[object], ...]"
    known: frozenset[str]
    """The keys of the fields."""
    texts: frozenset[str]
    """The fields that can be an empty text."""
    aliases: Mapping[str, str]
    """Other keys of fields: alias → key."""
    has_page: bool
    """Whether the page contains the id."""

    def sent_key(self, key: str, record: Mapping[str, Any]) -> str:
        """Return the key that *record* has for *key*: itself, or an alias."""
        return (
            key
            if key in record
            else next((alias for alias, name in self.aliases.items() if name == key and alias in record), key)
        )

    def normalize(self, record: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return *record* in the current format, and its keys that have no field.

        A null, or an empty string in a field that is not text, is removed. The legacy API identifies tasks and
        projects by their page only, and tags by their titles only.
        """
        if type(record) is not dict and record != []:
            raise TypeError(f"must be an object, got {shown(record)}")
        aliases = self.aliases
        record = {aliases.get(key, key) if aliases.get(key) not in record else key: record[key] for key in record}
        extra = {key: value for key, value in record.items() if key not in self.known}
        normalized = {
            key: value
            for key, value in record.items()
            if key in self.known and value is not None and (value != "" or key in self.texts)
        }
        if isinstance(tags := normalized.get("tags"), list) and tags and all(isinstance(tag, str) for tag in tags):
            extra["tags"] = normalized.pop("tags")
        page = re.fullmatch(r"/project/(?:\d+/)*?(\d+)/", str(normalized.get("page")))
        if page and self.has_page and "id" not in normalized:
            normalized["id"] = page[1]
        return normalized, extra


@functools.cache
def layout_of(model: Any) -> Layout:
    attrs.resolve_types(model, include_extras=True)
    fields = tuple(field for field in attrs.fields(model) if field.name != "extra")
    return Layout(
        fields,
        known=frozenset(map(key_of, fields)),
        texts=frozenset(field.name for field in fields if field.type is str or str in get_args(field.type)),
        aliases={alias: field.name for field in fields for alias in field.metadata.get("aliases", ())},
        has_page=issubclass(model, ProjectRef | TaskRef),
    )
