"""Every command in a console block of the documentation runs against the simulator."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.support.constants import DOCS, ROOT
from worksection_async.__main__ import main
from worksection_async.testing import Simulator

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
INTERACTIVE = ("login", "simulate", "demo")
"""Commands with tests of their own, because they do not end."""


def documented(page: Path) -> list[list[str]]:
    """Return the arguments of the commands in the console blocks of *page*, without programs behind a pipe."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = [
        line.partition(" | ")[0]
        for block in blocks
        for line in re.findall(r"^\$ worksection (.*)", block, re.MULTILINE)
    ]
    return [shlex.split(line) for line in lines if line.split()[0] not in INTERACTIVE]


def test_commands_are_found() -> None:
    assert len([command for page in PAGES for command in documented(page)]) > 15


@pytest.mark.parametrize("page", [page for page in PAGES if documented(page)], ids=lambda page: page.name)
def test_the_commands_of_the_page_succeed(
    simulator: Simulator, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the page, with one account and one folder."""
    monkeypatch.chdir(tmp_path)
    for command in documented(page):
        assert main(command) == 0, command
