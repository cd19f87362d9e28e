"""The fields of models as keyword arguments, and the attributes of records that store them."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, TypedDict, TypeVar

import attrs

from ..models import CustomField, CustomValue, Member, Project, ProjectRef, Tag, Task, TaskRef, User
from . import _records as records
from ._world import World

UserLike = Member | User | int | str
"""A member as a model, by id or by email address."""
ProjectLike = Project | ProjectRef | int
TaskLike = Task | TaskRef | int
TagLike = Tag | int | str
"""A tag as a model, by id or by title."""
CustomFieldLike = CustomField | CustomValue | int


class TaskFields(TypedDict, total=False):
    """The fields of a task."""

    user_from: UserLike
    user_to: UserLike
    status: Literal["active", "done"]
    priority: int
    text: str
    date_added: dt.datetime
    date_start: dt.date | None
    date_end: dt.date | None
    date_closed: dt.datetime | None
    time_start: dt.time | None
    time_end: dt.time | None
    max_time: dt.timedelta | None
    max_money: Decimal | None
    hidden: Iterable[UserLike]
    """The only users with access; empty: all users."""
    subscribers: Iterable[UserLike]
    tags: Iterable[TagLike]
    custom_fields: Mapping[CustomFieldLike, object]


class ProjectFields(TypedDict, total=False):
    """The fields of a project."""

    user_from: UserLike
    user_to: UserLike
    status: Literal["active", "pending", "archive"]
    company: str
    text: str
    date_added: dt.datetime
    date_start: dt.date | None
    date_end: dt.date | None
    date_closed: dt.datetime | None
    max_time: dt.timedelta | None
    max_money: Decimal | None
    options: Iterable[str]
    """The names of the options that are on."""
    users: Iterable[UserLike]
    tags: Iterable[TagLike]
    custom_fields: Mapping[CustomFieldLike, object]


class TaskChanges(TaskFields, total=False):
    """The fields of a task that `Account.update` can change."""

    name: str


class ProjectChanges(ProjectFields, total=False):
    """The fields of a project that `Account.update` can change."""

    name: str


class MemberFields(TypedDict, total=False):
    """The fields of a member."""

    first_name: str
    last_name: str
    title: str
    group: str
    department: str
    role: str
    rate: Decimal | None
    avatar: str
    phone: str
    address: str
    date_added: dt.datetime
    active: bool
    """False for a deactivated member."""


R = TypeVar("R")


@attrs.frozen
class References:
    """Finds the records that arguments name. An argument that names none raises `ValueError`."""

    world: World

    def user(self, member: UserLike) -> records.User:
        """Return a member."""
        if isinstance(member, str):
            found = self.world.user(member)
        else:
            number = member if isinstance(member, int) else getattr(member, "id", -1)
            found = self.world.users.get(number) or SENTINELS.get(number)
        return _found(found, "member", member)

    def project(self, project: ProjectLike) -> records.Project:
        """Return a project."""
        return self.by_id(self.world.projects, "project", project)

    def task(self, task: TaskLike) -> records.Task:
        """Return a task."""
        return self.by_id(self.world.tasks, "task", task)

    def tag(self, tag: TagLike) -> records.Tag:
        """Return a tag."""
        if not isinstance(tag, str):
            return self.by_id(self.world.tags, "tag", tag)
        named = (each for each in self.world.tags.values() if each.title == tag)
        return _found(next(named, None), "tag", tag)

    def custom_field(self, field: CustomFieldLike) -> records.CustomField:
        """Return the definition of a custom field."""
        return self.by_id(self.world.custom_fields, "custom field", field)

    @staticmethod
    def by_id(known: Mapping[int, R], kind: str, item: Any) -> R:
        """Return the record of a model or an id."""
        number = item if isinstance(item, int) else item.id
        return _found(known.get(number), kind, number)

    # Fields

    def of_task(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of a task record with these fields."""
        return self._attributes(fields, {"user_to": "assignee"})

    def of_project(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of a project record with these fields."""
        return self._attributes(fields, {"user_to": "manager"})

    def _attributes(self, fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
        names = {**NAMES, **names}
        readers = self._readers()
        return {names.get(name, name): readers.get(name, _same)(value) for name, value in fields.items()}

    def _readers(self) -> dict[str, Callable[[Any], object]]:
        return {
            **dict.fromkeys(("user_from", "user_to"), self.user),
            **dict.fromkeys(("users", "subscribers", "hidden"), lambda users: [self.user(each) for each in users]),
            "tags": lambda tags: [self.tag(each) for each in tags],
            "custom_fields": lambda values: {self.custom_field(field): value for field, value in values.items()},
            "options": set,
            "max_time": _hours,
            **dict.fromkeys(("time_start", "time_end"), lambda time: time.strftime("%H:%M") if time else ""),
        }


NAMES = {"user_from": "author", "users": "members", "custom_fields": "custom_values"}
SENTINELS = {user.id: user for user in (records.ANYONE, records.NO_EXECUTIVE, records.NO_MANAGER)}


def _same(value: object) -> object:
    return value


def _hours(time: dt.timedelta | None) -> Decimal | None:
    return None if time is None else Decimal(str(time.total_seconds() / 3600))


def _found(record: R | None, kind: str, wanted: object) -> R:
    if record is None:
        raise ValueError(f"the simulated account has no {kind} {wanted!r}")
    return record
