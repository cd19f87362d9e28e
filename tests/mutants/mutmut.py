"""Runs mutmut on a copy of the project, and reads what it found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.mutants.groups import Group

PROJECT = Path(__file__).parents[2]
PACKAGE = "worksection_async"
COPIED = ("worksection_async", "tests", "docs", "noxfile.py", "README.md")

SETTINGS = """
[tool.mutmut]
source_paths = ["{package}"]
only_mutate = {modules}
also_copy = ["docs", "noxfile.py", "README.md"]
pytest_add_cli_args = {options}
pytest_add_cli_args_test_selection = {tests}
timeout_multiplier = 20.0
timeout_constant = 20.0
track_dependencies = false
use_git_change_detection = false
"""

TEST_SECONDS = 30
"""A test that takes longer hangs, so it has noticed its mutant. The slowest one takes a second on an idle machine."""

OPTIONS = [
    "-n0",
    "-pno:cacheprovider",
    "-ptests.mutants.caches",
    "-knot [trio and not -trio",
    "--hypothesis-seed=0",
    f"-ofaulthandler_timeout={TEST_SECONDS}",
    "-ofaulthandler_exit_on_timeout=true",
]
"""For pytest: one process, empty caches, asyncio only, the same examples in each run, and an end of tests that hang.

mutmut limits the time of all tests of a mutant together. That limit is long here, because on a busy machine a mutant
must not count as noticed only because its tests are slow.
"""

MUTMUT = (sys.executable, "-m", "mutmut")

NOTICED = (1, 3, -11, -24, 24, 36, 152, 255)
"""Exit codes of mutmut: a test failed, pytest failed, the mutant hung, or it crashed while faulthandler ended it."""


@attrs.frozen
class Mutant:
    """A change that no test has noticed."""

    function: str
    was: str
    becomes: str


@attrs.frozen
class Result:
    """The mutants of one module."""

    module: str
    total: int
    survivors: list[Mutant]


def run(group: Group, folder: Path) -> Iterator[Result]:
    """Run mutmut for *group* in *folder*, which is emptied, and yield the result of each module."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / "pyproject.toml").write_text((PROJECT / "pyproject.toml").read_text("utf-8") + _settings(group), "utf-8")
    (folder / "mutmut.log").write_text(_mutmut(folder, "run"), "utf-8")
    for module in group.modules:
        yield _result(folder, module)


def _settings(group: Group) -> str:
    options = [*OPTIONS, *(f"--deselect=tests/{test}" for test in group.without)]
    modules, tests = [f"{PACKAGE}/{module}" for module in group.modules], [f"tests/{test}" for test in group.tests]
    return SETTINGS.format(
        package=PACKAGE, modules=json.dumps(modules), tests=json.dumps(tests), options=json.dumps(options)
    )


def _mutmut(folder: Path, *arguments: str) -> str:
    # The copy is imported from its folder, not the package from the path of this process.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*MUTMUT, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"mutmut failed: {done.stdout[-2000:]}")
    return done.stdout


def _result(folder: Path, module: str) -> Result:
    found = json.loads((folder / "mutants" / PACKAGE / f"{module}.meta").read_text("utf-8"))
    codes: dict[str, int | None] = found["exit_code_by_key"]
    return Result(module, len(codes), [_shown(folder, name) for name, code in codes.items() if code not in NOTICED])


def _shown(folder: Path, name: str) -> Mutant:
    """Return a mutant by the lines that it changes: its name has a number that changes with the code."""
    lines = _mutmut(folder, "show", name).splitlines()
    was, becomes = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign) and not line.startswith(sign * 3))
        for sign in "-+"
    )
    function = name.rpartition(".")[2].rpartition("__mutmut_")[0].removeprefix("x_").replace("xǁ", "").replace("ǁ", ".")
    return Mutant(function, was, becomes)
