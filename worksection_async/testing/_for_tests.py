"""The simulator of a test under pytest: its options are in markers, and it belongs to that test.

The fixtures are in ``_worksection_async_pytest``, which imports this module when a test uses one of them.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from .._auth.credentials import ApiKey
from .._protocol.names import nearest
from .._protocol.values import shown
from .._transport.clock import SYSTEM_CLOCK
from ..blocking import BlockingSession
from ..errors import InvalidCall
from ._clock import VirtualClock
from ._simulator import ORIGIN, Simulator

CLOCKS = ("real", "virtual")
OPTIONS = ("rate", "seed", "clock")


@contextlib.contextmanager
def simulator_of(item: Any) -> Iterator[Simulator]:
    """Yield the simulator of the test *item*; fail the test if its markers are wrong."""
    sim = _new_simulator(**_options(item))
    with _on_clock(item, sim.clock) if isinstance(sim.clock, VirtualClock) else contextlib.nullcontext():
        yield sim


def _new_simulator(clock: str = "real", **options: Any) -> Simulator:
    if clock not in CLOCKS:
        raise _refusal(f"clock must be one of {', '.join(CLOCKS)}, not {shown(clock)}")
    try:
        return Simulator(**options, clock=VirtualClock() if clock == "virtual" else SYSTEM_CLOCK)
    except InvalidCall as error:
        raise _refusal(error.problem) from None


def blocking_session(sim: Simulator) -> BlockingSession:
    """Return a `BlockingSession` of the account of *sim*; it shares the limiter with the other sessions."""
    return BlockingSession(ORIGIN, ApiKey(sim.api_key), limiter=sim._limiter, transport=sim.transport())


def _options(item: Any) -> dict[str, Any]:
    """Return the options of all markers of *item*: one of a class or a module is overridden by one of the function."""
    options: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("worksection"))):
        if marker.args:
            raise _refusal(f"pass options by name: {', '.join(OPTIONS)}")
        for name in marker.kwargs:
            if name not in OPTIONS:
                raise _refusal(f"unknown option {name!r}; known options: {', '.join(OPTIONS)}{nearest(name, OPTIONS)}")
        options |= marker.kwargs
    return options


def _refusal(problem: str) -> BaseException:
    return pytest.fail.Exception(f"@pytest.mark.worksection: {problem}", pytrace=False)


@contextlib.contextmanager
def _on_clock(item: Any, clock: VirtualClock) -> Iterator[None]:
    """Let *clock* begin to jump with the test, before anything reads it: the test may begin with a sleep."""
    test = item.obj
    if inspect.iscoroutinefunction(test):

        @functools.wraps(test)
        async def run(*args: Any, **kwargs: Any) -> object:
            clock.start()
            return await test(*args, **kwargs)

        item.obj = run
    try:
        yield
    finally:
        item.obj = test
        clock.stop()
