"""The code blocks of the documentation as modules for mypy, which also reads functions that no test calls."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.support.constants import ROOT

MODULES = """
import asyncio
from datetime import date, timedelta
from pathlib import Path

import worksection_async._limits.queue
import worksection_async._sync.streams
import worksection_async._sync.watch
import worksection_async.blocking
import worksection_async.models
import worksection_async.testing
"""
"""The names that tests/test_docs.py gives to each block, and the modules of the types below."""

TYPES = {
    "event": "worksection_async.models.Event",
    "identity": "worksection_async.models.Identity",
    "plan": "worksection_async._sync.streams.Plan",
    "token": "worksection_async.Token",
    "waiting": "worksection_async._limits.queue.Waiting",
    "watch": "worksection_async._sync.watch.EventWatch",
    "worksection": "worksection_async.Session",
    "worksection_sim": "worksection_async.testing.Simulator",
    "ws": "worksection_async.Session",
}
"""The types of parameters that a block does not annotate, by name."""

# Examples are short: they leave out annotations.
CONFIGURATION = """
[mypy]
mypy_path = {root}
check_untyped_defs = true
disable_error_code = var-annotated
"""


def module_of(code: str, session: str = TYPES["ws"]) -> str:
    """Return *code* as a module, in a coroutine, so that it may contain ``await``, with a *session* named ``ws``."""
    body = ast.parse(code)
    functions = [node for node in ast.walk(body) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for argument in (each for function in functions for each in function.args.args):
        if argument.annotation is None and argument.arg in TYPES:
            argument.annotation = ast.parse(TYPES[argument.arg], mode="eval").body
    bound = {node.id for node in ast.walk(body) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    example = ast.parse(f"async def example({'' if 'ws' in bound else f'ws: {session}'}) -> None: ...").body[0]
    assert isinstance(example, ast.AsyncFunctionDef)
    example.body = body.body
    return f"{MODULES}\n{ast.unparse(example)}\n"


def type_errors(folder: Path, cache: Path) -> list[str]:
    """Return what mypy reports of the modules in *folder*; with the same *cache* the next run is quick."""
    (folder / "mypy.ini").write_text(CONFIGURATION.format(root=ROOT), "utf-8")
    modules = sorted(path.name for path in folder.glob("*.py"))
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--no-error-summary", *modules]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]
