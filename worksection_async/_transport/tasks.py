"""Background tasks that outlive the caller that started them, work in threads, and calls of handlers."""

from __future__ import annotations

import contextlib
import contextvars
import copy
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from .clock import is_jumping

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

THREAD_THRESHOLD_BYTES = 65_536
"""JSON of this size and more is decoded in a worker thread, so that it does not block the event loop."""

_tasks: set[asyncio.Task[None]] = set()


def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run *coroutine* as a background task of this event loop; it must not raise."""
    if is_trio():
        import trio  # noqa: PLC0415

        async def run() -> None:
            await coroutine

        trio.lowlevel.spawn_system_task(run, context=contextvars.copy_context())  # as asyncio does
        return
    import asyncio  # noqa: PLC0415  # importing it takes a quarter of the import time of this package

    _release_closed_loops()
    task = asyncio.get_running_loop().create_task(coroutine)
    _tasks.add(task)  # the loop itself keeps no strong reference
    task.add_done_callback(_tasks.discard)


def _release_closed_loops() -> None:
    """End the tasks of event loops that were closed while they ran: they may hold locks that other loops wait for."""
    for task in list(_tasks):
        if task.get_loop().is_closed():
            _tasks.discard(task)
            with contextlib.suppress(RuntimeError):  # a part of its cleanup needs the loop
                task.get_coro().close()


async def call_handler(handler: Callable[[T], Awaitable[object]], argument: T) -> None:
    """Call a coroutine function of the user, whose errors must not end the present task.

    Raises:
        RuntimeError: *handler* awaited something that was cancelled, although this task was not.
    """
    try:
        await handler(argument)
    except anyio.get_cancelled_exc_class() as exc:
        if _is_cancelled():
            raise
        raise RuntimeError("the handler awaited something that was cancelled") from exc


def _is_cancelled() -> bool:
    """Return whether the present task was cancelled."""
    if is_trio():
        return True
    import asyncio  # noqa: PLC0415

    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def is_trio() -> bool:
    """Return whether the present event loop is trio's."""
    if "trio" not in sys.modules:
        return False
    import trio  # noqa: PLC0415

    return trio.lowlevel.in_trio_run()


def is_closed(loop: object) -> bool:
    """Return whether an event loop (a native token of anyio) was closed; False on trio, where no task outlives it."""
    closed = getattr(loop, "is_closed", None)
    return closed is not None and closed()


async def decode(work: Callable[..., T], size: int, *args: object) -> T:
    """Return the result of *work*, which decodes *size* bytes of JSON; a large text is decoded in a worker thread."""
    return work(*args) if size < THREAD_THRESHOLD_BYTES else await in_thread(work, *args)


async def in_thread(work: Callable[..., T], *args: object) -> T:
    """Return the result of *work* from a new thread: all threads of the default limiter may be waiting for this one.

    If the clock of the event loop jumps, *work* runs in the event loop, because such a clock does not wait for threads.
    """
    if is_jumping():
        return work(*args)
    # Not as arguments: they may be secrets, and the frame of the thread is in the traceback of an error.
    return await anyio.to_thread.run_sync(lambda: work(*args), limiter=anyio.CapacityLimiter(1))


def copy_for_next_waiter(error: BaseException) -> BaseException:
    """Return a copy of *error* for the next waiter: raising one object twice would extend its traceback."""
    try:
        duplicate = copy.copy(error).with_traceback(error.__traceback__)
    except Exception:  # noqa: BLE001  # not all exceptions can be copied
        return error
    duplicate.__cause__ = error.__cause__
    return duplicate
