"""Stores keep the position of a watch: each event is yielded at least once, and one of several programs watches."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.events import (
    DAY,
    HOUR,
    MINUTE,
    START,
    Service,
    collect,
    create_events,
    events_within,
    keys,
    stored_events,
    with_simulator,
)
from tests.support.valkey import start_valkey
from tests.support.valkey import valkey as valkey  # noqa: PLC0414  # a fixture
from worksection_async import Cursor, CursorStore, FileCursor, Lease
from worksection_async._sync import cursor_stores
from worksection_async.errors import EventsLost, InvalidCall, StorageError, TransportError
from worksection_async.models import Event
from worksection_async.redis import RedisCursor
from worksection_async.testing import Simulator

Stores = Callable[[], CursorStore]
"""Makes objects for one stored position, as each program does."""

KINDS = ["file", "redis"]


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    if request.param == "file":
        yield lambda: FileCursor(tmp_path / "state" / "cursor.json")
    else:
        url = request.getfixturevalue("valkey")
        redis.Redis.from_url(url).flushdb()
        yield lambda: RedisCursor(url, "acme-events")


HOUR_AGO = dt.timedelta(hours=1)
A_CURSOR = Cursor(looked_at=START, since=START - 5, seen={"a": ("2026-06-01 10:00:00", (START,))})


# The stores


@pytest.mark.anyio
async def test_a_store_returns_what_was_saved(stores: Stores) -> None:
    store, lease = stores(), Lease(60)
    assert isinstance(store, CursorStore)
    assert await store.acquire(lease)
    assert await store.load() is None
    assert await store.save(A_CURSOR, lease)
    assert await store.load() == A_CURSOR
    await store.release(lease)
    assert await stores().load() == A_CURSOR


@pytest.mark.anyio
async def test_one_lease_is_held_at_a_time(stores: Stores) -> None:
    """Also by two watches that share the object."""
    first, second = Lease(60), Lease(60)
    store, other = stores(), stores()
    assert await store.acquire(first)
    assert await store.acquire(first), "it is extended"
    for each in (store, other):
        assert not await each.acquire(second)
        assert not await each.save(A_CURSOR, second)
        await each.release(second)
    assert await store.load() is None
    assert not await other.acquire(second), "only its holder can end a lease"
    await store.release(first)
    assert await other.acquire(second)
    assert not await store.save(A_CURSOR, first)
    await other.release(second)


@pytest.mark.anyio
async def test_a_lease_in_redis_ends_by_its_time_and_is_extended_by_saving(valkey: str) -> None:
    client = redis.Redis.from_url(valkey)
    client.flushdb()
    store, lease = RedisCursor(valkey, "position"), Lease(60)
    assert await store.acquire(lease)
    client.pexpire("{position}:lease", 5_000)
    assert await store.save(A_CURSOR, lease)
    assert 50_000 < client.pttl("{position}:lease") <= 60_000


@pytest.mark.anyio
async def test_an_expired_lease_matters_only_if_another_watch_saved_a_position(valkey: str) -> None:
    """Otherwise two programs whose handlers are slower than the lease would repeat one event for ever."""
    client = redis.Redis.from_url(valkey)
    client.flushdb()
    store, slow, other = RedisCursor(valkey, "position"), Lease(60), Lease(60)
    assert await store.acquire(slow)
    assert await store.save(A_CURSOR, slow)
    client.delete("{position}:lease")  # as if it had expired
    assert await store.save(Cursor(looked_at=START + 1), slow), "nothing else watches"
    client.delete("{position}:lease")
    assert await store.acquire(other)
    assert await store.save(Cursor(looked_at=START + 1), other), "the same position: the other one only looked"
    assert await store.save(Cursor(looked_at=START + 2), slow), "the first one that gets further goes on"
    assert not await store.save(Cursor(looked_at=START + 3), other)
    assert await store.load() == Cursor(looked_at=START + 2)
    assert not await store.acquire(other)


def test_a_handler_that_is_slower_than_the_lease_gets_each_event_once(valkey: str) -> None:
    client = redis.Redis.from_url(valkey)
    client.flushdb()

    async def main(sim: Service) -> None:
        sim.clear_events()
        found: list[Event] = []
        async with sim.session() as ws, ws.watch(cursor=RedisCursor(valkey, "c"), every=MINUTE) as watch:
            assert await events_within(1, watch) == []
            await create_events(sim, 2)
            with anyio.move_on_after(HOUR):
                async for event in watch:
                    found.append(event)
                    client.delete("{c}:lease")  # it expires while the event is handled
        assert keys(found) == stored_events(sim)

    with_simulator(main)


@pytest.mark.anyio
@pytest.mark.parametrize("text", ["", "{}", "nonsense"])
async def test_a_text_that_is_no_cursor_is_reported_with_its_place(valkey: str, tmp_path: Path, text: str) -> None:
    path = tmp_path / "cursor.json"
    path.write_text(text)
    with pytest.raises(InvalidCall, match=rf"{re.escape(str(path))} does not contain a cursor\. Delete it"):
        await FileCursor(path).load()
    redis.Redis.from_url(valkey).set("broken", text or "x")
    with pytest.raises(InvalidCall, match="the key broken does not contain a cursor"):
        await RedisCursor(valkey, "broken").load()


@pytest.mark.anyio
async def test_a_server_that_cannot_be_used_is_a_storage_error() -> None:
    store = RedisCursor("redis://127.0.0.1:1", "acme")
    with pytest.raises(StorageError, match=r"the server of the cursor acme cannot be used \(ConnectionError\)"):
        await store.acquire(Lease(60))


def test_arguments_are_checked(tmp_path: Path) -> None:
    for key in ("", "a{b}", 7):
        with pytest.raises(InvalidCall, match="RedisCursor: key must be a name without braces"):
            RedisCursor("redis://127.0.0.1", key)  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match="FileCursor: the path must be text"):
        FileCursor(7)  # type: ignore[arg-type]
    ws = Service().session()
    for make in (ws.watch, ws.events_since):
        with pytest.raises(InvalidCall, match=r"cursor must be a Cursor or a store such as FileCursor, got 'a\.json'"):
            make(cursor="a.json")  # type: ignore[arg-type]
        with pytest.raises(InvalidCall, match="cursor must be a Cursor or a store"):
            make(cursor=FileCursor)  # type: ignore[arg-type]  # the class


# The watch


def test_an_event_that_was_not_handled_completely_is_yielded_again(tmp_path: Path) -> None:
    """The position is saved when the loop asks for the next event."""

    async def main(sim: Service) -> None:
        sim.clear_events()
        handled: list[Event] = []

        async def run() -> None:
            """Handle one event, and fail in the next one."""
            failing_at = len(handled) + 1
            async with ws.watch(cursor=FileCursor(tmp_path / "c")) as watch:
                async for event in watch:
                    if len(handled) == failing_at:
                        raise KeyError(event)
                    handled.append(event)

        async with sim.session() as ws:
            async with ws.watch(cursor=FileCursor(tmp_path / "c")) as watch:
                assert await events_within(MINUTE, watch) == []
            await create_events(sim, 3)
            for _ in range(5):
                with pytest.raises(KeyError):
                    await run()
            with anyio.move_on_after(MINUTE):
                await run()
        assert keys(handled) == stored_events(sim)

    with_simulator(main)


@pytest.mark.parametrize("shared", [True, False], ids=["one store", "a store for each watch"])
def test_a_watch_that_ended_with_an_error_does_not_keep_the_lease(tmp_path: Path, shared: bool) -> None:
    """Even without ``async with``."""

    async def main(sim: Service) -> None:
        sim.clear_events()
        store = FileCursor(tmp_path / "c")
        async with sim.session(retries=0) as ws:
            sim.fail("get_events", "reset")
            with contextlib.suppress(TransportError):
                await anext(ws.watch(cursor=store))
            await create_events(sim, 1)
            watch = ws.watch(cursor=store if shared else FileCursor(tmp_path / "c"), period_start=HOUR_AGO)
            del store
            assert keys(await events_within(MINUTE, watch)) == stored_events(sim)

    with_simulator(main)


def test_the_position_is_saved_although_nothing_happens(tmp_path: Path) -> None:
    """After 29 quiet days a restart must not be too late."""

    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            for _ in range(2):
                async with ws.watch(cursor=FileCursor(tmp_path / "c"), every=DAY) as watch:
                    assert await events_within(29 * DAY, watch) == []
            await create_events(sim, 1)
            async with ws.watch(cursor=FileCursor(tmp_path / "c"), every=DAY) as watch:
                assert keys(await events_within(MINUTE, watch)) == stored_events(sim)

    with_simulator(main)


def test_a_first_run_begins_at_period_start_and_a_later_one_at_the_position(tmp_path: Path) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        await create_events(sim, 1)
        async with sim.session() as ws:
            for count in (2, 0):
                events = ws.events_since(FileCursor(tmp_path / "c"), period_start=HOUR_AGO)
                found = await collect(events)
                assert len(found) == count
                assert await collect(events) == []

    with_simulator(main)


def test_lost_events_are_reported_once_although_the_program_ends(tmp_path: Path) -> None:
    async def main(sim: Service) -> None:
        store = FileCursor(tmp_path / "c")
        lease = Lease(60)
        assert await store.acquire(lease)
        await store.save(Cursor(looked_at=sim.clock.time() - 31 * DAY), lease)
        await store.release(lease)
        sim.clear_events()
        await create_events(sim, 1)
        async with sim.session() as ws:
            async with ws.watch(cursor=FileCursor(tmp_path / "c")) as watch:
                with pytest.raises(EventsLost):
                    await anext(watch)
            async with ws.watch(cursor=FileCursor(tmp_path / "c")) as watch:
                assert keys(await events_within(MINUTE, watch)) == stored_events(sim)

    with_simulator(main)


def test_a_second_watch_waits_and_takes_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        found: dict[str, list[Event]] = {"first": [], "second": []}

        async def run(name: str, seconds: float) -> None:
            async with ws.watch(cursor=FileCursor(tmp_path / "c"), every=MINUTE) as watch:
                found[name] += await events_within(seconds, watch)

        async with sim.session() as ws, anyio.create_task_group() as tasks:
            tasks.start_soon(run, "first", HOUR)
            await anyio.sleep(MINUTE)
            tasks.start_soon(run, "second", 2 * HOUR)
            await create_events(sim, 1)
            await anyio.sleep(HOUR)
            assert (len(found["first"]), len(found["second"])) == (2, 0)
            await create_events(sim, 2)
        assert keys(found["first"] + found["second"]) == stored_events(sim)
        assert len(found["second"]) == 4

    with caplog.at_level(logging.INFO, logger="worksection_async"):
        with_simulator(main)
    assert [record.message for record in caplog.records if "another program" in record.message] == [
        f"another program watches with <FileCursor {tmp_path / 'c'}>: waiting for its end"
    ]


def test_a_waiting_watch_asks_for_the_lease_every_sixth_part_of_its_time(tmp_path: Path) -> None:
    class BusyCursor(FileCursor):
        asked_at: ClassVar[list[float]] = []

        async def acquire(self, lease: Lease) -> bool:
            self.asked_at.append(anyio.current_time())
            return len(self.asked_at) == 4 and await super().acquire(lease)

    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws, ws.watch(cursor=BusyCursor(tmp_path / "c"), every=MINUTE) as watch:
            assert await events_within(MINUTE, watch) == []
        pauses = [after - before for before, after in itertools.pairwise(BusyCursor.asked_at)]
        assert pauses == pytest.approx([15, 15, 15])

    with_simulator(main)


def test_a_watch_whose_lease_expired_waits_and_starts_again(valkey: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its position is not saved over that of the other watch, and no event is yielded twice by later steps."""
    client = redis.Redis.from_url(valkey)
    client.flushdb()

    async def main(sim: Service) -> None:
        sim.clear_events()
        async with sim.session() as ws:
            slow = ws.watch(cursor=RedisCursor(valkey, "c"), every=MINUTE)
            assert await events_within(90, slow) == []
            await create_events(sim, 2)
            first = await anext(slow)  # its handler takes long: meanwhile another watch takes over
            client.delete("{c}:lease")
            async with ws.watch(cursor=RedisCursor(valkey, "c"), every=MINUTE) as other:
                found = await events_within(90, other)
                assert await events_within(90, slow) == [], "it waits"
                saved = await RedisCursor(valkey, "c").load()
                found += await events_within(1, other)
            await create_events(sim, 1)
            rest = await events_within(5 * MINUTE, slow)
        assert saved is not None
        assert len(saved.seen) == 4
        assert found[0] == first, "at least once"
        assert keys(found + rest) == stored_events(sim)

    with caplog.at_level(logging.INFO, logger="worksection_async"):
        with_simulator(main)
    assert "another program watches with <RedisCursor c>, because this one saved no position" in caplog.text


