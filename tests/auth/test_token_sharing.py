"""Threads, processes and machines that share one pair of tokens, and the failure matrix of docs/tokens.md."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import attrs
import pytest
import redis

from worksection_async import FileTokenStore, MemoryTokenStore, OAuth2, Session, Token, TokenBucket, TokenStore
from worksection_async.errors import ReauthorizationRequired
from worksection_async.redis import RedisTokenStore
from worksection_async.testing import Simulator, faults

CALLS = 100
SHARERS = 4

COMMON = """
import json, os, signal, sys
import anyio
from worksection_async import FileTokenStore, OAuth2, OAuthApp, Session, TokenBucket
from worksection_async.redis import RedisTokenStore
options = json.loads(sys.argv[1])
app = OAuthApp(options["client_id"], options["client_secret"], options["redirect_uri"], base_url=options["url"])
where = options["where"]
store = RedisTokenStore(where, "ada") if where.startswith("redis") else FileTokenStore(where)
session = Session(None, OAuth2(app, store), limiter=TokenBucket(1e6), coalesce=False)
"""

CALLER = (
    COMMON
    + """
done = 0
async def call():
    global done
    await session.get_project_groups()
    done += 1
async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    async with session, anyio.create_task_group() as tasks:
        for _ in range(options["calls"]):
            tasks.start_soon(call)
anyio.run(main)
print(done)
"""
)

KILLED = (
    COMMON
    + """
from worksection_async._transport import trace
def die():
    os.kill(os.getpid(), signal.SIGKILL)
point, refresh, save = options["point"], OAuthApp.refresh, type(store).save
async def dying_refresh(self, token):
    if point == "before it is sent":
        die()
    store.spent = True
    return await refresh(self, token)
async def dying_save(self, token):
    if getattr(self, "spent", False) and point == "before it is saved":
        die()
    await save(self, token)
    if getattr(self, "spent", False) and point == "after it is saved":
        die()
async def dying_trace(self, event, _):
    if getattr(store, "spent", False) and event.endswith("receive_response_headers.started"):
        die()
OAuthApp.refresh, type(store).save = dying_refresh, dying_save
if point == "after it is sent":
    trace.RequestTrace.__call__ = dying_trace
async def main():
    async with session as ws:
        await ws.get_project_groups()
anyio.run(main)
"""
)


@pytest.fixture
def sim() -> Simulator:
    return Simulator()


@pytest.fixture
def url(sim: Simulator) -> Iterator[str]:
    with sim.serve() as url:
        yield url


@pytest.fixture(params=["file", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "pair.json")
    url: str = request.getfixturevalue("valkey")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


def store_at(where: str) -> TokenStore:
    return RedisTokenStore(where, "ada") if where.startswith("redis") else FileTokenStore(where)


def expired_pair(sim: Simulator, url: str) -> Token:
    token = sim.issue_pair(account_url=url)
    return attrs.evolve(token, issued_at=time.time() - 86_400, expires_at=time.time() - 1)


def options_json(sim: Simulator, url: str, where: str, **more: object) -> str:
    app = sim.oauth_app(base_url=url)
    credentials = {"client_id": app.client_id, "client_secret": app.client_secret, "redirect_uri": app.redirect_uri}
    return json.dumps({**credentials, "url": url, "where": where, **more})


def is_live(sim: Simulator, store: TokenStore) -> bool:
    token = anyio.run(store.load)
    pair = sim.oauth.live_pair()
    return token is not None and (token.access_token, token.refresh_token) == (pair.access_token, pair.refresh_token)


# Threads


@pytest.mark.parametrize("backends", [["asyncio"] * 4, ["trio"] * 4, ["asyncio", "trio"] * 2], ids="-".join)
def test_four_threads_with_a_loop_each_refresh_once(sim: Simulator, url: str, backends: list[str]) -> None:
    store = MemoryTokenStore(expired_pair(sim, url))
    auth = OAuth2(sim.oauth_app(base_url=url), store)
    ws = Session(None, auth, limiter=TokenBucket(1e6), coalesce=False)
    done: list[int] = []
    sim.fail("oauth2_refresh", faults.delay(0.3))

    async def call() -> None:
        await ws.get_project_groups()
        done.append(1)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(CALLS // SHARERS):
                tasks.start_soon(call)

    threads = [threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": name}) for name in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == CALLS
    assert sim.oauth.refreshes == 1
    assert is_live(sim, store)


# Processes


def test_four_processes_refresh_once(sim: Simulator, url: str, where: str) -> None:
    store = store_at(where)
    anyio.run(store.save, expired_pair(sim, url))
    sim.fail("oauth2_refresh", faults.delay(0.3))
    command = [sys.executable, "-c", CALLER, options_json(sim, url, where, calls=CALLS // SHARERS)]
    callers = [started(command) for _ in range(SHARERS)]
    for caller in callers:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
    for caller in callers:
        print(file=caller.stdin, flush=True)
    done = [caller.communicate(timeout=60)[0].strip() for caller in callers]
    assert done == [str(CALLS // SHARERS)] * SHARERS
    assert sim.oauth.refreshes == 1
    assert is_live(sim, store)


def started(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


# The failure matrix: one test case per row


@pytest.mark.parametrize(
    ("point", "refreshes", "is_lost"),
    [
        ("before it is sent", 0, False),
        ("after it is sent", 1, True),
        ("before it is saved", 1, True),
        ("after it is saved", 1, False),
    ],
)
def test_a_process_killed_during_a_refresh_loses_the_pair_only_between_rotation_and_save(
    *, sim: Simulator, url: str, where: str, point: str, refreshes: int, is_lost: bool
) -> None:
    """A pair can be lost only after the service rotated it and before it is saved; then a new login is required."""
    store = store_at(where)
    anyio.run(store.save, expired_pair(sim, url))
    with started([sys.executable, "-c", KILLED, options_json(sim, url, where, point=point)]) as process:
        assert process.wait(timeout=60) == -signal.SIGKILL
    eventually(lambda: sim.oauth.refreshes == refreshes)
    if where.startswith("redis"):
        with redis.Redis.from_url(where) as client:
            assert client.pexpire("{ada}:lock", 200), (
                "the lock of the killed process expires; the test shortens the time"
            )

    async def restart() -> None:
        auth = OAuth2(sim.oauth_app(base_url=url), store)
        async with Session(None, auth, limiter=TokenBucket(1e6)) as ws:
            await ws.get_project_groups()

    with pytest.raises(ReauthorizationRequired) if is_lost else contextlib.nullcontext():
        anyio.run(restart)
    assert sim.oauth.refreshes == (1 if is_lost or point == "after it is saved" else refreshes + 1)
    assert is_lost or is_live(sim, store)


def eventually(is_true: Callable[[], bool]) -> None:
    """Wait until *is_true*: the service executes a received request even if the client has died."""
    for _ in range(500):
        if is_true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("the condition did not become true within 5 s")
