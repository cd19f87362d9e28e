"""Statuses and labels of a task, which the service sends mixed.

A record's ``tags`` say a number and a name, not of which kind; the sets the tags are in do. So ask once::

    known = StatusTags(await ws.get_task_tags(type="status"))
    for task in await ws.get_tasks(26, extra=["tags"]):
        print(task.name, statuses_of(task, known), labels_of(task, known))

Vendor page: https://worksection.com/en/faq/api-tags.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ..models import Tag

__all__ = ["StatusTags", "Tagged", "labels_of", "statuses_of"]


class Tagged(Protocol):
    """A record with tags: a task or a project."""

    @property
    def tags(self) -> Mapping[int, str]:
        """Number of a tag to its name."""
        ...


class StatusTags:
    """Which tags are statuses.

    Args:
        tags: What `get_task_tags` (or, for projects, `get_project_tags`) returned, of statuses or of all. Tags that
            come to be later are unknown to it, and so count as labels.

    Raises:
        ValueError: A tag does not say which set it is in; those that `add_task_tags` returns do not.
    """

    __slots__ = ("_ids",)

    def __init__(self, tags: Iterable[Tag]) -> None:
        ids = set()
        for tag in tags:
            if tag.group is None:
                raise ValueError(f"tag {tag.id} does not say which set it is in: use what get_task_tags returns")
            if tag.group.type == "status":
                ids.add(tag.id)
        self._ids = frozenset(ids)

    def __contains__(self, id_tag: object) -> bool:
        return id_tag in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"<StatusTags {sorted(self._ids)}>"


def statuses_of(record: Tagged, known: StatusTags) -> dict[int, str]:
    """The statuses among the tags of *record*: number to name; several where it is in several workflows."""
    return {number: name for number, name in record.tags.items() if number in known}


def labels_of(record: Tagged, known: StatusTags) -> dict[int, str]:
    """The tags of *record* that are no statuses: number to name."""
    return {number: name for number, name in record.tags.items() if number not in known}
