"""The account of the examples: a simulator, and the environment of a program that uses it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.support.constants import ROOT
from worksection_async.testing import Simulator

LIMITER_RATE = 2.0
"""Requests per second of the programs together."""

WINDOW = 6
"""Requests among which the rate is measured: two programs that do not share their limit send them in half the time."""

STALL_SHARE = 0.3
"""Share of that time by which a busy machine may delay a request."""


@attrs.frozen
class Account:
    """A served simulator, and what a program needs to use it as its account."""

    sim: Simulator
    url: str
    variables: dict[str, str]

    def keeps_the_rate(self) -> bool:
        """Return whether all programs together kept the rate."""
        times = [request.arrived_at for request in self.sim.requests]
        least = (WINDOW - 1) / LIMITER_RATE * (1 - STALL_SHARE)
        return all(last - first >= least for first, last in zip(times, times[WINDOW - 1 :], strict=False))

    def requested(self, action: str) -> int:
        """Return the number of requests for an action."""
        return sum(request.action == action for request in self.sim.requests)


def filled(script: str, variables: dict[str, str]) -> str:
    """Return a script of the documentation, with *variables* in the place of the values that it exports."""

    def value(found: re.Match[str]) -> str:
        return f"{found[1]}={shlex.quote(variables[found[1]])}" if found[1] in variables else found[0]

    return re.sub(r"\b([A-Z_]+)=(\S+)", value, script)


@contextlib.contextmanager
def simulated_account() -> Iterator[Account]:
    sim = Simulator()
    with sim.serve() as url:
        variables = {
            "WORKSECTION_ACCOUNT": url,
            "WORKSECTION_API_KEY": sim.api_key,
            "LIMITER_RATE": str(LIMITER_RATE),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).with_name("fast_limiter"))]),
        }
        yield Account(sim, url, variables)


@pytest.fixture
def account() -> Iterator[Account]:
    with simulated_account() as account:
        yield account


@pytest.fixture
def unlimited(account: Account) -> Account:
    """The account without a rate limit, for tests of something else."""
    account.variables["LIMITER_RATE"] = "1000"
    return account
