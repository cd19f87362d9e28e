"""Web apps whose bodies and replies are models; `test_libraries` asks them over HTTP."""

from typing import Annotated

import fastapi
import litestar
import pydantic
from litestar.params import Body

from tests.models.sample import TASK
from worksection_async.models import Task, UserSchedule


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
