"""What all models share: the bag for keys this release does not know, and the three ways to write a duration."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Annotated

import attrs

Hours = Annotated[dt.timedelta, "hours"]
"""A duration the service writes as a number of hours: ``352``."""

Clock = Annotated[dt.timedelta, "clock"]
"""A duration the service writes as hours and minutes: ``"103:39"``."""

Seconds = Annotated[dt.timedelta, "seconds"]
"""A duration the service writes as seconds or as ``"00:11:13"``."""


Raw = object
"""A value as the service sent it."""


class _NoExtra(Mapping[str, object]):
    """The empty bag, one for all: tens of thousands of records have no use for a dict each."""

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
        return "NO_EXTRA"


NO_EXTRA = _NoExtra()


ABSENT: tuple[object, ...] = (None, "", (), {})


@attrs.frozen(kw_only=True, repr=False)
class Model:
    """A record the service answered with."""

    extra: Mapping[str, object] = attrs.field(default=NO_EXTRA, hash=False, repr=False)
    """Keys of the reply that this release has no field for, as the service sent them."""

    def __repr__(self) -> str:
        """What there is of it: most records leave most fields open."""
        values = {field.name: getattr(self, field.name) for field in attrs.fields(type(self)) if field.repr}
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if value not in ABSENT)
        return f"{type(self).__name__}({shown})"
