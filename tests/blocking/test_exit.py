"""A program with a blocking session ends: at once, and without a warning."""

from __future__ import annotations

import pytest

from tests.blocking.conftest import Run

PROGRAMS = {
    "a session that is not closed": """
ws = session()
ws.get_users()
""",
    "inside of a with block": """
with session() as ws:
    ws.get_users()
    print("end", flush=True)
    sys.exit()
""",
    "calls in flight in daemon threads": """
ws, slow = session(), session(rate=1e-3)
slow.get_users()
watch = iter(ws.watch(every=1000))
for call in (ws.get_timers, slow.get_users, lambda: next(watch)):
    threading.Thread(target=call, daemon=True).start()
while not slow.limiter.statistics().waiting["normal"]:
    time.sleep(0.01)
""",
    "a daemon thread that calls again and again": """
ws = session()
def work():
    while True:
        ws.get_users()
threading.Thread(target=work, daemon=True).start()
while ws.limiter.statistics().granted < 5:
    time.sleep(0.01)
""",
    "sys.exit in a thread": """
ws = session()
def work():
    ws.get_users()
    sys.exit(3)
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
    "a thread that goes on after the main thread": """
ws = BlockingSession(URL.replace("127.0.0.1", "localhost"), KEY, limiter=TokenBucket(1e6))
def work():
    threading.main_thread().join()
    ws.get_users()
    with session() as other:
        other.get_users()
        print("end", flush=True)
threading.Thread(target=work).start()
""",
    "calls in an exit handler": """
import atexit
ws = session()
atexit.register(ws.close)
atexit.register(lambda: ws.get_users())
""",
    "unfinished iterators and downloads": """
ws = session()
tasks, file = ws.iter_tasks(), ws.open_download(17694)
next(tasks)
next(iter(file.__enter__()))
""",
}


@pytest.mark.parametrize("code", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_program_ends_without_a_warning(code: str, run: Run) -> None:
    program = run(code if "end" in code else code + 'print("end", flush=True)\n')
    assert (program.returncode, program.stdout, program.stderr) == (0, "end\n", "")


def test_a_call_after_the_end_is_refused(run: Run) -> None:
    """An exit handler that was registered before the import runs after the loop was closed."""
    program = run("""
from worksection_async.blocking.loop import background
background.close()
try:
    session().get_users()
except RuntimeError as error:
    print(error)
""")
    assert program.stdout == "the interpreter is exiting: a BlockingSession can no longer be used\n"
    assert (program.returncode, program.stderr) == (0, "")
