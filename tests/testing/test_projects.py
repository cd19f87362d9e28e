"""Projects, members, contacts, schedules, events, webhooks."""

import pytest

from tests.support.clocks import SetClock

from .conftest import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]


async def test_post_project_stores_all_parameters(raw: Raw) -> None:
    project = await raw.data(
        "post_project",
        title="Moon",
        email_user_from="kate.greenway@ws.com",
        email_manager="frank.harper@ws.com",
        members="frank.harper@ws.com,kate.greenway@ws.com",
        text="Far away",
        company="Design",
        datestart="01.12.2026",
        tags="app",
        max_money="10.5",
        extra="options",
        **{"options.allow_close": 1, "options.timer_only": True, "options.time_today": 0},
    )
    assert (project["company"], project["text"], project["max_money"]) == ("Design", "Far away", 10.5)
    assert (project["user_from"]["name"], project["user_to"]["name"]) == ("Kate Greenway", "Frank Harper")
    assert {name for name, on in project["options"].items() if on} == {"allow_close", "timer_only"}
    assert len(project["options"]) == 14
    members = (await raw.data("get_project", id_project=project["id"], extra="users"))["users"]
    assert [user["name"] for user in members] == ["Kate Greenway", "Frank Harper"]


async def test_a_project_without_a_manager_has_the_sentinel(raw: Raw) -> None:
    project = await raw.data("get_project", id_project=26)
    assert project["user_to"] == {"id": "0", "email": "NOONE", "name": "Manager isn't assigned"}
    assert "text" not in project


async def test_options_can_be_nested_or_dotted(raw: Raw) -> None:
    await raw("update_project", id_project=26, options={"allow_close": 1, "allow_give": 1})
    project = await raw.data("update_project", id_project=26, extra="options", **{"options.allow_give": 0})
    assert {name for name, on in project["options"].items() if on} == {"allow_close"}


async def test_custom_fields_and_their_values_are_listed(raw: Raw) -> None:
    raw.sim.update(raw.sim.projects[26], custom_fields={12: "A"})
    project = await raw.data("get_project", id_project=26, extra="custom_fields")
    assert project["custom_fields"] == [{"id": "12", "type": "list", "name": "Budget line", "value": "A"}]
    (field,) = await raw.data("get_project_custom_fields")
    assert field["options"] == ["A", "B"]


@pytest.mark.parametrize("word", ["archive", "archived"])
async def test_filter_of_projects_accepts_both_spellings(raw: Raw, word: str) -> None:
    projects = await raw.data("get_projects", filter=word)
    assert [(project["id"], project["status"]) for project in projects] == [("8482", "archive")]
    assert len(await raw.data("get_projects", filter="pending")) == 1


async def test_a_project_can_be_closed_and_reactivated(raw: Raw) -> None:
    assert await raw("close_project", id_project=26) == {"status": "ok"}
    assert (await raw("close_project", id_project=26))["status_code"] == 12
    assert await raw("activate_project", id_project=26) == {"status": "ok"}
    project = await raw.data("get_project", id_project=26)
    assert (project["status"], project["date_closed"]) == ("active", "2021-01-05 12:00")


async def test_members_can_be_added_and_removed(raw: Raw) -> None:
    await raw("add_project_members", id_project=26, members=["frank.harper@ws.com", "kate.greenway@ws.com"])
    await raw("delete_project_members", id_project=26, members="kate.greenway@ws.com")
    assert [user.id for user in raw.sim.projects[26].users] == [3993, 5514]


async def test_add_user_stores_all_parameters(raw: Raw) -> None:
    user = await raw.data("add_user", email="Ann.Bell@example.com", last_name="Ball", role="guest")
    assert (user["first_name"], user["last_name"], user["role"], user["group"]) == (
        "Ann",
        "Ball",
        "Guest",
        "Development",
    )
    assert (await raw("add_user", email="ann.bell@EXAMPLE.com"))["message"] == "Invalid email"
    assert (await raw("add_user", email="ann bell"))["message"] == "Invalid email"


async def test_get_users_lists_active_users(raw: Raw) -> None:
    """Only the admin key receives the date of the invitation."""
    raw.sim.update(raw.sim.members[5514], active=False)
    by_key, by_token = await raw.data("get_users"), await raw.as_user().data("get_users")
    assert [user["name"] for user in by_key] == ["Henry Gardner", "Kate Greenway"]
    assert all("date_added" in user for user in by_key)
    assert not any("date_added" in user for user in by_token)


