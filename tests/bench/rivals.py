"""The models of tasks with pydantic and msgspec: the same fields, and the same leniency where it is cheap.

Blank values that mean absent and empty lists that mean empty maps are accepted. Missing IDs beside a page, tags
without numbers and nulls in required texts are not, because pydantic would have to check for them in every record.
"""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional, TypeVar

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict

T = TypeVar("T")


def _hours(value: object) -> object:
    if isinstance(value, int):
        return dt.timedelta(hours=value)
    hours, minutes = str(value).split(":")
    return dt.timedelta(hours=int(hours), minutes=int(minutes))


Blank = BeforeValidator(lambda value: None if value == "" else value)
Maybe = Annotated[T | None, Blank]
Hours = Annotated[dt.timedelta, BeforeValidator(_hours)]
Tags = Annotated[dict[int, str], BeforeValidator(lambda value: {} if value == [] else value)]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True)


class User(Model):
    id: int | None = None
    email: str = ""
    name: str = ""


class ProjectRef(Model):
    id: int
    name: str = ""
    page: str = ""


class File(Model):
    id: int
    page: str = ""
    name: str = ""
    size: Maybe[int] = None
    date_added: Maybe[dt.datetime] = None
    user_from: User | None = None


class Comment(Model):
    id: int
    page: str = ""
    text: str = ""
    date_added: Maybe[dt.datetime] = None
    user_from: User | None = None
    files: tuple[File, ...] = ()


class TaskRef(Model):
    id: int
    name: str = ""
    page: str = ""
    status: Literal["active", "done"] | str | None = None
    priority: Maybe[int] = None
    parent: Optional["TaskRef"] = None


class Task(TaskRef):
    user_from: User | None = None
    user_to: User | None = None
    project: ProjectRef | None = None
    text: str | None = None
    date_added: Maybe[dt.datetime] = None
    date_start: Maybe[dt.date] = None
    date_end: Maybe[dt.date] = None
    date_closed: Maybe[dt.datetime] = None
    time_start: Maybe[dt.time] = None
    time_end: Maybe[dt.time] = None
    max_time: Hours | None = None
    max_money: Maybe[Decimal] = None
    tags: Tags = {}
    files: tuple[File, ...] = ()
    has_comments: bool | None = None
    comments: tuple[Comment, ...] = ()
    relations: dict[str, Any] | None = None
    subscribers: tuple[User, ...] = ()
    child: tuple["Task", ...] = ()
    custom_fields: tuple[dict[str, Any], ...] = ()


class Envelope(Model):
    status: str
    data: list[Task]


class TextUser(msgspec.Struct, frozen=True):
    """The models with msgspec. Times, durations and amounts stay texts, because they are not in ISO 8601."""

    id: int | None = None
    email: str = ""
    name: str = ""


class TextProject(msgspec.Struct, frozen=True):
    id: int
    name: str = ""
    page: str = ""


class TextTask(msgspec.Struct, frozen=True):
    id: int
    name: str = ""
    page: str = ""
    status: str | None = None
    priority: int | None = None
    user_from: TextUser | None = None
    user_to: TextUser | None = None
    project: TextProject | None = None
    text: str | None = None
    date_added: str | None = None
    date_start: dt.date | None = None
    date_end: dt.date | None = None
    time_end: str | None = None
    max_time: int | str | None = None
    max_money: int | str | None = None
    tags: dict[int, str] | list[object] = {}


class TextEnvelope(msgspec.Struct, frozen=True):
    status: str
    data: list[TextTask]


class TypedTask(msgspec.Struct, frozen=True):
    """The same with types; msgspec has no hook for values of its own types."""

    id: int
    date_added: dt.datetime | None = None
    date_end: dt.date | None = None
    max_time: dt.timedelta | None = None
    max_money: Decimal | None = None


class TypedEnvelope(msgspec.Struct, frozen=True):
    status: str
    data: list[TypedTask]
