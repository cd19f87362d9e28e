"""Base class of the models, and the annotations for the three duration formats of the service."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Annotated

import attrs

Hours = Annotated[dt.timedelta, "hours"]
"""A duration that the service sends as a number of hours: ``352``."""

Clock = Annotated[dt.timedelta, "clock"]
"""A duration that the service sends as hours and minutes: ``"103:39"``."""

Seconds = Annotated[dt.timedelta, "seconds"]
"""A duration that the service sends as a number of seconds or as ``"00:11:13"``."""

Raw = object
"""An unconverted value, as the service sent it."""


class _NoExtra(Mapping[str, object]):
    """Empty read-only mapping, shared by all records without unknown keys; saves a dict per record."""

    __slots__ = ()

    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        # Unpickling returns the shared NO_EXTRA, not a copy.
        return "NO_EXTRA"


NO_EXTRA = _NoExtra()
"""The shared value of `Model.extra` for records without unknown keys."""

EMPTY_VALUES: tuple[object, ...] = (None, "", (), {})
"""Field values that ``repr`` omits."""


@attrs.frozen(kw_only=True, repr=False)
class Model:
    """Base class of all records that the service returns."""

    extra: Mapping[str, object] = attrs.field(default=NO_EXTRA, hash=False, repr=False)
    """Unknown keys of the record with their values, as the service sent them."""

    def __repr__(self) -> str:
        """Return the class name and the non-empty fields; most records have many empty fields."""
        values = {field.name: getattr(self, field.name) for field in attrs.fields(type(self)) if field.repr}
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if value not in EMPTY_VALUES)
        return f"{type(self).__name__}({shown})"
