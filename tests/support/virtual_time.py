"""Run tests on a virtual clock, on which sleeping takes no real time."""

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

import trio

from worksection_async.testing import VirtualClock

P = ParamSpec("P")

YEAR_SECONDS = 365 * 24 * 3600.0


def run_on_virtual_clock(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main* on trio, whose time jumps to the next deadline when all tasks are blocked.

    If they wait for something that never happens, the last deadline is a year later, so *main* fails at once.
    """

    async def run() -> None:
        VirtualClock().start()
        with trio.fail_after(YEAR_SECONDS):
            await main()

    trio.run(run)


def virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Decorate an asynchronous test, so that it runs on the virtual clock."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_on_virtual_clock(functools.partial(test, *args, **kwargs))

    return run
