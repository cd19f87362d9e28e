"""Scripted faults: their effect for the client, and whether the action is carried out."""

import json
from collections.abc import Callable
from typing import Any, get_args

import anyio
import httpx
import pytest

from worksection_async import TokenBucket
from worksection_async.errors import InvalidCall
from worksection_async.testing import Fault, Simulator, faults

from .conftest import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]


def count_new_tasks(sim: Simulator) -> int:
    return len(sim.tasks) - len(Simulator().tasks)


@pytest.mark.parametrize(
    ("fault", "error"),
    [(faults.reset, httpx.ReadError), (faults.timeout, httpx.ReadTimeout)],
    ids=["reset", "timeout"],
)
@pytest.mark.parametrize("executed", [False, True])
async def test_a_fault_without_a_reply_can_follow_the_action(
    raw: Raw, fault: Callable[..., Fault], error: type[Exception], executed: bool
) -> None:
    """The client sees the same error, whether or not the task was created."""
    raw.sim.fail("post_task", fault(executed=executed))
    with pytest.raises(error):
        await raw("post_task", id_project=26, title="once")
    (request,) = raw.sim.requests
    assert (count_new_tasks(raw.sim), request.executed, request.status) == (int(executed), executed, None)


async def test_an_unreachable_service_carries_out_nothing(raw: Raw) -> None:
    raw.sim.fail("post_task", "unreachable")
    with pytest.raises(httpx.ConnectError):
        await raw("post_task", id_project=26, title="never")
    assert count_new_tasks(raw.sim) == 0


