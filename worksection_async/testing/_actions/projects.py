"""Projects, their members and folders, custom fields, and events."""

from typing import Any

from .. import _render as render
from .._constants import SPEC
from .._formats import parse_period
from .._records import NO_MANAGER, Project
from .._reply import Record, ServiceRefusal, missing_field, ok, ok_or_no_data
from .request import ActionRequest, action, changes
from .tags import named_tags

_OPTIONS = tuple(SPEC.models["ProjectOptions"].fields)
_ALIASES = SPEC.enums["ProjectStatus"].aliases
_UPDATED = frozenset({"options", "users"})


@action
def get_projects(request: ActionRequest) -> Record:
    wanted = request.params.text("filter")
    wanted = _ALIASES.get(wanted, wanted)
    projects = [project for project in request.world.projects.values() if wanted in ("", project.status)]
    return ok_or_no_data([render.project(project, request.extra) for project in projects])


@action
def get_project(request: ActionRequest) -> Record:
    return ok(render.project(request.project, request.extra))


@action
def post_project(request: ActionRequest) -> Record:
    world, params = request.world, request.params
    tags = named_tags(request, "tags", "project")
    settings = _settings(request)
    author = request.author()
    project = world.add_project(
        params.text("title"),
        author=author,
        company=params.text("company"),
        text=request.full_text(),
        members=list({user.id: user for user in [author, *request.users("members")]}.values()),
    )
    _apply(request, project, settings)
    project.tags = tags
    for upload in request.attachments:
        world.add_file(project, upload.name, upload.content, author=author)
    new = {name: value for name, value in render.project(project).items() if name in {"name", "date_start", "date_end"}}
    request.record_event("post", project, new)
    return ok(render.project(project, request.extra | {"text"}))


@action
def update_project(request: ActionRequest) -> Record:
    project = request.project
    tags = named_tags(request, "tags", "project")
    settings = _settings(request)
    before = render.project(project, _UPDATED)
    project.name = request.params.text("title") or project.name
    project.members += [user for user in request.users("members") if user not in project.members]
    _apply(request, project, settings)
    project.tags = tags or project.tags
    new, old = changes(before, render.project(project, _UPDATED))
    request.record_event("update", project, new, old)
    return ok(render.project(project, request.extra))


def _settings(request: ActionRequest) -> dict[str, Any]:
    """Return the settings that can be created and updated. They are parsed first: an invalid one changes nothing."""
    params = request.params
    return {
        "date_start": params.date("datestart"),
        "date_end": params.date("dateend"),
        "max_time": params.decimal("max_time"),
        "max_money": params.decimal("max_money"),
    }


def _apply(request: ActionRequest, project: Project, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        if value is not None:
            setattr(project, name, value)
    if request.params.given("email_manager"):
        project.manager = request.user("email_manager") or NO_MANAGER
    if request.params.given("email_user_to"):
        project.executive = request.assignee()
    for option in _OPTIONS:
        flag = request.params.flag(f"options.{option}")
        if flag is not None:
            (project.options.add if flag else project.options.discard)(option)


@action
def close_project(request: ActionRequest) -> Record:
    if request.project.status == "archive":
        raise ServiceRefusal("Project is already closed")
    request.project.status = "archive"
    request.project.date_closed = request.world.now()
    return ok()


@action
def activate_project(request: ActionRequest) -> Record:
    if request.project.status == "active":
        raise ServiceRefusal("Project is already active")
    request.project.status = "active"
    return ok()


@action
def add_project_members(request: ActionRequest) -> Record:
    members = request.project.members
    members += [user for user in request.users("members") if user not in members]
    return ok()


@action
def delete_project_members(request: ActionRequest) -> Record:
    leaving = request.users("members")
    request.project.members[:] = [user for user in request.project.members if user not in leaving]
    return ok()


@action
def get_project_groups(request: ActionRequest) -> Record:
    return ok([render.group(group) for group in request.world.groups.values()])


@action
def add_project_group(request: ActionRequest) -> Record:
    title = request.params.text("title")
    same = (group for group in request.world.groups.values() if group.title == title)
    return ok(render.group(next(same, None) or request.world.add_group(title, "folder")))


@action
def get_project_custom_fields(request: ActionRequest) -> Record:
    return ok([render.custom_field(field) for field in request.world.custom_fields.values() if field.of == "project"])


@action
def get_events(request: ActionRequest) -> Record:
    """List events, newest first."""
    try:
        since = request.world.now() - parse_period(request.params.text("period"))
    except ValueError:
        raise missing_field("period") from None
    project = request.project if request.params.given("id_project") else None
    events = [event for event in reversed(request.world.events) if event.date_added >= since]
    return ok([render.event(event) for event in events if project in (None, event.project)])
