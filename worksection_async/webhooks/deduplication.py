"""Deduplication of webhook events. The service sends no event ID, and its times have a resolution of one minute.

The first events of a delivery are repetitions if they equal the last recorded events of the same object. An older event
after a different one is new: a task that is closed, reopened and closed within one minute must end up closed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from .._protocol.values import shown
from ..errors import InvalidCall
from ..models import Event

T = TypeVar("T")

ObjectKey = tuple[str | None, int]
"""Type and ID of the object of an event."""

MAX_KEYS_PER_OBJECT = 32


class EventMemory(Protocol):
    """Remembers the events that receivers accepted. Its methods must not raise an error because of an outage."""

    async def reserve(self, events: Sequence[Event]) -> list[Event]:
        """Record the events of one delivery, and return those that are no repetitions.

        Atomic: if two deliveries contain the same event, it is returned for one of them.
        """
        ...

    async def confirm(self, event: Event) -> None:
        """Keep *event*, because the handler returned. What is not confirmed may be forgotten after a while."""
        ...

    async def forget(self, events: Sequence[Event]) -> None:
        """Forget the latest occurrence of each event, because it was not handled: a repetition is new."""
        ...


class RecentEvents:
    """The latest event keys of the last *max_objects* objects (tasks, comments and projects), in this process.

    No method gives control to the event loop, so two deliveries cannot interleave.
    """

    def __init__(self, max_objects: int) -> None:
        self._max_objects = max_objects
        self._keys: OrderedDict[ObjectKey, tuple[str, ...]] = OrderedDict()

    async def reserve(self, events: Sequence[Event]) -> list[Event]:
        """Record the events of one delivery, and return those that are no repetitions."""
        distinct = distinct_events(events)
        by_object = keys_by_object(distinct)
        repeated = {obj: count_repeated(self._keys.get(obj, ()), keys) for obj, keys in by_object.items()}
        for obj, keys in by_object.items():
            if new := keys[repeated[obj] :]:
                self._keys[obj] = with_keys(self._keys.pop(obj, ()), new)
        while len(self._keys) > self._max_objects:
            self._keys.popitem(last=False)
        return without_repeated(distinct, repeated)

    async def confirm(self, event: Event) -> None:
        """Do nothing: events that were not handled are forgotten when the process ends."""

    async def forget(self, events: Sequence[Event]) -> None:
        """Forget the latest occurrence of each event, so that a repetition is new."""
        for obj, keys in keys_by_object(events).items():
            if obj in self._keys:
                self._keys[obj] = without_keys(self._keys[obj], keys)


def memory_for(remember: int | EventMemory) -> EventMemory:
    """Return the memory for the option *remember* of a receiver: a number of objects, or a memory.

    Raises:
        InvalidCall: It is neither, or the number is negative.
    """
    if isinstance(remember, int):
        if remember < 0:
            raise InvalidCall("WebhookReceiver", f"remember must be at least 0, got {remember}")
        return RecentEvents(remember)
    if hasattr(remember, "reserve"):
        return remember
    raise InvalidCall("WebhookReceiver", f"remember must be a number or a RedisMemory, got {shown(remember)}")


def distinct_events(events: Iterable[Event]) -> list[Event]:
    """Return *events* without each one that equals the event before it of the same object."""
    return list(_without_consecutive_duplicates(events))


def _without_consecutive_duplicates(events: Iterable[Event]) -> Iterator[Event]:
    last: dict[ObjectKey, str] = {}
    for event in events:
        if last.get(_object_key(event)) != event.key:
            yield event
        last[_object_key(event)] = event.key


def keys_by_object(events: Iterable[Event]) -> dict[ObjectKey, list[str]]:
    """Return the event keys of each object, in the order of *events*."""
    keys: dict[ObjectKey, list[str]] = {}
    for event in events:
        keys.setdefault(_object_key(event), []).append(event.key)
    return keys


def count_repeated(recorded: Sequence[str], keys: Sequence[str]) -> int:
    """Return the length of the longest prefix of *keys* that equals the end of the *recorded* keys."""
    lengths = range(min(len(recorded), len(keys)), 0, -1)
    return next((length for length in lengths if list(recorded[-length:]) == list(keys[:length])), 0)


def with_keys(recorded: Sequence[T], new: Sequence[T]) -> tuple[T, ...]:
    """Return the *recorded* keys and the *new* ones, without the oldest above `MAX_KEYS_PER_OBJECT`."""
    return (*recorded, *new)[-MAX_KEYS_PER_OBJECT:]


def without_keys(recorded: Sequence[T], keys: Iterable[str], key_of: Callable[[T], str] = str) -> tuple[T, ...]:
    """Return *recorded* (keys, or items with a key by *key_of*) without the latest occurrence of each of *keys*."""
    to_drop = Counter(keys)
    kept = []
    for item in reversed(recorded):
        if to_drop[key_of(item)]:
            to_drop[key_of(item)] -= 1
        else:
            kept.append(item)
    return tuple(reversed(kept))


def without_repeated(events: Iterable[Event], repeated: Mapping[ObjectKey, int]) -> list[Event]:
    """Return *events* without the first ones of each object, whose number is in *repeated*."""
    left = Counter(repeated)
    new = []
    for event in events:
        left[_object_key(event)] -= 1
        if left[_object_key(event)] < 0:
            new.append(event)
    return new


def _object_key(event: Event) -> ObjectKey:
    return event.object.type, event.object.id
