"""Deduplication of webhook events. The service sends no event ID, and its times have a resolution of one minute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..models import Event

ObjectKey = tuple[str | None, int]
"""Type and ID of the object of an event."""

MAX_KEYS_PER_OBJECT = 32


class RecentEvents:
    """The latest event keys of the last *max_objects* objects (tasks, comments and projects).

    The first events of a delivery are repetitions if they equal the last events of the same object. An older event
    after a different one is new: a task that is closed, reopened and closed within one minute must end up closed.
    """

    def __init__(self, max_objects: int) -> None:
        self._max_objects = max_objects
        self._keys: OrderedDict[ObjectKey, tuple[str, ...]] = OrderedDict()

    def without_repetitions(self, events: Iterable[Event]) -> list[Event]:
        """Return the new *events* of one delivery. Call `add` to record them."""
        distinct = list(_without_consecutive_duplicates(events))
        repeated = {obj: self._count_repeated(obj, keys) for obj, keys in _keys_by_object(distinct).items()}
        new = []
        for event in distinct:
            repeated[_object_key(event)] -= 1
            if repeated[_object_key(event)] < 0:
                new.append(event)
        return new

    def add(self, events: Iterable[Event]) -> None:
        """Record *events*; the objects with the oldest events are removed above *max_objects*."""
        for obj, keys in _keys_by_object(events).items():
            self._keys[obj] = (*self._keys.pop(obj, ()), *keys)[-MAX_KEYS_PER_OBJECT:]
        while len(self._keys) > self._max_objects:
            self._keys.popitem(last=False)

    def forget(self, event: Event) -> None:
        """Forget the latest occurrence of *event*, so that a repetition is new."""
        keys = list(self._keys.get(_object_key(event), ()))
        if event.key in keys:
            keys.reverse()
            keys.remove(event.key)
            self._keys[_object_key(event)] = tuple(reversed(keys))

    def _count_repeated(self, obj: ObjectKey, keys: list[str]) -> int:
        """Return the length of the longest prefix of *keys* that equals the end of the recorded keys."""
        recorded = self._keys.get(obj, ())
        lengths = range(min(len(recorded), len(keys)), 0, -1)
        return next((length for length in lengths if list(recorded[-length:]) == keys[:length]), 0)


def _without_consecutive_duplicates(events: Iterable[Event]) -> Iterator[Event]:
    """Drop each event that equals the event before it of the same object."""
    last: dict[ObjectKey, str] = {}
    for event in events:
        if last.get(_object_key(event)) != event.key:
            yield event
        last[_object_key(event)] = event.key


def _keys_by_object(events: Iterable[Event]) -> dict[ObjectKey, list[str]]:
    keys: dict[ObjectKey, list[str]] = {}
    for event in events:
        keys.setdefault(_object_key(event), []).append(event.key)
    return keys


def _object_key(event: Event) -> ObjectKey:
    return event.object.type, event.object.id
