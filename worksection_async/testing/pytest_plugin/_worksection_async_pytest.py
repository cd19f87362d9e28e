"""The pytest plugin of worksection_async: fixtures for tests against a simulated account.

It is no part of the package, because pytest imports it at the start of every run, in the suites of other projects, too.
The package is imported by the first fixture that a test uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from worksection_async import Session
    from worksection_async.blocking import BlockingSession
    from worksection_async.testing import Simulator

MARKER = """\
worksection(rate=None, seed="demo", clock="real"): the simulator of the fixtures worksection, blocking_worksection \
and worksection_sim: requests per second (None: no limit), a "demo" or an "empty" account, and a "virtual" clock that \
jumps when all tasks wait."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def worksection_sim(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A simulated Worksection account, new for each test; the marker `worksection` sets its options."""
    from worksection_async.testing._for_tests import simulator_of  # noqa: PLC0415

    with simulator_of(request.node) as sim:
        yield sim


@pytest.fixture
def worksection(worksection_sim: Simulator) -> Session:
    """A session of the owner of the simulated account, for asyncio and trio."""
    return worksection_sim.session()


@pytest.fixture
def blocking_worksection(worksection_sim: Simulator) -> Iterator[BlockingSession]:
    """A `BlockingSession` of the owner of the simulated account, for programs without an event loop."""
    from worksection_async.testing._for_tests import blocking_session  # noqa: PLC0415

    with blocking_session(worksection_sim) as ws:
        yield ws
