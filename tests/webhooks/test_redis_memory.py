"""`RedisMemory`: receivers on several machines handle an event once, and lose none of it, also if one is killed."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.constants import ROOT
from tests.support.valkey import OwnServer, start_valkey
from tests.support.webhook_deliveries import EVENT, OK, RecordingHandler, body, client, record
from worksection_async._transport.redis_client import value_and_time
from worksection_async.errors import InvalidCall
from worksection_async.models import Event
from worksection_async.redis import RedisMemory
from worksection_async.testing import VirtualClock
from worksection_async.webhooks import WebhookReceiver, parse_events
from worksection_async.webhooks import redis_memory as module
from worksection_async.webhooks.deduplication import RecentEvents

pytestmark = pytest.mark.anyio

KEY = "hooks:task:9"


@pytest.fixture
def server(valkey: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey) as server:
        server.flushall()
        yield server


class ServerClock:
    """Moves the time of the server, as the memories read it, and what is left until its keys expire."""

    def __init__(self, server: redis.Redis) -> None:
        self._server = server
        self._ahead = 0.0

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
        for key in self._server.scan_iter():
            self._server.pexpire(key, self._server.pttl(key) - round(seconds * 1000))

    def value_and_time(self, answer: Any) -> tuple[bytes, float]:
        value, now = value_and_time(answer)
        return value, now + self._ahead


@pytest.fixture
def clock(server: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> ServerClock:
    clock = ServerClock(server)
    monkeypatch.setattr(module, "value_and_time", clock.value_and_time)
    return clock


def memory(valkey: str) -> RedisMemory:
    """A memory with a client of its own, as on another machine."""
    return RedisMemory(valkey, "hooks")


def events(*records: tuple[int, str]) -> list[Event]:
    return parse_events(body(*(record(number, action) for number, action in records)))


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What this package logged; other tests change the level of the root logger."""
    return [it for it in caplog.records if it.name == "worksection_async"]


# Repetitions

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "forget", "confirm"]),
        st.lists(st.tuples(st.integers(1, 2), st.sampled_from(["close", "reopen"])), min_size=1, max_size=4),
    ),
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
async def test_two_machines_recognise_the_repetitions_that_one_process_recognises(
    valkey: str, server: redis.Redis, steps: list[tuple[str, list[tuple[int, str]]]]
) -> None:
    server.flushall()
    alone, machines = RecentEvents(10), [memory(valkey), memory(valkey)]
    unconfirmed: list[Event] = []
    for number, (step, delivery) in enumerate(steps):
        shared, parsed = machines[number % 2], events(*delivery)
        if step == "reserve":
            new = await alone.reserve(parsed)
            assert await shared.reserve(parsed) == new
            unconfirmed += new
        elif step == "forget":
            await shared.forget(parsed)
            await alone.forget(parsed)
            unconfirmed = [event for event in unconfirmed if event not in parsed]
        elif unconfirmed:
            await shared.confirm(unconfirmed.pop(0))


async def test_an_event_that_another_machine_records_in_the_middle_of_a_visit_is_a_repetition(
    valkey: str, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, (close, reopen) = memory(valkey), events((9, "close"), (9, "reopen"))
    read = slow._read
    in_between: list[Event] = []

    def read_and_be_overtaken(keys: list[str]) -> Any:
        answer = read(keys=keys)
        if not in_between:
            in_between.extend(anyio.run(memory(valkey).reserve, [close]))
        return answer

    monkeypatch.setattr(slow, "_read", read_and_be_overtaken)
    assert await slow.reserve([close, reopen]) == [reopen]
    assert in_between == [close]


RECEIVE = """
import sys, anyio
from tests.support.webhook_deliveries import RecordingHandler, body, client, record
from worksection_async.redis import RedisMemory
from worksection_async.testing import VirtualClock
from worksection_async.webhooks import WebhookReceiver

async def main():
    handler = RecordingHandler()
    receiver = WebhookReceiver(handler, remember=RedisMemory(sys.argv[1], "hooks"))
    async with receiver, client(receiver) as http:
        while number := sys.stdin.readline():
            await http.post("/", content=body(record(int(number)), record(int(number) + 1000)))
            print("answered", flush=True)
    print(*handler.object_ids)

anyio.run(main)
"""


def test_processes_that_get_the_same_deliveries_at_the_same_time_handle_each_event_once(
    valkey: str, server: redis.Redis
) -> None:
    command = [sys.executable, "-c", RECEIVE, valkey]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)
    ]
    for number in range(50):
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "answered\n"
    handled = " ".join(process.communicate(timeout=60)[0] for process in processes).split()
    assert Counter(handled) == Counter(str(number) for first in range(50) for number in (first, first + 1000))