async def test_a_group_is_created_only_once(raw: Raw) -> None:
    team = await raw.data("add_user_group", title="Pilots", client=1)
    assert team == await raw.data("add_user_group", title="Pilots")
    assert (team["type"], team["client"]) == ("company", 1)
    assert team in await raw.data("get_project_groups")
    folder = await raw.data("add_project_group", title="Space")
    assert folder == await raw.data("add_project_group", title="Space")
    assert folder not in await raw.data("get_user_groups")
    contacts = await raw.data("add_contact_group", title="Press")
    assert contacts == await raw.data("add_contact_group", title="Press")
    assert [type(row["id"]) for row in await raw.data("get_contact_groups")] == [int, int, int, str]


async def test_schedules_can_be_set_replaced_and_removed(raw: Raw) -> None:
    """Users are ids or email addresses. An empty map is an empty array, as in PHP."""
    assert await raw("update_users_schedule", data='{"5686": {"2021-01-04": "unset", "05.01.2021": "workday"}}') == {
        "status": "ok",
        "data": [],
        "message": "Days added: 1, days updated: 0, days removed: 1",
    }
    await raw("update_users_schedule", data={"KATE.greenway@ws.com": {"05.01.2021": "sick-leave"}})
    days = await raw.data("get_users_schedule", datestart="05.01.2021", dateend="05.01.2021")
    assert days == {
        "5686": {
            "id": "5686",
            "email": "kate.greenway@ws.com",
            "name": "Kate Greenway",
            "group": "Marketing",
            "department": "",
            "schedule": {"2021-01-05": "sick-leave"},
        }
    }
    assert await raw.data("get_users_schedule", dateend="04.01.2021") == []
    assert (await raw.data("get_users_schedule", users="5514"))["5514"]["schedule"] == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"x@example.com": {"05.01.2021": "vacation"}}, "Invalid email"),
        ({"5686": {"05.01.2021": "hangover"}}, "Field is required"),
        ({"5686": {"1/5/2021": "vacation"}}, "Field is required"),
        ({"5686": "vacation"}, "Field is required"),
        ("{", "Field is required"),
    ],
)
async def test_invalid_schedules_are_refused(raw: Raw, data: object, message: str) -> None:
    assert (await raw("update_users_schedule", data=data))["message"] == message


async def test_get_events_lists_changes_newest_first(raw: Raw, clock: SetClock) -> None:
    """Events have the new and old values; an unset value is `""`."""
    kate = raw.as_user("kate.greenway@ws.com")
    await kate("update_task", id_task=2601, dateend="01.03.2021", title="Read")
    clock.advance(3600)
    await kate("post_comment", id_task=2601, text="done")
    await raw("complete_task", id_task=2601)
    events = await raw.data("get_events", period="2h", id_project=26)
    assert [(event["action"], event["object"]["type"]) for event in events] == [
        ("close", "task"),
        ("post", "comment"),
        ("update", "task"),
    ]
    assert events[0]["new"] == []
    assert events[1]["object"]["page"] == "/project/26/2601/"
    assert (events[2]["new"], events[2]["old"]) == (
        {"name": "Read", "date_end": "2021-03-01"},
        {"name": "Read the documentation", "date_end": ""},
    )
    assert len(await raw.data("get_events", period="59m")) == 2
    assert await raw.data("get_events", period="30d", id_project=6622) == []


@pytest.mark.parametrize("period", ["1m", "360m", "72h", "30d"])
async def test_valid_periods_are_accepted(raw: Raw, period: str) -> None:
    assert await raw.data("get_events", period=period) == []


@pytest.mark.parametrize("period", ["0m", "361m", "73h", "31d", "60d", "1w", "3", "d", "1.5h", "-1d", "１d"])
async def test_invalid_periods_are_refused(raw: Raw, period: str) -> None:
    body = await raw("get_events", period=period)
    assert (body["message"], body["message_details"]) == ("Field is required", "period")


async def test_webhooks_can_be_added_and_listed(raw: Raw) -> None:
    body = await raw("add_webhook", url="https://example.com", events="post_task, nonsense", projects="26,6622")
    assert body["status"] == "ok"
    assert isinstance(body["id"], int)
    assert (await raw.data("get_webhooks"))[-1] == {
        "id": str(body["id"]),
        "url": "https://example.com",
        "events": "post_task",
        "status": "active",
        "projects": "26,6622",
    }
    raw.sim._world.url_answers = lambda url: False
    refused = await raw("add_webhook", url="https://example.com", events="post_task")
    assert (refused["status_code"], refused["message_details"]) == (11, "https://example.com")
