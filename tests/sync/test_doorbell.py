"""A doorbell lets a watch look at once. It carries no events: these come from the service, each once."""

from __future__ import annotations

import logging
import sys

import anyio
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.events import (
    HOUR,
    MINUTE,
    Service,
    create_events,
    events_within,
    keys,
    stored_events,
    with_simulator,
)
from tests.support.valkey import start_valkey
from tests.support.valkey import valkey as valkey  # noqa: PLC0414  # a fixture
from tests.support.webhook_deliveries import body, client, record
from worksection_async import Doorbell
from worksection_async._sync import redis_doorbell
from worksection_async.errors import InvalidCall, StorageError, TransportError
from worksection_async.redis import RedisDoorbell
from worksection_async.testing import faults
from worksection_async.webhooks import WebhookReceiver

EVERY = 600.0


def looks(sim: Service) -> int:
    return [request.action for request in sim.requests].count("get_events")


def test_a_delivery_lets_the_watch_look_within_one_slot() -> None:
    """A webhook need not be readable, and may be a repetition: the watch asks the service."""

    async def main(sim: Service) -> None:
        sim.clear_events()
        latencies: list[float] = []
        rung_at = 0.0

        async def watch() -> None:
            async for _ in ws.watch(every=EVERY, doorbell=receiver):
                latencies.append(anyio.current_time() - rung_at)

        async with (
            WebhookReceiver() as receiver,
            client(receiver) as http,
            sim.session() as ws,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(watch)
            for content in (body(record(1)), body(record(1)), b"unreadable"):
                await anyio.sleep(10 * MINUTE + 1)
                await sim.emit("update", next(iter(sim.tasks.values())))
                rung_at = anyio.current_time()
                await http.post("/", content=content)
            await anyio.sleep(MINUTE)
            tasks.cancel_scope.cancel()
        assert len(latencies) == 3
        assert max(latencies) <= 1.0

    with_simulator(main)


def test_many_calls_are_one_look_and_a_call_during_a_look_is_not_lost() -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with WebhookReceiver() as receiver, client(receiver) as http, sim.session() as ws:
            watch = ws.watch(every=EVERY, doorbell=receiver)
            assert await events_within(MINUTE, watch) == []
            await create_events(sim, 2)
            sim.requests.clear()
            for number in range(20):
                await http.post("/", content=body(record(number)))
            found = await events_within(MINUTE, watch)
            assert (len(found), looks(sim)) == (4, 1)

            async def ring_during_the_look() -> None:
                await http.post("/", content=body(record(100)))
                await anyio.sleep(3)
                assert looks(sim) == 2
                await create_events(sim, 1)
                await http.post("/", content=body(record(101)))

            async with anyio.create_task_group() as tasks:
                sim.fail("get_events", faults.delay(5))
                tasks.start_soon(ring_during_the_look)
                found += await events_within(MINUTE, watch)
            assert looks(sim) == 3
        assert keys(found) == stored_events(sim)

    with_simulator(main)


def test_the_event_of_a_failed_look_does_not_wait_for_the_interval() -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with WebhookReceiver() as receiver, client(receiver) as http, sim.session(retries=0) as ws:
            watch = ws.watch(every=EVERY, doorbell=receiver)
            assert await events_within(MINUTE, watch) == []
            await create_events(sim, 1)
            await http.post("/", content=body(record(1)))
            sim.fail("get_events", "reset")
            with pytest.raises(TransportError):
                await anext(watch)
            assert keys(await events_within(2 * MINUTE, watch)) == stored_events(sim)

    with_simulator(main)


def test_an_event_that_is_listed_after_its_webhook_is_found_within_a_minute() -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        async with WebhookReceiver() as receiver, client(receiver) as http, sim.session() as ws:
            watch = ws.watch(every=EVERY, doorbell=receiver)
            assert await events_within(MINUTE, watch) == []
            await http.post("/", content=body(record(1)))
            assert await events_within(30, watch) == []
            await create_events(sim, 1)
            assert keys(await events_within(MINUTE, watch)) == stored_events(sim)
            sim.requests.clear()
            assert await events_within(HOUR, watch) == []
            assert looks(sim) == 6, "then it looks at its interval again"

    with_simulator(main)


def test_an_idle_watch_makes_six_requests_an_hour() -> None:
    async def main(sim: Service) -> None:
        async with WebhookReceiver() as receiver, client(receiver) as http, sim.session() as ws:
            watch = ws.watch(every=EVERY, doorbell=receiver)
            await events_within(1, watch)
            sim.requests.clear()
            for method in ("GET", "HEAD"):  # health checks are no deliveries
                await http.request(method, "/")
            await events_within(HOUR, watch)
            assert len(sim.requests) == 6

    with_simulator(main)


def test_a_doorbell_is_anything_with_wait() -> None:
    class Never:
        async def wait(self) -> None:
            await anyio.sleep_forever()

    ws = Service().session()
    assert isinstance(Never(), Doorbell)
    assert isinstance(WebhookReceiver(), Doorbell)
    ws.watch(doorbell=Never())
    with pytest.raises(InvalidCall, match=r"doorbell needs a method wait\(\), got 'redis://'"):
        ws.watch(doorbell="redis://")  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match="doorbell needs a method wait"):
        ws.watch(doorbell=Never)  # type: ignore[arg-type]  # the class


