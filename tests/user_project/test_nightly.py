"""Tests of the nightly job, without an event loop."""

from datetime import timedelta
from pathlib import Path

import pytest
from nightly import export_hours

from worksection_async.blocking import BlockingSession
from worksection_async.testing import Simulator


@pytest.mark.worksection(seed="empty")
def test_hours_of_each_member(
    blocking_worksection: BlockingSession, worksection_sim: Simulator, tmp_path: Path
) -> None:
    kate = worksection_sim.add_member("kate@example.com", "Kate Greenway")
    task = worksection_sim.add_task(worksection_sim.add_project("Moon"), "Launch")
    for user in (kate, kate, worksection_sim.owner):
        worksection_sim.add_costs(task, timedelta(hours=2), user_from=user)
    assert export_hours(blocking_worksection, tmp_path / "hours.csv") == 3
    assert (tmp_path / "hours.csv").read_text().splitlines() == ["member,hours", "Kate Greenway,4", "Olga Owner,2"]


@pytest.mark.worksection(rate=1.0, clock="virtual")
def test_a_refused_call_is_repeated(
    blocking_worksection: BlockingSession, worksection_sim: Simulator, tmp_path: Path
) -> None:
    worksection_sim.fail("get_costs", "too_many_requests", times=3)
    assert export_hours(blocking_worksection, tmp_path / "hours.csv") == len(worksection_sim.costs)
