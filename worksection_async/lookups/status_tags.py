"""Separates statuses from labels among the tags of a task or project.

The ``tags`` of a record contain only IDs and names. The kind, status or label, is a property of the tag group, so
read the tags once::

    known = StatusTags(await ws.get_task_tags(type="status"))
    for task in await ws.get_tasks(26, extra=["tags"]):
        print(task.name, statuses_of(task, known), labels_of(task, known))

Vendor page: https://worksection.com/en/faq/api-tags.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ..errors import InvalidCall
from ..models import Tag

__all__ = ["StatusTags", "Tagged", "labels_of", "statuses_of"]


class Tagged(Protocol):
    """A record with tags: a `Task` or a `Project`."""

    @property
    def tags(self) -> Mapping[int, str]:
        """Mapping of tag ID to tag name."""
        ...


class StatusTags:
    """The set of tag IDs that are statuses; supports ``in`` and ``len``.

    Args:
        tags: Result of `get_task_tags` or `get_project_tags`, for statuses only or for all tags. Tags that are
            created later are treated as labels.

    Raises:
        InvalidCall: A tag has no group. `add_task_tags` returns such tags.
    """

    __slots__ = ("_ids",)

    def __init__(self, tags: Iterable[Tag]) -> None:
        ids = set()
        for tag in tags:
            if tag.group is None:
                problem = f"tag {tag.id} has no group; pass the tags that get_task_tags returns"
                raise InvalidCall("StatusTags", problem)
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
    """Return the statuses of *record* as tag ID → name; a record in several workflows has several statuses."""
    return {id_tag: name for id_tag, name in record.tags.items() if id_tag in known}


def labels_of(record: Tagged, known: StatusTags) -> dict[int, str]:
    """Return the tags of *record* that are not statuses, as tag ID → name."""
    return {id_tag: name for id_tag, name in record.tags.items() if id_tag not in known}
