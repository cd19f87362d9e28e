"""The help desk of docs/examples/flask_celery: its site, its worker and a real Valkey, as its pages start them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
import httpx
import pytest

from tests.examples.conftest import Account, filled, simulated_account
from tests.support import readme
from tests.support.constants import DOCS
from tests.support.login_harness import free_port
from worksection_async import models
from worksection_async.testing import faults
from worksection_async.testing._reply import ServiceRefusal, error_reply

INSTALL_AND_DEMO, CLOSE = readme.console_blocks(DOCS / "examples" / "flask_celery" / "README.md")
WORK, SERVE, REGISTER = readme.real_account_blocks("Flask and Celery")
PASSWORD = "a long secret"
get, post = partial(httpx.get, timeout=60), partial(httpx.post, timeout=60)


@attrs.frozen
class Desk:
    """A running help desk, and the account in which it creates tasks."""

    account: Account
    url: str
    server: readme.Program
    worker: readme.Program

    def send(self, title: str) -> str:
        """Send a request; return the URL of its page."""
        answer = post(self.url, data={"title": title, "text": "It is urgent"})
        assert answer.status_code == 303
        return str(answer.headers["Location"])

    def wait_for(self, page: str, text: str) -> str:
        """Return the page of a request when it contains *text*."""
        shown = ""

        def is_shown() -> bool:
            nonlocal shown
            shown = get(self.url + page).raise_for_status().text
            return text in shown

        self.server.wait_until(is_shown)
        return shown

    def created(self, title: str) -> list[models.Task]:
        return [task for task in self.account.sim.tasks.values() if task.name.startswith(f"{title} #")]


@pytest.fixture(scope="module")
def running(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder, port = tmp_path_factory.mktemp("desk"), free_port()
    with simulated_account() as account, contextlib.ExitStack() as stack:
        variables = {
            **account.variables, "HELPDESK_PROJECT": "26", "VALKEY_URL": f"{valkey}/1", "RETRY_SECONDS": "1",
            "WEBHOOK_PASSWORD": PASSWORD,
        }  # fmt: skip
        worker, server = (
            stack.enter_context(readme.program(filled(script, variables), folder / f"log{number}", **variables))
            for number, script in enumerate((WORK, f"{SERVE} --bind 127.0.0.1:{port}"))
        )
        stack.callback(worker.process.wait)
        stack.callback(worker.process.terminate)  # a killed main process would leave its pool
        server.wait_for_port(port)
        yield Desk(account, f"http://127.0.0.1:{port}", server, worker)


@pytest.fixture
def desk(running: Desk) -> Iterator[Desk]:
    running.account.sim.requests.clear()
    yield running
    assert running.account.sim.unused_faults == []
    assert running.account.keeps_the_rate()


def test_a_request_becomes_a_task_and_its_end_is_shown(desk: Desk) -> None:
    sim = desk.account.sim
    register = REGISTER.replace("https://help.example.com", desk.url)
    readme.run(filled(register, {**desk.account.variables, "WEBHOOK_PASSWORD": PASSWORD}), **desk.account.variables)
    page = desk.send("Printer")
    assert "being worked on" in desk.wait_for(page, "Printer #")
    [task] = desk.created("Printer")
    assert (task.project and task.project.id, sim.tasks[task.id].text) == (26, "It is urgent")
    readme.run(filled(CLOSE.replace("332151", str(task.id)), desk.account.variables), **desk.account.variables)
    desk.wait_for(page, "is done")
    webhook = f"{desk.url}/webhook"
    assert post(webhook, json=[]).status_code == 401
    assert post(webhook, json=[{"action": "new"}], auth=("worksection", PASSWORD)).json() == {"status": "OK"}
    assert all(delivery.ok for delivery in sim.deliveries)


@pytest.mark.parametrize(
    ("fault", "posts"),
    [(faults.reset(executed=True), 1), (faults.reset(), 2), (faults.server_error(executed=True), 1)],
    ids=["executed", "not executed", "executed, server error"],
)
def test_after_a_lost_reply_the_task_exists_once(
    desk: Desk, fault: faults.Fault, posts: int, request: pytest.FixtureRequest
) -> None:
    title = request.node.callspec.id
    desk.account.sim.fail("post_task", fault)
    desk.wait_for(desk.send(title), "being worked on")
    assert len(desk.created(title)) == 1
    assert desk.account.requested("post_task") == posts
    assert desk.account.requested("search_tasks") == 1


def test_a_refused_call_is_repeated_without_a_search(desk: Desk) -> None:
    """Another client uses up the rate limit for longer than a worker waits; nothing was executed."""
    desk.account.sim.fail("post_task", faults.too_many_requests(), times=None)
    page = desk.send("Busy")
    desk.wait_for(page, "we try again")
    desk.account.sim.clear_faults()
    desk.wait_for(page, "being worked on")
    assert len(desk.created("Busy")) == 1
    assert desk.account.requested("search_tasks") == 0


def test_a_refused_request_is_not_repeated(desk: Desk) -> None:
    refusal = error_reply(ServiceRefusal("Project is invalid"))
    desk.account.sim.fail("post_task", faults.answer(refusal))
    page = desk.wait_for(desk.send("Wrong"), "could not be stored")
    assert "post_task: the service refused: Project is invalid" in page
    assert desk.account.requested("post_task") == 1


def test_the_job_of_a_killed_worker_is_done_by_another_one(desk: Desk) -> None:
    """It was killed after the service had created the task, before the reply."""
    desk.account.sim.fail("post_task", faults.timeout(executed=True))
    page = desk.send("Killed")
    desk.worker.wait_until(lambda: desk.created("Killed"))
    for pid in children(desk.worker.process.pid):
        os.kill(pid, signal.SIGKILL)
    desk.wait_for(page, "being worked on")
    assert len(desk.created("Killed")) == 1
    assert desk.account.requested("post_task") == 1


def children(pid: int) -> list[int]:
    """Return the ids of the processes that the process *pid* has started."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


def descendants(pid: int) -> list[int]:
    found = children(pid)
    return [*found, *(pid for child in found for pid in descendants(child))]


def test_the_demo_of_the_readme(tmp_path: Path) -> None:
    install, demo = INSTALL_AND_DEMO.splitlines()
    port, simulator_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    assert readme.missing_requirements(install) == []
    with (
        readme.program(f"{demo} {port} {simulator_port} {free_port()}", tmp_path / "log") as program,
        contextlib.ExitStack() as at_failure,
    ):
        at_failure.callback(program.interrupt)  # it ends the programs that it has started
        program.wait_for_port(port)
        page = url + post(url, data={"title": "Mouse", "text": ""}).headers["Location"]
        program.wait_until(lambda: "being worked on" in get(page).text)
        readme.run(CLOSE.replace(":8010", f":{simulator_port}"))
        program.wait_until(lambda: "is done" in get(page).text)
        started = descendants(program.process.pid)
        assert len(started) >= 5  # Valkey, gunicorn and Celery with their workers
        program.process.terminate()
        assert program.process.wait(readme.PATIENCE_SECONDS) == 0
        assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
        assert "Traceback" not in program.output()
