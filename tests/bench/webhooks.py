"""How long the service waits for the answer to a webhook, while the handler is slow and fails at times."""

from __future__ import annotations

import json
import logging
import time

import anyio
import httpx
import uvicorn

from tests.bench.measure import Figure
from worksection_async.models import Event
from worksection_async.webhooks import WebhookReceiver

DELIVERIES = 1_000


def figures() -> list[Figure]:
    logging.getLogger("worksection_async").setLevel(logging.CRITICAL)  # the handler's errors are ours
    worst = sorted(anyio.run(answered))[int(DELIVERIES * 0.99)] * 1e3
    return [Figure("answer to a webhook, 99th percentile", worst, 0.0, "ms", 100.0, absolute=True)]


async def handle(event: Event) -> None:
    await anyio.sleep(0.001)
    if event.object.id % 7 == 0:
        raise RuntimeError("the handler's own")


async def answered() -> list[float]:
    """Seconds from each request to its answer, over a real socket."""
    receiver = WebhookReceiver(handle, queue_size=DELIVERIES)
    server = uvicorn.Server(uvicorn.Config(receiver, port=0, log_config=None))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        while not server.started:  # noqa: ASYNC110  # uvicorn tells it in no other way
            await anyio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            seconds = [await timed(http, number) for number in range(1, DELIVERIES + 1)]
        server.should_exit = True
    assert receiver.statistics().received == DELIVERIES
    return seconds


async def timed(http: httpx.AsyncClient, number: int) -> float:
    thing = {"type": "task", "id": str(number), "page": f"/task/{number}/"}
    event = {"action": "post", "object": thing, "date_added": "2026-01-07 16:38"}
    start = time.perf_counter()
    answer = await http.post("/", content=json.dumps([event]))
    assert answer.json() == {"status": "OK"}
    return time.perf_counter() - start
