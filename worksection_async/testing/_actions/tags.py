"""Statuses and labels of tasks and projects, and the sets they are in."""

from collections.abc import Callable
from typing import Literal

from .. import _render as render
from .._reply import Record, Refused, missing, ok
from ..records import Tag, TagGroup
from .call import Call, action

Of = Literal["task", "project"]


@action
def get_task_tags(call: Call) -> Record:
    return _get_tags(call, "task")


@action
def get_project_tags(call: Call) -> Record:
    return _get_tags(call, "project")


@action
def add_task_tags(call: Call) -> Record:
    return _add_tags(call, "task")


@action
def add_project_tags(call: Call) -> Record:
    return _add_tags(call, "project")


@action
def update_task_tags(call: Call) -> Record:
    return _update_tags(call, call.task.tags, "task")


@action
def update_project_tags(call: Call) -> Record:
    return _update_tags(call, call.project.tags, "project")


@action
def get_task_tag_groups(call: Call) -> Record:
    return _get_groups(call, "task")


@action
def get_project_tag_groups(call: Call) -> Record:
    return _get_groups(call, "project")


@action
def add_task_tag_groups(call: Call) -> Record:
    type_: Literal["status", "label"] = "status" if call.params.text("type") == "status" else "label"
    return _add_groups(call, "task", type_)


@action
def add_project_tag_groups(call: Call) -> Record:
    return _add_groups(call, "project", "")


def named_tags(call: Call, param: str, of: Of) -> list[Tag]:
    """Return the tags a parameter names, by number or by a name that only one of them has."""
    return [_named_tag(call, name, of) for name in call.params.names(param)]


def _named_tag(call: Call, name: str, of: Of) -> Tag:
    tags = [tag for tag in call.world.tags.values() if tag.group.of == of]
    found = [tag for tag in tags if str(tag.id) == name] or [
        tag for tag in tags if tag.title.casefold() == name.casefold()
    ]
    if len(found) != 1:
        raise Refused("Tag is invalid", name)
    return found[0]


def _get_tags(call: Call, of: Of) -> Record:
    fits = _group_test(call, of)
    wanted = call.params.text("group")
    tags = [tag for tag in call.world.tags.values() if fits(tag.group)]
    return ok([render.tag(tag) for tag in tags if wanted in ("", tag.group.title, str(tag.group.id))])


def _add_tags(call: Call, of: Of) -> Record:
    wanted = call.params.text("group")
    groups = [group for group in call.world.tag_groups.values() if group.of == of]
    group = next((group for group in groups if wanted in (group.title, str(group.id))), None)
    if group is None:
        raise missing("group (id or title)")
    known = {tag.title: tag for tag in call.world.tags.values() if tag.group is group}
    tags = [known.get(title) or call.world.add_tag(group, title) for title in call.params.names("title")]
    return ok([{"title": tag.title, "id": tag.id} for tag in tags])


def _update_tags(call: Call, tags: list[Tag], of: Of) -> Record:
    plus, minus = named_tags(call, "plus", of), named_tags(call, "minus", of)
    kept = [tag for tag in tags if tag not in minus and tag not in plus]
    tags[:] = kept + plus
    return ok()


def _get_groups(call: Call, of: Of) -> Record:
    return ok([render.tag_group(group) for group in call.world.tag_groups.values() if _group_test(call, of)(group)])


def _add_groups(call: Call, of: Of, type_: Literal["status", "label", ""]) -> Record:
    """Statuses are always public."""
    private = type_ != "status" and call.params.text("access") == "private"
    known = {group.title: group for group in call.world.tag_groups.values() if group.of == of}
    groups = [
        known.get(title) or call.world.add_tag_group(title, of, type_, access="private" if private else "public")
        for title in call.params.names("title")
    ]
    return ok([render.tag_group(group) for group in groups])


def _group_test(call: Call, of: Of) -> Callable[[TagGroup], bool]:
    type_, access = call.params.text("type"), call.params.text("access")
    return lambda group: group.of == of and type_ in ("", group.type) and access in ("", group.access)
