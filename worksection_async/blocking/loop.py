"""The event loop of all blocking sessions of this process."""

from __future__ import annotations

import asyncio
import atexit
import functools
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import ParamSpec, TypeVar, cast

from .._transport.fork import reset_now_and_after_fork
from .._transport.tasks import is_trio
from .loop_thread import Job, LoopThread

P = ParamSpec("P")
T = TypeVar("T")

CANCEL_SECONDS = 0.05
"""How long an interrupted call waits until its task has ended, so that it has left the limiter's queue."""

LOOP_RUNS = (
    "an event loop runs in this thread, and a BlockingSession would block it. "
    "Use worksection_async.Session here: `async with Session(...) as ws`, `await ws.get_tasks(26)`"
)


class BackgroundLoop:
    """One event loop for all threads, started by the first call. A forked child starts its own."""

    def __init__(self) -> None:
        self._running: LoopThread | None = None
        self._inherited: list[LoopThread | None] = []
        self._is_closed = False
        reset_now_and_after_fork(self)
        atexit.register(self.close)

    def _reset(self) -> None:
        # The thread of the parent's loop does not exist here. The loop is kept: collecting its objects would call it,
        # and closing it would change the parent's selector.
        self._inherited.append(self._running)
        self._running = None
        self._lock = threading.Lock()

    def run(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in the loop, and return what its coroutine returns.

        An exception of a signal handler, such as KeyboardInterrupt, ends the wait and cancels the coroutine.

        Raises:
            RuntimeError: An event loop runs in this thread, or the interpreter exits.
        """
        if self._is_own_thread() or (self._is_loop_running() and not _is_notebook()):
            raise RuntimeError(LOOP_RUNS)
        job, running = Job(functools.partial(function, *args, **kwargs)), self._started()
        try:
            running.start(job)
            job.wait()
        except BaseException:
            running.cancel(job)
            job.wait_for(CANCEL_SECONDS)
            raise
        error, job.error = job.error, None
        if error is None:
            return cast(T, job.result)
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter *context* in the loop; the end of the loop exits it if `exit` has not."""

        contexts = self._started().contexts

        async def enter() -> T:
            value = await context.__aenter__()
            contexts[context] = None
            return value

        return self.run(enter)

    def exit(self, context: AbstractAsyncContextManager[object]) -> None:
        """Exit *context*; in a forked child do nothing with a context of the parent."""
        contexts = self._running.contexts if self._running is not None else {}

        async def exit_() -> None:
            if context in contexts:
                del contexts[context]
                await context.__aexit__(None, None, None)

        self.finish(exit_)

    def finish(self, function: Callable[[], Awaitable[None]]) -> None:
        """Call *function*, which releases something, in the loop; the end of the loop has released everything."""
        if not self._is_closed:
            self.run(function)

    def close(self) -> None:
        """Close the loop at the exit of the interpreter, when no other thread is left but daemons."""
        with self._lock:
            self._is_closed = True
        if self._running is not None:
            self._running.close()

    def _started(self) -> LoopThread:
        if (running := self._running) is not None and not self._is_closed:
            return running  # without the lock, which a call that a signal handler has interrupted may hold
        with self._lock:
            if self._is_closed:
                _refuse_at_exit()
            if self._running is None:
                self._running = LoopThread()
            return self._running

    def _is_own_thread(self) -> bool:
        """Whether this is the thread of the loop: in a callback, which would wait for itself."""
        return self._running is not None and self._running.is_current_thread()

    def _is_loop_running(self) -> bool:
        """Whether another event loop runs in this thread, which waiting would block."""
        loop, running = asyncio._get_running_loop(), self._running
        if running is not None and loop is running.loop:
            return False  # greenlets of gevent, its threads, see each other's loops
        return loop is not None or is_trio()


def _refuse_at_exit() -> None:
    if threading.current_thread().daemon:
        threading.Event().wait()  # the interpreter ends this thread in a moment; an error would be printed
    raise RuntimeError("the interpreter is exiting: a BlockingSession can no longer be used")


def _is_notebook() -> bool:
    """Whether this is a kernel of Jupyter: it runs ordinary cells in its event loop, and each of them blocks it."""
    interactive = sys.modules.get("IPython")
    shell = interactive and interactive.get_ipython()
    return getattr(shell, "kernel", None) is not None


background: BackgroundLoop = BackgroundLoop()
"""The loop of this process."""
