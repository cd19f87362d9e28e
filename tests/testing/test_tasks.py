"""Tasks, their comments, files and tags."""

from typing import Any

import pytest

from tests.support.clocks import SetClock

from .conftest import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]


async def test_post_task_stores_all_parameters(raw: Raw) -> None:
    task = await raw.data(
        "post_task",
        id_project=26,
        title="Launch",
        email_user_from="Kate.Greenway@ws.com",
        email_user_to="frank.harper@ws.com",
        priority=7,
        text="Be quick",
        todo=["fuel, full", "count down"],
        mention="kate.greenway@ws.com",
        datestart="01.12.2026",
        dateend="24.12.2026",
        max_time="1,5",
        max_money=100,
        tags="bug,72569",
        subscribe="kate.greenway@ws.com,frank.harper@ws.com",
        extra="text",
    )
    number = task.pop("id")
    assert task == {
        "name": "Launch",
        "page": f"/project/26/{number}/",
        "status": "active",
        "priority": "7",
        "user_from": {"id": "5686", "email": "kate.greenway@ws.com", "name": "Kate Greenway"},
        "user_to": {"id": "5514", "email": "frank.harper@ws.com", "name": "Frank Harper"},
        "project": {"id": "26", "name": "First steps", "page": "/project/26/"},
        "text": "Be quick\r\n• fuel, full\r\n• count down Kate Greenway",
        "date_added": "2021-01-05 12:00",
        "date_start": "2026-12-01",
        "date_end": "2026-12-24",
        "max_time": 1.5,
        "max_money": 100,
        "tags": {"72569": "In progress", str(_tag(raw, "bug")): "bug"},
    }
    followers = (await raw.data("get_task", id_task=number, extra="subscribers"))["subscribers"]
    assert [user["name"] for user in followers] == ["Kate Greenway", "Frank Harper"]


def _tag(raw: Raw, title: str) -> int:
    return next(tag.id for tag in raw.sim.tags.values() if tag.title == title)


@pytest.mark.parametrize(
    ("given", "user"),
    [
        (None, {"id": "1", "email": "NOONE", "name": "Executive isn't assigned"}),
        ("NOONE", {"id": "1", "email": "NOONE", "name": "Executive isn't assigned"}),
        ("any", {"id": "2", "email": "ANY", "name": "Anyone"}),
    ],
)
async def test_assignee_can_be_a_sentinel(raw: Raw, given: str | None, user: dict[str, str]) -> None:
    task = await raw.data("post_task", id_project=26, title="x", email_user_to=given)
    assert task["user_to"] == user


async def test_project_sets_the_default_assignee(raw: Raw) -> None:
    await raw("update_project", id_project=26, email_user_to="ANY")
    assert (await raw.data("post_task", id_project=26, title="x"))["user_to"]["email"] == "ANY"


async def test_with_a_token_the_author_is_its_user(raw: Raw) -> None:
    kate = raw.as_user("kate.greenway@ws.com")
    task = await kate.data("post_task", id_project=26, title="x", email_user_from="frank.harper@ws.com")
    assert task["user_from"]["name"] == "Kate Greenway"


async def test_tasks_have_at_most_three_levels(raw: Raw) -> None:
    """The page of the lowest level omits the middle level; a fourth level is refused."""
    parents: list[Any] = [await raw.data("post_task", id_project=26, title="top")]
    for title in ("middle", "low"):
        parents.append(await raw.data("post_task", id_project=26, title=title, id_parent=parents[-1]["id"]))
    top, middle, low = (task["id"] for task in parents)
    assert parents[2]["page"] == f"/project/26/{top}/{low}/"
    assert parents[2]["parent"]["id"] == middle
    assert parents[2]["parent"]["parent"]["id"] == top
    assert (await raw("post_task", id_project=26, title="x", id_parent=low))["message"] == "Task is invalid"
    assert (await raw("post_task", id_project=6622, title="x", id_parent=top))["message"] == "Task is invalid"


