"""Renders records as the JSON objects of the service.

Ids are strings, except those of tags. Unset values are omitted. Expensive parts are included only if ``extra`` names
them. The order of keys is that of replies captured from the service.
"""

import datetime as dt
import html
from collections.abc import Iterable, Mapping
from decimal import Decimal

from . import _records as records
from ._constants import SPEC
from ._formats import clock_text, moment_text, money_text, plain_number, timer_text
from ._reply import Record

Extra = frozenset[str]
NOTHING: Extra = frozenset()

_OPTIONS = tuple(SPEC.models["ProjectOptions"].fields)
_ADDRESSES = ("phone", "phone2", "phone3", "phone4", "address", "address2")
_LAST_COMMENTS = 5


def _present(**values: object) -> Record:
    """Return the values that are set, with dates and decimals in the service's format."""
    row: Record = {}
    for name, value in values.items():
        if isinstance(value, dt.datetime):
            row[name] = moment_text(value)
        elif isinstance(value, dt.date):
            row[name] = value.isoformat()
        elif isinstance(value, Decimal):
            row[name] = plain_number(value)
        elif value:
            row[name] = value
    return row


def _text(record: records.Project | records.Task, extra: Extra) -> Record:
    if "html" in extra:
        return {"text": html.escape(record.text).replace("\r\n", "<br>")}
    return {"text": record.text} if "text" in extra else {}


def _custom_values(values: Mapping[records.CustomField, object]) -> list[Record]:
    return [
        {"id": str(field.id), "type": field.type, "name": field.name, "value": value} for field, value in values.items()
    ]


def user(user: records.User) -> Record:
    return {"id": str(user.id), "email": user.email, "name": user.name}


def users(users: Iterable[records.User]) -> list[Record]:
    return [user(one) for one in users]


def member(user: records.User, *, rate: bool = True, date_added: bool = False) -> Record:
    row: Record = {
        "id": str(user.id),
        "first_name": user.first_name,
        "last_name": user.last_name,
        "name": user.name,
        "title": user.title,
        **_present(date_added=user.date_added if date_added else None, rate=user.rate if rate else None),
        "avatar": user.avatar,
        "group": user.group,
        "department": user.department,
        "role": user.role,
        "email": user.email,
    }
    return row | _present(**{name: getattr(user, name) for name in _ADDRESSES})


def contact(contact: records.Contact, *, date_added: bool = False) -> Record:
    row: Record = {
        "id": str(contact.id),
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "name": contact.name,
        "title": contact.title,
        **_present(date_added=contact.date_added if date_added else None),
        "group": contact.group,
    }
    return row | _present(email=contact.email, **{name: getattr(contact, name) for name in _ADDRESSES})


def group(group: records.Group) -> Record:
    row: Record = {
        "id": group.id if group.type == "preset" else str(group.id),
        "title": group.title,
        "type": group.type,
    }
    return row | ({"client": int(group.client)} if group.type == "company" else {})


def project_ref(project: records.Project) -> Record:
    return {"id": str(project.id), "name": project.name, "page": project.page}


def project(project: records.Project, extra: Extra = NOTHING) -> Record:
    row = project_ref(project) | {
        "status": project.status,
        "company": project.company,
        "user_from": user(project.author),
        "user_to": user(project.manager),
        **_text(project, extra),
        **_present(
            date_added=project.date_added,
            date_start=project.date_start,
            date_end=project.date_end,
            date_closed=project.date_closed,
        ),
    }
    if "options" in extra:
        row["options"] = {name: int(name in project.options) for name in _OPTIONS}
    row |= _present(max_time=project.max_time, max_money=project.max_money, tags=tag_names(project.tags))
    if "users" in extra:
        row["users"] = users(project.members)
    if "custom_fields" in extra:
        row["custom_fields"] = _custom_values(project.custom_values)
    return row


def task_ref(task: records.Task) -> Record:
    return {
        "id": str(task.id),
        "name": task.name,
        "page": task.page,
        "status": task.status,
        "priority": str(task.priority),
    }


def task(task: records.Task, extra: Extra = NOTHING, *, parent: bool = False) -> Record:
    """Return a task without its subtasks; *parent* includes its parents, as in replies about a single task."""
    row = task_ref(task) | {
        "user_from": user(task.author),
        "user_to": user(task.assignee),
        "project": project_ref(task.project),
    }
    if parent and task.parent:
        row["parent"] = _parents(task.parent)
    row |= _text(task, extra) | _present(
        date_added=task.date_added,
        date_start=task.date_start,
        date_end=task.date_end,
        date_closed=task.date_closed,
        time_start=task.time_start,
        time_end=task.time_end,
        max_time=task.max_time,
        max_money=task.max_money,
        tags=tag_names(task.tags),
    )
    return row | _extras(task, extra)


