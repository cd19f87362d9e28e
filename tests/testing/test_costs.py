"""Costs and timers."""

import pytest

from tests.support.clocks import SetClock

from .conftest import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]


@pytest.mark.parametrize("time", ["0.15", "0,15", "0:09"])
async def test_time_is_accepted_in_three_formats(raw: Raw, time: str) -> None:
    number = (await raw.as_user()("add_costs", id_task=2601, time=time))["id"]
    cost = (await raw.data("get_costs", id_task=2601))[0]
    assert (cost["id"], cost["time"], cost["money"], cost["date"]) == (str(number), "0:09", "0.00", "2021-01-05")


async def test_with_the_key_the_user_is_required(raw: Raw) -> None:
    assert (await raw("add_costs", id_task=2601, money=5))["message_details"] == "email_user_from"
    await raw("add_costs", id_task=2601, money="5,5", email_user_from="kate.greenway@ws.com", date="01.01.2021")
    (cost,) = await raw.data("get_costs", id_task=2601)
    assert (cost["user_from"]["name"], cost["money"], cost["date"]) == ("Kate Greenway", "5.50", "2021-01-01")


async def test_is_rate_overrides_money(raw: Raw) -> None:
    kate = raw.as_user("kate.greenway@ws.com")
    number = (await kate("add_costs", id_task=2601, time="1:30", money=1000, is_rate=1))["id"]
    assert (await raw.data("get_costs", id_task=2601))[0]["money"] == "16.50"
    await kate("update_costs", id_costs=number, time="2:00", is_rate=1)
    assert (await raw.data("get_costs", id_task=2601))[0]["money"] == "22.00"


async def test_costs_can_be_updated_and_deleted(raw: Raw) -> None:
    assert await raw("update_costs", id_costs=3690, comment="Talks") == {"status": "ok"}
    cost = (await raw.data("get_costs", is_timer=0))[0]
    assert (cost["comment"], cost["time"], cost["money"]) == ("Talks", "6:50", "75.17")
    assert await raw("delete_costs", id_costs=3690) == {"status": "ok"}
    assert (await raw("delete_costs", id_costs=3690))["message_details"] == "id_costs"


async def test_totals_of_time_and_money(raw: Raw) -> None:
    body = await raw("get_costs", id_project=6622)
    assert body["total"] == {"time": "103:39", "money": "5435.17"}
    assert (await raw("get_costs", id_project=26)) == {
        "status": "ok",
        "data": [],
        "total": {"time": "0:00", "money": "0.00"},
    }
    assert await raw("get_costs_total", datestart="04.01.2021", dateend="04.01.2021", extra="tasks") == {
        "status": "ok",
        "total": {"time": "6:50", "money": "75.17"},
    }


async def test_totals_by_project_month_and_task(raw: Raw) -> None:
    for number, date in {331894: "01.02.2021", 331914: "02.02.2021"}.items():
        await raw.as_user()("add_costs", id_task=number, time=1, date=date)
    await raw.as_user()("add_costs", id_task=331914, money=3)
    body = await raw("get_costs_total", extra="projects,tasks", id_project=8562)
    project = body["projects"]["8562"]
    assert list(project["monthly"]) == ["2021-02", "2021-01"]
    assert project["monthly"]["2021-02"] == {"time": "2:00", "money": "0.00"}
    assert {number: row["time"] for number, row in project["tasks"].items()} == {"331894": "1:00", "331914": "1:00"}
    assert project["tasks"]["331914"]["page"] == raw.sim.tasks[331914].page

    top = await raw("get_costs_total", extra="projects,tasks_top_level", filter="project in (8562)")
    assert {number: row["time"] for number, row in top["projects"]["8562"]["tasks"].items()} == {"331894": "2:00"}
    assert (await raw("get_costs_total", extra="projects", id_project=26))["projects"] == []
    assert "projects" not in await raw("get_costs_total", extra="projects", id_task=331894)


async def test_a_stopped_timer_becomes_costs(raw: Raw, clock: SetClock) -> None:
    kate = raw.as_user("kate.greenway@ws.com")
    assert await kate.data("get_my_timer") == []
    await kate("start_my_timer", id_task=331914)
    clock.advance(673)
    mine = await kate.data("get_my_timer")
    assert (mine["time"], mine["date_started"], mine["task"]["parent"]["id"]) == (673, "2021-01-05 12:00", "331910")
    timer = (await raw.data("get_timers"))[-1]
    assert (timer["time"], timer["user_from"]["name"]) == ("00:11:13", "Kate Greenway")
    assert (await kate("start_my_timer", id_task=2601))["status_code"] == 6

    await kate("stop_my_timer", comment="Long talk")
    (cost,) = await raw.data("get_costs", id_task=331914, is_timer=1)
    assert (cost["time"], cost["comment"], cost["is_timer"]) == ("0:11", "Long talk", True)
    assert (await kate("stop_my_timer"))["status_code"] == 7


async def test_timers_of_other_users_can_be_stopped(raw: Raw) -> None:
    assert await raw("stop_timer", timer=2918) == {"status": "ok"}
    assert (await raw("stop_timer", timer=2918))["message"] == "Timer not found"
    assert raw.sim.timers == {}


async def test_a_deleted_timer_adds_no_costs(raw: Raw) -> None:
    user = raw.as_user()
    await user("start_my_timer", id_task=2601)
    assert await user("delete_my_timer") == {"status": "ok"}
    assert await raw.data("get_costs", id_task=2601) == []
    assert (await user("delete_my_timer"))["message"] == "Timer is not started"