def test_a_store_that_fails_stops_the_step_and_the_next_one_saves(tmp_path: Path) -> None:
    async def main(sim: Service) -> None:
        sim.clear_events()
        path, blocker = tmp_path / "c", tmp_path / "c.new"
        async with sim.session() as ws, ws.watch(cursor=FileCursor(path)) as watch:
            assert await events_within(90, watch) == []
            await create_events(sim, 1)
            found = [await anext(watch)]
            blocker.mkdir()
            with pytest.raises(StorageError, match=re.escape(f"watch: {path}: Is a directory")):
                await anext(watch)
            blocker.rmdir()
            found += await events_within(90, watch)
        assert keys(found) == stored_events(sim)

    with_simulator(main)


def test_lost_events_are_reported_although_the_position_was_not_saved_at_once(tmp_path: Path) -> None:
    async def main(sim: Service) -> None:
        store, lease, blocker = FileCursor(tmp_path / "c"), Lease(60), tmp_path / "c.new"
        assert await store.acquire(lease)
        await store.save(Cursor(looked_at=sim.clock.time() - 31 * DAY), lease)
        await store.release(lease)
        async with sim.session() as ws, ws.watch(cursor=FileCursor(tmp_path / "c")) as watch:
            blocker.mkdir()
            with pytest.raises(StorageError):
                await anext(watch)
            blocker.rmdir()
            with pytest.raises(EventsLost):
                await anext(watch)

    with_simulator(main)


