"""Properties of `Event` that are derived from its fields."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Protocol

from ._base import Raw
from ._changes import Change, changes_of

# Protocols instead of the models: an import of `projects`, which imports this module, would be circular.


class _EventObject(Protocol):
    """The fields of `EventObject`."""

    @property
    def type(self) -> str | None: ...

    @property
    def id(self) -> int: ...

    @property
    def page(self) -> str: ...


class _Event(Protocol):
    """The fields of `Event` that the properties are derived from."""

    @property
    def action(self) -> str: ...

    @property
    def object(self) -> _EventObject: ...

    @property
    def date_added(self) -> dt.datetime | None: ...

    @property
    def new(self) -> Mapping[str, Raw]: ...

    @property
    def old(self) -> Mapping[str, Raw]: ...


class EventProperties:
    """Mixin of `Event`: properties with the same value in replies of ``get_events`` and in webhooks."""

    __slots__ = ()

    @property
    def kind(self: _Event) -> str:
        """Name of the webhook event, such as ``"post_task"``; only the action if the type of the object is unknown."""
        return f"{self.action}_{self.object.type}" if self.object.type else self.action

    @property
    def id_task(self: _Event) -> int | None:
        """ID of the task, or of the task that was commented on; None for a project."""
        if self.object.type == "task":
            return self.object.id
        # Page paths: /task/9/ in webhooks; /project/7/9/ and, for subtasks, /project/7/8/9/ in get_events.
        match = re.match(r"/task/(\d{1,18})(?!\d)|/project/\d+/(?:\d+/)*?(\d{1,18})/?(?![\d/])", self.object.page)
        return int(match[1] or match[2]) if match else None

    @property
    def id_project(self: _Event) -> int | None:
        """ID of the project; None for a task or comment in a webhook, because the service does not send it there."""
        if self.object.type == "project":
            return self.object.id
        match = re.match(r"/project/(\d{1,18})(?!\d)", self.object.page)
        return int(match[1]) if match else None

    @property
    def changes(self: _Event) -> dict[str, Change]:
        """The changed fields: name → `Change`, with the old and the new value in the format of the model's field.

        An empty value is None, and a value whose format is unknown is as the service sent it. The event of a new record
        has only new values.
        """
        tz = self.date_added.tzinfo if self.date_added else None
        return changes_of(self.object.type, self.old, self.new, tz)

    @property
    def key(self: _Event) -> str:
        """Deduplication key: equal for the same event in ``get_events`` and webhooks, which have no event ID.

        It is a hash of action, object, minute and new values, so two equal changes within one minute share a key.
        """
        day = self.date_added.replace(tzinfo=None).isoformat() if self.date_added else ""
        facts = [self.action, self.object.type, self.object.id, day, dict(self.new)]
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]
