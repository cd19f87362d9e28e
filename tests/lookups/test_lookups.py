"""TaskTree, StatusTags and UserDirectory."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worksection_async import errors
from worksection_async.errors import InvalidCall
from worksection_async.lookups import Node, StatusTags, TaskTree, UserDirectory, labels_of, statuses_of
from worksection_async.models import Tag, TagGroup, Task, TaskRef, User
from worksection_async.testing import Simulator, VirtualClock


def t(id: int, *child: Task, **fields: Any) -> Task:
    """Return a task with the given subtasks."""
    return Task(id=id, name=fields.pop("name", f"task {id}"), child=child, **fields)


def outline(tree: TaskTree) -> list[str]:
    """Return the task IDs in tree order, indented by depth."""
    return ["  " * node.depth + str(node.task.id) for node in tree.walk()]


# TaskTree


def test_nesting_defines_parents_and_children() -> None:
    tree = TaskTree([t(1, t(2, t(3)), t(4)), t(5)])
    assert outline(tree) == ["1", "  2", "    3", "  4", "5"]
    assert [node.task.id for node in tree.roots] == [1, 5]
    node = tree[3]
    assert node.parent is tree[2]
    assert [each.task.id for each in node.ancestors] == [2, 1]
    assert (node.depth, node.children, len(tree), 3 in tree, 6 in tree) == (2, (), 5, True, False)
    assert [each.task.id for each in tree[1].walk()] == [1, 2, 3, 4]
    assert [each.task.id for each in tree[1].children] == [2, 4]
    assert tree[1].parent is None
    assert list(tree) == list(tree.walk())
    assert repr(node) == "<Node 3 'task 3' depth=2 children=0>"
    assert repr(tree) == "<TaskTree of 5 tasks, 2 at the top>"
    with pytest.raises(KeyError):
        tree[6]


def test_page_paths_are_ignored() -> None:
    page = "/project/26/1/3/"
    assert outline(TaskTree([t(1, t(2, t(3, page=page))), t(4, page="/project/26/1/4/")])) == ["1", "  2", "    3", "4"]


def test_tasks_without_parents_form_a_flat_list() -> None:
    assert outline(TaskTree([t(1), t(2), t(3)])) == ["1", "2", "3"]


def test_parent_field_is_used_if_the_parent_is_in_the_input() -> None:
    tasks = [
        t(3, parent=TaskRef(id=2, parent=TaskRef(id=1))),
        t(2, parent=TaskRef(id=1)),
        t(1),
        t(5, parent=TaskRef(id=9)),
    ]
    assert outline(TaskTree(tasks)) == ["1", "  2", "    3", "5"]


def test_nesting_takes_precedence_over_the_parent_field() -> None:
    assert outline(TaskTree([t(1, t(2, parent=TaskRef(id=3))), t(3)])) == ["1", "  2", "3"]


def test_duplicate_task_keeps_its_position_and_the_fullest_record() -> None:
    full = t(2, user_to=User(id=7), tags={1: "x"})
    for tasks in ([full, t(1, t(2))], [t(1, t(2)), full], [t(1, t(2)), full, t(1, t(2))]):
        tree = TaskTree(tasks)
        assert outline(tree) == ["1", "  2"]
        assert tree[2].task is full


def test_first_of_two_positions_is_kept() -> None:
    assert outline(TaskTree([t(1, t(3)), t(2, t(3))])) == ["1", "  3", "2"]


@pytest.mark.parametrize(
    "tasks",
    [
        [t(1, t(1))],
        [t(1, t(2, t(1)))],
        [t(1, t(2)), t(2, t(1))],
        [t(1, parent=TaskRef(id=1))],
        [t(1, parent=TaskRef(id=2)), t(2, parent=TaskRef(id=1))],
        [t(1, t(2), parent=TaskRef(id=2))],
    ],
)
def test_reference_that_closes_a_cycle_is_ignored(tasks: list[Task]) -> None:
    tree = TaskTree(tasks)
    assert len(tree.roots) == 1
    assert len(list(tree.walk())) == len(tree)


def test_deep_nesting_does_not_hit_the_recursion_limit() -> None:
    deep = t(2_000)
    for number in range(1_999, 0, -1):
        deep = t(number, deep)
    tree = TaskTree([deep])
    assert [node.task.id for node in tree.walk()] == list(range(1, 2_001))
    assert tree[3].depth == 2


def test_empty_input_gives_an_empty_tree() -> None:
    assert (len(TaskTree([])), TaskTree([]).roots, list(TaskTree(iter([])).walk())) == (0, (), [])


TASK_IDS = st.integers(1, 6)
ANY_TASKS = st.lists(
    st.recursive(
        st.builds(
            lambda n, parent: t(n, parent=parent), TASK_IDS, st.none() | st.builds(lambda n: TaskRef(id=n), TASK_IDS)
        ),
        lambda inner: st.builds(lambda n, child: t(n, *child), TASK_IDS, st.lists(inner, max_size=3)),
        max_leaves=10,
    ),
    max_size=5,
)


def ids_in(tasks: Any) -> set[int]:
    return {id_task for task in tasks for id_task in (task.id, *ids_in(task.child))}


@given(ANY_TASKS)
def test_walk_yields_each_task_once_for_any_input(tasks: list[Task]) -> None:
    tree = TaskTree(tasks)
    walked = [node.task.id for node in tree.walk()]
    assert sorted(walked) == sorted(ids_in(tasks))
    for node in tree:
        assert node.depth == (node.parent.depth + 1 if node.parent else 0)
        assert all(child.parent is node for child in node.children)


@pytest.mark.anyio
async def test_tree_of_a_project() -> None:
    async with Simulator() as sim, sim.session() as ws:
        project = sim.add_project("Moon")
        top = sim.add_task(project, "Rocket")
        middle = sim.add_task(project, "Engine", parent=top)
        low = sim.add_task(project, "Valve", parent=middle)
        other = sim.add_task(project, "Party")
        tree = TaskTree(await ws.get_tasks(project.id, extra=["subtasks"]))
        assert outline(tree) == [str(top.id), f"  {middle.id}", f"    {low.id}", str(other.id)]
        assert isinstance(tree[low.id].parent, Node)
        both = TaskTree([await ws.get_task(top.id, extra=["subtasks"]), *await ws.search_tasks(id_project=project.id)])
        assert outline(both) == outline(tree)
        assert both[low.id].task.user_from is not None  # get_task abbreviates, search_tasks does not
        assert outline(TaskTree([await ws.get_task(low.id), await ws.get_task(top.id)])) == [str(low.id), str(top.id)]


# StatusTags

STATUS_GROUP, LABEL_GROUP = TagGroup(id=1, type="status"), TagGroup(id=2, type="label")


def test_tag_group_decides_whether_a_tag_is_a_status() -> None:
    known = StatusTags(
        [Tag(id=10, group=STATUS_GROUP), Tag(id=20, group=LABEL_GROUP), Tag(id=30, group=TagGroup(id=3, type=""))]
    )
    task = t(1, tags={20: "red", 10: "doing", 30: "old", 40: "new"})
    assert statuses_of(task, known) == {10: "doing"}
    assert labels_of(task, known) == {20: "red", 30: "old", 40: "new"}
    assert (10 in known, 20 in known, len(known), repr(known)) == (True, False, 1, "<StatusTags [10]>")
    assert (statuses_of(t(1), known), labels_of(t(1), known)) == ({}, {})


def test_tag_without_group_raises_value_error() -> None:
    with pytest.raises(InvalidCall, match="tag 10 has no group; pass the tags that get_task_tags returns"):
        StatusTags([Tag(id=10)])


@pytest.mark.anyio
async def test_statuses_and_labels_of_a_task_from_the_service() -> None:
    async with Simulator() as sim, sim.session() as ws:
        steps, labels = sim.add_tag_group("Steps", type="status"), sim.add_tag_group("Colours")
        doing, red = sim.add_tag(steps, "Doing"), sim.add_tag(labels, "red")
        project = sim.add_project("Moon")
        task = sim.add_task(project, "Launch", tags=[red, doing])
        [read] = await ws.get_tasks(project.id, extra=["tags"])
        for known in (StatusTags(await ws.get_task_tags(type="status")), StatusTags(await ws.get_task_tags())):
            assert statuses_of(read, known) == {doing.id: "Doing"}
            assert labels_of(read, known) == {red.id: "red"}
        assert read.id == task.id


# UserDirectory


def count_requests(sim: Simulator) -> int:
    """Return the number of `get_users` requests."""
    return sum(request.action == "get_users" for request in sim.requests)


@pytest.mark.anyio
async def test_lookups_by_id_email_and_name_need_one_request() -> None:
    async with Simulator(seed="empty") as sim, sim.session() as ws:
        anna = sim.add_member("Anna.Lane@Example.com", "Anna Lane")
        two = [sim.add_member(f"ivan{number}@example.com", "Їван  Їжак") for number in (1, 2)]
        users = UserDirectory(ws)
        assert repr(users) == "<UserDirectory not read yet>"
        assert anna.id is not None
        found = await users.by_id(anna.id)
        assert found is not None
        assert found.email == "Anna.Lane@Example.com"
        assert await users.by_email(" anna.lane@EXAMPLE.COM ") == found
        assert await users.by_name("anna  LANE") == (found,)
        assert [each.id for each in await users.by_name("ЇВАН Їжак")] == [user.id for user in two]
        assert len(await users.all()) == 4
        not_found = (
            await users.by_id(999),
            await users.by_email("NOONE"),
            await users.by_name("Anna"),
            await users.by_email(""),
        )
        assert not_found == (None, None, (), None)
        assert count_requests(sim) == 1
        assert repr(users) == "<UserDirectory 4 members>"


@pytest.mark.anyio
@pytest.mark.parametrize("options", [{}, {"coalesce": False}])
async def test_concurrent_lookups_share_one_request(options: dict[str, Any]) -> None:
    async with Simulator() as sim, sim.session(**options) as ws:
        users = UserDirectory(ws)
        found = []

        async def look_up() -> None:
            found.append(await users.by_email("henry.gardner@ws.com"))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(look_up)
        assert len(found) == 20
        assert None not in found
        assert count_requests(sim) == 1


@pytest.mark.anyio
async def test_cancelled_lookup_does_not_cancel_the_shared_request() -> None:
    async with Simulator() as sim, sim.session() as ws:
        users, first = UserDirectory(ws), anyio.CancelScope()
        found = []

        async def look_up_and_cancel() -> None:
            with first:
                await users.all()

        async def look_up() -> None:
            found.append(await users.all())

        async with anyio.create_task_group() as group:
            group.start_soon(look_up_and_cancel)
            group.start_soon(look_up)
            await anyio.lowlevel.checkpoint()
            first.cancel()
        assert len(found[0]) == 3
        assert count_requests(sim) == 1


@pytest.mark.anyio
async def test_members_are_read_again_after_max_age_and_on_refresh() -> None:
    async with Simulator(clock=VirtualClock()) as sim, sim.session() as ws:
        users = UserDirectory(ws.with_options(max_age=1e6), max_age=60)
        assert len(await users.all()) == 3
        sim.add_member("new@example.com", "New Member")
        sim.advance(seconds=59.9)
        assert await users.by_email("new@example.com") is None
        sim.advance(seconds=0.2)
        assert await users.by_email("new@example.com") is not None
        assert count_requests(sim) == 2
        await ws.add_user("newer@example.com")
        assert await users.by_email("newer@example.com") is None
        await users.refresh()
        assert await users.by_email("newer@example.com") is not None
        assert count_requests(sim) == 3


@pytest.mark.anyio
async def test_error_is_raised_in_all_concurrent_lookups_and_the_next_lookup_sends_a_request() -> None:
    async with Simulator(clock=VirtualClock()) as sim, sim.session(retries=0) as ws:
        users = UserDirectory(ws, max_age=60)
        await users.all()
        sim.advance(seconds=60.1)
        sim.fail("get_users", "reset")
        failures = []

        async def look_up() -> None:
            try:
                await users.all()
            except errors.TransportError as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(look_up)
        assert (len(failures), count_requests(sim)) == (3, 2)
        assert len(await users.all()) == 3
        assert count_requests(sim) == 3
