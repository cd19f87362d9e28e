"""A served simulator, and programs that call it: threads, signals and forks need processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from tests.support.constants import KEY, ROOT
from worksection_async import ApiKey, TokenBucket
from worksection_async.blocking import BlockingSession
from worksection_async.testing import Simulator

SILENT = "get_timers"
"""The action that the served simulator never answers."""

PREAMBLE = """
import os, signal, sys, threading, time
from worksection_async import ApiKey, Session, TokenBucket
from worksection_async.blocking import BlockingSession

URL, KEY = os.environ["SERVICE"], ApiKey(os.environ["KEY"])

def session(rate=1e6, **options):
    return BlockingSession(URL, KEY, limiter=TokenBucket(rate), **options)
"""
"""The beginning of each program."""

Run = Callable[..., subprocess.CompletedProcess[str]]


@attrs.frozen
class Service:
    """A simulator on a socket."""

    sim: Simulator
    url: str

    def session(self, **options: Any) -> BlockingSession:
        options.setdefault("limiter", TokenBucket(1e6))
        return BlockingSession(self.url, ApiKey(KEY), **options)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a program that calls the simulator."""
        return {**os.environ, "SERVICE": self.url, "KEY": KEY, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    sim = Simulator(api_key=KEY)
    task = sim.add_task(sim.add_project("Moon"), "Launch")
    sim.delete(sim.tasks[331894])  # it has this file
    sim.add_file(task, "plan.pdf", bytes(3_000_000), id=17694)
    sim.fail(SILENT, "timeout", times=None)
    with sim.serve() as url:
        yield Service(sim, url)


@pytest.fixture
def run(service: Service) -> Run:
    """Return a function that runs a program in development mode, with warnings as errors."""

    def run(code: str, *flags: str, first: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *(flags or ("-W", "error", "-X", "dev")), "-c", first + PREAMBLE + code]
        environment = {**service.environment, **variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run