@pytest.mark.anyio
async def test_a_lease_that_cannot_be_released_hides_no_other_error(caplog: pytest.LogCaptureFixture) -> None:
    server = start_valkey()
    client = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))

    async def fail() -> None:
        async with ws.watch(cursor=RedisCursor(client, "c")) as watch:
            with anyio.move_on_after(0.5):
                await anext(watch)
            server.stop()
            raise KeyError

    async with Simulator() as sim, sim.session() as ws:
        with pytest.raises(KeyError):
            await fail()
    client.close()
    assert "the lease of <RedisCursor c> was not released" in caplog.text


@pytest.mark.anyio
async def test_a_closed_watch_yields_nothing_more(tmp_path: Path) -> None:
    async with Simulator() as sim, sim.session() as ws:
        watch = ws.watch(cursor=FileCursor(tmp_path / "c"))
        await watch.aclose()
        assert [event async for event in watch] == []
    assert sim.requests == []


@pytest.mark.asyncio
async def test_a_save_that_was_cancelled_ends_before_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio cancels the task, but not the thread: the next watch must not be overwritten by it."""
    store, lease, other = FileCursor(tmp_path / "c"), Lease(60), Lease(60)
    started, goes_on = threading.Event(), threading.Event()
    write = vars(cursor_stores)["replace_text"]

    def slowly(path: Path, text: str) -> None:
        started.set()
        goes_on.wait()
        write(path, text)

    assert await store.acquire(lease)
    monkeypatch.setattr(cursor_stores, "replace_text", slowly)
    saving = asyncio.create_task(store.save(A_CURSOR, lease))
    await asyncio.to_thread(started.wait)
    saving.cancel()
    releasing = asyncio.create_task(store.release(lease))
    assert not await FileCursor(tmp_path / "c").acquire(other)
    goes_on.set()
    await releasing
    assert await FileCursor(tmp_path / "c").acquire(other)
    assert await store.load() == A_CURSOR


class TroubledRedis(redis.Redis):
    """A client whose next script waits for `goes_on`, or loses its reply."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_slow = self.is_lossy = False
        self.started, self.goes_on = threading.Event(), threading.Event()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "EVALSHA" and self.is_slow:
            self.is_slow = False
            self.started.set()
            self.goes_on.wait()
        reply = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        if args[0] == "EVALSHA" and self.is_lossy:
            self.is_lossy = False
            raise redis.TimeoutError
        return reply


