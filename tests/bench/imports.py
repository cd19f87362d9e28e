"""What importing costs beyond the packages it stands on, in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.bench.measure import Figure, best_in_turns


def figures() -> list[Figure]:
    ours, other = best_in_turns(
        lambda: run("import worksection_async"), lambda: run("import httpx, attrs, cattrs, anyio"), runs=15
    )
    empty = min(timed("pass") for _ in range(15))
    return [
        Figure("import / import httpx, attrs, cattrs, anyio", (ours - empty) * 1e3, (other - empty) * 1e3, "ms", 1.5)
    ]


def run(code: str) -> None:
    """A fresh process; bytecode is kept, as it is wherever a package was installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def timed(code: str) -> float:
    start = time.perf_counter()
    run(code)
    return time.perf_counter() - start
