"""Limits: the rate, the length of a request line, the number of records, the length of texts."""

import anyio
import httpx
import pytest

from tests.support.clocks import SetClock
from worksection_async.testing import Simulator

from .conftest import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

REFUSED = {"status": "error", "message": "Too many requests"}


async def test_the_rate_is_unlimited_by_default(raw: Raw) -> None:
    assert [(await raw("get_users"))["status"] for _ in range(3)] == ["ok"] * 3


async def test_the_interval_counts_from_the_last_accepted_request(raw: Raw, clock: SetClock) -> None:
    raw.sim.rate.per_second = 1.0
    outcomes = []
    for pause in (0, 0.5, 0.4, 0.1, 0.999, 0.001, 5):
        clock.advance(pause)
        outcomes.append(await raw("get_users") != REFUSED)
    assert outcomes == [True, False, False, True, False, True, True]
    assert [request.accepted for request in raw.sim.requests] == outcomes
    assert [request.executed for request in raw.sim.requests] == outcomes


async def test_a_refused_write_is_not_carried_out(raw: Raw) -> None:
    raw.sim.rate.per_second = 1.0
    await raw("get_users")
    assert await raw("post_task", id_project=26, title="too soon") == REFUSED
    assert "too soon" not in [task.name for task in raw.sim.tasks.values()]


async def test_the_refusal_can_have_status_429(raw: Raw) -> None:
    raw.sim.rate.per_second = 1.0
    raw.sim.rate.refuse_with(429, retry_after=1)
    await raw.send("get_users")
    response = await raw.send("get_users")
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")


async def test_sessions_respect_the_rate_limit(clock: SetClock) -> None:
    """Four concurrent calls of two sessions share the limit."""
    sim = Simulator(rate=50.0)
    async with sim.session() as one, sim.session() as other, anyio.create_task_group() as group:
        for ws in (one, other):
            group.start_soon(ws.get_users)
            group.start_soon(ws.get_projects)
    assert sum(request.executed for request in sim.requests) == 4


async def test_a_long_request_line_gets_the_414_of_nginx(raw: Raw) -> None:
    """The limit is 8192 bytes, including the line break."""
    path = "/api/admin/v2/"

    async def get(length: int) -> httpx.Response:
        query = "action=get_users&x="
        overhead = len(f"GET {path}? HTTP/1.1\r\n&hash=") + 32
        return await raw.http.get(f"{path}?{raw.with_hash(query.ljust(length - overhead, 'x'))}")

    assert (await get(8192)).json()["status"] == "ok"
    response = await get(8193)
    assert (response.status_code, response.headers["content-type"]) == (414, "text/html")
    assert "414 Request-URI Too Large" in response.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # slow, and independent of the event loop
async def test_more_than_10000_tasks_are_refused(bare: Raw) -> None:
    project = bare.sim.add_project("Big")
    for number in range(10_000):
        bare.sim.add_task(project, f"Task {number}")
    actions = ["get_all_tasks", "get_tasks", "search_tasks"]
    for action in actions:
        assert len(await bare.data(action, id_project=project.id)) == 10_000
    bare.sim.add_task(project, "One more")
    for action in actions:
        assert await bare(action, id_project=project.id) == {
            "status": "error",
            "message": "Too many tasks (10000 max)",
        }


async def test_a_long_text_is_cut_without_an_error(raw: Raw) -> None:
    task = await raw.data("post_task", id_project=26, title="long", text="é" * 70_000, extra="text")
    assert len(task["text"]) == 65_536
