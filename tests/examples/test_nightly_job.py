"""The nightly job of docs/examples/nightly_job, as cron starts it: processes that share the account's rate limit."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sized
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.examples.conftest import LIMITER_RATE, Account, filled, simulated_account
from tests.support import readme
from tests.support.constants import DOCS
from worksection_async import ApiKey, Cursor, TokenBucket
from worksection_async.blocking import BlockingSession
from worksection_async.testing import Simulator

FOLDER = DOCS / "examples" / "nightly_job"
[INSTALL_AND_DEMO] = readme.console_blocks(FOLDER / "README.md")
[REAL_ACCOUNT] = readme.real_account_blocks("Nightly job")


@pytest.fixture(autouse=True)
def _small_account(account: Account) -> None:
    """Two projects with seven tasks, because the tests wait for each call."""
    account.sim.delete(account.sim.projects[8562])


def sqlite(path: Path) -> str:
    return f"sqlite:///{path}?timeout=60"


def start(account: Account, url: str) -> subprocess.Popen[str]:
    # Connections of the pool are open at the exit.
    strict = ["-W", "error", "-W", "ignore::ResourceWarning"]
    command = [sys.executable, *strict, str(FOLDER / "nightly.py"), url]
    return subprocess.Popen(
        command,
        env=readme.environment(**account.variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(run: subprocess.Popen[str]) -> None:
    """Wait for the end of a run; it prints nothing, because cron would send that by mail."""
    printed, _ = run.communicate(timeout=100)
    assert (run.returncode, printed) == (0, "")


def query(url: str, sql: str) -> list[Any]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]
    finally:
        engine.dispose()


def change(url: str, sql: str, **values: object) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(sql), values)
    engine.dispose()


def copied_tasks(url: str) -> set[int]:
    """Return the ids of the tasks whose comments are complete in the database."""
    try:
        return {id_task for (id_task,) in query(url, "SELECT id FROM task WHERE comments_due = 0")}
    except DBAPIError:  # the job has not created the table yet
        return set()


def assert_equal(url: str, sim: Simulator) -> None:
    """Compare all rows of the database with the account."""
    assert sorted(query(url, "SELECT id, name, status FROM project")) == sorted(
        (project.id, project.name, project.status) for project in sim.projects.values()
    )
    assert sorted(query(url, "SELECT id, project_id, name, status, assignee, comments_due FROM task")) == sorted(
        (task.id, task.project and task.project.id, task.name, task.status, task.user_to and task.user_to.email, 0)
        for task in sim.tasks.values()
    )
    assert sorted(query(url, "SELECT id, author, text FROM comment")) == sorted(
        (comment.id, comment.user_from and comment.user_from.email, comment.text) for comment in sim.comments.values()
    )
    costs = query(url, "SELECT id, task_id, minutes, money FROM cost")
    assert sorted((*others, float(money)) for *others, money in costs) == sorted(
        (cost.id, cost.task and cost.task.id, cost.time.total_seconds() // 60, float(cost.money))
        for cost in sim.costs.values()
    )


def requested_tasks(account: Account, first: int = 0) -> Counter[int]:
    """Return the ids of the tasks whose comments were requested, from the request with the number *first* on."""
    requests = account.sim.requests[first:]
    return Counter(int(request.params["id_task"]) for request in requests if request.action == "get_comments")


def test_a_killed_run_is_continued_and_changes_are_copied(account: Account, tmp_path: Path) -> None:
    """Two runs at a time, into databases of their own; one is killed in the middle."""
    database, other_database = sqlite(tmp_path / "killed.db"), sqlite(tmp_path / "other.db")
    killed, other = start(account, database), start(account, other_database)
    while len(copied_tasks(database)) < 3:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    killed.kill()
    killed.communicate()
    copied = copied_tasks(database)
    assert 3 <= len(copied) < len(account.sim.tasks)
    finish(other)
    assert_equal(other_database, account.sim)

    first = len(account.sim.requests)
    finish(start(account, database))
    assert set(requested_tasks(account, first)) == set(account.sim.tasks) - copied
    assert_equal(database, account.sim)

    with BlockingSession(account.url, ApiKey(account.sim.api_key), limiter=TokenBucket(LIMITER_RATE)) as ws:
        ws.post_comment(2602, text="In Python?", email_user_from="kate.greenway@ws.com")
        ws.update_task(331430, title="Meet the team")
    account.sim.delete(account.sim.tasks[330090])  # with its comments and costs; the API has no such action
    first = len(account.sim.requests)
    finish(start(account, database))
    assert requested_tasks(account, first) == {2602: 1}
    assert_equal(database, account.sim)
    assert account.keeps_the_rate()


def test_two_runs_at_a_time_on_one_database(unlimited: Account, tmp_path: Path) -> None:
    url = sqlite(tmp_path / "shared.db")
    finish(start(unlimited, url))  # it has created the tables
    change(url, "UPDATE task SET comments_due = 1")
    runs = [start(unlimited, url) for _ in range(2)]
    for run in runs:
        finish(run)
    assert_equal(url, unlimited.sim)


def test_a_run_after_a_month_reads_all_comments_again(unlimited: Account, tmp_path: Path) -> None:
    """The service stores events for 30 days."""
    url = sqlite(tmp_path / "late.db")
    finish(start(unlimited, url))
    [(saved,)] = query(url, "SELECT cursor FROM position")
    late = attrs.evolve(Cursor.from_json(saved), looked_at=time.time() - 31 * 24 * 3600)
    change(url, "UPDATE position SET cursor = :cursor", cursor=late.to_json())
    for expected in (unlimited.sim.tasks, ()):
        first = len(unlimited.sim.requests)
        finish(start(unlimited, url))
        assert requested_tasks(unlimited, first) == dict.fromkeys(expected, 1)
    assert_equal(url, unlimited.sim)


def test_an_error_says_what_to_do(unlimited: Account, tmp_path: Path) -> None:
    unlimited.variables["WORKSECTION_API_KEY"] = "wrong"
    run = start(unlimited, sqlite(tmp_path / "empty.db"))
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert printed.startswith("get_projects: the service refused:")
    assert printed.endswith("The next run continues here.\n")
    assert "Traceback" not in printed


def test_the_commands_for_a_real_account(unlimited: Account, postgres: str) -> None:
    """With PostgreSQL."""
    install, *others = REAL_ACCOUNT.splitlines()
    assert readme.missing_requirements(install) == []
    url = postgres.replace("asyncpg", "psycopg")
    script = filled("\n".join(others), unlimited.variables).replace(
        "postgresql+psycopg://localhost/reports", f"'{url}'"
    )
    assert readme.run(script, **unlimited.variables) == ""
    assert_equal(url, unlimited.sim)


def test_the_demo_is_interrupted(tmp_path: Path) -> None:
    """Its database is not in the folder of the source code, and the next run continues there."""
    install, demo = INSTALL_AND_DEMO.splitlines()
    assert readme.missing_requirements(install) == []
    url = sqlite(tmp_path / "worksection_nightly.db")
    with readme.program(demo, tmp_path / "log", TMPDIR=str(tmp_path)) as program:
        program.wait_until(lambda: copied_tasks(url))
        assert program.interrupt() == 1
        start, end = program.output().splitlines()
        assert start == f"Copying a simulated account into {url}, one call per second."
        assert end == "Interrupted. The next run continues here."


def test_the_demo_prints_the_number_of_rows(tmp_path: Path) -> None:
    _, demo = INSTALL_AND_DEMO.splitlines()
    url = sqlite(tmp_path / "demo.db")
    with simulated_account() as complete:
        complete.variables["LIMITER_RATE"] = "1000"
        finish(start(complete, url))  # so that the demo makes only a few calls
        sim = complete.sim
    copied: dict[str, Sized] = {"project": sim.projects, "task": sim.tasks, "comment": sim.comments, "cost": sim.costs}
    counts = {"position": 1} | {name: len(records) for name, records in copied.items()}
    _, *rows = readme.run(f"{demo} {shlex.quote(url)}").splitlines()
    assert sorted(rows) == sorted(f"{name}: {count} rows" for name, count in counts.items())
