"""The fixtures of the pytest plugin, for the type checkers."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import assert_type

import pytest

from worksection_async import Session, models
from worksection_async.blocking import BlockingSession
from worksection_async.testing import Delivery, ReceivedRequest, Simulator, VirtualClock, faults


@pytest.mark.worksection(rate=1.0, seed="empty", clock="virtual")
async def fixtures(worksection: Session, blocking_worksection: BlockingSession, worksection_sim: Simulator) -> None:
    sim = worksection_sim
    member = assert_type(sim.add_member("kate@example.com", "Kate", title="designer"), models.Member)
    project = assert_type(sim.add_project("Moon", users=[member], date_start=dt.date(2026, 1, 1)), models.Project)
    group = assert_type(sim.add_tag_group("Labels"), models.TagGroup)
    tag = assert_type(sim.add_tag(group, "bug"), models.Tag)
    field = assert_type(sim.add_custom_field("Customer"), models.CustomField)
    task = assert_type(
        sim.add_task(project, "Launch", user_to=member, tags=[tag], custom_fields={field: "ACME"}), models.Task
    )
    sim.relate(sim.add_task(project.id, "Countdown", parent=task), task)
    comment = assert_type(sim.add_comment(task, "Today", user_from="kate@example.com"), models.Comment)
    file = assert_type(sim.add_file(comment, "plan.txt", b"plan"), models.File)
    assert_type(sim.content(file), bytes)
    assert_type(sim.add_costs(task, dt.timedelta(hours=2), Decimal(7)), models.Cost)
    assert_type(sim.add_timer(task, member), models.Timer)
    assert_type(sim.add_contact("Brian Fly"), models.Contact)
    assert_type(sim.add_group("Design"), int)
    assert_type(sim.add_webhook("https://example.com/", ["post_task"]), models.Webhook)
    assert_type(sim.update(task, status="done", name="Landing"), models.Task)
    assert_type(sim.update(project, status="archive"), models.Project)
    assert_type(sim.update(member, active=False), models.Member)
    assert_type(sim.tasks, dict[int, models.Task])
    assert_type(sim.events, list[models.Event])
    assert_type(sim.requests, list[ReceivedRequest])
    sim.delete(task)
    sim.dump("account.json")
    sim.load("account.json")
    sim.fail("get_tasks", "reset", times=2)
    sim.fail("get_tasks", faults.cut_off(10), times=None)
    assert_type(sim.unused_faults, list[tuple[str, str]])
    assert_type(await sim.emit("close", task, new={"priority": "7"}), list[Delivery])
    sim.advance(hours=25)
    assert_type(await worksection.get_tasks(26), list[models.Task])
    assert_type(blocking_worksection.get_tasks(26), list[models.Task])
    Simulator(rate=1.0, clock=VirtualClock())

    sim.fail("get_tasks", "rset")  # type: ignore[arg-type]
    sim.add_task(project, "x", titel="y")  # type: ignore[call-arg]
