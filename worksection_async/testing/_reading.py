"""Records of the simulated account as the models that a session returns, complete with every ``extra``."""

import datetime as dt
from typing import TypeVar

from .. import models
from .._protocol.structure import Structure
from . import _records as records
from . import _render as render
from ._reply import Record

T = TypeVar("T")

_STRUCTURE = Structure(strict=True)
_EXTRA = frozenset(
    {"text", "files", "comments", "relations", "subscribers", "custom_fields", "options", "users", "subtasks"}
)


def _model(record: Record, cls: type[T]) -> T:
    return _STRUCTURE.at("$", record, cls)


def member(record: records.User) -> models.Member:
    return _model(render.member(record, date_added=True), models.Member)


def contact(record: records.Contact) -> models.Contact:
    return _model(render.contact(record, date_added=True), models.Contact)


def project(record: records.Project) -> models.Project:
    return _model(render.project(record, _EXTRA), models.Project)


def task(record: records.Task) -> models.Task:
    tree = render.task_tree(record, _EXTRA, brief=False, only_active=False, parent=True)
    return _model(tree, models.Task)


def comment(record: records.Comment) -> models.Comment:
    return _model(render.comment(record, _EXTRA), models.Comment)


def file(record: records.StoredFile) -> models.File:
    return _model(render.file(record, origin=True), models.File)


def tag_group(record: records.TagGroup) -> models.TagGroup:
    return _model(render.tag_group(record), models.TagGroup)


def tag(record: records.Tag) -> models.Tag:
    return _model(render.tag(record), models.Tag)


def custom_field(record: records.CustomField) -> models.CustomField:
    return _model(render.custom_field(record), models.CustomField)


def cost(record: records.Cost) -> models.Cost:
    return _model(render.cost(record), models.Cost)


def timer(record: records.Timer, now: dt.datetime) -> models.Timer:
    return _model(render.timer(record, now), models.Timer)


def webhook(record: records.Webhook) -> models.Webhook:
    return _model(render.webhook(record), models.Webhook)


def event(record: records.Event) -> models.Event:
    return _model(render.event(record), models.Event)
