"""Structures decoded JSON as models, with cattrs: one hook per format and per model; invalid values have a JSON path.

A cheap check detects records in one of the service's legacy formats (nulls, keys without a field, a page without an id,
…). Only such a record is normalized before it is structured, so that the other records are structured fast.
"""

import datetime as dt
import functools
import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn, override

from ..models import Model, ProjectRef, TaskRef
from ..models._base import NO_EXTRA, Clock, Hours, Seconds
from . import formats

T = TypeVar("T")
Hook = Callable[..., Any]
"""Called with a value and its type; the hooks of this module ignore the type."""

MAX_CACHED_FIELDS = 3
"""Models with at most this number of fields are cached: a few users and projects occur in thousands of records."""

CACHE_SIZE = 4096
"""Records per model that are cached; a full cache is cleared."""


class Malformed(Exception):
    """An invalid value in a reply; ``path`` is its JSON path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


class Structure:
    """Structures records as models. Date-times are naive, or have the time zone *tz* if it is given."""

    def __init__(self, tz: dt.tzinfo | None = None) -> None:
        self._tz = tz
        self._converter = _converter(tz, detailed=False)

    def make_ready(self, cls: Any) -> None:
        """Compile the hooks of *cls* now, because this takes milliseconds and would delay the first record."""
        self._converter.get_structure_hook(cls)

    def at(self, path: str, value: object, cls: type[T]) -> T:
        """Structure *value* as *cls*. Raises `Malformed` with a JSON path that starts with *path*."""
        try:
            model: T = self._converter.get_structure_hook(cls)(value, cls)
        except Exception as exc:  # noqa: BLE001
            # The value comes from the service, so any exception of a hook means that the reply is invalid.
            raise self._explain(path, value, cls, exc) from None
        return model

    def each(self, path: str, values: list[Any], cls: type[T]) -> list[T]:
        """Structure *values* in place, so that each record is freed as soon as its model exists."""
        structure: Hook = self._converter.get_structure_hook(cls)
        for index, value in enumerate(values):
            try:
                values[index] = structure(value, cls)
            except Exception as exc:  # noqa: BLE001
                raise self._explain(f"{path}[{index}]", value, cls, exc) from None
        return values

    def _explain(self, path: str, value: object, cls: type, failure: Exception) -> Malformed:
        """Find the path and the reason with detailed validation, which is too slow for the first pass."""
        if isinstance(failure, RecursionError):
            return Malformed(path, "nested too deeply")
        try:
            _converter(self._tz, detailed=True).structure(value, cls)
        except Exception as exc:  # noqa: BLE001
            reason, _, place = transform_error(exc, path, _reason)[0].rpartition(" @ ")
            return Malformed(re.sub(r"_(?=[.\[]|$)", "", place), reason)  # the field from_ is named "from" in JSON
        return Malformed(path, "unreadable")


def _reason(exc: BaseException, _: object) -> str:
    return "required key missing" if isinstance(exc, KeyError) else f"{exc!s:.200}" or type(exc).__name__


@functools.lru_cache(maxsize=16)
def _converter(tz: dt.tzinfo | None, *, detailed: bool) -> Converter:
    converter = Converter(detailed_validation=detailed)
    hooks: dict[Any, Hook] = {
        int: formats.from_id,
        str: formats.from_str,
        bool: formats.from_flag,
        dt.date: formats.from_date,
        dt.datetime: functools.partial(_aware, tz) if tz else formats.from_datetime,
        dt.time: formats.from_time,
        Decimal: formats.from_money,
    }
    for type_, read in hooks.items():
        converter.register_structure_hook(type_, read)
    for alias, read in {Hours: formats.from_hours, Clock: formats.from_clock, Seconds: formats.from_seconds}.items():
        converter.register_structure_hook_func(functools.partial(operator.eq, alias), read)
    converter.register_structure_hook_func(lambda type_: type_ is object, lambda value, _: value)
    converter.register_structure_hook_factory(_is_optional, functools.partial(_optional, converter))
    converter.register_structure_hook_func(_is_open_enum, formats.from_str)
    converter.register_structure_hook_factory(_is_tuple, functools.partial(_tuple, converter))
    converter.register_structure_hook_factory(_is_map, functools.partial(_map, converter, detailed=detailed))
    converter.register_structure_hook_factory(_is_model, functools.partial(_model, converter, detailed=detailed))
    return converter


def _aware(tz: dt.tzinfo, value: Any, _: Any = None) -> dt.datetime:
    moment = formats.from_datetime(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=tz)


# Hooks for composed types


def _is_optional(type_: Any) -> bool:
    return type(None) in get_args(type_)


def _optional(converter: Converter, type_: Any) -> Hook:
    """Return the hook of the type without None: `_normalize` removes empty values, except the date ``0000-00-00``."""
    given: Any = Union[tuple(arg for arg in get_args(type_) if arg is not type(None))]  # noqa: UP007
    hook: Hook = converter.get_structure_hook(given)
    return _or_none_if_zero_date(hook) if given in (dt.date, dt.datetime) else hook


def _or_none_if_zero_date(hook: Hook) -> Hook:
    def structure(value: Any, _: Any = None) -> Any:
        try:
            return hook(value)
        except ValueError:
            if value.startswith("0000-00-00"):
                return None
            raise

    return structure


def _is_open_enum(type_: Any) -> bool:
    return get_origin(type_) is Union and all(arg is str or get_origin(arg) is Literal for arg in get_args(type_))


def _is_tuple(type_: Any) -> bool:
    return get_origin(type_) is tuple


def _tuple(converter: Converter, type_: Any) -> Hook:
    item = get_args(type_)[0]
    list_hook, is_simple = converter.get_structure_hook(list[item]), not _is_model(item)  # type: ignore[valid-type]

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is str and is_simple:
            value = [part for part in re.split(r"\s*,\s*", value.strip()) if part]
        if isinstance(value, dict) and all(key.isdecimal() for key in value):
            value = list(value.values())
        if type(value) is not list:
            raise TypeError(f"must be a list, got {value!r:.40}")
        return tuple(list_hook(value, None))

    return structure


def _is_map(type_: Any) -> bool:
    return get_origin(type_) is dict


def _map(converter: Converter, type_: Any, *, detailed: bool) -> Hook:
    build = make_mapping_structure_fn(type_, converter, detailed_validation=detailed)

    def structure(value: Any, _: Any) -> Any:
        if type(value) is dict:
            return build(value, type_)
        if value in ([], "", None):
            return {}
        raise TypeError(f"must be an object, got {value!r:.40}")

    return structure


# Hooks for models


def _is_model(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Model)


def _model(converter: Converter, cls: Any, *, detailed: bool) -> Hook:
    """Return a hook that keeps unknown keys in ``extra`` and accepts the legacy formats of the service."""
    fields = _fields(cls)
    overrides: dict[str, Any] = {"extra": override(omit=True), **{field.name: _override(field) for field in fields}}
    build = make_dict_structure_fn(cls, converter, _cattrs_detailed_validation=detailed, **overrides)
    texts = frozenset(field.name for field in fields if _is_text(field.type))
    known = frozenset(field.name.rstrip("_") for field in fields)
    aliases = {alias: field.name for field in fields for alias in field.metadata.get("aliases", ())}

    has_page = issubclass(cls, ProjectRef | TaskRef)

    def structure(record: Any, _: Any = None) -> Any:
        if type(record) is dict and known.issuperset(record) and not is_legacy(record):
            return build(record, cls)
        return structure_legacy(record)

    def is_legacy(record: dict[str, Any]) -> bool:
        values = record.values()
        if None in values or type(record.get("tags")) is list or (has_page and "id" not in record):
            return True
        return "" in values and [*values].count("") > [*map(record.get, texts)].count("")

    def structure_legacy(record: Any) -> Any:
        if type(record) is not dict and record != []:
            raise TypeError(f"must be an object, got {record!r:.40}")
        record = {aliases.get(key, key) if aliases.get(key) not in record else key: record[key] for key in record}
        normalized, extra = _normalize(record, known, texts, has_page=has_page)
        return attrs.evolve(build(normalized, cls), extra=extra)

    return _cached(structure, tuple(known)) if len(fields) <= MAX_CACHED_FIELDS else structure


def _fields(cls: Any) -> "list[attrs.Attribute[object]]":
    attrs.resolve_types(cls, include_extras=True)
    return [field for field in attrs.fields(cls) if field.name != "extra"]


def _cached(structure: Hook, keys: tuple[str, ...]) -> Hook:
    """Return *structure* with a cache: thousands of records refer to the same few users and projects."""
    values = operator.itemgetter(*keys)
    cache: dict[Any, Any] = {}

    def structure_cached(record: Any, _: Any = None) -> Any:
        try:
            key = values(record)
            model = cache.get(key)
        except (KeyError, TypeError):  # a key is missing, or a value is not hashable: rare, so not cached
            return structure(record)
        if len(record) != len(keys):
            return structure(record)
        if model is None:
            model = structure(record)
            if len(cache) >= CACHE_SIZE:
                cache.clear()
            cache[key] = model
        return model

    return structure_cached


def _override(field: "attrs.Attribute[object]") -> Any:
    wire_name = field.name.rstrip("_")
    rename = wire_name if wire_name != field.name else None
    if value_aliases := field.metadata.get("value_aliases"):
        return override(rename=rename, struct_hook=lambda value, _: value_aliases.get(value, formats.from_str(value)))
    return override(rename=rename)


def _is_text(type_: Any) -> bool:
    return type_ is str or str in get_args(type_)


def _normalize(
    record: dict[str, Any], known: frozenset[str], texts: frozenset[str], *, has_page: bool
) -> tuple[dict[str, Any], Any]:
    """Return *record* in the current format, and its keys that have no field.

    A null, or an empty string in a field that is not text, is removed. The legacy API identifies tasks and projects by
    their page only, and tags by their titles only.
    """
    extra = {key: value for key, value in record.items() if key not in known}
    normalized = {
        key: value
        for key, value in record.items()
        if key in known and value is not None and (value != "" or key in texts)
    }
    if isinstance(tags := normalized.get("tags"), list) and tags and all(isinstance(tag, str) for tag in tags):
        extra["tags"] = normalized.pop("tags")
    page = re.fullmatch(r"/project/(?:\d+/)*?(\d+)/", str(normalized.get("page")))
    if page and has_page and "id" not in normalized:
        normalized["id"] = page[1]
    return normalized, extra or NO_EXTRA
