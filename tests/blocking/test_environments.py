"""Programs with an event loop of their own: Jupyter, where a call works, and gevent, where it waits for no one else."""

from __future__ import annotations

import sys

import nbclient
import nbformat
import pytest

from tests.blocking.conftest import PREAMBLE, Run, Service

CELLS = [
    PREAMBLE,
    "ws = session()\nprint(len(ws.get_users()))",
    "with session() as other:\n    print(len(list(other.iter_tasks())) == len(ws.get_all_tasks()))",
    """
async with Session(URL, KEY, limiter=TokenBucket(1e6)) as asynchronous:
    print(len(await asynchronous.get_users()) == len(ws.get_users()))
""",
    """
def interrupt():
    while ws.limiter.statistics().granted < before + 1:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

before = ws.limiter.statistics().granted
threading.Thread(target=interrupt).start()
try:
    ws.get_timers()
except KeyboardInterrupt:
    print("interrupted", len(ws.get_users()))
""",
]


def test_calls_work_in_a_notebook(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel runs cells in its event loop; the button for interrupts sends SIGINT."""
    monkeypatch.setenv("SERVICE", service.url)
    monkeypatch.setenv("KEY", service.environment["KEY"])
    monkeypatch.setenv("PYTHONPATH", service.environment["PYTHONPATH"])
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]  # type: ignore[no-untyped-call]
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    printed = ["".join(output.get("text", str(output)) for output in cell.outputs) for cell in notebook.cells]
    users = len(service.sim._world.users)
    assert printed == ["", f"{users}\n", "True\n", "True\n", f"interrupted {users}\n"]


GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent
"""

CALLS_IN_GREENLETS = """
ticks = []
def tick():
    while True:
        ticks.append(0)
        gevent.sleep(0.01)
gevent.spawn(tick)

with BlockingSession(URL.replace("127.0.0.1", "localhost"), KEY, limiter=TokenBucket(20)) as ws:
    users = len(ws.get_users())
    before = len(ticks)
    jobs = [gevent.spawn(ws.with_options(coalesce=False).get_users) for _ in range(5)]
    gevent.joinall(jobs)
    assert [len(job.value) for job in jobs] == [users] * 5
    assert len(ticks) > before  # other greenlets run while one waits
with BlockingSession(URL, KEY) as ws:  # its bucket is a file with a lock
    ws.get_users()
print("end", flush=True)
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="anyio finds no host by its name there")
def test_calls_work_with_gevent(run: Run) -> None:
    program = run(CALLS_IN_GREENLETS, "-W", "error", first=GEVENT)
    assert (program.returncode, program.stdout, program.stderr) == (0, "end\n", "")
