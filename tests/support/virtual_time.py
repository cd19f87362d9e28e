"""Run tests on a virtual clock, on which sleeping takes no real time."""

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

import trio
import trio.testing

P = ParamSpec("P")


def run_on_virtual_clock(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main* on trio with a clock that jumps to the next deadline when all tasks are blocked."""

    async def run() -> None:
        await main()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Decorate an asynchronous test, so that it runs on the virtual clock."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_on_virtual_clock(functools.partial(test, *args, **kwargs))

    return run