@pytest.mark.parametrize("executed", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "begins"),
    [
        (faults.server_error, 502, b"<html>"),
        (faults.html_page, 200, b"<html>"),
        (faults.bad_json, 200, b"<br />"),
        (faults.empty_body, 200, b""),
        (faults.invalid_utf8, 200, b'{"status"'),
        (faults.cut_body, 200, b'{"stat'),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_an_unreadable_reply_can_follow_the_action(
    raw: Raw, fault: Callable[..., Fault], status: int, begins: bytes, executed: bool
) -> None:
    raw.sim.fail("post_task", fault(executed=executed))
    response = await raw.send("post_task", id_project=26, title="once")
    assert response.status_code == status
    assert response.content.startswith(begins)
    with pytest.raises(ValueError):  # noqa: PT011 - of JSON or of UTF-8
        json.loads(response.content.decode())
    assert (count_new_tasks(raw.sim), raw.sim.requests[0].executed) == (int(executed), executed)


async def test_a_redirect_can_be_scripted(raw: Raw) -> None:
    raw.sim.fail("get_users", faults.redirect("https://evil.example.com/"))
    response = await raw.send("get_users")
    assert (response.status_code, response.headers["location"]) == (302, "https://evil.example.com/")


@pytest.mark.parametrize(("status", "retry_after"), [(200, None), (429, 3.5)])
async def test_the_rate_limit_refusal_can_be_scripted(raw: Raw, status: int, retry_after: float | None) -> None:
    raw.sim.fail("get_users", faults.too_many_requests(status=status, retry_after=retry_after))
    response = await raw.send("get_users")
    assert response.status_code == status
    assert response.headers.get("retry-after") == (str(retry_after) if retry_after else None)
    assert response.json() == {"status": "error", "message": "Too many requests"}


async def test_faults_apply_in_order_and_are_used_up(raw: Raw) -> None:
    raw.sim.fail("get_users", faults.server_error(500), times=2)
    raw.sim.fail("*", faults.server_error(503))
    raw.sim.fail("get_contacts", faults.server_error(504))
    statuses = [(await raw.send(action)).status_code for action in ("get_users", "get_timers", *["get_users"] * 3)]
    assert statuses == [500, 503, 500, 200, 200]
    assert [action for action, _ in raw.sim.unused_faults] == ["get_contacts"]


async def test_a_permanent_fault_applies_until_it_is_cleared(raw: Raw) -> None:
    raw.sim.fail("*", "empty_body", times=None)
    assert {(await raw.send("get_users")).content for _ in range(3)} == {b""}
    raw.sim.clear_faults()
    assert (await raw("get_users"))["status"] == "ok"


@pytest.mark.parametrize("executed", [False, True])
async def test_a_delay_can_exceed_the_timeout_of_the_client(raw: Raw, executed: bool) -> None:
    """The client times out; *executed* decides whether the action is carried out before."""
    raw.sim.fail("post_task", faults.delay(30, executed=executed))
    raw.http.timeout = httpx.Timeout(0.01)
    with pytest.raises(httpx.ReadTimeout):
        await raw("post_task", id_project=26, title="late")
    assert count_new_tasks(raw.sim) == int(executed)


async def test_a_delayed_reply_arrives(raw: Raw) -> None:
    raw.sim.fail("get_users", faults.delay(0.001, executed=False))
    assert (await raw("get_users"))["status"] == "ok"


async def test_a_delay_does_not_block_other_requests(raw: Raw) -> None:
    raw.sim.fail("get_users", faults.delay(0.05))
    order: list[str] = []

    async def call(action: str) -> None:
        await raw(action)
        order.append(action)

    async with anyio.create_task_group() as group:
        group.start_soon(call, "get_users")
        group.start_soon(call, "get_timers")
    assert order == ["get_timers", "get_users"]


async def test_the_request_log_can_be_cleared_during_a_request(raw: Raw) -> None:
    async with anyio.create_task_group() as group:
        raw.sim.fail("get_users", faults.delay(0.02))
        group.start_soon(raw, "get_users")
        await anyio.wait_all_tasks_blocked()
        raw.sim.requests.clear()
    assert raw.sim.requests == []


async def test_a_session_retries_reads_but_not_writes(sim: Simulator, fast_limiter: TokenBucket) -> None:
    async with sim.session(retries=1, limiter=fast_limiter) as ws:
        sim.fail("get_tasks", faults.reset(executed=True))
        assert len(await ws.get_tasks(26)) == 2
        sim.fail("post_task", faults.reset(executed=True))
        with pytest.raises(Exception, match="post_task"):
            await ws.post_task(26, "once")
    assert [request.action for request in sim.requests] == ["get_tasks", "get_tasks", "post_task"]
    assert not sim.unused_faults


@pytest.mark.parametrize("name", get_args(faults.FaultName))
def test_a_fault_without_arguments_has_a_name(sim: Simulator, name: faults.FaultName) -> None:
    sim.fail("get_users", name)
    assert sim.unused_faults == [("get_users", getattr(faults, name)().name)]


@pytest.mark.parametrize(
    ("action", "fault", "message"),
    [
        ("get_taks", "reset", "unknown action 'get_taks', the nearest one is get_tasks"),
        ("oauth2_refrsh", "reset", "unknown action 'oauth2_refrsh', the nearest one is oauth2_refresh"),
        ("get_tasks", "rset", "unknown fault 'rset', the nearest one is reset"),
        ("get_tasks", faults.reset, "fault must be a name, or a Fault"),
    ],
)
def test_a_fault_that_would_never_occur_is_refused(sim: Simulator, action: str, fault: Any, message: str) -> None:
    with pytest.raises(InvalidCall, match=message):
        sim.fail(action, fault)


async def test_an_unknown_event_is_refused(sim: Simulator) -> None:
    with pytest.raises(InvalidCall, match="unknown event 'clsoe', the nearest one is close"):
        await sim.emit("clsoe", sim.tasks[2601])  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [0, -1])
def test_a_fault_for_no_request_is_refused(sim: Simulator, times: int) -> None:
    with pytest.raises(InvalidCall, match="times must be at least 1"):
        sim.fail("get_tasks", "reset", times=times)
