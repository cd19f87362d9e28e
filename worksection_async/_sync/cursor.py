"""`Cursor`: a position in the events, as a value that a program can store."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Self

import attrs

from ..errors import InvalidCall

Seen = tuple[str, tuple[float, ...]]
"""The time of an event, and the times of the replies in which it was found."""


@attrs.frozen(kw_only=True)
class Cursor:
    """A position in the events. Iterating from a saved cursor loses no event and repeats none."""

    looked_at: float
    """Time of the last complete look on the clock of the service (Unix seconds)."""
    since: float | None = None
    """Time before which no event is yielded, on the same clock; None means no limit."""
    seen: Mapping[str, Seen] = attrs.field(factory=dict, repr=False)
    """Keys of events that may be returned again, with their time and, for each of them that is not to be yielded again,
    the time of the reply in which it was found."""

    def to_json(self) -> str:
        """Return the cursor as JSON."""
        return json.dumps({"looked_at": self.looked_at, "since": self.since, "seen": self.seen})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the cursor from the JSON of `to_json`; raises `InvalidCall`."""
        try:
            data = json.loads(text)
            looked_at, since = _checked_moment(data["looked_at"]), data.get("since")
            seen = {
                str(key): (_checked_time(when), tuple(_checked_moment(moment) for moment in found))
                for key, (when, found) in data["seen"].items()
            }
            return cls(looked_at=looked_at, since=None if since is None else _checked_moment(since), seen=seen)
        except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError):
            pass
        raise InvalidCall("Cursor", "the text is not a cursor that Cursor.to_json wrote")


def label_time(text: str) -> dt.datetime:
    """Return the time of an event from the text in `Cursor.seen`."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=None)


def to_utc(moment: float) -> dt.datetime:
    """Return *moment* (Unix seconds) in UTC, without the zone."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).replace(tzinfo=None)


def _checked_moment(value: object) -> float:
    moment = float(str(value))
    to_utc(moment)
    return moment


def _checked_time(text: object) -> str:
    if text:
        label_time(str(text))
    return str(text)
