"""Where sleeping takes no time."""

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

import trio
import trio.testing

P = ParamSpec("P")


def on_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main* on a clock that jumps to whatever is waited for."""

    async def run() -> None:
        await main()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test on that clock."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        on_virtual_time(functools.partial(test, *args, **kwargs))

    return run
