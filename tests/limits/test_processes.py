"""Independent processes with default options share the rate limit; a strict service counts their requests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx
import pytest

from tests.support.constants import ROOT
from worksection_async import ApiKey, FileTokenBucket, MemoryTokenStore, Session, TokenBucket
from worksection_async._limits.limiter import Limiter

PROCESSES = 4
CALLS = 2
STRICT_SERVICE = ROOT / "tests" / "budget" / "service.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment variables with a separate runtime folder, shared by the processes of one test."""
    return {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONWARNINGS": "error"}


@pytest.fixture
def service() -> Iterator[str]:
    """URL of a service that refuses a request less than a second after the last one, by the kernel's timestamps."""
    command = [sys.executable, str(STRICT_SERVICE), "{}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


def report(service: str) -> dict[str, list[float]]:
    with urllib.request.urlopen(f"{service}/report") as answer:
        return dict(json.load(answer))


SCRIPT = """
import sys, anyio
from worksection_async import ApiKey, Session

async def main():
    async with Session(sys.argv[1], ApiKey("key")) as ws:
        for _ in range(int(sys.argv[2])):
            await ws.get_tasks(1)

anyio.run(main)
"""

FORKING_SCRIPT = """
import os, sys, anyio
from worksection_async import ApiKey, Session

async def call(ws, calls):
    async with ws:
        for _ in range(calls):
            await ws.get_tasks(1)

url, processes, calls = sys.argv[1], *map(int, sys.argv[2:])
anyio.run(call, Session(url, ApiKey("key")), 1)  # the parent has used its limiter before
children = []
for _ in range(processes):
    if not (child := os.fork()):
        anyio.run(call, Session(url, ApiKey("key")), calls)
        os._exit(0)
    children.append(child)
assert all(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children)
"""

WEB_APP = """
import os, anyio
from worksection_async import ApiKey, Session

URL = os.environ["SERVICE"]
LIMITER = Session(URL, ApiKey("key")).limiter  # made before the workers are forked

async def call():
    async with Session(URL, ApiKey("key")) as ws:
        assert ws.limiter is LIMITER
        return await ws.get_tasks(1)

def app(environ, start_response):
    tasks = anyio.run(call)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {tasks}".encode()]
"""


def test_four_scripts_at_once_are_never_refused(service: str, environment: dict[str, str]) -> None:
    """Four processes that start at the same time, such as cron jobs."""
    command = [sys.executable, "-c", SCRIPT, service, str(CALLS)]
    scripts = [subprocess.Popen(command, env=environment) for _ in range(PROCESSES)]
    assert [script.wait(60) for script in scripts] == [0] * PROCESSES
    _check(report(service), PROCESSES * CALLS)


def test_forked_children_are_never_refused(service: str, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", FORKING_SCRIPT, service, str(PROCESSES), str(CALLS)]
    subprocess.run(command, env=environment, timeout=60, check=True)
    _check(report(service), 1 + PROCESSES * CALLS)


def test_the_workers_of_gunicorn_are_never_refused(service: str, environment: dict[str, str], tmp_path: Path) -> None:
    """With --preload, so that all workers inherit one limiter."""
    (tmp_path / "web_app.py").write_text(WEB_APP)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(PROCESSES), "--log-level", "warning"]
    command += ["--bind", f"127.0.0.1:{port}", "web_app:app"]
    variables = {**environment, "SERVICE": service}
    del variables["PYTHONWARNINGS"]  # gunicorn itself causes warnings
    with subprocess.Popen(command, env=variables, cwd=tmp_path) as server, ThreadPoolExecutor(PROCESSES) as pool:
        try:
            _wait_for(port)
            answers = list(pool.map(_get, [f"http://127.0.0.1:{port}"] * PROCESSES * CALLS))
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0
    assert len({answer.partition(" ")[0] for answer in answers}) > 1, "one worker has answered all requests"
    _check(report(service), PROCESSES * CALLS)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def _wait_for(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("the server did not start")


def _check(report: dict[str, list[float]], calls: int) -> None:
    assert len(report["arrivals"]) == len(report["accepted"]) == calls


@pytest.mark.parametrize("name", ["limiter._lock", "limiter._visit_lock", "link._lock", "store._lock"])
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent(name: str, kind: str, tmp_path: Path) -> None:
    """Another thread of the parent held the lock at the fork; that thread does not exist in the child."""
    limiter: Limiter = TokenBucket(1e6) if kind == "memory" else FileTokenBucket(tmp_path / "bucket", 1e6)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": "ok", "data": []}))
    ws, store = Session("acme", ApiKey("key"), limiter=limiter, transport=transport), MemoryTokenStore()
    owner, _, lock = name.partition(".")
    owners = {"limiter": limiter, "link": ws._caller.connection, "store": store}
    is_held, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with getattr(owners[owner], lock):
            is_held.set()
            is_done.wait()

    async def use() -> None:
        async with ws, store.lock():
            await ws.get_tasks(1)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the parent's handler belongs to pytest-timeout
        signal.alarm(20)  # ends the child if it hangs
        anyio.run(use)
        os._exit(0)
    is_done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