def troubled_client(url: str) -> TroubledRedis:
    client = TroubledRedis.from_url(url)
    assert isinstance(client, TroubledRedis)
    client.flushdb()
    return client


@pytest.mark.asyncio
async def test_a_cancelled_save_does_not_take_a_lease_that_was_released_after_it(valkey: str) -> None:
    """asyncio cancels the task, but not the thread."""
    client = troubled_client(valkey)
    store, lease, other = RedisCursor(client, "position"), Lease(60), Lease(60)
    assert await store.acquire(lease)
    assert await store.save(Cursor(looked_at=START), lease)
    client.is_slow = True
    saving = asyncio.create_task(store.save(A_CURSOR, lease))
    await asyncio.to_thread(client.started.wait)
    saving.cancel()
    releasing = asyncio.create_task(store.release(lease))
    await asyncio.wait({releasing}, timeout=0.1)
    client.goes_on.set()
    await releasing
    assert await store.load() == A_CURSOR
    assert await RedisCursor(valkey, "position").acquire(other)


@pytest.mark.anyio
async def test_a_save_whose_reply_was_lost_is_not_that_of_another_watch(valkey: str) -> None:
    client = troubled_client(valkey)
    store, lease = RedisCursor(client, "position"), Lease(60)
    assert await store.acquire(lease)
    assert await store.save(Cursor(looked_at=START), lease)
    client.is_lossy = True
    with pytest.raises(StorageError, match="TimeoutError"):
        await store.save(A_CURSOR, lease)
    assert await store.save(Cursor(looked_at=START + 1), lease)


