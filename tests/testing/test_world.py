"""Creation of records, and the representation of the simulator."""

import pytest

from tests.support.clocks import SetClock
from worksection_async.testing import Simulator


def test_ids_and_times_are_reproducible(clock: SetClock) -> None:
    def made() -> list[object]:
        world = Simulator(seed="empty", clock=clock).world
        project = world.add_project("One")
        task = world.add_task(project, "Task", id=500)
        below = world.add_task(project, "Below", parent=task)
        return [project.id, project.date_added.isoformat(), task.id, below.id, below.page]

    assert made() == [101, "2021-01-05T12:00:00", 500, 501, "/project/101/500/501/"]
    assert made() == made()


def test_ids_of_deleted_records_are_not_reused(empty: Simulator) -> None:
    world = empty.world
    task = world.add_task(world.add_project("One"), "Task")
    first = world.add_cost(task)
    del world.costs[first.id]
    assert world.add_cost(task).id == first.id + 1


def test_names_of_users_are_derived_from_email_addresses(empty: Simulator) -> None:
    user = empty.world.add_user("ann.bell@example.com")
    assert (user.name, user.role) == ("ann bell", "User")
    assert empty.world.user("ANN.bell@Example.com") is user


def test_keyword_arguments_set_attributes(empty: Simulator) -> None:
    assert empty.world.add_project("One", status="archive").status == "archive"
    with pytest.raises(TypeError, match="statsu"):
        empty.world.add_project("One", statsu="archive")


def test_a_fourth_level_of_tasks_raises_an_error(empty: Simulator) -> None:
    world = empty.world
    project = world.add_project("One")
    task = None
    for name in ("top", "middle", "low"):
        task = world.add_task(project, name, parent=task)
    with pytest.raises(ValueError, match="lowest of 3 levels"):
        world.add_task(project, "lower", parent=task)


@pytest.mark.anyio
async def test_representation_counts_the_records(clock: SetClock) -> None:
    async with Simulator(clock=clock) as sim:
        assert repr(sim) == "<Simulator 5 projects, 12 tasks, 0 requests>"


@pytest.mark.anyio
async def test_the_documented_example_works(clock: SetClock) -> None:
    async with Simulator(seed="empty") as sim:
        project = sim.world.add_project("Moon")
        async with sim.session() as ws:
            task = await ws.post_task(project.id, "Launch")
    assert sim.world.tasks[task.id].name == "Launch"