async def test_an_event_whose_handler_failed_is_handled_by_the_next_machine_that_gets_it(
    valkey: str, server: redis.Redis
) -> None:
    async def failing(event: Event) -> None:
        raise LookupError

    handler = RecordingHandler()
    first = WebhookReceiver(failing, acknowledge="after", remember=memory(valkey))
    second = WebhookReceiver(handler, acknowledge="after", remember=memory(valkey))
    async with first, second, client(first) as one, client(second) as other:
        assert (await one.post("/", content=EVENT)).status_code == 500
        assert [(await other.post("/", content=EVENT)).status_code for _ in range(2)] == [200, 200]
        assert (await one.post("/", content=EVENT)).json() == OK
    assert handler.object_ids == [9]
    assert (first.statistics().duplicates, second.statistics().duplicates) == (1, 1)


async def test_an_event_that_did_not_fit_into_the_queue_is_handled_by_the_next_machine_that_gets_it(
    valkey: str, server: redis.Redis
) -> None:
    busy, handler = RecordingHandler(), RecordingHandler()
    busy.block()
    first = WebhookReceiver(busy, queue_size=1, remember=memory(valkey))
    second = WebhookReceiver(handler, remember=memory(valkey))
    async with first, second, client(first) as one, client(second) as other:
        await one.post("/", content=body(record(1)))
        assert (await one.post("/", content=EVENT)).status_code == 503
        assert (await other.post("/", content=EVENT)).status_code == 200
        busy.unblocked.set()
    assert handler.object_ids == [9]


# Expiry


async def test_there_is_one_key_per_object_and_it_expires(valkey: str, server: redis.Redis) -> None:
    handler = RecordingHandler()
    handler.block()
    async with WebhookReceiver(handler, remember=RedisMemory(valkey, "hooks", ttl=5000)) as receiver:
        async with client(receiver) as http:
            await http.post("/", content=body(record(1), record(1, "close"), record(9)))
        assert sorted(server.keys()) == [b"hooks:task:1", b"hooks:task:9"]
        assert all(0 < server.ttl(key) <= module.UNCONFIRMED_SECONDS for key in server.scan_iter())
        handler.unblocked.set()
    assert all(4900 < server.ttl(key) <= 5000 for key in server.scan_iter())
    assert module.UNCONFIRMED_SECONDS == 10


async def test_an_event_that_was_handled_after_the_drain_time_is_confirmed(valkey: str, server: redis.Redis) -> None:
    started, finish = anyio.Event(), anyio.Event()

    async def handler(event: Event) -> None:
        with anyio.CancelScope(shield=True):
            started.set()
            await finish.wait()

    async def close() -> None:
        async with WebhookReceiver(handler, remember=memory(valkey), drain=0.0) as receiver, client(receiver) as http:
            await http.post("/", content=EVENT)
            await started.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        await started.wait()
        await anyio.wait_all_tasks_blocked()
        finish.set()
    assert server.ttl(KEY) > module.UNCONFIRMED_SECONDS


