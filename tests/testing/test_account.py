"""The verbs of the simulated account, its file, and the representation of the simulator."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import cast, get_args

import attrs
import pytest

from tests.support.clocks import SetClock
from worksection_async import Session, TokenBucket, models
from worksection_async.models import TaskExtra
from worksection_async.testing import Simulator


def test_ids_and_times_are_reproducible(clock: SetClock) -> None:
    def made() -> list[object]:
        sim = Simulator(seed="empty", clock=clock)
        project = sim.add_project("One")
        task = sim.add_task(project, "Task", id=500)
        below = sim.add_task(project, "Below", parent=task)
        return [project.id, project.date_added, task.id, below.id, below.page]

    assert made() == [101, dt.datetime(2021, 1, 5, 12, 0), 500, 501, "/project/101/500/501/"]
    assert made() == made()


@pytest.mark.anyio
async def test_ids_of_deleted_records_are_not_reused(empty: Simulator) -> None:
    task = empty.add_task(empty.add_project("One"), "Task")
    first = empty.add_costs(task)
    async with empty.session(limiter=TokenBucket(1e6)) as ws:
        await ws.delete_costs(first.id)
    assert empty.add_costs(task).id == first.id + 1


def test_names_of_users_are_derived_from_email_addresses(empty: Simulator) -> None:
    user = empty.add_member("ann.bell@example.com")
    assert (user.name, user.role) == ("ann bell", "user")
    assert empty.issue_token("ANN.bell@Example.com")


def test_keyword_arguments_set_attributes(empty: Simulator) -> None:
    assert empty.add_project("One", status="archive").status == "archive"
    with pytest.raises(TypeError, match="statsu"):
        empty.add_project("One", statsu="archive")  # type: ignore[call-arg]


def test_a_fourth_level_of_tasks_raises_an_error(empty: Simulator) -> None:
    project = empty.add_project("One")
    task = None
    for name in ("top", "middle", "low"):
        task = empty.add_task(project, name, parent=task)
    with pytest.raises(ValueError, match="lowest of 3 levels"):
        empty.add_task(project, "lower", parent=task)


@pytest.mark.anyio
async def test_representation_counts_the_records(clock: SetClock) -> None:
    async with Simulator(clock=clock) as sim:
        assert repr(sim) == "<Simulator 5 projects, 12 tasks, 0 requests>"


@pytest.mark.anyio
async def test_the_documented_example_works(clock: SetClock) -> None:
    async with Simulator(seed="empty") as sim:
        project = sim.add_project("Moon")
        async with sim.session(limiter=TokenBucket(1e6)) as ws:
            task = await ws.post_task(project.id, "Launch")
    assert sim.tasks[task.id].name == "Launch"


# The same models as those of a session


@attrs.frozen
class Seeded:
    """An account with a record of each kind, and the models that the verbs returned."""

    sim: Simulator
    member: models.Member
    contact: models.Contact
    project: models.Project
    task: models.Task
    subtask: models.Task
    comment: models.Comment
    file: models.File
    tag: models.Tag
    field: models.CustomField
    cost: models.Cost
    timer: models.Timer
    webhook: models.Webhook


@pytest.fixture
def seeded(empty: Simulator) -> Seeded:
    member = empty.add_member("kate@example.com", "Kate Greenway", title="designer", rate=Decimal("12.5"))
    tag = empty.add_tag(empty.add_tag_group("Labels"), "bug")
    field = empty.add_custom_field("Customer", descr="Who pays")
    project = empty.add_project(
        "Moon", user_to=member, users=[member, "owner@example.com"], date_start=dt.date(2021, 1, 1),
        options=["allow_close"], max_time=dt.timedelta(hours=1.5), text="Fly",
    )  # fmt: skip
    task = empty.add_task(
        project, "Launch", user_from=member, user_to="kate@example.com", priority=7, tags=["bug"], text="Soon",
        date_end=dt.date(2021, 2, 1), time_end=dt.time(18, 30), max_money=Decimal(100), subscribers=[member],
        custom_fields={field: "ACME"},
    )  # fmt: skip
    subtask = empty.add_task(project.id, "Countdown", parent=task.id)
    empty.relate(subtask, task)
    comment = empty.add_comment(task, "Today", user_from=member)
    return Seeded(
        sim=empty, member=member, contact=empty.add_contact("Brian Fly", "brian@example.com"), project=project,
        task=task, subtask=subtask, comment=comment, file=empty.add_file(comment, "plan.txt", b"\x00plan"), tag=tag,
        field=field, cost=empty.add_costs(task, dt.timedelta(hours=2), Decimal(7), comment="Fuel"),
        timer=empty.add_timer(task, member), webhook=empty.add_webhook("https://example.com/", ["post_task"]),
    )  # fmt: skip


READS: dict[str, Callable[[Session, Seeded], Awaitable[object]]] = {
    "member": lambda ws, _: ws.get_users(),
    "contact": lambda ws, _: ws.get_contacts(),
    "comment": lambda ws, seeded: ws.get_comments(seeded.task.id),
    "tag": lambda ws, _: ws.get_task_tags(),
    "field": lambda ws, _: ws.get_task_custom_fields(),
    "timer": lambda ws, _: ws.get_timers(),
    "webhook": lambda ws, _: ws.get_webhooks(),
}


@pytest.mark.anyio
@pytest.mark.one_row_on_trio
@pytest.mark.parametrize("kind", READS)
async def test_a_verb_returns_the_model_that_a_session_returns(seeded: Seeded, kind: str) -> None:
    async with seeded.sim.session(limiter=TokenBucket(1e6)) as ws:
        found = await READS[kind](ws, seeded)
    assert getattr(seeded, kind) in cast(list[object], found)


def test_the_content_of_the_account_is_what_the_verbs_returned(seeded: Seeded) -> None:
    sim = seeded.sim
    contents: dict[str, Mapping[int, object]] = {
        "member": sim.members, "contact": sim.contacts, "project": sim.projects, "tag": sim.tags,
        "field": sim.custom_fields, "file": sim.files, "cost": sim.costs, "timer": sim.timers, "webhook": sim.webhooks,
    }  # fmt: skip
    for name, content in contents.items():
        assert getattr(seeded, name) in content.values(), name
    [group] = sim.tag_groups.values()
    assert group.title == "Labels"


@pytest.mark.anyio
async def test_tasks_projects_and_costs_are_complete(seeded: Seeded) -> None:
    """They have every part that ``extra`` can name."""
    sim, id_project = seeded.sim, seeded.project.id
    async with sim.session(limiter=TokenBucket(1e6)) as ws:
        parts: list[TaskExtra] = list(get_args(TaskExtra))
        parts.remove("html")
        [task] = await ws.get_tasks(id_project, extra=parts)
        project = await ws.get_project(id_project, extra=["text", "options", "users", "custom_fields"])
        costs = await ws.get_costs()
        [file] = await ws.get_files(id_task=seeded.task.id)
    assert task == sim.tasks[task.id]
    assert task.child == (attrs.evolve(sim.tasks[seeded.subtask.id], parent=None),)
    assert project == sim.projects[id_project] == seeded.project
    assert costs.data == (seeded.cost,) == tuple(sim.costs.values())
    assert file.id == seeded.file.id
    assert sim.content(file) == b"\x00plan"


@pytest.mark.anyio
async def test_changes_by_a_session_are_seen(seeded: Seeded) -> None:
    sim = seeded.sim
    async with sim.session(limiter=TokenBucket(1e6)) as ws:
        await ws.update_task(seeded.task.id, title="Landing")
    assert sim.tasks[seeded.task.id].name == "Landing"
    assert seeded.task.name == "Launch", "a model is a value"
    assert [event.action for event in sim.events] == ["update"]
    sim.clear_events()
    assert sim.events == []


def test_update_returns_the_changed_model(seeded: Seeded) -> None:
    sim = seeded.sim
    done = sim.update(seeded.task, status="done", name="Landed", tags=[], user_to=sim.owner, time_end=None)
    assert (done.status, done.name, done.tags, done.time_end) == ("done", "Landed", {}, None)
    assert done.user_to is not None
    assert (done.user_to.id, sim.tasks[done.id]) == (sim.owner.id, done)
    assert sim.update(seeded.project, status="archive", company="ACME").company == "ACME"
    assert sim.update(seeded.member, first_name="Kit").name == "Kit Greenway"
    sim.update(seeded.member, active=False)
    assert seeded.member.id not in sim.members
    assert sim.events == []


def test_delete_removes_what_belongs_to_a_record(seeded: Seeded) -> None:
    sim = seeded.sim
    other = sim.add_task(seeded.project, "Other")
    sim.relate(other, seeded.task)
    sim.delete(seeded.task)
    assert list(sim.tasks) == [other.id]
    assert sim.tasks[other.id].relations == other.relations
    assert (sim.comments, sim.costs, sim.timers) == ({}, {}, {})
    sim.delete(seeded.project)
    assert (sim.tasks, sim.projects) == ({}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sim: sim.add_task(404, "x"), "has no project 404"),
        (lambda sim: sim.add_task(sim.add_project("P"), "x", user_to="eve@example.com"), "no member 'eve@example.com'"),
        (lambda sim: sim.add_task(sim.add_project("P"), "x", tags=["blue"]), "no tag 'blue'"),
        (lambda sim: sim.add_comment(404, "x"), "no task 404"),
        (lambda sim: sim.add_task(sim.add_project("P"), "x", custom_fields={404: 1}), "no custom field 404"),
    ],
)
def test_an_unknown_record_is_named(empty: Simulator, change: Callable[[Simulator], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change(empty)


def test_an_unknown_field_is_named(seeded: Seeded) -> None:
    with pytest.raises(TypeError, match="a task has no field 'titel'"):
        seeded.sim.update(seeded.task, titel="x")  # type: ignore[call-overload]


def test_only_a_place_can_have_files(seeded: Seeded) -> None:
    with pytest.raises(TypeError, match="a project, a task or a comment is needed, got Cost"):
        seeded.sim.add_file(seeded.cost, "a.txt")  # type: ignore[arg-type]


# The file of an account


def everything(sim: Simulator) -> list[object]:
    records = (sim.members, sim.contacts, sim.projects, sim.tasks, sim.comments, sim.files, sim.tags, sim.costs)
    return [
        *records,
        sim.timers,
        sim.webhooks,
        sim.events,
        sim.owner,
        [sim.content(file) for file in sim.files.values()],
    ]


@pytest.mark.anyio
async def test_a_loaded_account_is_the_dumped_one(seeded: Seeded, tmp_path: Path, clock: SetClock) -> None:
    async with seeded.sim.session(limiter=TokenBucket(1e6)) as ws:
        await ws.update_task(seeded.subtask.id, title="Countup")
        await ws.update_users_schedule({"kate@example.com": {dt.date(2021, 1, 4): "vacation"}})
    seeded.sim.dump(tmp_path / "account.json")
    loaded = Simulator(clock=clock)
    loaded.load(str(tmp_path / "account.json"))
    assert everything(loaded) == everything(seeded.sim)
    loaded.dump(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "account.json").read_bytes()
    async with loaded.session(limiter=TokenBucket(1e6)) as ws, seeded.sim.session(limiter=TokenBucket(1e6)) as before:
        assert await ws.get_users_schedule() == await before.get_users_schedule()
        assert (await ws.post_task(seeded.project.id, "New")).id == seeded.subtask.id + 1


def test_the_demo_account_is_kept(tmp_path: Path, clock: SetClock) -> None:
    demo, loaded = Simulator(clock=clock), Simulator(seed="empty", clock=clock)
    demo.dump(tmp_path / "demo.json")
    loaded.load(tmp_path / "demo.json")
    assert everything(loaded) == everything(demo)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": 2}', "\udcff"])
def test_another_file_is_refused_and_the_account_stays(empty: Simulator, tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content, errors="surrogateescape")
    with pytest.raises(ValueError, match=r"other\.json is not an account of format 1"):
        empty.load(tmp_path / "other.json")
    assert len(empty.members) == 1


@pytest.mark.anyio
async def test_events_of_deleted_records_are_not_kept(seeded: Seeded, tmp_path: Path, clock: SetClock) -> None:
    await seeded.sim.emit("close", seeded.task)
    await seeded.sim.emit("update", seeded.project)
    seeded.sim.delete(seeded.task)
    seeded.sim.dump(tmp_path / "account.json")
    loaded = Simulator(clock=clock)
    loaded.load(tmp_path / "account.json")
    assert [event.kind for event in loaded.events] == ["update_project"]


# What is refused changes nothing


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda it: it.sim.update(it.tag, title="x"), TypeError),
        (lambda it: it.sim.update(it.task, name="x", titel="y"), TypeError),
        (lambda it: it.sim.update(it.task, id=500), TypeError),
        (lambda it: it.sim.update(it.task, name="x", date_start="soon"), ValueError),
        (lambda it: it.sim.update(it.task, user_to=None), ValueError),
        (lambda it: it.sim.delete(it.comment), TypeError),
        (lambda it: it.sim.add_task(it.project, "x", id=it.task.id), ValueError),
        (lambda it: it.sim.add_task(it.sim.add_project("Mars"), "x", parent=it.task), ValueError),
        (lambda it: it.sim.add_tag(404, "x"), ValueError),
        (lambda it: it.sim.content(404), ValueError),
    ],
)
def test_a_refused_change_changes_nothing(seeded: Seeded, change: Callable[[Seeded], object], error: type) -> None:
    tasks, tags, members = seeded.sim.tasks, seeded.sim.tags, seeded.sim.members
    with pytest.raises(error):
        change(seeded)
    assert (seeded.sim.tasks, seeded.sim.tags, seeded.sim.members) == (tasks, tags, members)


def test_files_are_deleted_with_their_places(seeded: Seeded) -> None:
    seeded.sim.relate(seeded.task, seeded.task)
    seeded.sim.delete(seeded.task)
    assert seeded.sim.files == {}
