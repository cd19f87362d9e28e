"""Tags (statuses and labels) of tasks and projects, and their sets."""

from collections.abc import Callable
from typing import Literal

from .. import _render as render
from .._records import Tag, TagGroup
from .._reply import Record, ServiceRefusal, missing_field, ok
from .request import ActionRequest, action

Of = Literal["task", "project"]


@action
def get_task_tags(request: ActionRequest) -> Record:
    return _get_tags(request, "task")


@action
def get_project_tags(request: ActionRequest) -> Record:
    return _get_tags(request, "project")


@action
def add_task_tags(request: ActionRequest) -> Record:
    return _add_tags(request, "task")


@action
def add_project_tags(request: ActionRequest) -> Record:
    return _add_tags(request, "project")


@action
def update_task_tags(request: ActionRequest) -> Record:
    return _update_tags(request, request.task.tags, "task")


@action
def update_project_tags(request: ActionRequest) -> Record:
    return _update_tags(request, request.project.tags, "project")


@action
def get_task_tag_groups(request: ActionRequest) -> Record:
    return _get_groups(request, "task")


@action
def get_project_tag_groups(request: ActionRequest) -> Record:
    return _get_groups(request, "project")


@action
def add_task_tag_groups(request: ActionRequest) -> Record:
    type_: Literal["status", "label"] = "status" if request.params.text("type") == "status" else "label"
    return _add_groups(request, "task", type_)


@action
def add_project_tag_groups(request: ActionRequest) -> Record:
    return _add_groups(request, "project", "")


def named_tags(request: ActionRequest, param: str, of: Of) -> list[Tag]:
    """Return the tags in the parameter *param*, by id or unique title."""
    return [_named_tag(request, name, of) for name in request.params.names(param)]


def _named_tag(request: ActionRequest, name: str, of: Of) -> Tag:
    tags = [tag for tag in request.world.tags.values() if tag.group.of == of]
    found = [tag for tag in tags if str(tag.id) == name] or [
        tag for tag in tags if tag.title.casefold() == name.casefold()
    ]
    if len(found) != 1:
        raise ServiceRefusal("Tag is invalid", name)
    return found[0]


def _get_tags(request: ActionRequest, of: Of) -> Record:
    fits = _group_test(request, of)
    wanted = request.params.text("group")
    tags = [tag for tag in request.world.tags.values() if fits(tag.group)]
    return ok([render.tag(tag) for tag in tags if wanted in ("", tag.group.title, str(tag.group.id))])


def _add_tags(request: ActionRequest, of: Of) -> Record:
    wanted = request.params.text("group")
    groups = [group for group in request.world.tag_groups.values() if group.of == of]
    group = next((group for group in groups if wanted in (group.title, str(group.id))), None)
    if group is None:
        raise missing_field("group (id or title)")
    known = {tag.title: tag for tag in request.world.tags.values() if tag.group is group}
    tags = [known.get(title) or request.world.add_tag(group, title) for title in request.params.names("title")]
    return ok([{"title": tag.title, "id": tag.id} for tag in tags])


def _update_tags(request: ActionRequest, tags: list[Tag], of: Of) -> Record:
    plus, minus = named_tags(request, "plus", of), named_tags(request, "minus", of)
    kept = [tag for tag in tags if tag not in minus and tag not in plus]
    tags[:] = kept + plus
    return ok()


def _get_groups(request: ActionRequest, of: Of) -> Record:
    return ok(
        [render.tag_group(group) for group in request.world.tag_groups.values() if _group_test(request, of)(group)]
    )


def _add_groups(request: ActionRequest, of: Of, type_: Literal["status", "label", ""]) -> Record:
    """Add sets of tags; a set of statuses is always public."""
    private = type_ != "status" and request.params.text("access") == "private"
    known = {group.title: group for group in request.world.tag_groups.values() if group.of == of}
    groups = [
        known.get(title) or request.world.add_tag_group(title, of, type_, access="private" if private else "public")
        for title in request.params.names("title")
    ]
    return ok([render.tag_group(group) for group in groups])


def _group_test(request: ActionRequest, of: Of) -> Callable[[TagGroup], bool]:
    type_, access = request.params.text("type"), request.params.text("access")
    return lambda group: group.of == of and type_ in ("", group.type) and access in ("", group.access)
