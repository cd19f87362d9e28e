"""Work that belongs to no caller, so that none who gives up takes it along."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

_tasks: set[object] = set()


def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run *coroutine* beside whatever else runs in this event loop; it must not raise."""
    if "trio" in sys.modules and _is_trio():
        import trio  # noqa: PLC0415

        async def run() -> None:
            await coroutine

        trio.lowlevel.spawn_system_task(run)
        return
    import asyncio  # noqa: PLC0415  # a quarter of the time of importing this package

    task = asyncio.get_running_loop().create_task(coroutine)
    _tasks.add(task)  # the loop itself keeps no strong reference
    task.add_done_callback(_tasks.discard)


def _is_trio() -> bool:
    import trio  # noqa: PLC0415

    return trio.lowlevel.in_trio_run()


def is_closed(loop: object) -> bool:
    """Whether an event loop (a native token of anyio) was closed. On trio tasks do not outlive it, so: no."""
    closed = getattr(loop, "is_closed", None)
    return closed is not None and closed()


async def in_thread(work: Callable[..., T], *args: object) -> T:
    """What *work* returns, in a thread of its own: those of the event loop may all be waiting for us."""
    return await anyio.to_thread.run_sync(work, *args, limiter=anyio.CapacityLimiter(1))


def once_more(error: Exception) -> Exception:
    """*error*, to be raised by one more of those who wait: a traceback must not grow from one to the next."""
    try:
        again = copy.copy(error).with_traceback(error.__traceback__)
    except Exception:  # noqa: BLE001  # not all exceptions can be copied
        return error
    again.__cause__ = error.__cause__
    return again
