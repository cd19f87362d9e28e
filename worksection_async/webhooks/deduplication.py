"""What tells a repetition from something new: the service numbers no event, and its times are minutes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..models import Event

Thing = tuple[str | None, int]
"""Type and number of what an event happened to."""

LATEST = 32
"""Keys kept of each thing."""


class Memory:
    """The latest events of each of the last *size* things something happened to.

    A delivery is a repetition so far as it begins with what came last for the same thing. An older event that comes
    again after a different one is taken for new: a task that is closed, reopened and closed within a minute ends up
    closed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._latest: OrderedDict[Thing, tuple[str, ...]] = OrderedDict()

    def new(self, events: Iterable[Event]) -> list[Event]:
        """*events* of one delivery without the repetitions; nothing is remembered yet."""
        distinct = list(_without_echoes(events))
        repeated = {thing: self._overlap(thing, keys) for thing, keys in _by_thing(distinct).items()}
        fresh = []
        for event in distinct:
            repeated[_thing(event)] -= 1
            if repeated[_thing(event)] < 0:
                fresh.append(event)
        return fresh

    def remember(self, events: Iterable[Event]) -> None:
        """Take note that *events* have come."""
        for thing, keys in _by_thing(events).items():
            self._latest[thing] = (*self._latest.pop(thing, ()), *keys)[-LATEST:]
        while len(self._latest) > self._size:
            self._latest.popitem(last=False)

    def _overlap(self, thing: Thing, keys: list[str]) -> int:
        """How many of *keys*, from the first on, are the last that came."""
        came = self._latest.get(thing, ())
        lengths = range(min(len(came), len(keys)), 0, -1)
        return next((length for length in lengths if list(came[-length:]) == keys[:length]), 0)


def _without_echoes(events: Iterable[Event]) -> Iterator[Event]:
    """*events* without those that say once more what was said last of the same thing."""
    said: dict[Thing, str] = {}
    for event in events:
        if said.get(_thing(event)) != event.key:
            yield event
        said[_thing(event)] = event.key


def _by_thing(events: Iterable[Event]) -> dict[Thing, list[str]]:
    keys: dict[Thing, list[str]] = {}
    for event in events:
        keys.setdefault(_thing(event), []).append(event.key)
    return keys


def _thing(event: Event) -> Thing:
    return event.object.type, event.object.id
