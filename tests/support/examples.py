"""The code blocks of the documentation."""

import re
import shlex
from pathlib import Path

from tests.support.constants import DOCS, ROOT

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
"""Pages written by hand; tests/reference makes and checks those in the folder ``reference``."""


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a Markdown page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def languages(page: Path) -> set[str]:
    """Return the languages of all code blocks of a page; an empty text is none."""
    return set(re.findall(r"^```(.*)\n(?:.*\n)*?```$", page.read_text("utf-8"), re.MULTILINE))


def python_blocks(page: Path) -> list[str]:
    """Return the Python code blocks of a Markdown page."""
    return blocks(page, "python")


def is_test(code: str) -> bool:
    """Return True if a code block contains tests, which run with the pytest plugin."""
    return "import pytest\n" in code


def program_of(block: str) -> str | None:
    """Return the name of the file that a code block is, from its first line (``# worker.py, ...``), or None."""
    match = re.match(r"# (\w+\.py)\b", block)
    return match[1] if match else None


def programs(page: Path) -> dict[str, str]:
    """Return the code blocks of a page that are complete files, by name."""
    return {name: block for block in python_blocks(page) if (name := program_of(block))}


def saved_files(page: Path) -> dict[str, str]:
    """Return the code blocks that the text of a page says to save (``Save this as `first.py` ``), by name."""
    found = re.findall(
        r"[Ss]ave this as `(\w+\.py)`(?:(?!```).)*```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL
    )
    return dict(found)


def commands(page: Path) -> list[list[str]]:
    """Return the words of each command in the console blocks of a page: one for each part of ``a && b``."""
    lines = [line for block in blocks(page, "console") for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE)]
    parts = [part for line in lines for part in re.split(r" && | \| ", line)]
    return [shlex.split(part, comments=True) for part in parts]
