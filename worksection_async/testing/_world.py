"""The simulated account: its records, and the methods that create them."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal

from ._records import (
    Comment,
    Contact,
    Cost,
    CustomField,
    Event,
    EventAction,
    EventType,
    Group,
    Project,
    Relation,
    StoredFile,
    Tag,
    TagGroup,
    Task,
    Timer,
    Upload,
    User,
    Webhook,
)

MAX_TASK_LEVELS = 3
"""Levels of tasks and subtasks."""

_FIRST_ID = 101
_TABLES = {"user": ("users", "contacts"), "group": ("groups", "contact_groups")}
"""Kinds of records in two tables, whose ids are counted together."""

_KINDS = {table: kind for kind, tables in _TABLES.items() for table in tables}

_EVENT_TYPES: dict[type, EventType] = {Project: "project", Task: "task", Comment: "comment"}


class World:
    """The records of an account, by id.

    Each ``add_…`` method creates a record, stores it and returns it. Ids count from 101 for each kind of record, unless
    ``id=`` sets one. Other keyword arguments are attributes of the record. Records may be modified afterwards.
    """

    def __init__(self, now: Callable[[], dt.datetime], owner: str = "owner@example.com", **more: Any) -> None:
        self.now = now
        self.url_answers: Callable[[str], bool] = lambda url: url.startswith(("https://", "http://"))
        """Decides whether ``add_webhook`` accepts a URL of another machine, because such URLs are never called."""
        self.listeners: list[Callable[[Event], None]] = []
        """Functions that are called with each event."""
        self._last_ids: Counter[str] = Counter()
        self.users: dict[int, User] = {}
        self.contacts: dict[int, Contact] = {}
        self.groups: dict[int, Group] = {}
        """Teams and project folders."""
        self.contact_groups: dict[int, Group] = {}
        self.tag_groups: dict[int, TagGroup] = {}
        self.tags: dict[int, Tag] = {}
        self.custom_fields: dict[int, CustomField] = {}
        self.projects: dict[int, Project] = {}
        self.tasks: dict[int, Task] = {}
        self.comments: dict[int, Comment] = {}
        self.files: dict[int, StoredFile] = {}
        self.uploads: dict[str, Upload] = {}
        """Files of ``upload_files`` that no task has used yet, by key."""
        self.costs: dict[int, Cost] = {}
        self.timers: dict[int, Timer] = {}
        self.webhooks: dict[int, Webhook] = {}
        self.events: list[Event] = []
        """Events of the API and of `tell`, oldest first."""
        self.owner: User = self.add_user(owner, role="Owner", **more)

    def _number(self, kind: str, wanted: int | None) -> int:
        tables = _TABLES.get(kind, (f"{kind.replace(' ', '_')}s",))
        if any(wanted in getattr(self, table, ()) for table in tables):
            raise ValueError(f"there is already a {kind} {wanted}")
        number = wanted or max(self._last_ids[kind] + 1, _FIRST_ID)
        self._last_ids[kind] = max(self._last_ids[kind], number)
        return number

    def keep(self, table: str, record: Any) -> None:
        """Store a complete record that refers to records of this account."""
        getattr(self, table)[record.id] = record
        kind = _KINDS.get(table, table.removesuffix("s").replace("_", " "))
        self._last_ids[kind] = max(self._last_ids[kind], record.id)
        match record:
            case Task(parent=parent, project=project):
                (parent.children if parent else project.tasks).append(record)
            case Comment(task=task):
                task.comments.append(record)

    def become(self, other: "World") -> None:
        """Take over the records and events of *other*."""
        kept = {"now": self.now, "url_answers": self.url_answers, "listeners": self.listeners}
        vars(self).update({**vars(other), **kept})

    def clear(self) -> None:
        """Remove all records and events."""
        for records in vars(self).values():
            if isinstance(records, dict | Counter) or records is self.events:
                records.clear()

    def delete(self, record: Project | Task) -> None:
        """Remove a project, or a task with its subtasks, and what belongs to it."""
        tasks = (
            [each for task in record.tasks for each in task.walk()] if isinstance(record, Project) else [*record.walk()]
        )
        for task in tasks:
            del self.tasks[task.id]
            for relation in task.relations:
                for end in {relation.earlier, relation.later} - {task}:
                    end.relations.remove(relation)
            self._delete_files(task, *task.comments)
            for table in (self.comments, self.costs, self.timers):
                for each in [one for one in table.values() if one.task is task]:
                    del table[each.id]
        if isinstance(record, Project):
            self._delete_files(record)
            del self.projects[record.id]
        else:
            (record.parent.children if record.parent else record.project.tasks).remove(record)

    def _delete_files(self, *places: Project | Task | Comment) -> None:
        for file in [file for place in places for file in place.files]:
            self.files.pop(file.id, None)

    # People

    def add_user(self, email: str, name: str = "", *, id: int | None = None, **more: Any) -> User:
        """Add a member. Like the service, derive a missing *name* from the email address."""
        first, _, last = (name or email.partition("@")[0].replace(".", " ")).partition(" ")
        more.setdefault("date_added", self.now())
        user = User(id=self._number("user", id), email=email, first_name=first, last_name=last, **more)
        self.users[user.id] = user
        return user

    def user(self, email: str) -> User | None:
        """Return the active member with this email address (case-insensitive), or None."""
        wanted = email.casefold()
        return next((user for user in self.users.values() if user.active and user.email.casefold() == wanted), None)

    def add_contact(self, name: str, email: str = "", *, id: int | None = None, **more: Any) -> Contact:
        """Add a contact."""
        first, _, last = name.partition(" ")
        more.setdefault("date_added", self.now())
        contact = Contact(id=self._number("user", id), email=email, first_name=first, last_name=last, **more)
        self.contacts[contact.id] = contact
        return contact

    def add_group(
        self, title: str, type: Literal["company", "folder"] = "company", *, id: int | None = None, client: bool = False
    ) -> Group:
        """Add a team, which has a project folder of its own, or only a project folder (``type="folder"``)."""
        group = Group(id=self._number("group", id), title=title, type=type, client=client)
        self.groups[group.id] = group
        return group

    def add_contact_group(
        self, title: str, type: Literal["folder", "preset"] = "folder", *, id: int | None = None
    ) -> Group:
        """Add a contact folder."""
        group = Group(id=self._number("group", id), title=title, type=type)
        self.contact_groups[group.id] = group
        return group

    # Projects and tasks

    def add_project(self, name: str, *, id: int | None = None, author: User | None = None, **more: Any) -> Project:
        """Add a project. Its only member is its author, unless ``members`` is given."""
        more.setdefault("date_added", self.now())
        more.setdefault("members", [author or self.owner])
        project = Project(id=self._number("project", id), name=name, author=author or self.owner, **more)
        self.projects[project.id] = project
        return project

    def add_task(
        self,
        project: Project,
        name: str,
        *,
        id: int | None = None,
        parent: Task | None = None,
        author: User | None = None,
        **more: Any,
    ) -> Task:
        """Add a task, or a subtask of *parent*; raise `ValueError` below the third level."""
        if parent is not None and parent.project is not project:
            raise ValueError(f"task {parent.id} belongs to another project")
        if parent is not None and len(parent.ancestors) + 2 > MAX_TASK_LEVELS:
            raise ValueError(f"task {parent.id} is at the lowest of {MAX_TASK_LEVELS} levels")
        more.setdefault("date_added", self.now())
        task = Task(
            id=self._number("task", id), name=name, project=project, parent=parent, author=author or self.owner, **more
        )
        self.tasks[task.id] = task
        (parent.children if parent else project.tasks).append(task)
        return task

    def relate(
        self, earlier: Task, later: Task, type: Literal["finish-to-start", "start-to-start"] = "finish-to-start"
    ) -> Relation:
        """Add a dependency of *later* on *earlier*."""
        relation = Relation(earlier, later, type)
        earlier.relations.append(relation)
        later.relations.append(relation)
        return relation

    def add_comment(
        self, task: Task, text: str, *, id: int | None = None, author: User | None = None, **more: Any
    ) -> Comment:
        """Add a comment."""
        more.setdefault("date_added", self.now())
        comment = Comment(id=self._number("comment", id), task=task, text=text, author=author or self.owner, **more)
        self.comments[comment.id] = comment
        task.comments.append(comment)
        return comment

    def add_file(
        self,
        place: Project | Task | Comment,
        name: str,
        content: bytes = b"",
        *,
        id: int | None = None,
        author: User | None = None,
        **more: Any,
    ) -> StoredFile:
        """Add a file to a project, a task or a comment."""
        more.setdefault("date_added", self.now())
        file = StoredFile(id=self._number("file", id), name=name, content=content, author=author or self.owner, **more)
        self.files[file.id] = file
        place.files.append(file)
        return file

    def add_upload(self, upload: Upload) -> str:
        """Store an uploaded file until a task uses it; return its key."""
        key = f"upload{self._number('upload', None)}"
        self.uploads[key] = upload
        return key

    # Tags and custom fields

    def add_tag_group(
        self,
        title: str,
        of: Literal["task", "project"] = "task",
        type: Literal["status", "label", ""] = "label",
        *,
        id: int | None = None,
        access: Literal["public", "private"] = "public",
    ) -> TagGroup:
        """Add a set of tags."""
        group = TagGroup(id=self._number("tag group", id), title=title, of=of, type=type, access=access)
        self.tag_groups[group.id] = group
        return group

    def add_tag(self, group: TagGroup, title: str, *, id: int | None = None) -> Tag:
        """Add a tag to a set."""
        tag = Tag(id=self._number("tag", id), title=title, group=group)
        self.tags[tag.id] = tag
        return tag

    def add_tags(self, group: TagGroup, titles: Iterable[str]) -> list[Tag]:
        """Add several tags to a set."""
        return [self.add_tag(group, title) for title in titles]

    def add_custom_field(
        self, name: str, of: Literal["task", "project"] = "task", *, id: int | None = None, **more: Any
    ) -> CustomField:
        """Define a custom field. Set its values in ``custom_values`` of projects or tasks."""
        field = CustomField(id=self._number("custom field", id), name=name, of=of, **more)
        self.custom_fields[field.id] = field
        return field

    # Costs and timers

    def add_cost(
        self,
        task: Task,
        time: dt.timedelta = dt.timedelta(),
        money: Decimal = Decimal(),
        *,
        id: int | None = None,
        user: User | None = None,
        **more: Any,
    ) -> Cost:
        """Add an entry of time or money to a task; ``date`` is today by default."""
        more.setdefault("date", self.now().date())
        cost = Cost(id=self._number("cost", id), task=task, user=user or self.owner, time=time, money=money, **more)
        self.costs[cost.id] = cost
        return cost

    def add_timer(
        self, task: Task, user: User | None = None, *, id: int | None = None, started: dt.datetime | None = None
    ) -> Timer:
        """Start a timer of *user* (default: the owner)."""
        number = self._number("timer", id)
        timer = Timer(id=number, task=task, user=user or self.owner, started=started or self.now())
        self.timers[timer.id] = timer
        return timer

    def stop_timer(self, timer: Timer, comment: str = "") -> Cost:
        """Stop a timer and add its time to the costs."""
        del self.timers[timer.id]
        time = self.now() - timer.started
        return self.add_cost(timer.task, time, user=timer.user, comment=comment, is_timer=True)

    # Webhooks

    def add_webhook(self, url: str, events: Iterable[str], *, id: int | None = None, **more: Any) -> Webhook:
        """Register a webhook without a call of its URL; ``status`` is ``"active"`` by default."""
        webhook = Webhook(id=self._number("webhook", id), url=url, events=list(events), **more)
        self.webhooks[webhook.id] = webhook
        return webhook

    def tell(
        self,
        action: EventAction,
        of: Project | Task | Comment,
        user: User | None = None,
        new: dict[str, object] | None = None,
        old: dict[str, object] | None = None,
    ) -> Event:
        """Record an event by *user* (default: the owner), for ``get_events`` and webhooks.

        Actions of the API do this themselves. Use it for changes in the browser, such as the deletion of a task.
        """
        place = of.task if isinstance(of, Comment) else of
        event = Event(
            action=action,
            type=_EVENT_TYPES[type(of)],
            id=of.id,
            page=place.page,
            project=place if isinstance(place, Project) else place.project,
            task=place if isinstance(place, Task) else None,
            date_added=self.now(),
            user=user or self.owner,
            new=new or {},
            old=old or {},
        )
        self.events.append(event)
        for listener in self.listeners:
            listener(event)
        return event
