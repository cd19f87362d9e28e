"""Web apps whose bodies and replies are models; `test_libraries` asks them over HTTP."""

import datetime as dt
from decimal import Decimal
from typing import Annotated

import fastapi
import litestar
import pydantic
from litestar.params import Body

from worksection_async.models import Relation, Relations, Task, TaskRef, User, UserSchedule

TASK = Task(
    id=26,
    name="Owl",
    status="active",
    user_to=User(id=3, email="anna@example.com"),
    date_added=dt.datetime(2026, 12, 1, 9, 30),
    date_end=dt.date(2026, 12, 31),
    max_time=dt.timedelta(hours=1.5),
    max_money=Decimal("12.50"),
    tags={7: "Review"},
    relations=Relations(from_=(Relation(task=TaskRef(id=25)),)),
    child=(Task(id=27),),
    extra={"mood": ["good"]},
)


class Report(pydantic.BaseModel):
    """A pydantic model with models as fields."""

    title: str
    tasks: list[Task]
    schedule: UserSchedule | None = None


fast_app = fastapi.FastAPI()


@fast_app.get("/tasks")
async def get_tasks() -> list[Task]:
    return [TASK, Task(id=28)]


@fast_app.post("/task")
async def post_task(task: Annotated[Task, fastapi.Body()]) -> Task:
    assert isinstance(task, Task)
    return task


@fast_app.post("/report")
async def post_report(report: Report) -> Report:
    return report


@litestar.get("/tasks", sync_to_thread=False)
def litestar_get_tasks() -> list[Task]:
    return [TASK, Task(id=28)]


@litestar.post("/task", sync_to_thread=False)
def litestar_post_task(data: Annotated[Task, Body()]) -> Task:
    return data


litestar_app = litestar.Litestar([litestar_get_tasks, litestar_post_task], logging_config=None)
