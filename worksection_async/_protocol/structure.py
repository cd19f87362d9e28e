"""Structures decoded JSON as models, with cattrs: one compiled hook per format and per model.

A cheap check detects records in one of the service's legacy formats (nulls, keys without a field, a page without an id,
…). Only such a record is normalized before it is structured, so that the other records are structured fast.

`tolerance` reads again what the hooks refuse: it skips odd values, and knows their JSON paths.
"""

import datetime as dt
import functools
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn, override

from ..models import _reply_formats as reply_formats
from ..models._base import Clock, Hours, Seconds
from ..models._field_types import is_map, is_optional, is_tuple, without_none
from .layout import as_list, as_map, is_model, key_of, layout_of, value_hook
from .tolerance import Hook, Malformed, SecondPass

__all__ = ["Malformed", "Structure"]

T = TypeVar("T")

MAX_CACHED_FIELDS = 3
"""Models with at most this number of fields are cached: a few users and projects occur in thousands of records."""

CACHE_SIZE = 4096
"""Records per model that are cached; a full cache is cleared."""


class Structure:
    """Structures records as models.

    Args:
        tz: Date-times have this time zone; without it they are naive.
        strict: Whether an invalid value of a field that is not essential is an error. Otherwise the field gets its
            default, the value is kept in ``extra``, and a warning is logged once per field.
    """

    def __init__(self, tz: dt.tzinfo | None = None, *, strict: bool = False) -> None:
        self._hook_of: Callable[[Any], Hook] = _converter(tz).get_structure_hook
        self._second_pass = SecondPass(self._hook_of, strict)

    def make_ready(self, cls: Any) -> None:
        """Compile the hooks of *cls* now, because this takes milliseconds and would delay the first record."""
        self._hook_of(cls)

    def at(self, path: str, value: object, cls: type[T]) -> T:
        """Structure *value* as *cls*. Raises `Malformed` with a JSON path that starts with *path*."""
        try:
            model: T = self._hook_of(cls)(value)
        except Exception:  # noqa: BLE001
            # The value comes from the service, so any exception of a hook means that the reply is invalid.
            model = self._read_again(path, value, cls)
        return model

    def each(self, path: str, values: list[Any], cls: type[T]) -> list[T]:
        """Structure *values* in place, so that each record is freed as soon as its model exists."""
        structure = self._hook_of(cls)
        for index, value in enumerate(values):
            try:
                values[index] = structure(value)
            except Exception:  # noqa: BLE001
                values[index] = self._read_again(f"{path}[{index}]", value, cls)
        return values

    def _read_again(self, path: str, value: object, cls: type[T]) -> T:
        try:
            model: T = self._second_pass.read(path, value, cls)
        except RecursionError:
            raise Malformed(path, "nested too deeply") from None
        return model


@functools.lru_cache(maxsize=16)
def _converter(tz: dt.tzinfo | None) -> Converter:
    converter = Converter(detailed_validation=False)
    hooks: dict[Any, Hook] = {
        int: reply_formats.from_id,
        str: reply_formats.from_str,
        bool: reply_formats.from_flag,
        dt.date: reply_formats.from_date,
        dt.datetime: functools.partial(_aware, tz) if tz else reply_formats.from_datetime,
        dt.time: reply_formats.from_time,
        Decimal: reply_formats.from_money,
    }
    for type_, read in hooks.items():
        converter.register_structure_hook(type_, read)
    for alias, read in {
        Hours: reply_formats.from_hours,
        Clock: reply_formats.from_clock,
        Seconds: reply_formats.from_seconds,
    }.items():
        converter.register_structure_hook_func(functools.partial(operator.eq, alias), read)
    converter.register_structure_hook_func(lambda type_: type_ is object, _unchanged)
    converter.register_structure_hook_factory(is_optional, functools.partial(_optional, converter))
    converter.register_structure_hook_func(_is_open_enum, reply_formats.from_str)
    converter.register_structure_hook_factory(is_tuple, functools.partial(_tuple, converter))
    converter.register_structure_hook_factory(is_map, functools.partial(_map, converter))
    converter.register_structure_hook_factory(is_model, functools.partial(_model, converter))
    return converter


def _unchanged(value: Any, _: Any = None) -> Any:
    return value


def _aware(tz: dt.tzinfo, value: Any, _: Any = None) -> dt.datetime:
    moment = reply_formats.from_datetime(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=tz)


# Hooks for composed types


def _optional(converter: Converter, type_: Any) -> Hook:
    """Return the hook of the type without None: `normalize` removes empty values, except dates like ``0000-00-00``."""
    given = without_none(type_)
    hook: Hook = converter.get_structure_hook(given)
    return _or_none_if_no_date(hook) if given in (dt.date, dt.datetime) else hook


def _or_none_if_no_date(hook: Hook) -> Hook:
    def structure(value: Any, _: Any = None) -> Any:
        try:
            return hook(value)
        except ValueError:
            if reply_formats.is_no_date(value):
                return None
            raise

    return structure


def _is_open_enum(type_: Any) -> bool:
    return get_origin(type_) is Union and all(arg is str or get_origin(arg) is Literal for arg in get_args(type_))


def _tuple(converter: Converter, type_: Any) -> Hook:
    item = get_args(type_)[0]
    list_hook = converter.get_structure_hook(list[item])  # type: ignore[valid-type]

    def structure(value: Any, _: Any = None) -> tuple[Any, ...]:
        return tuple(list_hook(as_list(value, item), None))

    return structure


def _map(converter: Converter, type_: Any) -> Hook:
    build = make_mapping_structure_fn(type_, converter, detailed_validation=False)

    def structure(value: Any, _: Any = None) -> Any:
        return build(as_map(value), None)

    return structure


# Hooks for models


def _model(converter: Converter, cls: Any) -> Hook:
    """Return a hook that keeps unknown keys in ``extra`` and accepts the legacy formats of the service."""
    layout = layout_of(cls)
    overrides = {field.name: _override(field) for field in layout.fields}
    build = make_dict_structure_fn(
        cls, converter, _cattrs_detailed_validation=False, extra=override(omit=True), **overrides
    )
    known, texts, has_page = layout.known, layout.texts, layout.has_page

    def structure(record: Any, _: Any = None) -> Any:
        if type(record) is dict and known.issuperset(record) and not is_legacy(record):
            return build(record, None)
        normalized, extra = layout.normalize(record)
        return attrs.evolve(build(normalized, None), extra=extra)

    def is_legacy(record: dict[str, Any]) -> bool:
        values = record.values()
        if None in values or type(record.get("tags")) is list or (has_page and "id" not in record):
            return True
        return "" in values and [*values].count("") > [*map(record.get, texts)].count("")

    return _cached(structure, tuple(known)) if len(layout.fields) <= MAX_CACHED_FIELDS else structure


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
    return override(rename=key_of(field), struct_hook=value_hook(field))
