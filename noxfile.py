"""The tasks of this project; ``nox -l`` lists them.

The session ``tests`` runs on each supported Python that is present, in parallel processes (pytest-xdist):

- On the oldest of them it runs the whole suite. If the environment variable `COVERAGE_GATE` is set, as in CI, it also
  measures coverage, which takes a minute longer, and fails below the figure in pyproject.toml (branches included).
- On the others it runs a fast selection: the first row of each test, without the tests in `SLOW`.
- With arguments (``nox -s tests -- tests/limits -k lane``) it passes them to pytest instead: no parallel processes, no
  coverage.

An interpreter is present if it starts and is the running one, on PATH, or installed by pyenv.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

PYPROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = nox.project.python_versions(PYPROJECT)
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

SLOW = [
    "tests/auth/test_oauth2.py::test_500_calls",
    "tests/auth/test_token_sharing.py",
    "tests/auth/test_token_stores.py::test_a_killed_process",
    "tests/auth/test_token_stores.py::test_the_redis_lock_of_a_killed_process",
    "tests/auth/test_token_vaults.py::test_the_lock_of_another_process",
    "tests/blocking/test_environments.py",
    "tests/blocking/test_exit.py",
    "tests/blocking/test_fork.py",
    "tests/blocking/test_interrupts.py::test_ctrl_c",
    "tests/blocking/test_sharing.py::test_threads_beside",
    "tests/cli",
    "tests/examples",
    "tests/limits/test_bucket_state.py::TestSharedBucket",
    "tests/limits/test_file_bucket.py::test_processes_share",
    "tests/limits/test_limiter.py::test_each_waiting_call_is_woken",
    "tests/limits/test_limiter.py::test_the_promises_hold_for_any_order",
    "tests/limits/test_processes.py",
    "tests/limits/test_redis_bucket.py::test_processes_share",
    "tests/login/test_browser.py",
    "tests/models/test_libraries.py::test_dlt",
    "tests/protocol/test_tolerance.py::test_any_value_in_any_place",
    "tests/reference",
    "tests/reliability/test_soak.py",
    "tests/session/test_call_events.py::test_the_events_of_1000_random_calls",
    "tests/session/test_cancellation.py::test_session_works_after_many_cancelled_calls",
    "tests/session/test_users.py::test_a_thousand_users",
    "tests/spec",
    "tests/sync/test_crashes.py",
    "tests/sync/test_streams.py::test_stream_of_12_000_tasks",
    "tests/sync/test_watch.py::test_every_event_is_yielded_once",
    "tests/test_docs.py::test_the_examples_have_no_type_errors",
    "tests/testing/test_limits.py",
    "tests/testing/test_server.py",
    "tests/testing/test_vendor_client.py",
    "tests/webhooks/test_redis_memory.py::test_processes_that_get",
    "tests/webhooks/test_task_queues.py",
    "tests/webhooks/test_webhooks.py::test_a_thousand_events_across_a_restart",
    "tests/webhooks/test_webhooks.py::test_the_number_of_remembered_keys",
]
"""Prefixes of test ids that only the whole suite runs: processes, browsers, the generator, 10 000 records."""

GENERATE = """
import runpy, sys, types
package = types.ModuleType("worksection_async")
package.__path__ = ["worksection_async"]
sys.modules["worksection_async"] = package
runpy.run_module("worksection_async._spec", run_name="__main__")
"""
"""Runs the generator without importing the package, which is impossible while a generated file is missing or broken."""


def find_interpreter(version: str) -> Path | None:
    """Return an interpreter of this version that starts, or None."""
    name = f"python{version}"
    on_path = shutil.which(name)
    roots = {Path(root).expanduser() for root in (os.environ.get("PYENV_ROOT") or "~/.pyenv", "~/.pyenv")}
    candidates = [Path(on_path)] if on_path else []
    candidates += [path for root in sorted(roots) for path in sorted(root.glob(f"versions/{version}*/bin/{name}"))]
    # The shims of pyenv are on PATH for all its versions, but they start only the activated ones.
    return next((path for path in candidates if is_working(path)), None)


def is_working(interpreter: Path) -> bool:
    """Return True if the interpreter starts."""
    return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode == 0


FOUND = {version: find_interpreter(version) for version in SUPPORTED if version != RUNNING}
PRESENT = [version for version in SUPPORTED if version == RUNNING or FOUND[version]]
# nox looks for interpreters on PATH, where a shim that does not start would be first.
os.environ["PATH"] = os.pathsep.join([*(str(path.parent) for path in FOUND.values() if path), os.environ["PATH"]])


def install(session: nox.Session, group: str, *extras: str) -> None:
    """Install the project in editable mode, with extras and a dependency group."""
    session.install("-e", f".[{','.join(extras)}]", *nox.project.dependency_groups(PYPROJECT, group))


@nox.session(python=RUNNING, venv_backend="uv|virtualenv")  # uv needs a sixth of pip's time
def demo(session: nox.Session) -> None:
    """Run the demo against the simulator; ``-- --live`` reads a real account."""
    session.install("-e", ".[cli]", silent=False)  # with its progress, because a newcomer is waiting
    session.run("python", "-m", "worksection_async", "demo", *session.posargs)


@nox.session(python=PRESENT)
def tests(session: nox.Session) -> None:
    """Run all tests on the oldest Python, and a fast selection on the others."""
    install(session, "tests", *EXTRAS)
    # Tests start many processes; without stored bytecode each of them would compile all modules again.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    # Modules stay in one process as far as possible, because their tests share servers; an idle process takes over
    # tests of a busy one. One process more than cores, because many tests wait for other processes.
    parallel = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal"]
    if session.posargs:
        session.run("pytest", *session.posargs)
    elif session.python == PRESENT[0]:
        data = Path(session.create_tmp()).resolve() / "coverage"
        gate = ["--cov"] if os.environ.get("COVERAGE_GATE") else []
        session.run("pytest", *parallel, *gate, env={"COVERAGE_FILE": str(data)})
    else:
        session.run("pytest", *parallel, "--first-rows", *(f"--deselect={test}" for test in SLOW))


@nox.session(python=RUNNING)
def types(session: nox.Session) -> None:
    """Check the types with mypy --strict and pyright, and that all public types are known."""
    install(session, "types", *EXTRAS)
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "worksection_async", "--ignoreexternal")


@nox.session(python=RUNNING)
def lint(session: nox.Session) -> None:
    """Check style, layout and the directions of imports."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache", "--no-logo")


