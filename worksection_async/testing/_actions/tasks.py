"""Tasks and subtasks."""

from collections.abc import Iterable
from typing import Any

from .. import _render as render
from .._facts import MAX_RECORDS
from .._filters import Field, compile_filter
from .._reply import Record, Refused, listing, ok
from ..records import Task, Upload
from ..world import LEVELS
from .call import Call, action, at_most, changes
from .tags import named_tags

_FIELDS: dict[str, Field[Task]] = {
    "id": Field("number", lambda task: task.id),
    "project": Field("number", lambda task: task.project.id),
    "parent": Field("number", lambda task: task.parent.id if task.parent else None),
    "name": Field("text", lambda task: task.name),
    "dateadd": Field("date", lambda task: task.date_added.date()),
    "datestart": Field("date", lambda task: task.date_start),
    "dateend": Field("date", lambda task: task.date_end),
    "dateclose": Field("date", lambda task: task.date_closed and task.date_closed.date()),
}
for _alias, _name in {"added": "add", "start": "start", "end": "end", "closed": "close"}.items():
    _FIELDS[f"date_{_alias}"] = _FIELDS[f"date{_name}"]


@action
def get_all_tasks(call: Call) -> Record:
    projects = [
        project for project in call.world.projects.values() if project.status != "archive" or "archive" in call.extra
    ]
    return _tasks(call, [task for project in projects for task in project.tasks])


@action
def get_tasks(call: Call) -> Record:
    return _tasks(call, call.project.tasks)


def _tasks(call: Call, tasks: Iterable[Task]) -> Record:
    extra, only_active = call.extra, call.params.text("filter") == "active"
    tasks = [task for task in tasks if task.status == "active" or not only_active]
    at_most(sum(len(list(task.walk())) if "subtasks" in extra else 1 for task in tasks), MAX_RECORDS, "tasks")
    return listing([render.task_tree(task, extra, brief=False, only_active=only_active) for task in tasks])


@action
def get_task(call: Call) -> Record:
    only_active = call.params.text("filter") == "active"
    return ok(render.task_tree(call.task, call.extra, brief=True, only_active=only_active, parent=True))


@action
def search_tasks(call: Call) -> Record:
    """Subtasks are found like tasks; without a project the archived ones are left out."""
    params, world = call.params, call.world
    fits = compile_filter(params.text("filter"), _FIELDS)
    status = params.text("status") or "active"
    tasks = [task for task in world.tasks.values() if task.status == status and fits(task)]
    if params.given("id_task"):
        tasks = [task for task in tasks if task is call.task]
    elif params.given("id_project"):
        tasks = [task for task in tasks if task.project is call.project]
    else:
        tasks = [task for task in tasks if task.project.status != "archive"]
    if params.given("email_user_from"):
        tasks = [task for task in tasks if task.author is call.user("email_user_from")]
    if params.given("email_user_to"):
        tasks = [task for task in tasks if task.assignee is call.assignee()]
    at_most(len(tasks), MAX_RECORDS, "tasks")
    return ok([render.task(task, call.extra) for task in tasks])


@action
def post_task(call: Call) -> Record:
    project, parent = call.project, _parent(call)
    settings = _settings(call)
    uploads = [*call.attachments, *_uploaded(call)]
    more: dict[str, Any] = {"assignee": project.executive} | settings
    task = call.world.add_task(
        project,
        call.params.text("title"),
        parent=parent,
        author=call.author(),
        text=call.written_text(),
        subscribers=call.users("subscribe"),
        hidden=call.users("hidden"),
        **more,
    )
    for upload in uploads:
        call.world.add_file(task, upload.name, upload.content, author=task.author)
    call.record_event("post", task, {"title": task.name, **_written(task)})
    return ok(render.task(task, call.extra, parent=True))


@action
def update_task(call: Call) -> Record:
    task, settings = call.task, _settings(call)
    before = _written(task)
    task.name = call.params.text("title") or task.name
    for name, value in settings.items():
        setattr(task, name, value)
    new, old = changes(before, _written(task))
    call.record_event("update", task, new, old)
    return ok(render.task(task, parent=True))


def _parent(call: Call) -> Task | None:
    if not call.params.given("id_parent"):
        return None
    parent = call.world.tasks[call.params.number("id_parent")]
    if parent.project is not call.project or len(parent.ancestors) + 1 >= LEVELS:
        raise Refused("Task is invalid")
    if parent.status == "done":
        raise Refused("Task is closed")
    return parent


def _settings(call: Call) -> dict[str, Any]:
    """Read, before anything is changed, those attributes that are given."""
    params = call.params
    settings = {
        "priority": min(params.number("priority"), 10) if params.given("priority") else None,
        "date_start": params.date("datestart"),
        "date_end": params.date("dateend"),
        "max_time": params.decimal("max_time"),
        "max_money": params.decimal("max_money"),
        "assignee": call.assignee() if params.given("email_user_to") else None,
        "tags": named_tags(call, "tags", "task") or None,
    }
    if (closed := params.date("dateclosed")) is not None:
        settings["date_closed"] = call.world.now().replace(year=closed.year, month=closed.month, day=closed.day)
    return {name: value for name, value in settings.items() if value is not None}


def _written(task: Task) -> Record:
    """What an event tells of a task."""
    row = render.task(task)
    return {name: row[name] for name in row if name not in {"id", "page", "status", "project", "date_added"}}


def _uploaded(call: Call) -> list[Upload]:
    """Take the files stored by ``upload_files`` which ``files`` names by their keys."""
    given = call.params.values.get("files")
    keys = [str(one.get("id")) for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    if any(key not in call.world.uploads for key in keys):
        raise Refused("File not found")
    return [call.world.uploads.pop(key) for key in dict.fromkeys(keys)]


@action
def complete_task(call: Call) -> Record:
    """Answers with the task as it was before, still active; so does the service."""
    task = call.task
    if task.status == "done":
        raise Refused("Task is already closed")
    if any(child.status == "active" for child in task.children):
        raise Refused("Task has children")
    before = render.task(task, parent=True)
    task.status, task.date_closed = "done", call.world.now()
    call.record_event("close", task)
    return ok(before)


@action
def reopen_task(call: Call) -> Record:
    task = call.task
    if task.status == "active":
        raise Refused("Task is already active")
    if task.parent and task.parent.status == "done":
        raise Refused("Parent task is done")
    task.status, task.date_closed = "active", None
    call.record_event("reopen", task)
    return ok()


@action
def get_task_custom_fields(call: Call) -> Record:
    return ok([render.custom_field(field) for field in call.world.custom_fields.values() if field.of == "task"])
