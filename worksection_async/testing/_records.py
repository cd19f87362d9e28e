"""The records of a simulated account. They reference each other as objects, and can be modified in place."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import attrs

EventAction = Literal["post", "update", "close", "reopen", "delete"]
EventType = Literal["project", "task", "comment"]


@attrs.define(eq=False, kw_only=True)
class User:
    """A member of the account, or one of the sentinels `ANYONE`, `NO_EXECUTIVE` and `NO_MANAGER`."""

    id: int
    email: str
    first_name: str = ""
    last_name: str = ""
    title: str = ""
    group: str = ""
    department: str = ""
    role: str = "User"
    rate: Decimal | None = None
    avatar: str = ""
    phone: str = ""
    phone2: str = ""
    phone3: str = ""
    phone4: str = ""
    address: str = ""
    address2: str = ""
    date_added: dt.datetime | None = None
    active: bool = True
    schedule: dict[dt.date, str] = attrs.field(factory=dict, repr=False)

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


ANYONE = User(id=2, email="ANY", first_name="Anyone")
NO_EXECUTIVE = User(id=1, email="NOONE", first_name="Executive isn't assigned")
NO_MANAGER = User(id=0, email="NOONE", first_name="Manager isn't assigned")


@attrs.define(eq=False, kw_only=True)
class Contact:
    """A contact, without access to the account."""

    id: int
    email: str = ""
    first_name: str
    last_name: str = ""
    title: str = ""
    group: str = "DEFAULT"
    phone: str = ""
    phone2: str = ""
    phone3: str = ""
    phone4: str = ""
    address: str = ""
    address2: str = ""
    date_added: dt.datetime | None = None

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


@attrs.define(eq=False, kw_only=True)
class Group:
    """A team of members with its project folder (``company``), a project folder, or a contact folder."""

    id: int
    title: str
    type: Literal["company", "folder", "preset"]
    client: bool = False


@attrs.define(eq=False, kw_only=True)
class TagGroup:
    """A set of tags for tasks or for projects."""

    id: int
    title: str
    of: Literal["task", "project"]
    type: Literal["status", "label", ""]
    access: Literal["public", "private"] = "public"


@attrs.define(eq=False, kw_only=True)
class Tag:
    """A status or label."""

    id: int
    title: str
    group: TagGroup


@attrs.define(eq=False, kw_only=True)
class CustomField:
    """A custom field of tasks or projects. The values are in ``custom_values`` of the task or project."""

    id: int
    name: str
    of: Literal["task", "project"]
    type: str = "text"
    descr: str = ""
    options: list[object] = attrs.field(factory=list)


@attrs.frozen
class Upload:
    """An uploaded file, with the name of its form field."""

    field: str
    name: str
    content: bytes = attrs.field(repr=False)


@attrs.define(eq=False, kw_only=True)
class StoredFile:
    """A stored file with its content."""

    id: int
    name: str
    content: bytes = attrs.field(repr=False)
    author: User
    date_added: dt.datetime

    @property
    def page(self) -> str:
        """Path of the page in the account."""
        return f"/download/{self.id}/"


@attrs.define(eq=False, kw_only=True)
class Project:
    """A project with its top-level tasks."""

    id: int
    name: str
    author: User
    date_added: dt.datetime
    status: Literal["active", "pending", "archive"] = "active"
    company: str = ""
    manager: User = NO_MANAGER
    executive: User = NO_EXECUTIVE
    """The default assignee of new tasks."""
    text: str = ""
    date_start: dt.date | None = None
    date_end: dt.date | None = None
    date_closed: dt.datetime | None = None
    max_time: Decimal | None = None
    max_money: Decimal | None = None
    options: set[str] = attrs.field(factory=set)
    """The names of the options that are on."""
    members: list[User] = attrs.field(factory=list, repr=False)
    tags: list[Tag] = attrs.field(factory=list, repr=False)
    custom_values: dict[CustomField, object] = attrs.field(factory=dict, repr=False)
    files: list[StoredFile] = attrs.field(factory=list, repr=False)
    """Files of the description and of the Files section."""
    tasks: list["Task"] = attrs.field(factory=list, repr=False)
    """Top-level tasks; subtasks are in ``children`` of their parent."""

    @property
    def page(self) -> str:
        """Path of the page in the account."""
        return f"/project/{self.id}/"


@attrs.define(eq=False, kw_only=True)
class Task:
    """A task or subtask, with its comments, files, tags, relations and subtasks."""

    id: int
    name: str
    project: Project
    author: User
    date_added: dt.datetime
    parent: "Task | None" = None
    assignee: User = NO_EXECUTIVE
    status: Literal["active", "done"] = "active"
    priority: int = 1
    text: str = ""
    date_start: dt.date | None = None
    date_end: dt.date | None = None
    time_start: str = ""
    time_end: str = ""
    date_closed: dt.datetime | None = None
    max_time: Decimal | None = None
    max_money: Decimal | None = None
    hidden: list[User] = attrs.field(factory=list, repr=False)
    """The only users with access; empty: all users. Stored, but not enforced."""
    subscribers: list[User] = attrs.field(factory=list, repr=False)
    tags: list[Tag] = attrs.field(factory=list, repr=False)
    custom_values: dict[CustomField, object] = attrs.field(factory=dict, repr=False)
    files: list[StoredFile] = attrs.field(factory=list, repr=False)
    """Files of the description."""
    comments: list["Comment"] = attrs.field(factory=list, repr=False)
    """Oldest first."""
    relations: list["Relation"] = attrs.field(factory=list, repr=False)
    children: list["Task"] = attrs.field(factory=list, repr=False)

    @property
    def ancestors(self) -> list["Task"]:
        """The parent tasks, from the direct parent to the top-level task."""
        return [self.parent, *self.parent.ancestors] if self.parent else []

    @property
    def page(self) -> str:
        """Path of the page in the account. It has at most two task ids: a middle level is omitted."""
        top = f"{self.ancestors[-1].id}/" if self.parent else ""
        return f"{self.project.page}{top}{self.id}/"

    def walk(self) -> Iterator["Task"]:
        """Yield the task and all its descendants."""
        yield self
        for child in self.children:
            yield from child.walk()


@attrs.frozen(eq=False)
class Relation:
    """A dependency of *later* on *earlier*, in ``relations`` of both tasks."""

    earlier: Task
    later: Task
    type: Literal["finish-to-start", "start-to-start"] = "finish-to-start"


@attrs.define(eq=False, kw_only=True)
class Comment:
    """A comment on a task."""

    id: int
    task: Task = attrs.field(repr=False)
    text: str
    author: User
    date_added: dt.datetime
    hidden: list[User] = attrs.field(factory=list, repr=False)
    files: list[StoredFile] = attrs.field(factory=list, repr=False)

    @property
    def page(self) -> str:
        """Path of the page in the account."""
        return f"{self.task.page}#com{self.id}"


@attrs.define(eq=False, kw_only=True)
class Cost:
    """An entry of time or money for a task."""

    id: int
    task: Task
    user: User
    date: dt.date
    time: dt.timedelta = dt.timedelta()
    money: Decimal = Decimal()
    comment: str = ""
    is_timer: bool = False


@attrs.define(eq=False, kw_only=True)
class Timer:
    """A running timer of a user for a task."""

    id: int
    task: Task
    user: User
    started: dt.datetime


@attrs.define(eq=False, kw_only=True)
class Webhook:
    """A URL that is called after events."""

    id: int
    url: str
    events: list[str]
    projects: list[int] = attrs.field(factory=list)
    status: Literal["active", "paused"] = "active"
    http_user: str = ""
    http_pass: str = attrs.field(default="", repr=False)
    errors: int = 0
    """Number of failed calls; after ten the webhook is paused."""


@attrs.frozen(kw_only=True)
class Event:
    """A change by a user, as listed by ``get_events``."""

    action: EventAction
    type: EventType
    id: int
    page: str
    project: Project
    task: Task | None = None
    """The task that changed, or the task of the comment."""
    date_added: dt.datetime
    user: User
    new: dict[str, object]
    old: dict[str, object]
