"""Polls for changes of tags, for which the service has no event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import anyio
import attrs

from .._transport.caller import Caller
from ..models import Task
from .streams import TaskStream
from .watch import checked_interval


@attrs.frozen(kw_only=True)
class TagChange:
    """A change of the tags of a task; the service has no event for it."""

    task: Task
    """The current task, with its tags."""
    added: Mapping[int, str]
    """The new tags: id to name."""
    removed: Mapping[int, str]
    """The removed tags: id to name."""


class TagWatch:
    """An endless iterator over changes of tags: ``async for change in watch``.

    Each poll compares the tags of all tasks with the previous poll. A tag that is added and removed between two polls
    is not reported, and neither are the tags of a new task.
    """

    def __init__(self, caller: Caller, every: float) -> None:
        self._caller = caller
        self._every = checked_interval(every)
        self._tags: dict[int, Mapping[int, str]] = {}
        self._polled_at = float("-inf")
        self._pending: list[TagChange] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TagChange:
        while not self._pending:
            await anyio.sleep(max(0.0, self._polled_at + self._every - anyio.current_time()))
            self._polled_at = anyio.current_time()
            await self._poll()
        return self._pending.pop(0)

    async def _poll(self) -> None:
        tags: dict[int, Mapping[int, str]] = {}
        changes = []
        async for top in TaskStream(self._caller, None, extra=["tags", "subtasks"], flat=True):
            for task in _with_subtasks(top):
                before = self._tags.get(task.id)
                now = before if "tags" in task.extra else task.tags  # tags that could not be read are no change
                if now is not None:
                    tags[task.id] = now
                if before is not None and now is not None and before.keys() != now.keys():
                    changes.append(_change(task, before))
        self._tags, self._pending = tags, changes


def _with_subtasks(task: Task) -> Iterator[Task]:
    yield task
    for child in task.child:
        yield from _with_subtasks(child)


def _change(task: Task, before: Mapping[int, str]) -> TagChange:
    added = {number: name for number, name in task.tags.items() if number not in before}
    removed = {number: name for number, name in before.items() if number not in task.tags}
    return TagChange(task=task, added=added, removed=removed)
