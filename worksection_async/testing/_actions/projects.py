"""Projects, their members and folders, custom fields, and what happened lately."""

from typing import Any

from .. import _render as render
from .._facts import SPEC
from .._formats import parse_period
from .._reply import Record, Refused, listing, missing, ok
from ..records import NO_MANAGER, Project
from .call import Call, action, changes
from .tags import named_tags

_OPTIONS = tuple(SPEC.models["ProjectOptions"].fields)
_ALIASES = SPEC.enums["ProjectStatus"].aliases
_UPDATED = frozenset({"options", "users"})


@action
def get_projects(call: Call) -> Record:
    wanted = call.params.text("filter")
    wanted = _ALIASES.get(wanted, wanted)
    projects = [project for project in call.world.projects.values() if wanted in ("", project.status)]
    return listing([render.project(project, call.extra) for project in projects])


@action
def get_project(call: Call) -> Record:
    return ok(render.project(call.project, call.extra))


@action
def post_project(call: Call) -> Record:
    world, params = call.world, call.params
    tags = named_tags(call, "tags", "project")
    settings = _settings(call)
    author = call.author()
    project = world.add_project(
        params.text("title"),
        author=author,
        company=params.text("company"),
        text=call.written_text(),
        members=list({user.id: user for user in [author, *call.users("members")]}.values()),
    )
    _apply(call, project, settings)
    project.tags = tags
    for upload in call.attachments:
        world.add_file(project, upload.name, upload.content, author=author)
    new = {name: value for name, value in render.project(project).items() if name in {"name", "date_start", "date_end"}}
    call.record_event("post", project, new)
    return ok(render.project(project, call.extra | {"text"}))


@action
def update_project(call: Call) -> Record:
    project = call.project
    tags = named_tags(call, "tags", "project")
    settings = _settings(call)
    before = render.project(project, _UPDATED)
    project.name = call.params.text("title") or project.name
    project.members += [user for user in call.users("members") if user not in project.members]
    _apply(call, project, settings)
    project.tags = tags or project.tags
    new, old = changes(before, render.project(project, _UPDATED))
    call.record_event("update", project, new, old)
    return ok(render.project(project, call.extra))


def _settings(call: Call) -> dict[str, Any]:
    """Read, before anything is changed, what a new and an old project have in common."""
    params = call.params
    return {
        "date_start": params.date("datestart"),
        "date_end": params.date("dateend"),
        "max_time": params.decimal("max_time"),
        "max_money": params.decimal("max_money"),
    }


def _apply(call: Call, project: Project, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        if value is not None:
            setattr(project, name, value)
    if call.params.given("email_manager"):
        project.manager = call.user("email_manager") or NO_MANAGER
    if call.params.given("email_user_to"):
        project.executive = call.assignee()
    for option in _OPTIONS:
        flag = call.params.flag(f"options.{option}")
        if flag is not None:
            (project.options.add if flag else project.options.discard)(option)


@action
def close_project(call: Call) -> Record:
    if call.project.status == "archive":
        raise Refused("Project is already closed")
    call.project.status = "archive"
    call.project.date_closed = call.world.now()
    return ok()


@action
def activate_project(call: Call) -> Record:
    if call.project.status == "active":
        raise Refused("Project is already active")
    call.project.status = "active"
    return ok()


@action
def add_project_members(call: Call) -> Record:
    members = call.project.members
    members += [user for user in call.users("members") if user not in members]
    return ok()


@action
def delete_project_members(call: Call) -> Record:
    leaving = call.users("members")
    call.project.members[:] = [user for user in call.project.members if user not in leaving]
    return ok()


@action
def get_project_groups(call: Call) -> Record:
    return ok([render.group(group) for group in call.world.groups.values()])


@action
def add_project_group(call: Call) -> Record:
    title = call.params.text("title")
    same = (group for group in call.world.groups.values() if group.title == title)
    return ok(render.group(next(same, None) or call.world.add_group(title, "folder")))


@action
def get_project_custom_fields(call: Call) -> Record:
    return ok([render.custom_field(field) for field in call.world.custom_fields.values() if field.of == "project"])


@action
def get_events(call: Call) -> Record:
    """Newest first."""
    try:
        since = call.world.now() - parse_period(call.params.text("period"))
    except ValueError:
        raise missing("period") from None
    project = call.project if call.params.given("id_project") else None
    events = [event for event in reversed(call.world.events) if event.date_added >= since]
    return ok([render.event(event) for event in events if project in (None, event.project)])
