"""What can be told from an event beyond what the service writes into it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import projects
    from ._base import Raw


class EventFacts:
    """Properties of an `Event`, the same whether it was asked for (``get_events``) or told (a webhook)."""

    __slots__ = ()

    if TYPE_CHECKING:
        action: str
        object: projects.EventObject
        date_added: dt.datetime | None
        new: dict[str, Raw]

    @property
    def kind(self) -> str:
        """What webhooks are registered for: ``"post_task"``, ``"close_task"``, …; the action alone of an unknown thing."""
        return f"{self.action}_{self.object.type}" if self.object.type else self.action

    @property
    def id_task(self) -> int | None:
        """Number of the task it happened to, or on which the comment is; None for a project."""
        if self.object.type == "task":
            return self.object.id
        # /task/9/ in webhooks; /project/7/9/ and, for subtasks, /project/7/8/9/ elsewhere
        match = re.match(r"/task/(\d{1,18})(?!\d)|/project/\d+/(?:\d+/)*?(\d{1,18})/?(?![\d/])", self.object.page)
        return int(match[1] or match[2]) if match else None

    @property
    def id_project(self) -> int | None:
        """Number of the project; None where a webhook tells of a task or a comment: then the service does not say."""
        if self.object.type == "project":
            return self.object.id
        match = re.match(r"/project/(\d{1,18})(?!\d)", self.object.page)
        return int(match[1]) if match else None

    @property
    def key(self) -> str:
        """The same for the same event, wherever it comes from: the service numbers none.

        Made from action, object, minute and new values; so two equal changes within one minute have one key.
        """
        day = self.date_added.replace(tzinfo=None).isoformat() if self.date_added else ""
        facts = [self.action, self.object.type, self.object.id, day, dict(self.new)]
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]