FORKING = """
import os, signal, sys, time, anyio
from worksection_async import FileCursor
from worksection_async._sync.cursor_stores import StoredPosition
from worksection_async.redis import RedisCursor

place, first = sys.argv[1:]
store = RedisCursor(place, "fork") if "://" in place else FileCursor(place)
position = StoredPosition(store, 60)

def acquire():
    return anyio.run(store.acquire, position._lease)

if first == "parent":
    is_held = acquire()
answer, question = os.pipe()
if not (child := os.fork()):
    os.write(question, b"%d" % acquire())
    time.sleep(60)
    os._exit(0)
is_held_by_child = os.read(answer, 1) == b"1"
if first == "child":
    is_held = acquire()
print(is_held, is_held_by_child)
os.kill(child, signal.SIGKILL)
"""


@pytest.mark.parametrize(("first", "held"), [("parent", "True False"), ("child", "False True")])
@pytest.mark.parametrize("kind", KINDS)
def test_a_watch_and_its_copy_in_a_forked_child_do_not_share_a_lease(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, first: str, held: str
) -> None:
    """Such as a watch in a module that a server of forked workers loads before it forks."""
    place = str(tmp_path / "c") if kind == "file" else request.getfixturevalue("valkey")
    if kind == "redis":
        redis.Redis.from_url(place).flushdb()
    command = [sys.executable, "-W", "ignore", "-c", FORKING, place, first]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == (f"{held}\n", "")


def test_forked_children_neither_free_nor_keep_the_lease_of_a_file(tmp_path: Path) -> None:
    program = """
import os, sys, time, anyio
from worksection_async import FileCursor, Lease
store, lease = FileCursor(sys.argv[1]), Lease(60)
assert anyio.run(store.acquire, lease)
first = os.fork()
if not first:
    sys.exit()
os.waitpid(first, 0)
if not os.fork():
    time.sleep(60)
    os._exit(0)
print("ready", flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "c")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            store, lease = FileCursor(tmp_path / "c"), Lease(60)
            assert not anyio.run(store.acquire, lease), "a child that exits does not free it"
            holder.kill()
            holder.wait()
            assert anyio.run(store.acquire, lease), "a child that lives does not keep it"
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
