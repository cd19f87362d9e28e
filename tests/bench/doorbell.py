"""How soon an event is handled after its webhook: receiver → Redis → watch → `get_events`, at one request a second.

The reference is one slot of the rate limit. The webhooks follow each other more quickly than the slots, so that a look
has to wait for its slot.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import anyio

from tests.bench.measure import Comparison
from tests.support.valkey import start_valkey
from worksection_async import ApiKey, Session, TokenBucket
from worksection_async.redis import RedisDoorbell
from worksection_async.testing import Simulator
from worksection_async.webhooks import WebhookReceiver

WEBHOOKS = 20
PAUSE_SECONDS = 0.7


def compare() -> Iterator[Comparison]:
    server = start_valkey()
    try:
        seconds = anyio.run(latencies, f"redis://127.0.0.1:{server.port}")
    finally:
        server.stop()
    yield Comparison("webhook to event with a doorbell, median / one slot", statistics.median(seconds), 1.0, "s", 1.1)


async def latencies(redis_url: str) -> list[float]:
    """Return seconds from the request of each webhook to its event in the loop of the watch."""
    sim = Simulator(rate=1.0)
    sim.connect("https://hooks.test", receiver := WebhookReceiver(RedisDoorbell(redis_url, "bell").ring))
    task = next(iter(sim.tasks.values()))
    sent: dict[int, float] = {}
    seconds: list[float] = []

    async def watch() -> None:
        async for event in ws.watch(doorbell=RedisDoorbell(redis_url, "bell"), every=600):
            if "number" in event.new:
                seconds.append(time.monotonic() - sent[int(str(event.new["number"]))])
            if len(seconds) == WEBHOOKS:
                return

    with sim.serve() as url:
        async with Session(url, ApiKey(sim.api_key), limiter=TokenBucket(1.0)) as ws, receiver:
            await ws.add_webhook("https://hooks.test/in", ["update_task"])
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                await anyio.sleep(2.0)
                for number in range(WEBHOOKS):
                    sent[number] = time.monotonic()
                    await sim.emit("update", task, new={"number": number})
                    await anyio.sleep(PAUSE_SECONDS)
    return seconds
