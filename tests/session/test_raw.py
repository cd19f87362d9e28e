"""`Session.call(…, raw=True)`: the last reply as it arrived, after the same waits, retries and renewals as any call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import attrs
import httpx
import pytest

from tests.support.constants import KEY
from worksection_async import MemoryTokenStore, OAuth2, OAuthApp, RawReply, Session, Token, TokenBucket
from worksection_async.errors import AuthError, InvalidCall, TransportError

from .test_retry import Answer, Make, Service, failing, html, refusing, replying

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_retry_delay")]

PARAMS = {"id_project": 1, "title": "a"}


async def raw(session_with: Make, *answers: Answer, action: str = "get_tasks", **options: Any) -> tuple[RawReply, int]:
    """Return the raw reply to a call, and the number of requests."""
    service = Service(*answers)
    async with session_with(service, **options) as ws:
        params = PARAMS if action == "post_task" else {"id_project": 1}
        return await ws.call(action, params, raw=True), len(service.requests)


async def test_a_raw_reply_has_the_status_the_headers_and_the_body(session_with: Make) -> None:
    def answer() -> httpx.Response:
        return httpx.Response(200, content=b'{"status": "ok",\n "data": []}', headers={"X-Server": "w3"})

    reply, _ = await raw(session_with, answer)
    assert (reply.status, reply.body) == (200, b'{"status": "ok",\n "data": []}')
    assert reply.headers["x-server"] == "w3"


@pytest.mark.parametrize("action", ["get_tasks", "post_task"])
@pytest.mark.parametrize(
    ("answer", "status", "part"),
    [
        (refusing("Project is invalid"), 200, b"Project is invalid"),
        (refusing("Field is required", 400), 400, b"Field is required"),
        (html(404), 404, b"nginx"),
        (html(403), 403, b"nginx"),
        (lambda: httpx.Response(302, headers={"Location": "/login"}), 302, b""),
        (lambda: httpx.Response(200, content=b"\xff\xfe"), 200, b"\xff"),
        (replying(["no envelope"]), 200, b"no envelope"),
    ],
)
async def test_a_refused_or_unreadable_reply_is_returned(
    session_with: Make, answer: Answer, status: int, part: bytes, action: str
) -> None:
    reply, requests = await raw(session_with, answer, action=action)
    assert (reply.status, requests) == (status, 1)
    assert part in reply.body


@pytest.mark.parametrize(
    ("answers", "status", "requests"),
    [
        ([html(502), replying({"status": "ok"})], 200, 2),
        ([html(502)], 502, 3),
        ([failing(httpx.ReadError), refusing("Project is invalid")], 200, 2),
        ([refusing("Too many requests"), html(429), replying({"status": "ok"})], 200, 3),
    ],
)
async def test_a_raw_call_is_retried_as_any_other(
    session_with: Make, answers: list[Answer], status: int, requests: int
) -> None:
    reply, sent = await raw(session_with, *answers, retries=2)
    assert (reply.status, sent) == (status, requests)


async def test_the_last_refusal_of_the_rate_limit_is_returned(session_with: Make) -> None:
    reply, _ = await raw(session_with, refusing("Too many requests"), patience=0)
    assert b"Too many requests" in reply.body


async def test_a_reply_to_a_repeated_write_is_returned_as_it_is(session_with: Make) -> None:
    service = Service(failing(httpx.ReadError), refusing("Task is already closed"))
    async with session_with(service) as ws:
        reply = await ws.call("complete_task", {"id_task": 1}, raw=True)
    assert b"Task is already closed" in reply.body


async def test_without_a_reply_the_error_is_raised(session_with: Make) -> None:
    with pytest.raises(TransportError):
        await raw(session_with, failing(httpx.ConnectError), retries=1)
    with pytest.raises(InvalidCall):
        await raw(session_with, html(200), action="get_taskz")


def with_oauth2(handler: Callable[[httpx.Request], httpx.Response]) -> Session:
    """A session whose token is refused, with an application of the same service."""
    transport = httpx.MockTransport(handler)
    app = OAuthApp("app", KEY, "https://example.com/callback", transport=transport)
    token = Token(access_token="old", refresh_token="r", issued_at=0, expires_at=9e9)
    auth = OAuth2(app, MemoryTokenStore(token))
    return Session("acme", auth, transport=transport, limiter=TokenBucket(1e6))


EXPIRED = httpx.Response(401, json={"status": "error", "message": "Access token is expired"})


async def test_an_expired_token_is_renewed() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/oauth2/"):
            return httpx.Response(200, json={"access_token": "new", "refresh_token": "s", "expires_in": 86_400})
        is_new = request.headers["Authorization"] == "Bearer new"
        return httpx.Response(200, json={"status": "ok"}) if is_new else EXPIRED

    async with with_oauth2(handler) as ws:
        assert (await ws.call("me", raw=True)).body == b'{"status":"ok"}'


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_client"])
async def test_a_failed_refresh_is_an_error_because_the_reply_does_not_show_it(error: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/oauth2/"):
            return httpx.Response(400, json={"error": error, "error_description": error})
        return EXPIRED

    async with with_oauth2(handler) as ws:
        with pytest.raises(AuthError) as raised:
            await ws.call("me", raw=True)
    assert raised.value.action != "me"


async def test_raw_reads_are_neither_shared_nor_cached(session_with: Make) -> None:
    service = Service(replying({"status": "ok"}))
    async with session_with(service) as ws:
        view = ws.with_options(max_age=60)
        await view.call("get_tasks", {"id_project": 1})
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(lambda: view.call("get_tasks", {"id_project": 1}, raw=True))
    assert len(service.requests) == 3


async def test_a_raw_write_invalidates_the_cached_reads(session_with: Make) -> None:
    service = Service(replying({"status": "ok"}))
    async with session_with(service) as ws:
        view = ws.with_options(max_age=60)
        for _ in range(2):
            await view.call("get_tasks", {"id_project": 1})
            await view.call("complete_task", {"id_task": 1}, raw=True)
    assert len(service.requests) == 4


def test_the_repr_shows_neither_cookies_nor_signatures_nor_the_body() -> None:
    headers = {
        "set-cookie": "sid=0123; path=/",
        "location": f"https://acme.worksection.com/?action=me&hash={KEY}",
        "content-type": "application/json",
    }
    reply = RawReply(status=302, headers=headers, body=b'{"email": "ada@example.com"}')
    assert "application/json" in repr(reply)
    assert "<28 bytes>" in repr(reply)
    for secret in ("0123", KEY, "ada@"):
        assert secret not in repr(reply)
    assert hash(reply) == hash(attrs.evolve(reply))
