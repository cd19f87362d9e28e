"""The files that the start page says to save run as they are, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import Account
from tests.support.constants import DOCS
from tests.support.examples import saved_files

FILES = saved_files(DOCS / "start.md")

OUTPUTS = {
    "first.py": "Write the first program None",
    "missing.py": "get_task: the service refused: Task is invalid.",
    "test_first.py": "1 passed",
}
"""A part of what each file prints."""


def test_the_files_are_found() -> None:
    assert FILES.keys() == OUTPUTS.keys()


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_file_runs(unlimited: Account, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name], "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")  # keeps the options of this project away
    command = ["-m", "pytest", "-q", "-k", "asyncio"] if name.startswith("test_") else []
    environment = {**os.environ, **unlimited.variables}
    ran = subprocess.run(
        [sys.executable, *command, name], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert OUTPUTS[name] in ran.stdout
