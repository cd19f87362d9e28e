"""The log of the simulator: the sender of a request, and its outcome."""

from __future__ import annotations

import logging

import httpx
import pytest

from tests.support.clocks import SetClock
from worksection_async import AccessToken, ApiKey
from worksection_async.errors import WorksectionError
from worksection_async.testing import Simulator, faults

pytestmark = pytest.mark.anyio


async def test_each_request_is_one_line_with_its_sender_and_its_outcome(caplog: pytest.LogCaptureFixture) -> None:
    sim = Simulator()
    user = sim.add_member("anna@example.com")
    token = sim.issue_token(user)
    with caplog.at_level(logging.INFO, "worksection_async.simulator"):
        async with sim.session() as ws:
            await ws.get_users()
            for _ in range(2):
                with pytest.raises(WorksectionError):
                    await ws.get_task(5)
        async with sim.session(AccessToken(token)) as ws:
            await ws.me()
        async with sim.session(ApiKey("wrong"), retries=0) as ws:
            with pytest.raises(WorksectionError):
                await ws.get_users()
        await sim.oauth_app().refresh(sim.issue_pair())
    lines = [record.getMessage() for record in caplog.records if record.name == "worksection_async.simulator"]
    assert lines == [
        "get_users by admin key: ok",
        "get_task by admin key: refused: Task is invalid",
        "get_task by admin key: refused: Task is invalid",
        "me by anna@example.com: ok",
        "get_users by unknown: refused: Action hash is missed or invalid",
        f"oauth2_refresh by {sim.oauth.client_id}: ok",
    ]
    assert token not in caplog.text


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (faults.reset(executed=True), "executed, answered with nothing"),
        (faults.server_error(executed=True), "executed, answered with 502"),
        (faults.reset(), "not executed, answered with nothing"),
        (faults.html_page(), "not executed, answered with 200"),
    ],
)
async def test_the_outcome_says_whether_the_action_was_carried_out(fault: faults.Fault, outcome: str) -> None:
    sim = Simulator()
    sim.fail("post_task", fault)
    async with sim.session(retries=0) as ws:
        with pytest.raises(WorksectionError):
            await ws.post_task(26, "t")
    assert sim.requests[-1].outcome == outcome


async def test_an_early_request_is_logged_as_refused() -> None:
    sim = Simulator(rate=1.0, clock=SetClock(0.0))
    async with httpx.AsyncClient(transport=sim.transport(), base_url="http://127.0.0.1") as client:
        for _ in range(2):
            await client.get("/api/admin/v2/?action=get_users")
    assert [request.outcome for request in sim.requests] == [
        "refused: Action hash is missed or invalid", "refused as too early",
    ]  # fmt: skip


async def test_a_name_cannot_forge_a_line_or_show_a_key(caplog: pytest.LogCaptureFixture) -> None:
    sim = Simulator()
    with caplog.at_level(logging.INFO, "worksection_async.simulator"):
        async with httpx.AsyncClient(transport=sim.transport(), base_url="http://127.0.0.1") as client:
            await client.get("/api/admin/v2/", params={"action": f"a\nb {sim.api_key}"})
    [line] = [record.getMessage() for record in caplog.records if record.name == "worksection_async.simulator"]
    assert line == "a b … by unknown: refused: Action hash is missed or invalid"