def _extras(task: records.Task, extra: Extra) -> Record:
    row: Record = {}
    if "subscribers" in extra:
        row["subscribers"] = users(task.subscribers)
    if "files" in extra:
        row |= _present(files=[file(one) for one in task.files])
    if "comments" in extra:
        row["has_comments"] = int(bool(task.comments))
        row |= _present(comments=[comment(one) for one in reversed(task.comments[-_LAST_COMMENTS:])])
    if "relations" in extra:
        row |= _present(relations=_relations(task))
    if "custom_fields" in extra:
        row["custom_fields"] = _custom_values(task.custom_values)
    return row


def task_tree(task_: records.Task, extra: Extra, *, brief: bool, only_active: bool, parent: bool = False) -> Record:
    """Return a task with its subtasks if ``extra`` names them: complete, or *brief* as in ``get_task``."""
    row = task(task_, extra, parent=parent)
    return row | (_children(task_, extra, brief, only_active) if "subtasks" in extra else {})


def _children(parent: records.Task, extra: Extra, brief: bool, only_active: bool) -> Record:
    children = [child for child in parent.children if child.status == "active" or not only_active]
    return _present(
        child=[
            (task_ref(child) if brief else task(child, extra)) | _children(child, extra, brief, only_active)
            for child in children
        ]
    )


def _parents(task: records.Task) -> Record:
    return task_ref(task) | ({"parent": _parents(task.parent)} if task.parent else {})


def _relations(task: records.Task) -> Record:
    return _present(
        **{
            "from": [_relation(one, one.earlier) for one in task.relations if one.later is task],
            "to": [_relation(one, one.later) for one in task.relations if one.earlier is task],
        }
    )


def _relation(relation: records.Relation, other: records.Task) -> Record:
    return {"type": relation.type, "task": task_ref(other)}


def comment(comment: records.Comment, extra: Extra = NOTHING) -> Record:
    row: Record = {
        "id": str(comment.id),
        "page": comment.page,
        "text": comment.text,
        "date_added": moment_text(comment.date_added),
        "user_from": user(comment.author),
    }
    return row | (_present(files=[file(one) for one in comment.files]) if "files" in extra else {})


def file(file: records.StoredFile, *, origin: bool = False) -> Record:
    row: Record = {"id": str(file.id), "page": file.page, "name": file.name, "size": str(len(file.content))}
    return row | ({"date_added": moment_text(file.date_added), "user_from": user(file.author)} if origin else {})


def tag_names(tags: Iterable[records.Tag]) -> Record:
    """Return the tags of a project or task: a map from id to title, without their groups."""
    return {str(tag.id): tag.title for tag in tags}


def tag_group(group: records.TagGroup) -> Record:
    return {"title": group.title, "id": group.id, "type": group.type, "access": group.access}


def tag(tag: records.Tag) -> Record:
    group = tag_group(tag.group)
    second_number = {"id_group": "1" if tag.group.of == "task" else "-4"}
    return {"title": tag.title, "id": tag.id, "group": group | second_number}


def custom_field(field: records.CustomField) -> Record:
    row: Record = {"id": str(field.id), "type": field.type, "name": field.name, "descr": field.descr}
    return row | {"options": field.options}


def total(costs: Iterable[records.Cost]) -> Record:
    """Return the sums of time and money of *costs*."""
    costs = list(costs)
    return {
        "time": clock_text(sum((cost.time for cost in costs), dt.timedelta())),
        "money": money_text(sum((cost.money for cost in costs), Decimal())),
    }


def cost(cost: records.Cost) -> Record:
    return {
        "id": str(cost.id),
        "comment": cost.comment,
        "time": clock_text(cost.time),
        "money": money_text(cost.money),
        "date": cost.date.isoformat(),
        "is_timer": cost.is_timer,
        "user_from": user(cost.user),
        "task": task(cost.task, parent=True),
    }


def timer(timer: records.Timer, now: dt.datetime) -> Record:
    return {
        "id": str(timer.id),
        "time": timer_text(now - timer.started),
        "date_started": moment_text(timer.started),
        "user_from": user(timer.user),
        "task": task(timer.task, parent=True),
    }


def my_timer(timer: records.Timer, now: dt.datetime) -> Record:
    return {
        "time": int((now - timer.started).total_seconds()),
        "date_started": moment_text(timer.started),
        "task": task(timer.task, parent=True),
    }


def webhook(webhook: records.Webhook) -> Record:
    row: Record = {"id": str(webhook.id), "url": webhook.url, "events": ",".join(webhook.events)}
    return row | {"status": webhook.status} | _present(projects=",".join(map(str, webhook.projects)))


def event(event: records.Event) -> Record:
    row: Record = {
        "action": event.action,
        "object": {"type": event.type, "id": str(event.id), "page": event.page},
        "date_added": moment_text(event.date_added),
        "user_from": user(event.user),
        "new": event.new or [],
    }
    return row | ({"old": event.old or []} if event.action == "update" else {})
