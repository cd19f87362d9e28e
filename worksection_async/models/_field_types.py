"""Questions about the types of the fields of models."""

from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin


def is_tuple(type_: Any) -> bool:
    return get_origin(type_) is tuple


def is_map(type_: Any) -> bool:
    return isinstance(origin := get_origin(type_), type) and issubclass(origin, Mapping)


def is_optional(type_: Any) -> bool:
    return type(None) in get_args(type_)


def without_none(type_: Any) -> Any:
    return Union[tuple(arg for arg in get_args(type_) if arg is not type(None))]  # noqa: UP007
