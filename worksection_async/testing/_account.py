"""Changes of the simulated account: the verbs take and return the models of a session."""

import copy
import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import MemberDescriptorType
from typing import Any, Literal, TypeVar, Unpack, overload

from .. import models
from .._protocol.structure import Malformed
from . import _account_file
from . import _reading as reading
from . import _records as records
from ._content import Content
from ._fields import (
    MemberFields,
    ProjectChanges,
    ProjectFields,
    ProjectLike,
    TaskChanges,
    TaskFields,
    TaskLike,
    UserLike,
)

FIXED = frozenset({"id", "project", "parent", "children", "tasks", "comments", "relations", "files", "schedule"})
"""Attributes of records that `Account.update` does not change."""

R = TypeVar("R")
M = TypeVar("M", bound=models.Model)


class Account(Content):
    """The account of a `Simulator`.

    Each ``add_…`` method stores a record and returns it as a model, as a session would return it with every ``extra``.
    Ids count from 101 for each kind of record, unless ``id=`` sets one. Arguments that name a record accept the model,
    its id, the email address of a member, or the title of a tag. An unknown record is a `ValueError`.

    A model is a value: it does not change when the account changes. The current ones are in ``projects``, ``tasks``,
    ``members``, … by id.
    """

    # People

    def add_member(
        self, email: str, name: str = "", *, id: int | None = None, **fields: Unpack[MemberFields]
    ) -> models.Member:
        """Add a member. Like the service, derive a missing *name* from the email address."""
        user = self._world.add_user(email, name, id=id)
        return self._set(user, fields, reading.member)

    def add_contact(
        self, name: str, email: str = "", *, id: int | None = None, group: str = "DEFAULT"
    ) -> models.Contact:
        """Add a contact; *group* is the title of a contact folder."""
        return reading.contact(self._world.add_contact(name, email, id=id, group=group))

    def add_group(self, title: str, *, id: int | None = None, client: bool = False) -> int:
        """Add a team, which has a project folder of its own; return its id."""
        return self._world.add_group(title, id=id, client=client).id

    def add_folder(self, title: str, *, id: int | None = None) -> int:
        """Add a project folder; return its id."""
        return self._world.add_group(title, "folder", id=id).id

    def add_contact_folder(self, title: str, *, id: int | None = None) -> int:
        """Add a contact folder; return its id."""
        return self._world.add_contact_group(title, id=id).id

    # Projects and tasks

    def add_project(self, name: str, *, id: int | None = None, **fields: Unpack[ProjectFields]) -> models.Project:
        """Add a project. Its only member is its author, unless ``users`` is given."""
        return reading.project(self._world.add_project(name, id=id, **self._references.of_project(fields)))

    def add_task(
        self,
        project: ProjectLike,
        name: str,
        *,
        id: int | None = None,
        parent: TaskLike | None = None,
        **fields: Unpack[TaskFields],
    ) -> models.Task:
        """Add a task, or a subtask of *parent*; raise `ValueError` below the third level."""
        find = self._references
        above = None if parent is None else find.task(parent)
        task = self._world.add_task(find.project(project), name, id=id, parent=above, **find.of_task(fields))
        return reading.task(task)

    def relate(
        self,
        earlier: TaskLike,
        later: TaskLike,
        type: Literal["finish-to-start", "start-to-start"] = "finish-to-start",
    ) -> None:
        """Add a dependency of *later* on *earlier*."""
        self._world.relate(self._references.task(earlier), self._references.task(later), type)

    def add_comment(
        self,
        task: TaskLike,
        text: str,
        *,
        id: int | None = None,
        user_from: UserLike | None = None,
        date_added: dt.datetime | None = None,
    ) -> models.Comment:
        """Add a comment."""
        more = {} if date_added is None else {"date_added": date_added}
        author = self._user(user_from)
        comment = self._world.add_comment(self._references.task(task), text, id=id, author=author, **more)
        return reading.comment(comment)

    def add_file(
        self,
        place: models.Project | models.Task | models.Comment,
        name: str,
        content: bytes = b"",
        *,
        id: int | None = None,
        user_from: UserLike | None = None,
    ) -> models.File:
        """Add a file to a project, a task or a comment."""
        author = self._user(user_from)
        return reading.file(self._world.add_file(self._record(place), name, content, id=id, author=author))

    # Tags and custom fields

    def add_tag_group(
        self,
        title: str,
        of: Literal["task", "project"] = "task",
        type: Literal["status", "label"] = "label",
        *,
        id: int | None = None,
        access: Literal["public", "private"] = "public",
    ) -> models.TagGroup:
        """Add a set of tags."""
        return reading.tag_group(self._world.add_tag_group(title, of, type, id=id, access=access))

    def add_tag(self, group: models.TagGroup | int, title: str, *, id: int | None = None) -> models.Tag:
        """Add a tag to a set."""
        return reading.tag(
            self._world.add_tag(self._references.by_id(self._world.tag_groups, "tag group", group), title, id=id)
        )

    def add_custom_field(
        self, name: str, of: Literal["task", "project"] = "task", type: str = "text", *, id: int | None = None,
        descr: str = "", options: Iterable[object] = (),
    ) -> models.CustomField:  # fmt: skip
        """Define a custom field; its values are in ``custom_fields`` of tasks or projects."""
        field = self._world.add_custom_field(name, of, id=id, type=type, descr=descr, options=list(options))
        return reading.custom_field(field)

    # Costs and timers

    def add_costs(
        self,
        task: TaskLike,
        time: dt.timedelta = dt.timedelta(),
        money: Decimal = Decimal(),
        *,
        id: int | None = None,
        user_from: UserLike | None = None,
        date: dt.date | None = None,
        comment: str = "",
        is_timer: bool = False,
    ) -> models.Cost:
        """Add an entry of time or money to a task; *date* is today by default."""
        cost = self._world.add_cost(
            self._references.task(task), time, money, id=id, user=self._user(user_from),
            date=date or self._world.now().date(), comment=comment, is_timer=is_timer,
        )  # fmt: skip
        return reading.cost(cost)

    def add_timer(self, task: TaskLike, user_from: UserLike | None = None, *, id: int | None = None) -> models.Timer:
        """Start a timer."""
        timer = self._world.add_timer(self._references.task(task), self._user(user_from), id=id)
        return reading.timer(timer, self._world.now())

    def add_webhook(
        self, url: str, events: Iterable[models.WebhookEvent], *, id: int | None = None,
        projects: Iterable[ProjectLike] = (), http_user: str = "", http_pass: str = "",
    ) -> models.Webhook:  # fmt: skip
        """Register a webhook without a call of its URL."""
        numbers = [self._references.project(project).id for project in projects]
        webhook = self._world.add_webhook(
            url, events, id=id, projects=numbers, http_user=http_user, http_pass=http_pass
        )
        return reading.webhook(webhook)

    # Changes that need no request

    @overload
    def update(self, record: models.Task, **fields: Unpack[TaskChanges]) -> models.Task: ...
    @overload
    def update(self, record: models.Project, **fields: Unpack[ProjectChanges]) -> models.Project: ...
    @overload
    def update(self, record: models.Member, **fields: Unpack[MemberFields]) -> models.Member: ...
    def update(self, record: Any, **fields: Any) -> Any:
        """Change a task, a project or a member; return its new model. No event is recorded: see `Simulator.emit`."""
        match record:
            case models.Task():
                return self._set(self._references.task(record), self._references.of_task(fields), reading.task)
            case models.Project():
                attributes = self._references.of_project(fields)
                return self._set(self._references.project(record), attributes, reading.project)
            case models.Member():
                return self._set(self._references.user(record), fields, reading.member)
        raise TypeError(f"a task, a project or a member can be updated, not {type(record).__name__}")

    def delete(self, record: models.Task | models.Project) -> None:
        """Delete a task with its subtasks, or a project, as only the browser can. Their events stay in the log."""
        if not isinstance(record, models.Task | models.Project):
            raise TypeError(f"a task or a project can be deleted, not {type(record).__name__}")
        self._world.delete(self._record(record))

    def clear_events(self) -> None:
        """Empty the event log."""
        self._world.events.clear()

    def dump(self, path: str | Path) -> None:
        """Write the account to a JSON file, for `load`.

        It includes the content of files and the passwords of webhooks, but neither tokens nor the events of deleted
        records.
        """
        _account_file.dump(self._world, Path(path))

    def load(self, path: str | Path) -> None:
        """Replace the account by the one that `dump` wrote; raise `ValueError` for another file.

        Load it before tokens are issued, because they belong to members of the account before.
        """
        _account_file.load(self._world, Path(path))

    # Parts

    def _user(self, user: UserLike | None) -> records.User:
        return self._world.owner if user is None else self._references.user(user)

    def _record(self, model: models.Model) -> Any:
        match model:
            case models.Project():
                return self._references.project(model)
            case models.Task():
                return self._references.task(model)
            case models.Comment():
                return self._references.by_id(self._world.comments, "comment", model)
        raise TypeError(f"a project, a task or a comment is needed, got {type(model).__name__}")

    @staticmethod
    def _set(record: R, attributes: Mapping[str, Any], read: Callable[[R], M]) -> M:
        kind, changed = type(record).__name__.lower(), copy.copy(record)
        for name, value in attributes.items():
            if name in FIXED or not isinstance(getattr(type(record), name, None), MemberDescriptorType):
                raise TypeError(f"a {kind} has no field {name!r}")
            setattr(changed, name, value)
        try:
            read(changed)
        except Malformed as exc:
            problem = f"a {kind} cannot have these values: {exc}"
        else:
            for name, value in attributes.items():
                setattr(record, name, value)
            return read(record)
        raise ValueError(problem)
