"""Models as JSON: dates as ISO 8601, durations in seconds, money as text."""

from __future__ import annotations

import datetime as dt
import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin, overload

from cattrs import Converter, transform_error
from cattrs.gen import make_mapping_structure_fn, make_mapping_unstructure_fn

from ..errors import InvalidCall
from ._field_types import is_map, is_tuple


class AnyModel(Protocol):
    """Any model. An import of `_base`, which imports this module for pydantic, would be circular."""

    @property
    def extra(self) -> Mapping[str, object]: ...


M = TypeVar("M", bound=AnyModel)

FROM_DICT = "models.from_dict"


@overload
def to_dict(value: AnyModel) -> dict[str, object]: ...
@overload
def to_dict(value: Mapping[Any, object]) -> dict[str, object]: ...
@overload
def to_dict(value: Iterable[AnyModel]) -> list[dict[str, object]]: ...
@overload
def to_dict(value: object) -> object: ...
def to_dict(value: object) -> object:
    """Return *value* as values that JSON has.

    Args:
        value: A model, or a list, tuple or mapping of models, or anything else that an action returns.

    Returns:
        For a model a dict with all its fields: ids as numbers, dates and times as ISO 8601 text, durations in seconds
        (float), money as text, nested models as dicts. The keys of a mapping become text, as in JSON.
    """
    if isinstance(value, list | tuple):
        return [_converter().unstructure(item) for item in value]
    if isinstance(value, Mapping):
        return {_key(key): _converter().unstructure(item) for key, item in value.items()}
    return _converter().unstructure(value)


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return the JSON text of `to_dict`.

    Args:
        value: A model, or anything else that an action returns.
        indent: Number of spaces per level; None for a single line.
    """
    return json.dumps(to_dict(value), ensure_ascii=False, indent=indent)


def from_dict(cls: type[M], data: Mapping[str, object]) -> M:
    """Return the model that `to_dict` made *data* of; ``from_dict(Task, to_dict(task)) == task``.

    The zone of an aware date-time becomes a fixed offset, because ISO 8601 contains no name of a zone.

    Args:
        cls: Class of the model.
        data: What `to_dict` returned, or the decoded JSON of `to_json`. Fields with a default may be missing.

    Raises:
        InvalidCall: *data* does not have this form; the error contains the JSON path.
    """
    try:
        return _converter().structure(data, cls)
    except Exception as exc:  # noqa: BLE001  # the data can be anything, and cattrs raises groups of errors
        problem = transform_error(exc, "$", _reason)[0]
    raise InvalidCall(FROM_DICT, f"{cls.__name__}: {problem}")


def _reason(exc: BaseException, _: object) -> str:
    return f"{exc.args[0]} is missing" if isinstance(exc, KeyError) else f"{exc!s:.200}" or type(exc).__name__


@functools.cache
def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for type_, write in _WRITERS.items():
        converter.register_unstructure_hook(type_, write)
    converter.register_unstructure_hook_func(_is_duration, dt.timedelta.total_seconds)
    converter.register_unstructure_hook_factory(
        is_map,
        lambda type_: make_mapping_unstructure_fn(type_, converter, dict, key_handler=_key),  # type: ignore[arg-type]
    )
    converter.register_unstructure_hook_factory(is_tuple, functools.partial(_write_tuple, converter))
    for type_, read in _READERS.items():
        converter.register_structure_hook(type_, read)
    converter.register_structure_hook_func(_is_duration, _read_duration)
    converter.register_structure_hook_func(_is_open_enum, _read_optional_str)
    converter.register_structure_hook_func(lambda type_: type_ is object, lambda value, _: value)
    converter.register_structure_hook_factory(is_map, functools.partial(_read_mapping, converter))
    converter.register_structure_hook_factory(is_tuple, functools.partial(_read_tuple, converter))
    return converter


# Types of fields


def _is_duration(type_: Any) -> bool:
    return get_origin(type_) is Annotated and get_args(type_)[0] is dt.timedelta


def _is_open_enum(type_: Any) -> bool:
    given = [arg for arg in get_args(type_) if arg is not type(None)]
    return (
        get_origin(type_) is Union and str in given and all(arg is str or get_origin(arg) is Literal for arg in given)
    )


# To JSON


def _key(key: object) -> str:
    return key.isoformat() if isinstance(key, dt.date) else str(key)


def _write_tuple(converter: Converter, type_: Any) -> Callable[[Any], Any]:
    write = converter.get_unstructure_hook(get_args(type_)[0])
    return lambda items: [write(item) for item in items]


_WRITERS: dict[Any, Callable[[Any], Any]] = {
    dt.datetime: dt.datetime.isoformat,
    dt.date: dt.date.isoformat,
    dt.time: dt.time.isoformat,
    dt.timedelta: dt.timedelta.total_seconds,
    Decimal: str,
}


# From JSON


def _read_int(value: object, _: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(_mismatch("an integer", value))
    return value


def _read_bool(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(_mismatch("true or false", value))
    return value


def _read_str(value: object, _: object) -> str:
    if not isinstance(value, str):
        raise TypeError(_mismatch("text", value))
    return value


def _read_optional_str(value: object, _: object) -> str | None:
    return None if value is None else _read_str(value, _)


def _iso(parse: Callable[[str], Any], kind: str) -> Callable[[Any, object], Any]:
    def read(value: Any, _: object) -> Any:
        try:
            return parse(value)
        except (TypeError, ValueError):
            raise ValueError(_mismatch(f"{kind} in ISO 8601", value)) from None

    return read


def _read_duration(value: Any, _: object) -> dt.timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(_mismatch("a number of seconds", value))
    return dt.timedelta(seconds=value)


def _read_money(value: Any, _: object) -> Decimal:
    if isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    raise TypeError(_mismatch("an amount as text", value))


def _mismatch(expected: str, value: object) -> str:
    return f"must be {expected}, got {value!r:.80}"


_READERS: dict[Any, Callable[[Any, Any], Any]] = {
    int: _read_int,
    bool: _read_bool,
    str: _read_str,
    dt.datetime: _iso(dt.datetime.fromisoformat, "a date-time"),
    dt.date: _iso(dt.date.fromisoformat, "a date"),
    dt.time: _iso(dt.time.fromisoformat, "a time"),
    Decimal: _read_money,
}


def _read_tuple(converter: Converter, type_: Any) -> Callable[[Any, Any], tuple[Any, ...]]:
    read = converter.get_structure_hook(list[get_args(type_)[0]])  # type: ignore[misc]

    def structure(value: Any, _: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError(_mismatch("a list", value))
        return tuple(read(value, None))

    return structure


def _read_mapping(converter: Converter, type_: Any) -> Callable[[Any, Any], Mapping[Any, Any]]:
    key_type, value_type = get_args(type_)
    build = make_mapping_structure_fn(dict[str, value_type], converter)  # type: ignore[valid-type]
    read_key: Callable[[str], Any] = _KEYS.get(key_type, str)

    def structure(value: Any, _: object) -> Mapping[Any, Any]:
        if not isinstance(value, Mapping):
            raise TypeError(_mismatch("an object", value))
        members = build(value, None)
        return {read_key(key): member for key, member in members.items()}

    return structure


_KEYS: dict[Any, Callable[[str], Any]] = {int: int, dt.date: dt.date.fromisoformat}
