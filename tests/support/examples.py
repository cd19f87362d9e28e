"""The Python examples of the documentation."""

import re
from pathlib import Path


def python_blocks(page: Path) -> list[str]:
    """Return the Python code blocks of a Markdown page."""
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def program_of(block: str) -> str | None:
    """Return the name of the file that a code block is, from its first line (``# worker.py, ...``), or None."""
    match = re.match(r"# (\w+\.py)\b", block)
    return match[1] if match else None


def programs(page: Path) -> dict[str, str]:
    """Return the code blocks of a page that are complete files, by name."""
    return {name: block for block in python_blocks(page) if (name := program_of(block))}
