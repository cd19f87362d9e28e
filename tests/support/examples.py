"""The Python examples of the documentation."""

import re
from pathlib import Path


def python_blocks(page: Path) -> list[str]:
    """Return the Python code blocks of a Markdown page."""
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
