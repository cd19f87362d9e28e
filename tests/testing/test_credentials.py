"""Authentication: accepted credentials, and the errors for others."""

import hashlib
from typing import Any

import httpx
import pytest

from tests.support.clocks import SetClock
from worksection_async.testing import Simulator

from .conftest import NOW, Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

REFUSED = {"status": "error", "status_code": 2, "message": "Action hash is missed or invalid"}


async def get(raw: Raw, query: str, path: str = "/api/admin/v2/", **options: Any) -> Any:
    return (await raw.http.get(f"{path}?{query}", **options)).json()


async def test_the_documented_example_is_accepted(raw: Raw) -> None:
    """Key, query and hash are from the documentation of the vendor."""
    body = await get(raw, "action=get_tasks&id_project=26&hash=ec3ab2c28f21b4a07424f8ed688d6644")
    assert [task["id"] for task in body["data"]] == ["2601", "2602"]


@pytest.mark.parametrize(
    "query",
    [
        "action=get_projects&extra=text%2Cusers",
        "action=get_projects&extra=text,users",
        "action=get_projects&extra=text,+users",
        "extra=text%2c%20users&action=get_projects",
        "action=get_projects&extra=text,users&options.allow_close=1&todo[]=a&todo%5B%5D=b",
    ],
)
@pytest.mark.parametrize("path", ["/api/admin/v2", "/api/admin/v2/"])
async def test_the_hash_covers_the_bytes_as_sent(raw: Raw, query: str, path: str) -> None:
    """Order, encoding, method and a trailing slash do not matter."""
    signed = raw.with_hash(query)
    for method in ("GET", "POST"):
        request = httpx.Request(method, "http://127.0.0.1" + path)
        request.url = request.url.copy_with(raw_path=f"{path}?{signed}".encode())
        body = (await raw.http.send(request)).json()
        assert body["status"] == "ok"
        assert raw.sim.requests[-1].query == signed.encode()


@pytest.mark.parametrize(
    "damage", [lambda q: q.replace("26", "27"), lambda q: q[:-1] + "x", lambda q: q.split("&h")[0]]
)
async def test_a_wrong_hash_is_refused(raw: Raw, damage: Any) -> None:
    assert await get(raw, damage(raw.hashed(action="get_tasks", id_project=26))) == REFUSED


async def test_a_hash_that_is_not_last_is_refused(raw: Raw) -> None:
    assert await get(raw, raw.hashed(action="get_tasks", id_project=26) + "&filter=active") == REFUSED


async def test_the_body_of_a_hashed_request_is_ignored(raw: Raw) -> None:
    """The hash does not cover the body."""
    query = raw.hashed(action="get_task")
    body = (await raw.http.post(f"/api/admin/v2/?{query}", json={"id_task": 2601})).json()
    assert body["message_details"] == "id_task"


@pytest.mark.parametrize(("skew", "is_accepted"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)])
async def test_the_signed_header_allows_five_minutes_of_clock_skew(raw: Raw, skew: int, is_accepted: bool) -> None:
    headers = {"Authorization": raw.signature("get_users", at=NOW + skew)}
    body = (await raw.http.post("/api/admin/v2?action=get_users", headers=headers)).json()
    assert (body["status"] == "ok") is is_accepted


async def test_a_signature_is_valid_for_one_action(raw: Raw) -> None:
    headers = {"Authorization": raw.signature("get_users")}
    for send in ({"params": {"action": "get_contacts"}}, {"json": {"action": "get_users"}}):
        assert (await raw.http.post("/api/admin/v2", headers=headers, **send)).json() == REFUSED  # type: ignore[arg-type]


async def test_the_page_hash_of_the_older_scheme_is_accepted(raw: Raw) -> None:
    """The page contains the ids of project and task; the hash covers no other parameters."""
    page = "/project/26/2601/"
    digest = hashlib.md5(f"{page}get_task{raw.sim.api_key}".encode()).hexdigest()
    body = await get(raw, f"action=get_task&page={page}&extra=text&hash={digest}")
    assert body["data"]["text"] == "From the start"
    assert await get(raw, f"action=get_comments&page={page}&hash={digest}") == REFUSED


async def test_a_token_can_be_in_the_header_or_in_the_query(raw: Raw) -> None:
    token = raw.sim.issue_token()
    by_header = await get(raw, "action=me", "/api/oauth2", headers={"Authorization": f"Bearer {token}"})
    by_query = await get(raw, f"action=me&access_token={token}", "/api/oauth2/")
    assert by_header == by_query
    assert by_header["data"]["id"] == "3993"


async def test_expired_and_unknown_tokens_get_401(raw: Raw, clock: SetClock) -> None:
    user = raw.as_user(expires_in=60)
    assert (await user.send("me")).status_code == 200
    clock.advance(60)
    response = await user.send("me")
    assert (response.status_code, response.json()["message"]) == (401, "Access token is expired")
    user.token = "another"
    response = await user.send("me")
    assert (response.status_code, response.json()["message"]) == (401, "Invalid token")


async def test_actions_require_the_scope_in_the_spec(raw: Raw) -> None:
    reader = raw.as_user(scopes=["tasks_read"])
    assert (await reader("get_tasks", id_project=26))["status"] == "ok"
    assert (await reader("post_task", id_project=26, title="no"))["message"] == "Access denied"
    assert "no" not in [task.name for task in raw.sim.tasks.values()]


async def test_unknown_scopes_are_not_issued(sim: Simulator) -> None:
    with pytest.raises(ValueError, match="timers_read"):
        sim.issue_token(scopes=["timers_read"])


@pytest.mark.parametrize("action", ["me", "get_my_timer", "start_my_timer", "stop_my_timer", "delete_my_timer"])
async def test_some_actions_require_a_token(raw: Raw, action: str) -> None:
    body = await raw(action, id_task=2601)
    assert (body["status_code"], body["message"]) == (0, "Action is invalid")


async def test_unknown_and_missing_actions_are_refused(raw: Raw) -> None:
    assert (await raw("get_rich"))["status_code"] == 0
    assert (await get(raw, raw.with_hash("id_task=1")))["status_code"] == 1


@pytest.mark.parametrize(
    "body", [{"data": {"id_project": "26"}}, {"content": b'{"id_project": 26'}, {"content": b"[26]"}]
)
async def test_a_body_that_is_not_a_json_object_is_refused(raw: Raw, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {raw.sim.issue_token()}"}
    response = await raw.http.post("/api/oauth2", params={"action": "get_tasks"}, headers=headers, **body)
    assert response.json() == {"status": "error", "message": "invalid JSON"}


async def test_representations_contain_no_secrets(raw: Raw) -> None:
    """This holds for the request log, the simulator and its tokens."""
    token = raw.sim.issue_token()
    signed = raw.hashed(action="get_projects")
    await get(raw, f"action=me&access_token={token}", "/api/oauth2")
    await get(raw, signed)
    await raw("get_users")
    shown = repr(raw.sim.requests) + repr(raw.sim) + repr(raw.sim.tokens)
    for secret in (token, signed.partition("hash=")[2], "Admin ", raw.sim.api_key):
        assert secret not in shown