# Redis


@pytest.fixture
def key(valkey: str) -> str:
    redis.Redis.from_url(valkey).flushdb()
    return "acme:bell"


async def is_rung(bell: Doorbell) -> bool:
    with anyio.move_on_after(0.3):
        await bell.wait()
        return True
    return False


@pytest.mark.anyio
async def test_each_watch_hears_a_call_once(valkey: str, key: str) -> None:
    bells = [RedisDoorbell(valkey, key) for _ in range(3)]
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for bell in bells[:2]:
                tasks.start_soon(bell.wait)
            await bells[2].ring()
            await bells[2].ring()
        await bells[2].wait()
        await bells[0].ring()
        for bell in bells:
            await bell.wait()
    assert [await is_rung(bell) for bell in bells] == [False] * 3


@pytest.mark.anyio
async def test_calls_before_the_wait_and_during_a_cancelled_one_are_heard(valkey: str, key: str) -> None:
    bell = RedisDoorbell(valkey, key)
    await bell.ring()
    assert await is_rung(RedisDoorbell(valkey, key))
    assert await is_rung(bell)
    assert not await is_rung(bell)  # cancelled, while its thread still waits
    await bell.ring()
    assert await is_rung(bell)


@pytest.mark.anyio
async def test_a_receiver_in_another_process_rings(valkey: str, key: str) -> None:
    program = """
import sys, anyio
from tests.support.webhook_deliveries import EVENT, client
from worksection_async.redis import RedisDoorbell
from worksection_async.testing import faults
from worksection_async.webhooks import WebhookReceiver

async def main():
    bell = RedisDoorbell(*sys.argv[1:])
    async with WebhookReceiver(bell.ring) as receiver, client(receiver) as http:
        await http.post("/", content=EVENT)

anyio.run(main)
"""
    bell = RedisDoorbell(valkey, key)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.run_process, [sys.executable, "-c", program, valkey, key])
        with anyio.fail_after(60):
            await bell.wait()


@pytest.mark.anyio
async def test_the_key_expires(valkey: str, key: str) -> None:
    await RedisDoorbell(valkey, key).ring()
    client = redis.Redis.from_url(valkey)
    assert (client.xlen(key), 0 < client.ttl(key) <= redis_doorbell.EXPIRY_SECONDS) == (1, True)


@pytest.mark.anyio
async def test_a_server_that_stops_is_logged_once_and_found_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis_doorbell, "RETRY_SECONDS", 0.01)
    server = start_valkey()
    client = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))
    bell = RedisDoorbell(client, "bell")
    await bell.ring()
    assert await is_rung(bell)
    server.stop()
    while not caplog.records:
        assert not await is_rung(bell)
    assert not await is_rung(bell)
    with pytest.raises(StorageError, match=r"doorbell: the server of the doorbell bell cannot be used \(Connection"):
        await bell.ring()
    server.start()
    await bell.ring()
    with anyio.fail_after(60):
        await bell.wait()
    client.close()
    server.stop()
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["<RedisDoorbell bell> cannot be used (ConnectionError): watches look at their interval"]
