"""The event loop of all blocking sessions of this process. It runs in a daemon thread."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast

from .._transport.fork import reset_now_and_after_fork
from .._transport.tasks import is_trio

P = ParamSpec("P")
T = TypeVar("T")

CANCEL_SECONDS = 0.05
"""How long an interrupted call waits until its task has ended, so that it has left the limiter's queue."""

CLOSE_SECONDS = 2.0
"""How long the exit of the interpreter waits, first for token refreshes in progress, then for cancelled tasks."""

SLICE_SECONDS = 0.05 if sys.platform == "win32" else -1
"""Period in which a waiting thread looks for signals; on POSIX a signal interrupts the wait itself."""

LOOP_RUNS = (
    "an event loop runs in this thread, and a BlockingSession would block it. "
    "Use worksection_async.Session here: `async with Session(...) as ws`, `await ws.get_tasks(26)`"
)


class _Job(Generic[T]):
    """A coroutine in the background loop, and the thread that waits for it."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False
        self._is_abandoned = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self._done = threading.Lock()
        """Held until the work is done. A lock is quicker than an `Event`, and an interrupt ends `acquire`."""
        self._done.acquire()

    # In the thread of the loop

    def start(self, jobs: set[_Job[Any]]) -> None:
        """Start the work in a task, with the context variables of the caller, with which the loop calls this method."""
        if not self._is_cancelled:
            self._task = asyncio.get_running_loop().create_task(self._run())
            jobs.add(self)
            self._task.add_done_callback(lambda _: jobs.discard(self))

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    def abandon(self) -> None:
        """Cancel the work, and let the thread wait: at the exit of the interpreter it must not run on."""
        self._is_abandoned = True
        self.cancel()

    async def _run(self) -> None:
        try:
            self.result = await self._work()
        except BaseException as exc:  # noqa: BLE001  # KeyboardInterrupt and SystemExit would end the loop
            # Without the frame of this method, which is not the user's concern.
            self.error = exc.with_traceback(exc.__traceback__ and exc.__traceback__.tb_next)
        if not self._is_abandoned:
            self._done.release()

    # In the thread that waits

    def wait(self, seconds: float = -1) -> None:
        """Wait until the work is done, at most for *seconds*; -1 means without a limit."""
        if seconds >= 0:
            self._done.acquire(timeout=seconds)
        else:
            while not self._done.acquire(timeout=SLICE_SECONDS):
                pass


class BackgroundLoop:
    """One event loop for all threads, started by the first call. A forked child starts its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inherited: list[object] = []
        reset_now_and_after_fork(self)
        atexit.register(self.close)

    def _reset(self) -> None:
        # The thread of the parent's loop does not exist here. Its objects are kept: collecting them would call the
        # loop, and closing it would change the parent's selector.
        self._inherited.append(self._loop)
        self._lock = threading.Lock()
        self._loop = None
        self._thread: threading.Thread | None = None
        self._stop = asyncio.Event()
        self._jobs: set[_Job[Any]] = set()
        self._is_closed = False

    def run(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in the loop, and return what its coroutine returns.

        Raises:
            RuntimeError: An event loop runs in this thread.
        """
        if _is_loop_running() and not _is_notebook():
            raise RuntimeError(LOOP_RUNS)
        job, loop = _Job(functools.partial(function, *args, **kwargs)), self._started()
        try:
            loop.call_soon_threadsafe(job.start, self._jobs)
            job.wait()
        except BaseException:  # a signal handler raised it
            loop.call_soon_threadsafe(job.cancel)
            job.wait(CANCEL_SECONDS)
            raise
        if job.error is None:
            return cast(T, job.result)
        try:
            raise job.error
        finally:
            del job  # its traceback refers to this frame

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._is_closed:
                _refuse_at_exit()
            if self._loop is None:
                loop = asyncio.new_event_loop()
                loop.set_debug(False)  # `python -X dev` would report each slow callback of the SDK
                self._thread = threading.Thread(target=self._serve, args=(loop,), name="worksection-async", daemon=True)
                self._thread.start()
                self._loop = loop
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        # A root task: anyio keeps worker threads as long as that lives.
        root = loop.create_task(self._until_closed())
        while not root.done():
            # A callback of the user raised it in a task for which no thread waits.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                loop.run_until_complete(root)
        loop.close()

    async def _until_closed(self) -> None:
        await self._stop.wait()
        for job in list(self._jobs):
            job.abandon()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            _, late = await asyncio.wait(others, timeout=CLOSE_SECONDS / 2)  # a lost refresh would lose the tokens
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await asyncio.get_running_loop().shutdown_asyncgens()  # closes the connections

    def close(self) -> None:
        """Close the loop at the exit of the interpreter, when no other thread is left but daemons."""
        with self._lock:
            self._is_closed = True
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(CLOSE_SECONDS)


def _refuse_at_exit() -> None:
    if threading.current_thread().daemon:
        threading.Event().wait()  # the interpreter ends this thread in a moment; an error would be printed
    raise RuntimeError("the interpreter is exiting: a BlockingSession can no longer be used")


def _is_loop_running() -> bool:
    return asyncio._get_running_loop() is not None or ("trio" in sys.modules and is_trio())


def _is_notebook() -> bool:
    """Whether this is a kernel of Jupyter: it runs ordinary cells in its event loop, and each of them blocks it."""
    interactive = sys.modules.get("IPython")
    shell = interactive and interactive.get_ipython()
    return getattr(shell, "kernel", None) is not None


background = BackgroundLoop()
"""The loop of this process."""
