"""An event loop in a daemon thread, the work in it, and the threads that wait for that."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_SECONDS = 2.0
"""How long the exit of the interpreter waits, first for token refreshes in progress, then for cancelled tasks."""

SLICE_SECONDS = 0.05 if sys.platform == "win32" else -1
"""Period in which a waiting thread looks for signals; on POSIX a signal interrupts the wait itself."""


class Job(Generic[T]):
    """A coroutine in the loop, and the thread that waits for its result or its error."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False
        self._is_abandoned = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self._done = threading.Lock()
        """Held until the work is done. A lock is quicker than an `Event`, and a signal interrupts `acquire`."""
        self._done.acquire()

    # In the thread of the loop

    def start(self, jobs: set[Job[Any]]) -> None:
        """Start the work in a task. The loop calls this with the context variables of the waiting thread."""
        if not self._is_cancelled:
            self._task = asyncio.get_running_loop().create_task(self._run())
            jobs.add(self)
            self._task.add_done_callback(lambda _: jobs.discard(self))

    def cancel(self) -> None:
        """Cancel the work, even if it has not been started."""
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    def abandon(self) -> None:
        """Cancel the work without waking the thread: at the exit of the interpreter it must not run on."""
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

    def wait(self) -> None:
        """Wait until the work is done. A signal handler may raise."""
        while not self._done.acquire(timeout=SLICE_SECONDS):
            pass

    def wait_for(self, seconds: float) -> None:
        """Wait until the work is done, at most for *seconds*."""
        self._done.acquire(timeout=seconds)


class LoopThread:
    """An event loop that runs in a daemon thread until `close`."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.loop.set_debug(False)  # `python -X dev` would report each slow callback of the SDK
        self.loop.set_default_executor(LookUps())
        self.contexts: dict[AbstractAsyncContextManager[object], None] = {}
        """What was entered and not exited. Only the loop changes it."""
        self._jobs: set[Job[Any]] = set()
        self._stop = asyncio.Event()
        # A daemon, and so are the worker threads that anyio starts from it: the interpreter waits for other threads.
        self._thread = threading.Thread(target=self._serve, name="worksection-async", daemon=True)
        self._thread.start()

    def is_current_thread(self) -> bool:
        """Whether the loop runs in the current thread."""
        return threading.current_thread() is self._thread

    def start(self, job: Job[Any]) -> None:
        """Start *job* (thread-safe)."""
        self.loop.call_soon_threadsafe(job.start, self._jobs)

    def cancel(self, job: Job[Any]) -> None:
        """Cancel *job* (thread-safe)."""
        self.loop.call_soon_threadsafe(job.cancel)

    def close(self) -> None:
        """Cancel all work, close all connections and end the thread; give up after `CLOSE_SECONDS`."""
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLOSE_SECONDS)

    def _serve(self) -> None:
        # A root task: anyio keeps worker threads as long as that lives.
        root = self.loop.create_task(self._until_closed())
        while not root.done():
            # A callback of the user raised it in a task for which no thread waits.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_until_complete(root)
        self.loop.close()

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
        for context in list(self.contexts):
            await context.__aexit__(None, None, None)
        await self.loop.shutdown_asyncgens()  # closes the connections


class LookUps(ThreadPoolExecutor):
    """Looks up host names for the loop, each in a daemon thread.

    The pool of the standard library refuses work when the main thread has ended, although other threads go on, and the
    exit of the interpreter waits for its threads.
    """

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call *function* in a new thread."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as exc:  # noqa: BLE001  # raised by the future
                future.set_exception(exc)

        threading.Thread(target=work, name="worksection-async look-up", daemon=True).start()
        return future
