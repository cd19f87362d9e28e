"""The account of the examples: a strict simulator, and the environment of a program that uses it."""

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

STRICT_RATE = 2 * LIMITER_RATE
"""Requests per second that the account accepts: twice as many, so that a busy machine may delay a request by 250 ms.
It still notices if two programs do not share their limit: one of the two gaps between them is too short."""


@attrs.frozen
class Account:
    """A served simulator, and what a program needs to use it as its account."""

    sim: Simulator
    url: str
    variables: dict[str, str]

    @property
    def refused(self) -> int:
        """Number of requests that arrived too early."""
        return sum(not request.accepted for request in self.sim.requests)

    def requested(self, action: str) -> int:
        """Return the number of requests for an action."""
        return sum(request.action == action for request in self.sim.requests)


def filled(script: str, variables: dict[str, str]) -> str:
    """Return a script of a README, with *variables* in the place of the values that it exports."""

    def value(found: re.Match[str]) -> str:
        return f"{found[1]}={shlex.quote(variables[found[1]])}" if found[1] in variables else found[0]

    return re.sub(r"\b([A-Z_]+)=(\S+)", value, script)


@contextlib.contextmanager
def simulated_account() -> Iterator[Account]:
    sim = Simulator(rate=STRICT_RATE)
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
    account.sim.rate.per_second = None
    account.variables["LIMITER_RATE"] = "1000"
    return account
