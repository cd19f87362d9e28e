"""How long the service waits for the response to a webhook while the handler is slow and fails sometimes.

The reference is an ASGI application that reads the request and responds without any work, on the same server.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import uvicorn

from tests.bench.measure import Comparison
from worksection_async.models import Event
from worksection_async.webhooks import WebhookReceiver

DELIVERIES = 1_000


def compare() -> Iterator[Comparison]:
    logging.getLogger("worksection_async").setLevel(logging.CRITICAL)  # the handler fails on purpose
    ours, bare = (sorted(times)[int(DELIVERIES * 0.99)] * 1e3 for times in anyio.run(response_times))
    yield Comparison("response to a webhook, 99th percentile / a bare ASGI application", ours, bare, "ms", 2.0)


async def handle(event: Event) -> None:
    await anyio.sleep(0.001)
    if event.object.id % 7 == 0:
        raise RuntimeError("a handler that fails")


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Read the request and respond as the service requires."""
    assert scope["type"] == "http"
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"status":"OK"}'})


async def response_times() -> tuple[list[float], list[float]]:
    """Return seconds from request to response over loopback, of the receiver and of the bare application."""
    receiver = WebhookReceiver(handle, queue_size=DELIVERIES)
    servers = [
        uvicorn.Server(uvicorn.Config(receiver, port=0, log_config=None)),
        uvicorn.Server(uvicorn.Config(bare, port=0, log_config=None, lifespan="off")),
    ]
    times: tuple[list[float], list[float]] = ([], [])
    async with anyio.create_task_group() as tasks, httpx.AsyncClient() as http:
        for server in servers:
            tasks.start_soon(server.serve)
        while not all(server.started for server in servers):  # noqa: ASYNC110  # uvicorn has no event for it
            await anyio.sleep(0.01)
        urls = [f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/" for server in servers]
        for number in range(1, DELIVERIES + 1):
            for url, side in zip(urls, times, strict=True):
                side.append(await response_time(http, url, number))
        for server in servers:
            server.should_exit = True
    assert receiver.statistics().received == DELIVERIES
    return times


async def response_time(http: httpx.AsyncClient, url: str, number: int) -> float:
    obj = {"type": "task", "id": str(number), "page": f"/task/{number}/"}
    event = {"action": "post", "object": obj, "date_added": "2026-01-07 16:38"}
    start = time.perf_counter()
    response = await http.post(url, content=json.dumps([event]))
    assert response.json() == {"status": "OK"}
    return time.perf_counter() - start