async def test_extra_subtasks_includes_subtasks(raw: Raw) -> None:
    """Lists have complete subtasks with extras, `get_task` brief ones; filter=active omits closed ones."""
    assert not any("child" in task for task in await raw.data("get_tasks", id_project=8562))
    listed = (await raw.data("get_tasks", id_project=8562, extra="subtasks, comments"))[0]
    alone = await raw.data("get_task", id_task=331894, extra="subtasks,comments")
    assert listed["child"][0]["has_comments"] == 0
    assert listed["child"][0]["child"][0]["project"]["id"] == "8562"
    assert alone["child"] == [
        {
            "id": "331910",
            "name": "Sprint 1",
            "page": "/project/8562/331894/331910/",
            "status": "active",
            "priority": "1",
            "child": [
                {
                    "id": "331914",
                    "name": "Subsprint 1.1",
                    "page": "/project/8562/331894/331914/",
                    "status": "active",
                    "priority": "1",
                }
            ],
        }
    ]
    raw.sim.update(raw.sim.tasks[331914], status="done")
    only_active = await raw.data("get_task", id_task=331894, extra="subtasks", filter="active")
    assert "child" not in only_active["child"][0]


async def test_get_all_tasks_omits_archived_projects(raw: Raw) -> None:
    old = raw.sim.add_task(8482, "Old task")
    for extra, found in {"": False, "archive": True}.items():
        assert (str(old.id) in [row["id"] for row in await raw.data("get_all_tasks", extra=extra)]) is found
    assert [row["name"] for row in await raw.data("get_tasks", id_project=8482)] == ["Old task"]


async def test_empty_lists_have_no_data(bare: Raw) -> None:
    project = bare.sim.add_project("Empty")
    assert await bare("get_tasks", id_project=project.id) == {"status": "ok"}
    assert await bare("get_all_tasks") == {"status": "ok"}
    assert await bare("search_tasks", id_project=project.id) == {"status": "ok", "data": []}
    bare.sim.delete(project)
    assert await bare("get_projects") == {"status": "ok"}


async def test_tasks_can_be_closed_and_reopened(raw: Raw, clock: SetClock) -> None:
    """The reply to a close has the task as before, still active. Parents close last and reopen first."""
    sim = raw.sim
    assert (await raw("complete_task", id_task=331894))["message"] == "Task has children"
    for number in (331914, 331910, 331894):
        assert (await raw.data("complete_task", id_task=number))["status"] == "active"
    assert sim.tasks[331894].status == "done"
    task = await raw.data("get_task", id_task=331894)
    assert (task["status"], task["date_closed"]) == ("done", "2021-01-05 12:00")
    assert [row["id"] for row in await raw.data("search_tasks", id_task=331894, status="done")] == ["331894"]
    assert "331894" not in [row["id"] for row in await raw.data("get_tasks", id_project=8562, filter="active")]

    assert (await raw("reopen_task", id_task=331910))["status_code"] == 14
    assert await raw("reopen_task", id_task=331894) == {"status": "ok"}
    assert "date_closed" not in await raw.data("get_task", id_task=331894)


async def test_update_changes_only_the_given_values(raw: Raw) -> None:
    before = await raw.data("get_task", id_task=331894)
    after = await raw.data("update_task", id_task=331894, title="Dev", priority="10", tags="bug", dateend="01.03.2021")
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"name", "priority", "tags", "date_end"}
    await raw("complete_task", id_task=2602)
    closed = await raw.data("update_task", id_task=2602, dateclosed="04.01.2021")
    assert closed["date_closed"].startswith("2021-01-04")


