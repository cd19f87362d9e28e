"""Models in pydantic, and so in FastAPI: their schemas. Only pydantic imports this module."""

from __future__ import annotations

import datetime as dt
import functools
from decimal import Decimal
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin

import attrs
from pydantic import GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

from ._field_types import is_map, is_optional, is_tuple
from ._json import AnyModel, from_dict, to_dict

JSON_TYPES: dict[Any, Any] = {
    dt.datetime: Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})],
    dt.date: Annotated[str, WithJsonSchema({"type": "string", "format": "date"})],
    dt.time: Annotated[str, WithJsonSchema({"type": "string", "format": "time"})],
    dt.timedelta: Annotated[float, WithJsonSchema({"type": "number", "description": "Seconds"})],
    Decimal: Annotated[str, WithJsonSchema({"type": "string", "format": "decimal"})],
    object: Any,
}
"""How `to_dict` writes values; any other type is the same in JSON."""


def schema_of(cls: type[AnyModel], handler: GetCoreSchemaHandler) -> CoreSchema:
    """Return the schema of a model: instances, or data of `to_dict`; it is serialized by `to_dict`."""
    json_schema = handler.generate_schema(_json_type(cls))

    def validate(value: Any, check: core_schema.ValidatorFunctionWrapHandler) -> AnyModel:
        if isinstance(value, cls):
            return value
        check(value)  # its errors name every invalid field
        return from_dict(cls, value)

    return core_schema.no_info_wrap_validator_function(
        validate,
        json_schema,
        serialization=core_schema.plain_serializer_function_ser_schema(to_dict, return_schema=json_schema),
    )


@functools.cache
def _json_type(cls: Any) -> Any:
    """Return the form of a model in JSON. Nested models stay themselves: pydantic asks them for their schemas."""
    attrs.resolve_types(cls, include_extras=True)
    members = {field.name: _member(field) for field in attrs.fields(cls)}
    form = TypedDict(cls.__name__, members)  # type: ignore[misc]
    form.__doc__, form.__module__ = cls.__doc__, cls.__module__
    form.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]
    return form


def _member(field: attrs.Attribute[Any]) -> Any:
    type_ = _in_json(field.type)
    return type_ if field.default is attrs.NOTHING else NotRequired[type_]


def _in_json(type_: Any) -> Any:
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _in_json(arguments[0])
    if is_tuple(type_):
        return list[_in_json(arguments[0])]  # type: ignore[misc]
    if is_map(type_):
        return dict[str, _in_json(arguments[1])]  # type: ignore[misc]
    if is_optional(type_) or str in arguments:  # optional, or an open enum
        return Union[tuple(_in_json(each) for each in arguments)]  # noqa: UP007
    return JSON_TYPES.get(type_, type_)
