"""Fixtures of the examples: a strict simulator, and the environment of a program that uses it as its account."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.support.constants import ROOT
from worksection_async.testing import Simulator

LIMITER_RATE = 5.0
"""Requests per second of the programs together."""

STRICT_RATE = 2 * LIMITER_RATE
"""Requests per second that the account accepts: twice as many, so that a busy machine may delay a request by half an
interval. It still notices if two programs do not share their limit: one of the two gaps between them is too short."""


@attrs.frozen
class Account:
    """A served simulator, and what a program needs to use it as its account."""

    sim: Simulator
    url: str
    environment: dict[str, str]

    @property
    def refused(self) -> int:
        """Number of requests that arrived too early."""
        return sum(not request.accepted for request in self.sim.requests)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    sim = Simulator(rate=STRICT_RATE)
    with sim.serve() as url:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WORKSECTION_")}
        yield Account(
            sim,
            url,
            {
                **inherited,
                "WORKSECTION_ACCOUNT": url,
                "WORKSECTION_API_KEY": sim.api_key,
                "LIMITER_RATE": str(LIMITER_RATE),
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).with_name("fast_limiter"))]),
            },
        )