KILLED = """
import os, signal, sys, anyio
from tests.support.webhook_deliveries import EVENT, client
from worksection_async.redis import RedisMemory
from worksection_async.testing import VirtualClock
from worksection_async.webhooks import WebhookReceiver

async def handler(event):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    receiver = WebhookReceiver(handler, acknowledge="after", remember=RedisMemory(sys.argv[1], "hooks"))
    async with receiver, client(receiver) as http:
        await http.post("/", content=EVENT)

anyio.run(main)
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_after_ten_seconds_an_event_of_a_killed_receiver_is_handled_by_another_one(
    valkey: str, server: redis.Redis, clock: ServerClock
) -> None:
    ran = await anyio.run_process([sys.executable, "-c", KILLED, valkey], cwd=ROOT, check=False)
    assert ran.returncode == -signal.SIGKILL
    handler = RecordingHandler()
    async with WebhookReceiver(handler, remember=memory(valkey)) as receiver, client(receiver) as http:
        await http.post("/", content=EVENT)
        assert receiver.statistics().duplicates == 1
        assert 0 < server.ttl(KEY) <= module.UNCONFIRMED_SECONDS
        clock.advance(module.UNCONFIRMED_SECONDS)
        await http.post("/", content=EVENT)
    assert handler.object_ids == [9]


UPDATE, CLOSE, REOPEN = events((9, "update"), (9, "close"), (9, "reopen"))


@pytest.mark.parametrize(("order", "handled_again"), [([CLOSE, REOPEN], [CLOSE, REOPEN]), ([REOPEN, CLOSE], [CLOSE])])
async def test_an_event_of_a_killed_receiver_is_handled_although_another_one_of_its_object_was_handled(
    order: list[Event], handled_again: list[Event], valkey: str, clock: ServerClock
) -> None:
    """What came after it is handled again, because the last event decides about the state of the object."""
    killed, other = memory(valkey), memory(valkey)
    for event in order:
        assert await (killed if event is CLOSE else other).reserve([event]) == [event]
    await other.confirm(REOPEN)
    clock.advance(module.UNCONFIRMED_SECONDS)
    assert await other.reserve([REOPEN]) == []
    assert await other.reserve(order) == handled_again


async def test_a_receiver_that_is_killed_while_it_handles_the_last_event_of_a_delivery_loses_only_that_one(
    valkey: str, clock: ServerClock
) -> None:
    killed, delivery = memory(valkey), [CLOSE, REOPEN, CLOSE]
    await killed.reserve(delivery)
    for event in delivery[:2]:
        await killed.confirm(event)
    clock.advance(module.UNCONFIRMED_SECONDS)
    assert await memory(valkey).reserve(delivery) == [CLOSE]


async def test_events_that_waited_longer_than_ten_seconds_are_remembered_when_they_were_handled(
    valkey: str, clock: ServerClock
) -> None:
    handled: list[int] = []

    async def slow(event: Event) -> None:
        handled.append(event.object.id)
        clock.advance(6)

    delivery = body(*(record(number) for number in range(6)))
    receiver = WebhookReceiver(slow, acknowledge="after", remember=memory(valkey))
    async with receiver, client(receiver) as http:
        for _ in range(2):
            assert (await http.post("/", content=delivery)).json() == OK
    assert handled == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("seconds", [0, 6, 11])
async def test_a_delivery_of_one_object_is_a_repetition_however_long_its_handlers_took(
    seconds: int, valkey: str, clock: ServerClock
) -> None:
    """The second time a task is closed in one minute has the key of the first time."""
    shared, delivery = memory(valkey), [CLOSE, REOPEN, CLOSE]
    assert await shared.reserve(delivery) == delivery
    for event in delivery:
        clock.advance(seconds)
        await shared.confirm(event)
    clock.advance(module.UNCONFIRMED_SECONDS)
    assert await shared.reserve(delivery) == []


async def test_the_order_of_events_is_kept_if_one_of_them_expired_before_it_was_handled(
    valkey: str, clock: ServerClock
) -> None:
    shared = memory(valkey)
    await shared.reserve([UPDATE])
    await shared.confirm(UPDATE)
    await shared.reserve([CLOSE])
    clock.advance(9)
    await shared.reserve([REOPEN])
    clock.advance(2)
    await shared.confirm(CLOSE)
    await shared.confirm(REOPEN)
    assert await shared.reserve([UPDATE, CLOSE, REOPEN]) == []


async def test_an_event_that_two_receivers_handled_because_one_was_slow_is_remembered_once(
    valkey: str, clock: ServerClock
) -> None:
    slow, quick = memory(valkey), memory(valkey)
    await quick.reserve([REOPEN])
    await quick.confirm(REOPEN)
    await slow.reserve([CLOSE])
    clock.advance(module.UNCONFIRMED_SECONDS)
    assert await quick.reserve([CLOSE]) == [CLOSE]
    await quick.confirm(CLOSE)
    await slow.confirm(CLOSE)
    assert await quick.reserve([REOPEN, CLOSE]) == []


async def test_a_new_event_does_not_shorten_the_time_for_which_a_handled_one_is_remembered(
    valkey: str, server: redis.Redis, clock: ServerClock
) -> None:
    shared = memory(valkey)
    await shared.reserve([CLOSE])
    await shared.confirm(CLOSE)
    await shared.reserve([REOPEN])
    assert server.ttl(KEY) > 86_000
    clock.advance(module.UNCONFIRMED_SECONDS)
    assert await shared.reserve([CLOSE]) == []


async def test_a_handled_event_is_forgotten_after_its_own_time_to_live(valkey: str, clock: ServerClock) -> None:
    """Otherwise the events of a busy object would be remembered for good."""
    shared = RedisMemory(valkey, "hooks", ttl=100)
    for event in (REOPEN, CLOSE):
        await shared.reserve([event])
        await shared.confirm(event)
        clock.advance(60)
    assert await shared.reserve([REOPEN, CLOSE]) == [REOPEN, CLOSE]
    clock.advance(100)
    assert await shared.reserve([CLOSE]) == [CLOSE]


# The server


@pytest.fixture
def cluster() -> Iterator[redis.RedisCluster]:
    """A cluster of one node. It refuses commands with keys of several slots like any other."""
    node = start_valkey({"cluster-enabled": "yes"})
    try:
        with redis.Redis(port=node.port) as server:
            server.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while server.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                time.sleep(0.01)
        with redis.RedisCluster("127.0.0.1", node.port) as client:
            yield client
    finally:
        node.stop()


async def test_a_cluster_is_supported(cluster: redis.RedisCluster) -> None:
    first, second = (RedisMemory(cluster, "hooks") for _ in range(2))
    delivery = events((1, "close"), (2, "close"))
    assert await first.reserve(delivery) == delivery
    await first.forget(delivery[:1])
    assert await second.reserve(delivery) == delivery[:1]
    await second.confirm(delivery[1])


@pytest.mark.parametrize("content", [b"garbage", b"\xff\xfe", b"\0"])
async def test_a_foreign_value_is_replaced(content: bytes, valkey: str, server: redis.Redis) -> None:
    server.set(KEY, content)
    delivery = events((9, "close"))
    assert await memory(valkey).reserve(delivery) == delivery
    assert await memory(valkey).reserve(delivery) == []


async def test_a_client_that_decodes_responses_works(valkey: str, server: redis.Redis) -> None:
    with redis.Redis.from_url(valkey, decode_responses=True) as decoding:
        shared = RedisMemory(decoding, "hooks")
        delivery = events((9, "close"))
        assert [await shared.reserve(delivery) for _ in range(2)] == [delivery, []]


async def test_in_an_outage_events_are_handled_and_one_warning_is_logged(
    own_server: OwnServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver recognises its own repetitions. After the outage the server is used again."""
    monkeypatch.setattr(module, "COOLDOWN_SECONDS", 0.0)
    own_server.stop()
    handler = RecordingHandler()
    receiver = WebhookReceiver(handler, acknowledge="after", remember=memory(own_server.url))
    async with receiver, client(receiver) as http:
        for number in (1, 2, 2, 3):
            assert (await http.post("/", content=body(record(number)))).json() == OK
        assert handler.object_ids == [1, 2, 3]
        own_server.start()
        assert (await http.post("/", content=body(record(4)))).json() == OK
    with redis.Redis(port=own_server.port) as server:
        assert server.keys() == [b"hooks:task:4"]
    (warning,) = logged(caplog)
    assert (warning.levelno, handler.object_ids) == (logging.WARNING, [1, 2, 3, 4])
    assert "RedisMemory hooks cannot be used (ConnectionError): until it can, each webhook receiver" in caplog.text


