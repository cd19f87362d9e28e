"""The command ``demo``: typical calls against a simulated or real account, with a check of every result."""

import io
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

import anyio
import click

from .. import __version__
from .._auth.credentials import ApiKey
from .._limits.token_bucket import TokenBucket
from .._protocol.service import REQUESTS_PER_SECOND
from .._session.session import Session
from ..errors import WorksectionError
from ..testing import Simulator
from . import _demo_steps as steps
from ._command import PORT, Command, FiniteFloat
from ._demo_queue import ArrivalLog, show_queue
from ._demo_session import DemoSession
from ._exit_codes import ExitCode
from ._screen import Screen

UNLIMITED_INTERVAL_SECONDS = 0.03
"""Interval of the slots if the simulator has no rate limit."""


@click.command("demo", cls=Command)
@click.option("--live", is_flag=True, help="Use the real account, as the command call does; nothing is changed.")
@click.option("--port", type=PORT, default=0, help="Port of the simulator; the default is a free port.")
@click.option("--rate", type=FiniteFloat(0), default=REQUESTS_PER_SECOND, hidden=True)
def command(live: bool, port: int, rate: float) -> int:
    """Make typical calls to a simulated account, over HTTP and at the rate limit of the service.

    Every result is checked by reading it back. The exit code is 0 if all checks passed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return run_live() if live else run_simulated(port, rate)


def run_simulated(port: int = 0, rate: float = REQUESTS_PER_SECOND) -> int:
    """Run the demo with a simulator on *port* (*rate*: requests per second, 0: unlimited); return the exit code."""
    screen, simulator = Screen(), Simulator(rate=rate or None)
    with ExitStack() as stack:
        url = stack.enter_context(simulator.serve(port=port))
        anyio.run(on_simulator, simulator, url, screen, 1 / rate if rate else 0.0)
    return print_summary(screen)


def run_live() -> int:
    """Run the read-only demo with the account in the environment; return the exit code."""
    session = Session.from_env()
    screen = Screen()
    anyio.run(on_account, session, screen)
    return print_summary(screen)


async def on_simulator(simulator: Simulator, url: str, screen: Screen, interval: float) -> None:
    """Run the demo with *simulator*, which is served at *url*; *interval* is in seconds, 0 means no rate limit."""
    limiter = TokenBucket(rate=1 / (interval or UNLIMITED_INTERVAL_SECONDS))
    async with Session(url, ApiKey(simulator.api_key), limiter=limiter) as session:
        screen.write(f"worksection-async {__version__} with a simulated account at {url}")
        screen.write("over HTTP, at the rate limit of the service: this takes about half a minute", "dim")
        arrivals = ArrivalLog(simulator.requests, interval)
        demo_session = DemoSession(session, screen.call, screen.transfer)
        await _measure(screen, session, partial(run_all_steps, demo_session, screen, arrivals))


async def on_account(session: Session, screen: Screen, interval: float = 1 / REQUESTS_PER_SECOND) -> None:
    """Run the read-only demo with a real account; *interval* is in seconds."""
    async with session:
        screen.write(f"worksection-async {__version__} with a real account: read-only, nothing is changed")
        demo_session = DemoSession(session, screen.call, screen.transfer, read_only=True)
        await _measure(screen, session, partial(run_reading_steps, demo_session, screen, interval))


async def run_all_steps(ws: DemoSession, screen: Screen, arrivals: ArrivalLog) -> None:
    """Run the steps for a simulated account."""
    [project, *_] = await steps.list_tasks(ws, screen)
    created = await steps.create_task(ws, screen, project)
    await steps.tag_task(ws, screen, created.task)
    await steps.add_costs(ws, screen, created)
    await steps.close_tasks(ws, screen, project, created)
    await steps.list_events_of_task(ws, screen, project, created)
    await show_queue(ws, screen, arrivals.interval or UNLIMITED_INTERVAL_SECONDS, arrivals)
    await steps.show_error(ws, screen)


async def run_reading_steps(ws: DemoSession, screen: Screen, interval: float) -> None:
    """Run the steps that only read, for a real account."""
    await steps.list_tasks(ws, screen)
    await steps.show_costs_of_month(ws, screen)
    await steps.list_recent_events(ws, screen)
    await show_queue(ws, screen, interval)
    await steps.show_error(ws, screen)


async def _measure(screen: Screen, session: Session, run_steps: Callable[[], Awaitable[None]]) -> None:
    """Run the steps until one fails, and print the number of requests and their duration."""
    started = time.monotonic()
    try:
        await run_steps()
    except WorksectionError as error:
        screen.check("every call succeeds", is_true=False, actual=error)
    seconds = time.monotonic() - started
    statistics = session.limiter.statistics()
    screen.write("")
    screen.write(
        f"{statistics.granted} requests in {seconds:.0f} s, {statistics.refused} refused by the rate limit", "dim"
    )


def print_summary(screen: Screen) -> int:
    """Print the number of failed checks; return the exit code."""
    if screen.failed:
        screen.write(f"{screen.failed} of {screen.passed + screen.failed} checks failed.", "bold red")
        return ExitCode.FAILED
    screen.write(f"All {screen.passed} checks passed.", "bold green")
    return ExitCode.OK
