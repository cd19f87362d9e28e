"""The receiver behind real servers and proxies: chunked bodies, health checks, credentials, slashes, other headers."""

from __future__ import annotations

import base64
import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.support.webhook_deliveries import EVENT, OK, RecordingHandler, client
from tests.support.webhook_servers import served
from worksection_async.webhooks import WebhookReceiver

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture
def handler() -> RecordingHandler:
    return RecordingHandler()


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    """The parts of *content*; httpx sends them with ``Transfer-Encoding: chunked``."""
    for start in range(0, len(content), 50):
        yield content[start : start + 50]


@pytest.mark.parametrize(
    ("content", "headers"),
    [(EVENT, {}), (gzip.compress(EVENT), {"content-encoding": "gzip"}), (gzip.compress(EVENT), {})],
)
async def test_a_chunked_body_is_read(handler: RecordingHandler, content: bytes, headers: dict[str, str]) -> None:
    async with served(WebhookReceiver(handler)) as url, httpx.AsyncClient() as http:
        answer = await http.post(url, content=chunks(content), headers=headers)
        assert answer.request.headers["transfer-encoding"] == "chunked"
        assert (answer.status_code, answer.json()) == (200, OK)
    assert handler.object_ids == [9]


async def test_a_chunked_body_that_is_too_large_is_refused(handler: RecordingHandler) -> None:
    async with served(WebhookReceiver(handler, max_body=len(EVENT) - 1)) as url, httpx.AsyncClient() as http:
        answer = await http.post(url, content=chunks(EVENT))
        assert answer.status_code == 413
    assert handler.events == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("auth", "status"), [(("worksection", "secret"), 200), (None, 401)])
async def test_a_health_check_is_answered_and_is_no_event(
    handler: RecordingHandler, method: str, auth: Any, status: int
) -> None:
    receiver = WebhookReceiver(handler, username="worksection", password="secret")
    async with served(receiver) as url, httpx.AsyncClient() as http:
        answer = await http.request(method, f"{url}/health?probe=1", auth=auth)
        assert answer.status_code == status
        assert bool(answer.content) == (method == "GET")
        assert int(answer.headers["content-length"]) > 0
        again = await http.request(method, url, auth=auth)  # the connection is still in order
        assert again.status_code == status
    statistics = receiver.statistics()
    assert (statistics.received, statistics.unreadable, statistics.refused) == (0, 0, 0)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("auth", "status"), [(("worksection", "secret"), 503), (None, 401)])
async def test_a_health_check_with_credentials_sees_that_the_receiver_is_not_open(
    handler: RecordingHandler, method: str, auth: Any, status: int
) -> None:
    async with client(WebhookReceiver(handler, username="worksection", password="secret")) as http:
        assert (await http.request(method, "/", auth=auth)).status_code == status


async def test_credentials_are_compared_as_utf_8(handler: RecordingHandler) -> None:
    receiver = WebhookReceiver(handler, username="Ада", password="пароль é")
    async with served(receiver) as url, httpx.AsyncClient() as http:
        for text, status in (
            ("Ада:пароль é".encode(), 200),
            ("Ада:пароль é".encode("utf-16"), 401),
            ("Ада:пароль e\u0301".encode(), 401),  # another way to write the same letter
            (b"\xff\xfe:\xff", 401),
            ("é:é".encode("latin-1"), 401),
        ):
            header = b"Basic " + base64.b64encode(text)
            answer = await http.post(url, content=EVENT, headers={b"Authorization": header})
            assert answer.status_code == status, text
        raw = await http.post(url, content=EVENT, headers={b"Authorization": "Basic Ада:пароль".encode()})
        assert raw.status_code == 401
    assert handler.object_ids == [9]


# Proxies

FORWARDED = {
    "X-Forwarded-For": "10.0.0.1, \x7fnonsense",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "99999",
    "X-Forwarded-Prefix": "/elsewhere",
    "X-Forwarded-Method": "DELETE",
    "X-HTTP-Method-Override": "DELETE",
    "X-Original-URL": "/elsewhere",
    "Forwarded": "for=10.0.0.1;proto=http;host=evil.example",
    "Via": "1.1 proxy",
}


@pytest.mark.parametrize("is_used_by_server", [False, True])
async def test_headers_of_proxies_change_no_answer(handler: RecordingHandler, is_used_by_server: bool) -> None:
    receiver = WebhookReceiver(handler, username="worksection", password="secret")
    app: Any = receiver
    if is_used_by_server:
        app = ProxyHeadersMiddleware(app, trusted_hosts="*")
    async with served(app) as url, httpx.AsyncClient(headers=FORWARDED) as http:
        answer = await http.post(url, content=EVENT, auth=("worksection", "secret"))
        assert (answer.status_code, answer.json()) == (200, OK)
        assert "evil.example" not in str(answer.headers)
        assert (await http.post(url, content=EVENT)).status_code == 401
    assert handler.object_ids == [9]


@pytest.mark.parametrize(
    "name", ["Proxy-Authorization", "X-Forwarded-Authorization", "X-Authorization", "X-Forwarded-User", "Cookie"]
)
async def test_only_the_header_authorization_carries_credentials(handler: RecordingHandler, name: str) -> None:
    value = "Basic " + base64.b64encode(b"worksection:secret").decode()
    receiver = WebhookReceiver(handler, username="worksection", password="secret")
    async with receiver, client(receiver) as http:
        assert (await http.post("/", content=EVENT, headers={name: value})).status_code == 401
        assert (await http.post("http://worksection:wrong@hooks.test/", content=EVENT)).status_code == 401
    assert handler.events == []