@nox.session(python=RUNNING, default=False)
def generate(session: nox.Session) -> None:
    """Write what follows from the spec: endpoints, models, the table of actions; then the reference pages."""
    install(session, "lint", *EXTRAS)
    session.run("python", "-c", GENERATE, *session.posargs)
    session.run("python", "-m", "tests.reference", *session.posargs)


@nox.session(python=RUNNING, default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation; every warning is an error."""
    install(session, "docs", *EXTRAS)
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "site", *session.posargs)


@nox.session(python=RUNNING, default=False)
def budget(session: nox.Session) -> None:
    """Measure the used share of the rate limit at one request per second; takes six minutes on an idle machine."""
    install(session, "tests", *EXTRAS)
    session.run("python", "-m", "tests.budget.budget", *session.posargs)


@nox.session(python=RUNNING, default=False)
def soak(session: nox.Session) -> None:
    """Test for long: 10 000 calls with random faults, and watches that are killed hundreds of times; takes minutes.

    ``-- CALLS SEED`` repeats a run of the calls alone.
    """
    install(session, "tests", *EXTRAS)
    session.run("python", "-m", "tests.reliability.soak", *session.posargs)
    if not session.posargs:
        session.run("pytest", "-s", "tests/sync/test_crashes.py", env={"CRASH_TEST_EVENTS": "5000"})


@nox.session(python=RUNNING, default=False)
def mutants(session: nox.Session) -> None:
    """Break the code in each possible place, and let its tests notice it; ``-- GROUP`` selects modules."""
    install(session, "mutants", *EXTRAS)
    session.run("python", "-m", "tests.mutants", session.create_tmp(), *session.posargs)


@nox.session(python=RUNNING, default=False)
def bench(session: nox.Session) -> None:
    """Measure speed and memory as ratios to other libraries, and write docs/benchmarks.md. ``-- NAME`` only prints."""
    install(session, "bench", *EXTRAS)
    session.run("python", "-m", "tests.bench.run", *session.posargs)


@nox.session(python=RUNNING, default=False)
@nox.parametrize("dependencies", ["newest", "oldest"])
def wheel(session: nox.Session, dependencies: str) -> None:
    """Build a wheel and use it from an empty environment, with the newest and with the oldest allowed dependencies.

    With the newest ones the tests of a user's project run there, too, which need the pytest plugin.
    """
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder / "dist", ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder / "dist"))
    built = next((folder / "dist").glob("*.whl"))
    session.run("python", "-m", "venv", "--clear", str(folder / "empty"))
    python = str(folder / "empty" / "bin" / "python")
    pins = oldest() if dependencies == "oldest" else []
    session.run(python, "-m", "pip", "install", "-q", f"{built}[testing]", *pins, external=True)
    smoke = Path("tests/smoke.py").resolve()
    project = shutil.copytree("tests/user_project", folder / "project", dirs_exist_ok=True)
    with session.chdir(folder):
        session.run(python, "-I", "-W", "error", str(smoke), external=True)
    if dependencies == "newest":
        session.run(python, "-m", "pip", "install", "-q", "pytest", "pytest-asyncio", external=True)
        with session.chdir(project):
            session.run(python, "-m", "pytest", external=True)


def oldest() -> list[str]:
    """Return pins to the lower bounds of all dependencies."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    bounds = [*PYPROJECT["project"]["dependencies"], *extras["testing"]]
    return [re.sub(r">=([^,]+).*", r"==\1", bound) for bound in bounds]
