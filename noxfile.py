"""Everything the project can be asked to do: ``nox -l`` lists it."""

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


GENERATE = """
import runpy, sys, types
package = types.ModuleType("worksection_async")
package.__path__ = ["worksection_async"]
sys.modules["worksection_async"] = package
runpy.run_module("worksection_async._spec", run_name="__main__")
"""
"""The generator beside the package instead of inside it: it has to run when a generated file is missing or broken."""


def is_present(version: str) -> bool:
    """Whether there is such an interpreter, and it starts (a shim may not)."""
    command = shutil.which(f"python{version}")
    return command is not None and subprocess.run([command, "-c", ""], capture_output=True, check=False).returncode == 0


PRESENT = [version for version in SUPPORTED if version == RUNNING or is_present(version)]


def install(session: nox.Session, group: str, *extras: str) -> None:
    """The project as it stands, and a group of tools."""
    session.install("-e", f".[{','.join(extras)}]", *nox.project.dependency_groups(PYPROJECT, group))


@nox.session(python=RUNNING)
def demo(session: nox.Session) -> None:
    """Walk the main job against the simulator; ``-- --live`` reads a real account."""
    session.install("-e", ".[cli]")
    session.run("python", "-m", "worksection_async", "demo", *session.posargs)


@nox.session(python=PRESENT)
def tests(session: nox.Session) -> None:
    """Run the tests, on every supported Python that is here."""
    install(session, "tests", *EXTRAS)
    session.run("pytest", *session.posargs)


@nox.session(python=RUNNING)
def types(session: nox.Session) -> None:
    """Check the types twice: mypy --strict and pyright."""
    install(session, "types", *EXTRAS)
    session.run("mypy")
    session.run("pyright")


@nox.session(python=RUNNING)
def lint(session: nox.Session) -> None:
    """Check style and layout."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(python=RUNNING, default=False)
def generate(session: nox.Session) -> None:
    """Write endpoints, models, the table of actions and the reference page from the spec."""
    install(session, "lint")
    session.run("python", "-c", GENERATE, *session.posargs)


@nox.session(python=RUNNING, default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation; every warning is an error."""
    install(session, "docs", *EXTRAS)
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "site", *session.posargs)


@nox.session(python=RUNNING, default=False)
def budget(session: nox.Session) -> None:
    """Measure at the real rate, in about six minutes, how well the budget is used; the machine has to be quiet."""
    install(session, "tests", *EXTRAS)
    session.run("python", "-m", "tests.budget.budget", *session.posargs)


@nox.session(python=RUNNING, default=False)
def bench(session: nox.Session) -> None:
    """Measure the promises about speed, side by side with what they are compared to."""
    install(session, "bench", *EXTRAS)
    session.run("python", "-m", "tests.bench.run", *session.posargs)


@nox.session(python=RUNNING, default=False)
@nox.parametrize("dependencies", ["newest", "oldest"])
def wheel(session: nox.Session, dependencies: str) -> None:
    """Build a wheel and use it from an empty environment, with the newest and with the oldest allowed dependencies."""
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
    with session.chdir(folder):
        session.run(python, "-I", "-W", "error", str(smoke), external=True)


def oldest() -> list[str]:
    """The lower bounds of all dependencies as pins."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    bounds = [*PYPROJECT["project"]["dependencies"], *extras["testing"]]
    return [re.sub(r">=([^,]+).*", r"==\1", bound) for bound in bounds]
