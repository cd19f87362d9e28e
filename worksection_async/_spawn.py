"""Work that belongs to no caller, so that none who gives up takes it along."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Any

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
