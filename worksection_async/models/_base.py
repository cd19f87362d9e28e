"""Base class of the models, and the annotations for the three duration formats of the service."""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import attrs

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Hours = Annotated[dt.timedelta, "hours"]
"""A duration that the service sends as a number of hours: ``352``."""

Clock = Annotated[dt.timedelta, "clock"]
"""A duration that the service sends as hours and minutes: ``"103:39"``."""

Seconds = Annotated[dt.timedelta, "seconds"]
"""A duration that the service sends as a number of seconds or as ``"00:11:13"``."""

Raw = object
"""An unconverted value, as the service sent it."""


EMPTY_VALUES: tuple[object, ...] = (None, "", (), {})
"""Field values that ``repr`` omits."""


@attrs.frozen(kw_only=True, repr=False)
class Model:
    """Base class of all records that the service returns."""

    extra: Mapping[str, object] = attrs.field(factory=dict, hash=False, repr=False)
    """Unknown keys of the record, and fields that could not be read, with their values as the service sent them."""

    def __repr__(self) -> str:
        """Return the class name and the non-empty fields; most records have many empty fields."""
        values = {field.name: getattr(self, field.name) for field in attrs.fields(type(self)) if field.repr}
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if value not in EMPTY_VALUES)
        return f"{type(self).__name__}({shown})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        """Return the schema of this class for pydantic, which calls this method."""
        from ._pydantic import schema_of  # noqa: PLC0415

        return schema_of(cls, handler)
