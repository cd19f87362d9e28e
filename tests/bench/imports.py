"""The CPU time to import the package in a new process, compared with its dependencies.
More than half of the difference is attrs, which generates and compiles the methods of about 90 classes at import. Both
sides run as if click was not installed: httpx imports it, with rich and Pygments, for its command line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.measure import Comparison, best_of_alternating

WITHOUT_CLICK = "import sys; sys.modules['click'] = None; "
"""Makes the reference independent of what else is installed: with click it is about 50 ms longer."""

PLUGIN = """
import time, pytest
start = time.perf_counter()
import _worksection_async_pytest
print(time.perf_counter() - start)
"""
"""Prints the seconds that pytest needs for the plugin; pytest itself is imported in any case."""


def compare() -> Iterator[Comparison]:
    ours, dependencies = best_of_alternating(
        lambda: run(WITHOUT_CLICK + "import worksection_async"),
        lambda: run(WITHOUT_CLICK + "import httpx, attrs, cattrs, anyio"),
        runs=15,
    )
    empty, _ = best_of_alternating(lambda: run(WITHOUT_CLICK), lambda: None, runs=15)
    name = "import of the package / of httpx, attrs, cattrs, anyio"
    yield Comparison(name, (ours - empty) * 1e3, (dependencies - empty) * 1e3, "ms", 2.25)
    plugin = min(float(run(PLUGIN)) for _ in range(15))
    yield Comparison("import of the pytest plugin / 5 ms", plugin * 1e3, 5.0, "ms", 1.0)


def run(code: str) -> str:
    """Run *code* in a new process that may write bytecode, as in an installed package; return its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    ran = subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return ran.stdout
