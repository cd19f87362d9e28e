"""Tasks and subtasks."""

from collections.abc import Iterable
from typing import Any

from .. import _render as render
from .._constants import MAX_RECORDS
from .._filters import FilterableField, compile_filter
from .._records import Task, Upload
from .._reply import Record, ServiceRefusal, ok, ok_or_no_data
from .._world import MAX_TASK_LEVELS
from .request import ActionRequest, action, changes, check_count
from .tags import named_tags

_FIELDS: dict[str, FilterableField[Task]] = {
    "id": FilterableField("number", lambda task: task.id),
    "project": FilterableField("number", lambda task: task.project.id),
    "parent": FilterableField("number", lambda task: task.parent.id if task.parent else None),
    "name": FilterableField("text", lambda task: task.name),
    "dateadd": FilterableField("date", lambda task: task.date_added.date()),
    "datestart": FilterableField("date", lambda task: task.date_start),
    "dateend": FilterableField("date", lambda task: task.date_end),
    "dateclose": FilterableField("date", lambda task: task.date_closed and task.date_closed.date()),
}
for _alias, _name in {"added": "add", "start": "start", "end": "end", "closed": "close"}.items():
    _FIELDS[f"date_{_alias}"] = _FIELDS[f"date{_name}"]


@action
def get_all_tasks(request: ActionRequest) -> Record:
    projects = [
        project
        for project in request.world.projects.values()
        if project.status != "archive" or "archive" in request.extra
    ]
    return _tasks(request, [task for project in projects for task in project.tasks])


@action
def get_tasks(request: ActionRequest) -> Record:
    return _tasks(request, request.project.tasks)


def _tasks(request: ActionRequest, tasks: Iterable[Task]) -> Record:
    extra, only_active = request.extra, request.params.text("filter") == "active"
    tasks = [task for task in tasks if task.status == "active" or not only_active]
    check_count(sum(len(list(task.walk())) if "subtasks" in extra else 1 for task in tasks), MAX_RECORDS, "tasks")
    return ok_or_no_data([render.task_tree(task, extra, brief=False, only_active=only_active) for task in tasks])


@action
def get_task(request: ActionRequest) -> Record:
    only_active = request.params.text("filter") == "active"
    return ok(render.task_tree(request.task, request.extra, brief=True, only_active=only_active, parent=True))


@action
def search_tasks(request: ActionRequest) -> Record:
    """Search tasks and subtasks; without a project or task, archived projects are excluded."""
    params, world = request.params, request.world
    fits = compile_filter(params.text("filter"), _FIELDS)
    status = params.text("status") or "active"
    tasks = [task for task in world.tasks.values() if task.status == status and fits(task)]
    if params.given("id_task"):
        tasks = [task for task in tasks if task is request.task]
    elif params.given("id_project"):
        tasks = [task for task in tasks if task.project is request.project]
    else:
        tasks = [task for task in tasks if task.project.status != "archive"]
    if params.given("email_user_from"):
        tasks = [task for task in tasks if task.author is request.user("email_user_from")]
    if params.given("email_user_to"):
        tasks = [task for task in tasks if task.assignee is request.assignee()]
    check_count(len(tasks), MAX_RECORDS, "tasks")
    return ok([render.task(task, request.extra) for task in tasks])


@action
def post_task(request: ActionRequest) -> Record:
    project, parent = request.project, _parent(request)
    settings = _settings(request)
    uploads = [*request.attachments, *_uploaded(request)]
    more: dict[str, Any] = {"assignee": project.executive} | settings
    task = request.world.add_task(
        project,
        request.params.text("title"),
        parent=parent,
        author=request.author(),
        text=request.full_text(),
        subscribers=request.users("subscribe"),
        hidden=request.users("hidden"),
        **more,
    )
    for upload in uploads:
        request.world.add_file(task, upload.name, upload.content, author=task.author)
    request.record_event("post", task, {"title": task.name, **_event_values(task)})
    return ok(render.task(task, request.extra, parent=True))


@action
def update_task(request: ActionRequest) -> Record:
    task, settings = request.task, _settings(request)
    before = _event_values(task)
    task.name = request.params.text("title") or task.name
    for name, value in settings.items():
        setattr(task, name, value)
    new, old = changes(before, _event_values(task))
    request.record_event("update", task, new, old)
    return ok(render.task(task, parent=True))


def _parent(request: ActionRequest) -> Task | None:
    if not request.params.given("id_parent"):
        return None
    parent = request.world.tasks[request.params.number("id_parent")]
    if parent.project is not request.project or len(parent.ancestors) + 1 >= MAX_TASK_LEVELS:
        raise ServiceRefusal("Task is invalid")
    if parent.status == "done":
        raise ServiceRefusal("Task is closed")
    return parent


def _settings(request: ActionRequest) -> dict[str, Any]:
    """Return the attributes that are given. They are parsed first: an invalid one changes nothing."""
    params = request.params
    settings = {
        "priority": min(params.number("priority"), 10) if params.given("priority") else None,
        "date_start": params.date("datestart"),
        "date_end": params.date("dateend"),
        "max_time": params.decimal("max_time"),
        "max_money": params.decimal("max_money"),
        "assignee": request.assignee() if params.given("email_user_to") else None,
        "tags": named_tags(request, "tags", "task") or None,
    }
    if (closed := params.date("dateclosed")) is not None:
        settings["date_closed"] = request.world.now().replace(year=closed.year, month=closed.month, day=closed.day)
    return {name: value for name, value in settings.items() if value is not None}


def _event_values(task: Task) -> Record:
    """Return the values of a task that events contain."""
    row = render.task(task)
    return {name: row[name] for name in row if name not in {"id", "page", "status", "project", "date_added"}}


def _uploaded(request: ActionRequest) -> list[Upload]:
    """Remove and return the files of ``upload_files`` whose keys are in ``files``."""
    given = request.params.values.get("files")
    keys = [str(one.get("id")) for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    if any(key not in request.world.uploads for key in keys):
        raise ServiceRefusal("File not found")
    return [request.world.uploads.pop(key) for key in dict.fromkeys(keys)]


@action
def complete_task(request: ActionRequest) -> Record:
    """Close a task. Like the service, return the task in its state before, still active."""
    task = request.task
    if task.status == "done":
        raise ServiceRefusal("Task is already closed")
    if any(child.status == "active" for child in task.children):
        raise ServiceRefusal("Task has children")
    before = render.task(task, parent=True)
    task.status, task.date_closed = "done", request.world.now()
    request.record_event("close", task)
    return ok(before)


@action
def reopen_task(request: ActionRequest) -> Record:
    task = request.task
    if task.status == "active":
        raise ServiceRefusal("Task is already active")
    if task.parent and task.parent.status == "done":
        raise ServiceRefusal("Parent task is done")
    task.status, task.date_closed = "active", None
    request.record_event("reopen", task)
    return ok()


@action
def get_task_custom_fields(request: ActionRequest) -> Record:
    return ok([render.custom_field(field) for field in request.world.custom_fields.values() if field.of == "task"])
