"""An interrupted call ends at once and leaves no turn behind, and no callback ends the loop."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.blocking.conftest import Run, Service
from worksection_async import CallEvent, MemoryTokenStore, OAuth2, TokenBucket
from worksection_async.blocking import BlockingSession
from worksection_async.blocking.loop import background
from worksection_async.blocking.loop_thread import Job
from worksection_async.testing import Simulator

PROGRAM = """
ws, slow = session(), session(rate=1e-3)
slow.get_users()
ws.get_users()
watch = ws.watch(every=1000)
call, ready = {
    "reply": (ws.get_timers, lambda: ws.limiter.statistics().granted == 2),
    "queue": (slow.get_users, lambda: slow.limiter.statistics().waiting["normal"] == 1),
    "poll": (lambda: next(watch), lambda: ws.limiter.statistics().granted == 2),
}[os.environ["CALL"]]

def interrupt():
    while not ready():
        time.sleep(0.01)
    time.sleep(0.2)  # usually enough for the call to wait; the promise holds in any case
    times.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

times = []
threading.Thread(target=interrupt).start()
try:
    call()
except KeyboardInterrupt:
    times.append(time.perf_counter())
for each in (ws, slow):
    while any(each.limiter.statistics().waiting.values()):
        time.sleep(0.01)
ws.get_users()
print(times[1] - times[0], flush=True)
"""


@pytest.mark.parametrize("call", ["reply", "queue", "poll"])
def test_ctrl_c_ends_a_waiting_call(call: str, run: Run) -> None:
    """The session works afterwards, and the limiter has no waiting call. On a busy machine no time can be promised."""
    program = run(PROGRAM, CALL=call)
    assert (program.returncode, program.stderr) == (0, "")
    assert float(program.stdout) < 20


def test_ctrl_c_ends_a_program(run: Run) -> None:
    program = run("""
ws = session()
def interrupt():
    while ws.limiter.statistics().granted < 1:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
with ws:
    ws.get_timers()
""")
    assert (program.returncode, program.stdout) == (-signal.SIGINT, "")
    lines = program.stderr.splitlines()
    assert lines[-1] == "KeyboardInterrupt"
    assert "threading.py" not in program.stderr
    assert "asyncio" not in program.stderr


@contextmanager
def alarm(error: BaseException) -> Iterator[Callable[[], None]]:
    """Yield a function that makes a signal handler of this thread raise *error*, as time limits of Celery do."""

    def handler(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


class TimeLimit(Exception):
    pass


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), TimeLimit()], ids=lambda error: type(error).__name__
)
def test_any_exception_of_a_signal_handler_cancels_the_call(error: BaseException, service: Service) -> None:
    limiter = TokenBucket(1e-3)
    with service.session(limiter=limiter) as ws, alarm(error) as ring:
        ws.get_users()
        ringer = threading.Thread(target=ring_when, args=(lambda: limiter.statistics().waiting["normal"], ring))
        ringer.start()
        with pytest.raises(type(error)):
            ws.get_users()
        ringer.join()
        _until(lambda: not limiter.statistics().waiting["normal"])


def ring_when(condition: Callable[[], object], ring: Callable[[], None]) -> None:
    _until(condition)
    ring()


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("callback", ["on_wait", "on_call", "on_call of a coalesced read", "progress"])
def test_a_callback_that_exits_does_not_end_the_loop(
    callback: str, error: type[BaseException], service: Service, tmp_path: Any
) -> None:
    def leave(*_: object) -> None:
        raise error

    def call(ws: BlockingSession) -> None:
        if callback == "on_wait":
            ws.get_users()  # the next slot is due in a quarter of an hour
            ws.with_options(on_wait=leave).get_users()
        elif callback == "progress":
            ws.download(17694, tmp_path, leave)
        else:
            ws.with_options(coalesce=callback == "on_call of a coalesced read").get_users()

    options = {"on_call": leave} if callback.startswith("on_call") else {}
    limiter = TokenBucket(1e-3 if callback == "on_wait" else 1e6)
    with service.session(limiter=limiter, **options) as ws, pytest.raises(error):
        call(ws)
    with service.session() as ws:
        assert ws.get_users()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_callback_that_exits_during_a_refresh_does_not_end_the_loop(error: type[BaseException]) -> None:
    """The refresh runs in a task of its own; the call that needs the token raises the error."""
    sim, events = Simulator(), []

    def leave(event: CallEvent) -> None:
        events.append(event)
        if event.action == "oauth2_refresh" and len(events) == 1:
            raise error

    auth = OAuth2(sim.oauth_app(), MemoryTokenStore(sim.issue_pair(expires_in=-1)))
    options: Any = {"limiter": TokenBucket(1e6), "transport": sim.transport(), "on_call": leave}
    with BlockingSession("http://127.0.0.1", auth, **options) as ws:
        with pytest.raises(error):
            ws.me()
        assert events[0].action == "oauth2_refresh"
        assert ws.as_user(sim.issue_pair()).me().id == sim.owner.id


def test_a_task_that_exits_does_not_end_the_loop(service: Service) -> None:
    """Not even one for which no thread waits."""

    async def spawn() -> None:
        async def leave() -> None:
            raise SystemExit

        task = asyncio.get_running_loop().create_task(leave())
        task.add_done_callback(lambda task: task.exception())

    background.run(spawn)
    with service.session() as ws:
        assert ws.get_users()


def test_an_interrupt_before_the_task_starts_sends_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that arrives between the submission of the call and the wait for it."""
    with service.session() as ws:
        ws.get_users()
        before, wait = len(service.sim.requests), Job.wait

        def interrupted(job: Job[Any]) -> None:
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            wait(job)

        is_free = threading.Event()

        async def block() -> None:
            is_free.wait()  # the loop starts no other task

        blocker = threading.Thread(target=background.run, args=(block,))
        blocker.start()
        with monkeypatch.context() as patch:
            patch.setattr(Job, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                ws.get_projects()
        is_free.set()
        blocker.join()
        ws.get_users()
        assert [request.action for request in service.sim.requests[before:]] == ["get_users"]


def test_an_interrupted_iterator_goes_on(service: Service) -> None:
    """After an interrupt the next step continues at the same position."""
    with service.session() as ws, alarm(KeyboardInterrupt()) as ring:
        tasks = ws.iter_tasks()
        service.sim.fail("get_all_tasks", "timeout")
        before = len(service.sim.requests)
        ringer = threading.Thread(target=ring_when, args=(lambda: len(service.sim.requests) > before, ring))
        ringer.start()
        with pytest.raises(KeyboardInterrupt):
            next(tasks)
        ringer.join()
        assert len(list(tasks)) == len(ws.get_all_tasks())
