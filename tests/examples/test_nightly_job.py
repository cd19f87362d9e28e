"""The nightly job, as cron starts it: processes that share the account's limit, one of which is killed."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.examples.conftest import LIMITER_RATE, Account
from tests.support.constants import DOCS
from worksection_async import ApiKey, TokenBucket
from worksection_async.blocking import BlockingSession

FOLDER = DOCS / "examples" / "nightly_job"


def start(account: Account, database: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(FOLDER / "nightly.py"), f"sqlite:///{database}?timeout=60"]
    return subprocess.Popen(command, env=account.environment, stderr=subprocess.PIPE, text=True)


def finish(run: subprocess.Popen[str]) -> None:
    """Wait for the end of a run; nothing is printed, because cron would send it by mail."""
    _, printed = run.communicate(timeout=100)
    assert (run.returncode, printed) == (0, "")


def query(database: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        return connection.execute(sql).fetchall()


def copied_tasks(database: Path) -> set[int]:
    """Return the ids of the tasks whose comments are complete in the database."""
    try:
        return {id_task for (id_task,) in query(database, "SELECT id FROM task WHERE NOT comments_due")}
    except sqlite3.OperationalError:  # the job has not created the table yet
        return set()


def wait_for_copied_tasks(run: subprocess.Popen[str], database: Path, count: int) -> None:
    while len(copied_tasks(database)) < count:
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)


def assert_equal(database: Path, account: Account) -> None:
    """Compare all rows of the database with the account."""
    sim = account.sim
    assert set(query(database, "SELECT id, name, status FROM project")) == {
        (project.id, project.name, project.status) for project in sim.projects.values()
    }
    assert set(query(database, "SELECT id, project_id, name, status, assignee, comments_due FROM task")) == {
        (task.id, task.project and task.project.id, task.name, task.status, task.user_to and task.user_to.email, 0)
        for task in sim.tasks.values()
    }
    assert set(query(database, "SELECT id, author, text FROM comment")) == {
        (comment.id, comment.user_from and comment.user_from.email, comment.text) for comment in sim.comments.values()
    }
    assert set(query(database, "SELECT id, task_id, minutes, money FROM cost")) == {
        (cost.id, cost.task and cost.task.id, cost.time.total_seconds() // 60, float(cost.money))
        for cost in sim.costs.values()
    }


def requested(account: Account) -> Counter[object]:
    """Return the ids of the tasks whose comments were requested."""
    return Counter(
        int(request.params["id_task"]) for request in account.sim.requests if request.action == "get_comments"
    )


def test_a_killed_run_is_continued_and_changes_are_copied(account: Account, tmp_path: Path) -> None:
    """Two runs at a time, into databases of their own; one is killed in the middle."""
    database, other_database = tmp_path / "killed.db", tmp_path / "other.db"
    killed, other = start(account, database), start(account, other_database)
    wait_for_copied_tasks(killed, database, 3)
    killed.kill()
    killed.communicate()
    copied = copied_tasks(database)
    assert 3 <= len(copied) < len(account.sim.tasks)
    finish(other)
    assert_equal(other_database, account)

    account.sim.requests.clear()
    finish(start(account, database))
    assert set(requested(account)) == set(account.sim.tasks) - copied
    assert_equal(database, account)

    with BlockingSession(account.url, ApiKey(account.sim.api_key), limiter=TokenBucket(LIMITER_RATE)) as ws:
        ws.post_comment(2602, text="In Python?", email_user_from="kate.greenway@ws.com")
        ws.update_task(331430, title="Meet the team")
        ws.delete_costs(3690)
    account.sim.delete(account.sim.tasks[331894])  # with its subtasks and comments; the API has no such action
    account.sim.requests.clear()
    time.sleep(1 / LIMITER_RATE)  # the limiter of the job did not see these requests
    finish(start(account, database))
    assert requested(account) == {2602: 1}
    assert_equal(database, account)
    assert account.refused == 0


def test_two_runs_share_the_work_on_one_database(account: Account, tmp_path: Path) -> None:
    database = tmp_path / "shared.db"
    runs = [start(account, database) for _ in range(2)]
    for run in runs:
        finish(run)
    assert_equal(database, account)
    assert len(account.sim.tasks) <= requested(account).total() < 2 * len(account.sim.tasks)
    assert account.refused == 0


def test_an_error_says_what_to_do(account: Account, tmp_path: Path) -> None:
    account.environment["WORKSECTION_API_KEY"] = "wrong"
    run = start(account, tmp_path / "empty.db")
    _, printed = run.communicate(timeout=60)
    assert run.returncode == 1
    assert printed.startswith("get_projects: the service refused:")
    assert printed.endswith("The next run continues here.\n")
    assert "Traceback" not in printed
