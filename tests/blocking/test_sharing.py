"""All threads and sessions of a process share one engine: a loop, a limiter, a token refresh, coalesced reads."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import itertools
import threading
import traceback
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.blocking.conftest import Service
from tests.support.constants import KEY
from tests.support.vaults import MemoryVault
from worksection_async import ApiKey, Cursor, FileCursor, MemoryTokenStore, OAuth2, Session, TokenBucket, errors
from worksection_async.blocking import BlockingSession
from worksection_async.blocking.loop_thread import LookUps
from worksection_async.testing import Simulator

THREADS, CALLS = 16, 50

HANDLER_FAILED = "the handler of the watch failed"


def test_threads_beside_an_async_session_get_their_own_replies_in_their_slots(slot_times: list[float]) -> None:
    """16 threads with 50 calls each, and an async session of the same account, through one limiter."""
    rate, sim = 1000.0, Simulator(api_key=KEY, seed="empty")
    projects = [sim.add_project(f"P{number}").id for number in range(CALLS)]
    limiter = TokenBucket(rate)
    found: list[int] = []

    def work(_: int) -> list[int]:
        return [ws.get_project(number).id for number in projects]

    async def work_async() -> None:
        async with sim.session(limiter=limiter) as other:
            found.extend([(await other.get_project(number)).id for number in projects])

    with (
        BlockingSession(
            "http://127.0.0.1", ApiKey(KEY), limiter=limiter, coalesce=False, transport=sim.transport()
        ) as ws,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        results = pool.map(work, range(THREADS))
        anyio.run(work_async)
        assert list(results) == [projects] * THREADS
    assert found == projects
    assert len(sim.requests) == (THREADS + 1) * CALLS
    assert all(later - earlier >= 0.999 / rate for earlier, later in pairwise(slot_times))
    assert limiter.statistics().refused == 0


def test_identical_reads_of_threads_share_one_request() -> None:
    """All threads wait in the queue while an earlier call has the slot."""
    sim, start = Simulator(api_key=KEY), threading.Barrier(THREADS)
    limiter = TokenBucket(2.0)

    def work(_: int) -> int:
        start.wait()
        return len(ws.get_users())

    with BlockingSession("http://127.0.0.1", ApiKey(KEY), limiter=limiter, transport=sim.transport()) as ws:
        ws.get_projects()
        with ThreadPoolExecutor(THREADS) as pool:
            assert len(set(pool.map(work, range(THREADS)))) == 1
    requests = Counter(request.action for request in sim.requests)
    assert requests["get_users"] < THREADS
    assert requests["get_users"] + limiter.statistics().saved == THREADS


def test_threads_and_async_sessions_share_one_refresh() -> None:
    """The token is stale: one of the calls refreshes it, and the others use the new pair."""
    sim = Simulator()
    store = MemoryTokenStore(sim.issue_pair(expires_in=-1))
    auth, limiter, start = OAuth2(sim.oauth_app(), store), TokenBucket(1e6), threading.Barrier(5)

    def work(_: int) -> object:
        start.wait()
        return ws.me().id

    async def work_async() -> object:
        await anyio.to_thread.run_sync(start.wait)
        async with Session("http://127.0.0.1", auth, limiter=limiter, transport=sim.transport()) as other:
            return (await other.me()).id

    with (
        BlockingSession("http://127.0.0.1", auth, limiter=limiter, transport=sim.transport()) as ws,
        ThreadPoolExecutor(4) as pool,
    ):
        ids = pool.map(work, range(4))
        assert {anyio.run(work_async), *ids} == {sim.owner.id}
    assert sim.oauth.refreshes == 1


def test_one_loop_serves_all_sessions(service: Service) -> None:
    with service.session() as one, service.session() as other:
        one.get_users()
        other.get_users()
    assert [thread.name for thread in threading.enumerate()].count("worksection-async") == 1


def test_threads_share_an_iterator(service: Service) -> None:
    with service.session() as ws, ThreadPoolExecutor(4) as pool:
        tasks = ws.iter_tasks()
        taken = pool.map(lambda _: [task.id for task in tasks], range(4))
        assert sorted(number for numbers in taken for number in numbers) == sorted(
            task.id for task in ws.get_all_tasks()
        )


# What a caller sees


def test_methods_work_without_await(service: Service, tmp_path: Any) -> None:
    plans: list[Any] = []
    with service.session() as ws:
        assert repr(ws) == f"<BlockingSession {service.url} ApiKey>"
        assert repr(ws.with_options(lane="bulk")) == repr(ws)
        stream = ws.iter_tasks(progress=plans.append)
        assert len(list(stream)) == len(ws.get_all_tasks()) == stream.plan.records
        assert [plan.done for plan in plans] == [0, 1]
        assert list(ws.iter_costs()) == list(ws.get_costs().data)
        assert ws.call("get_users")["status"] == "ok"
        assert ws.call("get_users", raw=True).status == 200
        since = ws.events_since(None)
        next(since, None)
        assert since.cursor == Cursor.from_json(since.cursor.to_json())
        saved = ws.download(17694, tmp_path)
        with ws.open_download(17694) as file:
            assert (file.name, file.size, repr(file)) == ("plan.pdf", saved.size, "<BlockingDownload 'plan.pdf'>")
            assert sum(map(len, file)) == saved.size
        with ws.open_download(17694) as file:
            next(file)
            file.close()
        assert ws.download_all([17694], tmp_path).done.keys() == {17694}
        assert ws.limiter.acquire("bulk") > 0
        assert ws.limiter.eta() < 1
        assert ws.limiter.rate == pytest.approx(1e6)
    with pytest.raises(errors.SessionClosed):
        ws.get_users()


def test_a_watch_yields_events_and_survives_errors_of_its_handler(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    handled = []

    def handler(event: Any) -> None:
        handled.append(event.object.id)
        if len(handled) == 1:
            raise ValueError("once")
        raise KeyboardInterrupt

    async def async_handler(event: Any) -> None: ...

    service.sim.clear_events()  # those of the same minute are yielded, too
    with service.session() as ws:
        watch = ws.watch(every=1e-3)
        numbers = [ws.post_task(ws.get_projects()[0].id, title).id for title in ("one", "two")]
        with pytest.raises(KeyboardInterrupt):
            watch.dispatch_to(handler)
        assert sorted(handled) == numbers
        assert [record.getMessage().partition(" for ")[0] for record in caplog.records] == [HANDLER_FAILED]
        with pytest.raises(errors.InvalidCall, match="handler is async"):
            watch.dispatch_to(async_handler)
        tags = ws.watch_tags(every=1e-3)
        assert iter(tags) is tags


def test_a_store_keeps_the_position_of_a_blocking_watch(service: Service, tmp_path: Path) -> None:
    store = tmp_path / "cursor.json"
    with service.session() as ws:
        with ws.events_since(FileCursor(store)) as events:
            list(events)
        tasks = [ws.post_task(ws.get_projects()[0].id, title).id for title in ("one", "two")]
        with ws.watch(every=1e-3, cursor=FileCursor(store)) as watch:
            found = {event.object.id for event in itertools.islice(watch, 2)}
        with ws.events_since(FileCursor(store)) as events:
            rest = {event.object.id for event in events}
    assert found | rest >= set(tasks)
    assert len(rest) <= 1, "the first was saved when the loop asked for the second"


def test_a_session_of_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSECTION_ACCOUNT", service.url)
    monkeypatch.setenv("WORKSECTION_API_KEY", KEY)
    with BlockingSession.from_env(limiter=TokenBucket(1e6)) as ws:
        assert ws.get_users()


def test_a_view_of_another_user_calls_as_that_user() -> None:
    sim = Simulator()
    other = sim.add_member("ann@example.com", "Ann")
    auth = OAuth2(sim.oauth_app(), MemoryTokenStore(sim.issue_pair()))
    with BlockingSession("http://127.0.0.1", auth, limiter=TokenBucket(1e6), transport=sim.transport()) as ws:
        assert ws.as_user(sim.issue_pair(other)).me().id == other.id
        assert ws.me().id == sim.owner.id


def test_context_variables_reach_callbacks(service: Service) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    seen = []
    with service.session(on_call=lambda event: seen.append((event.kind, name.get("nobody")))) as ws:
        for value in ("ann", "bob"):
            name.set(value)
            ws.get_users()
    assert [value for kind, value in seen if kind == "call"] == ["ann", "bob"]


def test_a_traceback_shows_the_callers_line_and_the_sdk(service: Service) -> None:
    """Two frames more than that of the async session, and none of asyncio or threading."""

    async def call() -> None:
        async with Session(service.url, ApiKey(KEY), limiter=TokenBucket(1e6)) as ws:
            await ws.get_task(999_999)

    def frames(function: Callable[[], object]) -> list[str]:
        with pytest.raises(errors.NotFound) as raised:
            function()
        summary = traceback.extract_tb(raised.value.__traceback__)
        names = [f"{frame.filename.rpartition('/')[2]}:{frame.name}" for frame in summary]
        return names[names.index("tasks.py:get_task") - 1 :]

    with service.session() as ws:
        for _ in range(2):
            blocking_frames = frames(lambda: ws.get_task(999_999))
    assert blocking_frames[:4] == [
        "test_sharing.py:<lambda>", "tasks.py:get_task", "session.py:call", "loop.py:run",
    ]  # fmt: skip
    assert blocking_frames[4:] == frames(lambda: anyio.run(call))[2:]


def test_an_error_is_raised_once_and_not_kept(service: Service) -> None:
    """No reference cycle with the frames of a caller: they would keep its variables until the next collection."""

    class Value:
        pass

    def fail() -> weakref.ref[Value]:
        value = Value()
        with contextlib.suppress(errors.NotFound):
            ws.get_task(999_999)
        return weakref.ref(value)

    with service.session() as ws:
        gc.disable()
        try:
            assert fail()() is None
        finally:
            gc.enable()


# Event loops


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_with_a_running_loop_is_refused(service: Service, backend: str) -> None:
    ws = service.session()

    async def call() -> None:
        with pytest.raises(RuntimeError, match=r"worksection_async\.Session"):
            ws.get_users()
        assert await anyio.to_thread.run_sync(ws.get_users)

    anyio.run(call, backend=backend)
    ws.close()


def test_a_callback_cannot_wait_for_the_loop_in_which_it_runs(service: Service) -> None:
    problems: list[str] = []

    def on_call(_: object) -> None:
        try:
            ws.get_projects()
        except RuntimeError as error:
            problems.append(str(error))

    with service.session(on_call=on_call) as ws:
        ws.get_users()
    assert problems
    assert all("worksection_async.Session" in problem for problem in problems)


def test_an_error_of_a_look_up_is_raised() -> None:
    def fail() -> None:
        raise OSError("unknown host")

    with pytest.raises(OSError, match="unknown host"):
        LookUps().submit(fail).result(60)


def test_a_user_of_a_vault_has_one_view() -> None:
    vault = MemoryVault()
    sim = Simulator(seed="empty")
    with BlockingSession("http://127.0.0.1", OAuth2(sim.oauth_app(), vault=vault), transport=sim.transport()) as ws:
        view = ws.as_user("ada")
        assert ws.as_user("ada") is view
        assert ws.as_user("bob") is not view
