"""Decoded JSON → models, by cattrs: one hook per format, one per model, a path for what does not fit.

A glance tells whether a record shows one of the service's older and looser habits (nulls, keys without a field, no
id beside a page, …). Only then is it rewritten, once, so that the habits cost nothing where they do not occur.
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
"""Called with a value and its type; ours need no type."""

SHARED_FIELDS = 3
SHARED_RECORDS = 4096


class Malformed(Exception):
    """A value that no habit of the service explains; *path* says where it stands."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


class Structure:
    """Turns records into models; date-times are naive, or in *tz* where one is given."""

    def __init__(self, tz: dt.tzinfo | None = None) -> None:
        self._tz = tz
        self._converter = _converter(tz, detailed=False)

    def make_ready(self, cls: Any) -> None:
        """Do now what else the first record of *cls* would have to wait for."""
        self._converter.get_structure_hook(cls)

    def at(self, path: str, value: object, cls: type[T]) -> T:
        """*value* as a model; raises `Malformed` with the place under *path*."""
        try:
            model: T = self._converter.get_structure_hook(cls)(value, cls)
        except Exception as exc:  # noqa: BLE001
            # Values come from outside and hooks are many: whatever went wrong, it is the reply that is.
            raise self._explained(path, value, cls, exc) from None
        return model

    def each(self, path: str, values: list[Any], cls: type[T]) -> list[T]:
        """*values* as models, in the list they came in: a record that became one is let go."""
        structure: Hook = self._converter.get_structure_hook(cls)
        for index, value in enumerate(values):
            try:
                values[index] = structure(value, cls)
            except Exception as exc:  # noqa: BLE001
                raise self._explained(f"{path}[{index}]", value, cls, exc) from None
        return values

    def _explained(self, path: str, value: object, cls: type, failure: Exception) -> Malformed:
        """What detailed validation finds wrong: it takes longer, so it comes second."""
        if isinstance(failure, RecursionError):
            return Malformed(path, "nested too deeply")
        try:
            _converter(self._tz, detailed=True).structure(value, cls)
        except Exception as exc:  # noqa: BLE001
            reason, _, place = transform_error(exc, path, _reason)[0].rpartition(" @ ")
            return Malformed(re.sub(r"_(?=[.\[]|$)", "", place), reason)  # from_ is from on the wire
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
    """As if it were not: `_looser` takes out what stands for nothing. Only dates have a nothing of their own."""
    given: Any = Union[tuple(arg for arg in get_args(type_) if arg is not type(None))]  # noqa: UP007
    hook: Hook = converter.get_structure_hook(given)
    return _or_never(hook) if given in (dt.date, dt.datetime) else hook


def _or_never(hook: Hook) -> Hook:
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
            raise TypeError(f"a list expected, not {value!r:.40}")
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
        raise TypeError(f"an object expected, not {value!r:.40}")

    return structure


# Hooks for models


def _is_model(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Model)


def _model(converter: Converter, cls: Any, *, detailed: bool) -> Hook:
    """A hook that keeps unknown keys and allows for the service's looser habits."""
    fields = _fields(cls)
    overrides: dict[str, Any] = {"extra": override(omit=True), **{field.name: _override(field) for field in fields}}
    build = make_dict_structure_fn(cls, converter, _cattrs_detailed_validation=detailed, **overrides)
    texts = frozenset(field.name for field in fields if _is_text(field.type))
    known = frozenset(field.name.rstrip("_") for field in fields)
    also = {alias: field.name for field in fields for alias in field.metadata.get("aliases", ())}

    by_page = issubclass(cls, ProjectRef | TaskRef)

    def structure(record: Any, _: Any = None) -> Any:
        if type(record) is dict and known.issuperset(record) and not is_loose(record):
            return build(record, cls)
        return carefully(record)

    def is_loose(record: dict[str, Any]) -> bool:
        values = record.values()
        if None in values or type(record.get("tags")) is list or (by_page and "id" not in record):
            return True
        return "" in values and [*values].count("") > [*map(record.get, texts)].count("")

    def carefully(record: Any) -> Any:
        if type(record) is not dict and record != []:
            raise TypeError(f"an object expected, not {record!r:.40}")
        record = {also.get(key, key) if also.get(key) not in record else key: record[key] for key in record}
        looser, left = _looser(record, known, texts, by_page=by_page)
        return attrs.evolve(build(looser, cls), extra=left)

    return _shared(structure, tuple(known)) if len(fields) <= SHARED_FIELDS else structure


def _fields(cls: Any) -> "list[attrs.Attribute[object]]":
    attrs.resolve_types(cls, include_extras=True)
    return [field for field in attrs.fields(cls) if field.name != "extra"]


def _shared(structure: Hook, keys: tuple[str, ...]) -> Hook:
    """*structure* with a memory: thousands of records refer to the same few users and projects."""
    values = operator.itemgetter(*keys)
    seen: dict[Any, Any] = {}

    def remember(record: Any, _: Any = None) -> Any:
        try:
            key = values(record)
            model = seen.get(key)
        except (KeyError, TypeError):  # not all keys are there, or values are composed: too rare to remember
            return structure(record)
        if len(record) != len(keys):
            return structure(record)
        if model is None:
            model = structure(record)
            if len(seen) >= SHARED_RECORDS:
                seen.clear()
            seen[key] = model
        return model

    return remember


def _override(field: "attrs.Attribute[object]") -> Any:
    wire_name = field.name.rstrip("_")
    rename = wire_name if wire_name != field.name else None
    if spellings := field.metadata.get("value_aliases"):
        return override(rename=rename, struct_hook=lambda value, _: spellings.get(value, formats.from_str(value)))
    return override(rename=rename)


def _is_text(type_: Any) -> bool:
    return type_ is str or str in get_args(type_)


def _looser(
    record: dict[str, Any], known: frozenset[str], texts: frozenset[str], *, by_page: bool
) -> tuple[dict[str, Any], Any]:
    """*record* as most replies would have it, and what fits no field.

    A null, or an empty string where no text belongs, means absent; the older API names tasks and projects by their
    page alone, and tags by their titles alone.
    """
    left = {key: value for key, value in record.items() if key not in known}
    looser = {
        key: value
        for key, value in record.items()
        if key in known and value is not None and (value != "" or key in texts)
    }
    if isinstance(tags := looser.get("tags"), list) and tags and all(isinstance(tag, str) for tag in tags):
        left["tags"] = looser.pop("tags")
    page = re.fullmatch(r"/project/(?:\d+/)*?(\d+)/", str(looser.get("page")))
    if page and by_page and "id" not in looser:
        looser["id"] = page[1]
    return looser, left or NO_EXTRA