async def test_during_the_cooldown_the_server_is_not_asked(
    own_server: OwnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each delivery would wait for the timeout of a server that does not answer."""
    own_server.stop()
    shared, delivery = memory(own_server.url), events((9, "close"))
    read, asked = shared._read, Counter[str]()

    def counted(keys: list[str]) -> Any:
        asked.update(keys)
        return read(keys=keys)

    monkeypatch.setattr(shared, "_read", counted)
    assert [await shared.reserve(delivery) for _ in range(3)] == [delivery, [], []]
    assert asked == {KEY: 1}


async def test_the_warning_does_not_contain_the_password(
    own_server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.stop()
    shared = RedisMemory(f"redis://user:s3cret@127.0.0.1:{own_server.port}", "hooks")
    await shared.reserve(events((9, "close")))
    assert "cannot be used" in caplog.text
    assert "s3cret" not in f"{caplog.text} {shared!r}"


async def test_a_delivery_without_events_does_not_need_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """A health check must not depend on another machine."""
    shared = RedisMemory("redis://127.0.0.1:1", "hooks")
    async with WebhookReceiver(RecordingHandler(), remember=shared) as receiver, client(receiver) as http:
        assert (await http.get("/")).json() == OK
        assert (await http.post("/", content=b"[]")).json() == OK
    assert logged(caplog) == []


# A slow memory


class SlowMemory(RecentEvents):
    """A memory whose `reserve` waits until it is released."""

    def __init__(self) -> None:
        super().__init__(10)
        self.released = anyio.Event()
        self.asked = anyio.Event()
        self.forgotten: list[Event] = []

    async def reserve(self, events: Sequence[Event]) -> list[Event]:
        self.asked.set()
        await self.released.wait()
        return await super().reserve(events)

    async def forget(self, events: Sequence[Event]) -> None:
        self.forgotten += events
        await super().forget(events)


async def _post_all(http: Any, *deliveries: bytes) -> list[int]:
    """Post all at once, and release the memory when all wait for it; return the statuses in order."""
    statuses: dict[int, int] = {}

    async def post(number: int) -> None:
        statuses[number] = (await http.post("/", content=deliveries[number])).status_code

    async with anyio.create_task_group() as tasks:
        for number in range(len(deliveries)):
            tasks.start_soon(post, number)
            await anyio.wait_all_tasks_blocked()
        http.memory.released.set()
    return [statuses[number] for number in sorted(statuses)]


async def test_deliveries_are_queued_in_the_order_of_arrival_while_the_memory_is_slow() -> None:
    handler, slow = RecordingHandler(), SlowMemory()
    async with WebhookReceiver(handler, remember=slow) as receiver, client(receiver) as http:
        http.memory = slow  # type: ignore[attr-defined]
        assert await _post_all(http, *(body(record(number)) for number in range(5))) == [200] * 5
    assert handler.object_ids == [0, 1, 2, 3, 4]


async def test_a_slow_memory_does_not_overfill_the_queue() -> None:
    handler, slow = RecordingHandler(), SlowMemory()
    handler.block()
    async with WebhookReceiver(handler, remember=slow, queue_size=2) as receiver, client(receiver) as http:
        http.memory = slow  # type: ignore[attr-defined]
        assert await _post_all(http, *(body(record(number)) for number in range(3))) == [200, 200, 503]
        assert slow.forgotten == []
        handler.unblocked.set()
    assert handler.object_ids == [0, 1]


async def test_a_receiver_that_is_closed_while_the_memory_is_asked_gives_the_events_back() -> None:
    handler, slow, answers = RecordingHandler(), SlowMemory(), []

    async def post() -> None:
        answers.append((await http.post("/", content=EVENT)).status_code)

    receiver = WebhookReceiver(handler, remember=slow)
    async with client(receiver) as http, anyio.create_task_group() as tasks:
        async with receiver:
            tasks.start_soon(post)
            await slow.asked.wait()
        slow.released.set()
    assert (answers, handler.events) == ([503], [])
    assert await slow.reserve(parse_events(EVENT)) == parse_events(EVENT)


async def test_the_time_of_the_memory_counts_for_the_answer() -> None:
    """The service waits five seconds for the memory and the handler together."""

    class MemoryOfThreeSeconds(RecentEvents):
        async def reserve(self, events: Sequence[Event]) -> list[Event]:
            await anyio.sleep(3)
            return await super().reserve(events)

    handled: list[int] = []

    async def handler(event: Event) -> None:
        await anyio.sleep(2)
        handled.append(event.object.id)

    clock = VirtualClock()
    receiver = WebhookReceiver(handler, acknowledge="after", remember=MemoryOfThreeSeconds(10))
    async with receiver, client(receiver) as http:
        start = clock.monotonic()
        assert (await http.post("/", content=EVENT)).status_code == 503
        assert clock.monotonic() - start == pytest.approx(4)
    assert handled == [9]
    clock.stop()


# Arguments


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"url_or_client": "localhost", "key": "hooks"}, "begins with one of"),
        ({"url_or_client": "redis://", "key": ""}, "key must be a name, not ''"),
        ({"url_or_client": "redis://", "key": 5}, "key must be a name, not 5"),
        ({"url_or_client": "redis://", "key": "hooks", "ttl": 9}, "ttl must be at least 10 seconds, not 9"),
        ({"url_or_client": "redis://", "key": "hooks", "ttl": None}, "ttl must be at least 10 seconds, not None"),
    ],
)
def test_invalid_arguments_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidCall, match=complaint):
        RedisMemory(**options)


@pytest.mark.parametrize("remember", ["redis://localhost", None, 1.5])
def test_a_receiver_remembers_a_number_of_objects_or_in_a_memory(remember: Any) -> None:
    with pytest.raises(InvalidCall, match="remember must be a number or a RedisMemory, got "):
        WebhookReceiver(RecordingHandler(), remember=remember)