async def test_tags_can_be_named_by_title_or_id(raw: Raw) -> None:
    async def tags() -> set[str]:
        return set((await raw.data("get_task", id_task=2601)).get("tags", {}).values())

    assert await raw("update_task_tags", id_task=2601, plus="BUG,72565,feature") == {"status": "ok"}
    await raw("update_task_tags", id_task=2601, plus="bug", minus="feature")
    assert await tags() == {"To-do", "bug"}
    assert (await raw("update_task_tags", id_task=2601, plus="wiki"))["message_details"] == "wiki"
    raw.sim.add_tag(102, "bug")
    assert (await raw("update_task_tags", id_task=2601, minus="bug"))["message"] == "Tag is invalid"
    assert await tags() == {"To-do", "bug"}


async def test_tag_sets_and_tags_are_created_only_once(raw: Raw) -> None:
    """A set of statuses is always public. Ids of tags are numbers."""
    status, label = [
        (await raw.data("add_task_tag_groups", title="Stage", type="status", access="private"))[0],
        (await raw.data("add_task_tag_groups", title="Stage,Kind", type="label", access="private"))[1],
    ]
    assert (status["access"], label["access"]) == ("public", "private")
    first = await raw.data("add_task_tags", group=label["id"], title="big, small")
    again = await raw.data("add_task_tags", group="Kind", title="small,medium")
    assert first[1] == again[0]
    (group,) = {str(tag["group"]["id"]) for tag in await raw.data("get_task_tags", group="Kind", type="label")}
    assert group == str(label["id"])
    assert await raw.data("get_task_tags", group="Kind", type="status") == []
    assert {row["title"] for row in await raw.data("get_project_tag_groups", type="status")} == {"Project status"}
    assert (await raw("add_task_tags", group="Nothing", title="x"))["message_details"] == "group (id or title)"


async def test_comments_are_listed_newest_first(raw: Raw) -> None:
    """The list has all comments, the task the last five. With the key, the author is required."""
    assert (await raw("post_comment", id_task=2601, text="0"))["message_details"] == "email_user_from"
    for number in range(7):
        await raw.as_user().data("post_comment", id_task=2601, text=str(number))
    assert [row["text"] for row in await raw.data("get_comments", id_task=2601)] == list("6543210")
    task = await raw.data("get_task", id_task=2601, extra="comments")
    assert (task["has_comments"], [row["text"] for row in task["comments"]]) == (1, list("65432"))


async def test_extra_html_escapes_the_text(raw: Raw) -> None:
    task = await raw.data("post_task", id_project=26, title="x", text="1 < 2", todo="one", extra="html")
    assert task["text"] == "1 &lt; 2<br>• one"


async def test_relations_and_custom_fields_are_listed(raw: Raw) -> None:
    raw.sim.update(raw.sim.tasks[2601], custom_fields={11: "ACME"})
    raw.sim.relate(2601, 2602, "start-to-start")
    first, second = await raw.data("get_tasks", id_project=26, extra="relations,custom_fields")
    assert first["custom_fields"] == [{"id": "11", "type": "text", "name": "Customer", "value": "ACME"}]
    assert [one["task"]["id"] for one in first["relations"]["to"]] == ["2602"]
    assert second["relations"]["from"][0]["type"] == "start-to-start"
    assert [field["name"] for field in await raw.data("get_task_custom_fields")] == ["Customer"]


async def test_subscribe_and_unsubscribe(raw: Raw) -> None:
    for _ in range(2):
        await raw("subscribe", id_task=2601, email_user="kate.greenway@ws.com")
    assert [user.id for user in raw.sim.tasks[2601].subscribers] == [5686]
    await raw("unsubscribe", id_task=2601, email_user="kate.greenway@ws.com")
    assert not raw.sim.tasks[2601].subscribers


async def test_search_by_author_and_assignee(raw: Raw) -> None:
    found: dict[str, dict[str, set[str]]] = {
        "email_user_to": {"frank.harper@ws.com": {"331906"}, "ANY": {"330090"}},
        "email_user_from": {"kate.greenway@ws.com": set()},
    }
    for param, people in found.items():
        for address, numbers in people.items():
            assert {row["id"] for row in await raw.data("search_tasks", **{param: address})} == numbers
