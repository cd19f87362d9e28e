"""Where sleeping takes no time."""

from collections.abc import Awaitable, Callable

import trio
import trio.testing


def on_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main* on a clock that jumps to whatever is waited for."""

    async def run() -> None:
        await main()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
