"""What the simulated account holds. Records refer to one another as objects and are changed in place."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import attrs

EventAction = Literal["post", "update", "close", "reopen", "delete"]
EventType = Literal["project", "task", "comment"]


@attrs.define(eq=False, kw_only=True)
class User:
    """A member of the account, or one of the sentinels below."""

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
    """A person without access to the account."""

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
    """A team of members with its folder (``company``), a folder of projects, or a folder of contacts."""

    id: int
    title: str
    type: Literal["company", "folder", "preset"]
    client: bool = False


@attrs.define(eq=False, kw_only=True)
class TagGroup:
    """A set of tags, of tasks or of projects."""

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
    """A field the account has added to its tasks or projects; values are kept where they belong."""

    id: int
    name: str
    of: Literal["task", "project"]
    type: str = "text"
    descr: str = ""
    options: list[object] = attrs.field(factory=list)


@attrs.frozen
class Upload:
    """A file on its way in, from a field of a form."""

    field: str
    name: str
    content: bytes = attrs.field(repr=False)


@attrs.define(eq=False, kw_only=True)
class StoredFile:
    """A file with its bytes."""

    id: int
    name: str
    content: bytes = attrs.field(repr=False)
    author: User
    date_added: dt.datetime

    @property
    def page(self) -> str:
        """Path in the account."""
        return f"/download/{self.id}/"


@attrs.define(eq=False, kw_only=True)
class Project:
    """A project, with the tasks at its top level."""

    id: int
    name: str
    author: User
    date_added: dt.datetime
    status: Literal["active", "pending", "archive"] = "active"
    company: str = ""
    manager: User = NO_MANAGER
    executive: User = NO_EXECUTIVE
    """Who new tasks are given to."""
    text: str = ""
    date_start: dt.date | None = None
    date_end: dt.date | None = None
    date_closed: dt.datetime | None = None
    max_time: Decimal | None = None
    max_money: Decimal | None = None
    options: set[str] = attrs.field(factory=set)
    """The rules which are on."""
    members: list[User] = attrs.field(factory=list, repr=False)
    tags: list[Tag] = attrs.field(factory=list, repr=False)
    custom_values: dict[CustomField, object] = attrs.field(factory=dict, repr=False)
    files: list[StoredFile] = attrs.field(factory=list, repr=False)
    """Those of the description and of the Files section."""
    tasks: list["Task"] = attrs.field(factory=list, repr=False)
    """Its tasks; subtasks are theirs."""

    @property
    def page(self) -> str:
        """Path in the account."""
        return f"/project/{self.id}/"


@attrs.define(eq=False, kw_only=True)
class Task:
    """A task or subtask, with all that hangs on it."""

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
    """Who alone may see it; empty for all. Kept, not enforced."""
    subscribers: list[User] = attrs.field(factory=list, repr=False)
    tags: list[Tag] = attrs.field(factory=list, repr=False)
    custom_values: dict[CustomField, object] = attrs.field(factory=dict, repr=False)
    files: list[StoredFile] = attrs.field(factory=list, repr=False)
    """Those of the description."""
    comments: list["Comment"] = attrs.field(factory=list, repr=False)
    """Oldest first."""
    relations: list["Relation"] = attrs.field(factory=list, repr=False)
    children: list["Task"] = attrs.field(factory=list, repr=False)

    @property
    def ancestors(self) -> list["Task"]:
        """Its parent first, the task at the top last."""
        return [self.parent, *self.parent.ancestors] if self.parent else []

    @property
    def page(self) -> str:
        """Never more than two ids behind the project's: a middle level is left out."""
        top = f"{self.ancestors[-1].id}/" if self.parent else ""
        return f"{self.project.page}{top}{self.id}/"

    def walk(self) -> Iterator["Task"]:
        """Yield the task and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@attrs.frozen(eq=False)
class Relation:
    """*later* waits for *earlier*; both tasks hold it."""

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
        """Path in the account."""
        return f"{self.task.page}#com{self.id}"


@attrs.define(eq=False, kw_only=True)
class Cost:
    """Time or money somebody entered for a task."""

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
    """A clock somebody has running for a task."""

    id: int
    task: Task
    user: User
    started: dt.datetime


@attrs.define(eq=False, kw_only=True)
class Webhook:
    """An address to be told of events."""

    id: int
    url: str
    events: list[str]
    projects: list[int] = attrs.field(factory=list)
    status: Literal["active", "paused"] = "active"
    http_user: str = ""
    http_pass: str = attrs.field(default="", repr=False)
    errors: int = 0
    """Calls that were not answered as the service demands; ten pause it."""


@attrs.frozen(kw_only=True)
class Event:
    """Something somebody did."""

    action: EventAction
    type: EventType
    id: int
    page: str
    project: Project
    task: Task | None = None
    """The task it happened to, or whose comment it is about."""
    date_added: dt.datetime
    user: User
    new: dict[str, object]
    old: dict[str, object]
