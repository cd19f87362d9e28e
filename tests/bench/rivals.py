"""Our models again, with pydantic: the same fields and values, with the same tolerance and without it."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional

from pydantic import BaseModel, BeforeValidator, ConfigDict, ModelWrapValidatorHandler, model_validator


def _hours(value: object) -> object:
    if isinstance(value, int):
        return dt.timedelta(hours=value)
    hours, minutes = str(value).split(":")
    return dt.timedelta(hours=int(hours), minutes=int(minutes))


Hours = Annotated[dt.timedelta, BeforeValidator(_hours)]


class Base(BaseModel):
    """Takes what fits, keeps what it does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Tolerant(BaseModel):
    """Where a record does not fit at once, nulls and blanks are taken to mean absent, as in ours."""

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True)

    @model_validator(mode="wrap")
    @classmethod
    def _looser(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            return handler(value)
        except ValueError:
            return handler({key: each for key, each in value.items() if each not in (None, "")})


def models(base: Any, tag_map: Any) -> Any:
    """The envelope of a list of tasks, of models under *base*."""

    class User(base):
        id: int | None = None
        email: str = ""
        name: str = ""

    class ProjectRef(base):
        id: int
        name: str = ""
        page: str = ""

    class File(base):
        id: int
        page: str = ""
        name: str = ""
        size: int | None = None

    class Comment(base):
        id: int
        page: str = ""
        text: str = ""
        date_added: dt.datetime | None = None
        user_from: User | None = None
        files: tuple[File, ...] = ()

    class TaskRef(base):
        id: int
        name: str = ""
        page: str = ""
        status: Literal["active", "done"] | str | None = None
        priority: int | None = None
        parent: Optional["TaskRef"] = None

    class Task(TaskRef):
        user_from: User | None = None
        user_to: User | None = None
        project: ProjectRef | None = None
        text: str | None = None
        date_added: dt.datetime | None = None
        date_start: dt.date | None = None
        date_end: dt.date | None = None
        date_closed: dt.datetime | None = None
        time_start: dt.time | None = None
        time_end: dt.time | None = None
        max_time: Hours | None = None
        max_money: Decimal | None = None
        tags: tag_map = {}
        files: tuple[File, ...] = ()
        has_comments: bool | None = None
        comments: tuple[Comment, ...] = ()
        relations: dict[str, Any] | None = None
        subscribers: tuple[User, ...] = ()
        child: tuple["Task", ...] = ()
        custom_fields: tuple[dict[str, Any], ...] = ()

    class Envelope(base):
        status: str
        data: list[Task]

    return Envelope


EQUIVALENT = models(
    Tolerant, Annotated[dict[int, str], BeforeValidator(lambda value: {} if value == [] else value)]
)
STRICT = models(Base, dict[int, str])
