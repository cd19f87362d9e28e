"""The models of tasks with pydantic: the same fields and values, and the same leniency where it is cheap.

Blank values that mean absent and empty lists that mean empty maps are accepted. Missing IDs beside a page, tags
without numbers and nulls in required texts are not, because pydantic would have to check for them in every record.
"""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional, TypeVar

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
