"""Tests of the bot, with pytest-asyncio."""

import asyncio

import pytest
from bot import answer, report_closed_tasks

from worksection_async import Session
from worksection_async.testing import Simulator

pytestmark = pytest.mark.asyncio


async def test_new_creates_a_task(worksection: Session, worksection_sim: Simulator) -> None:
    project = worksection_sim.add_project("Moon")
    text = await answer(worksection, project.id, "/new Launch")
    [*_, task] = worksection_sim.tasks.values()
    assert (task.name, text) == ("Launch", f"Created task {task.id}.")


async def test_help(worksection: Session) -> None:
    assert await answer(worksection, 1, "hello") == "Write /new and a title."


@pytest.mark.worksection(rate=1.0, seed="empty", clock="virtual")
async def test_a_busy_account(worksection: Session, worksection_sim: Simulator) -> None:
    project = worksection_sim.add_project("Moon")
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(worksection.with_options(lane="interactive").post_task(project.id, f"Task {number}"))
        await asyncio.sleep(0.5)
        assert "Worksection is busy" in await answer(worksection, project.id, "/new Launch")
    assert len(worksection_sim.tasks) == 20


async def test_a_lost_reply(worksection: Session, worksection_sim: Simulator) -> None:
    worksection_sim.fail("post_task", "timeout")
    assert "Please check" in await answer(worksection, worksection_sim.add_project("Moon").id, "/new Launch")
    assert not worksection_sim.unused_faults


@pytest.mark.worksection(clock="virtual")
async def test_closed_tasks_are_reported(worksection: Session, worksection_sim: Simulator) -> None:
    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    [task, *_] = worksection_sim.tasks.values()
    watching = asyncio.create_task(report_closed_tasks(worksection, say))
    await asyncio.sleep(90)
    await worksection_sim.emit("close", task)
    await asyncio.sleep(90)
    watching.cancel()
    assert said == [f"Task {task.id} is done."]
