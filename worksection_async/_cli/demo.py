"""The demo: a walk through a day's work, every step of it checked."""

import io
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

import anyio

from .. import __version__
from .._auth.credentials import ApiKey
from .._limits.token_bucket import TokenBucket
from .._protocol.service import REQUESTS_PER_SECOND
from .._session.session import Session
from ..errors import WorksectionError
from ..testing import Simulator
from . import _account
from . import _steps as steps
from ._guide import Guide
from ._pacing import Door, pacing
from ._screen import Screen
from .simulate import unheard

UNPACED = 0.03
"""Seconds between turns for a simulator that does not check."""


def run(options: Namespace) -> int:
    """Walk through a simulated account, or look around in a real one; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return live() if options.live else simulated(options.port, options.rate)


def simulated(port: int = 0, rate: float = REQUESTS_PER_SECOND) -> int:
    """Walk through a simulated account, served on *port*; returns the exit code."""
    screen, simulator = Screen(), Simulator(rate=rate or None)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(simulator.serve(port=port))
        except OSError as exc:
            sys.stderr.write(f"{unheard(exc, '127.0.0.1', port)}\n")
            return 1
        anyio.run(on_simulator, simulator, url, screen, 1 / rate if rate else 0.0)
    return verdict(screen)


def live() -> int:
    """Look around in the account the environment names, and change nothing; returns the exit code."""
    try:
        session = _account.session()
    except _account.Unnamed as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    screen = Screen()
    anyio.run(on_account, session, screen)
    return verdict(screen)


async def on_simulator(simulator: Simulator, url: str, screen: Screen, interval: float) -> None:
    """Walk through all of *simulator*, which is served at *url*."""
    limiter = TokenBucket(rate=1 / (interval or UNPACED))
    async with Session(url, ApiKey(simulator.api_key), limiter=limiter) as session:
        screen.say(f"worksection-async {__version__} with a simulated account at {url}")
        screen.say("over HTTP and at the pace the service allows: about half a minute", "dim")
        door = Door(lambda: [request.arrived_at for request in simulator.requests], interval)
        await _measured(screen, session, partial(walk, Guide(session, screen.call, screen.transfer), screen, door))


async def on_account(session: Session, screen: Screen, interval: float = 1 / REQUESTS_PER_SECOND) -> None:
    """Look around in a real account through a guide that lets no write through."""
    async with session:
        screen.say(f"worksection-async {__version__} with a real account: it reads, and changes nothing")
        guide = Guide(session, screen.call, screen.transfer, read_only=True)
        await _measured(screen, session, partial(look_around, guide, screen, interval))


async def walk(ws: Guide, screen: Screen, door: Door) -> None:
    """The day."""
    [project, *_] = await steps.survey(ws, screen)
    created = await steps.creation(ws, screen, project)
    await steps.tags(ws, screen, created.task)
    await steps.costs(ws, screen, created)
    await steps.closing(ws, screen, project, created)
    await steps.events(ws, screen, project, created)
    await pacing(ws, screen, door.interval or UNPACED, door)
    await steps.refusal(ws, screen)


async def look_around(ws: Guide, screen: Screen, interval: float) -> None:
    """What of the day can be done by reading."""
    await steps.survey(ws, screen)
    await steps.month(ws, screen)
    await steps.recent_events(ws, screen)
    await pacing(ws, screen, interval)
    await steps.refusal(ws, screen)


async def _measured(screen: Screen, session: Session, way: Callable[[], Awaitable[None]]) -> None:
    """Go *way* as far as it goes, and say how much it took."""
    started = time.monotonic()
    try:
        await way()
    except WorksectionError as error:
        screen.check("every call is answered", holds=False, seen=error)
    taken = time.monotonic() - started
    standing = session.limiter.statistics()
    screen.say("")
    screen.say(f"{standing.granted} requests in {taken:.0f} s, {standing.refused} refused as too soon", "dim")


def verdict(screen: Screen) -> int:
    """Say whether all went well; returns the exit code."""
    if screen.failed:
        screen.say(f"{screen.failed} of {screen.passed + screen.failed} checks failed.", "bold red")
        return 1
    screen.say(f"All {screen.passed} checks passed.", "bold green")
    return 0
