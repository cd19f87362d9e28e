"""Every Python example in the README and in docs/ runs against the simulator."""

from __future__ import annotations

import ast
import inspect
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import anyio.to_thread
import pytest

import worksection_async
from tests.support.constants import DOCS, ROOT
from tests.support.examples import program_of, python_blocks
from worksection_async import ApiKey, TokenBucket, blocking
from worksection_async.testing import Simulator

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

pytestmark = pytest.mark.anyio


def examples() -> list[Any]:
    return [
        pytest.param(code, id=f"{page.name}-{number}")
        for page in PAGES
        for number, code in enumerate(python_blocks(page), 1)
        # tests/testing/test_plugin.py runs the examples of tests, tests/webhooks/test_task_queues.py the programs
        if "import pytest\n" not in code and not program_of(code)
    ]


def test_examples_are_found() -> None:
    assert len(examples()) >= 5


@pytest.mark.parametrize("code", examples())
async def test_the_example_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.pdf").write_bytes(b"%PDF")
    sim = Simulator()
    for id_project in (26, 8562):
        sim.delete(sim.projects[id_project])
    sim.add_member("anna@example.com", "Anna Lane")
    project = sim.add_project("Owl brand launch", id=26)
    task = sim.add_task(project, "Development", id=123)
    sim.add_file(task, "requirements.doc", b"doc", id=17694)
    async with sim, sim.session(limiter=TokenBucket(1e6)) as ws:
        names: dict[str, Any] = {"ws": ws, "date": date, "timedelta": timedelta, "Path": Path, "asyncio": _Asyncio}
        monkeypatch.setattr(worksection_async, "Session", lambda *_, **__: ws)
        if "BlockingSession" in code:
            await anyio.to_thread.run_sync(_run_blocking, code, names, sim, monkeypatch)
            return
        await _run(code, names)
        if "main" in names:
            await names["main"]()


class _Asyncio:
    """Replaces `asyncio` in examples: the test awaits their ``main`` itself, in the event loop under test."""

    @staticmethod
    def run(main: Any) -> None:
        main.close()


def _run_blocking(code: str, names: dict[str, Any], sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run *code* in a thread without an event loop, as programs with a `BlockingSession` do."""
    options: dict[str, Any] = {"limiter": TokenBucket(1e6), "transport": sim.transport()}
    with blocking.BlockingSession("http://127.0.0.1", ApiKey(sim.api_key), **options) as ws:
        session = Mock(return_value=ws)
        session.from_env.return_value = ws
        monkeypatch.setattr(blocking, "BlockingSession", session)
        exec(code, names)


async def _run(code: str, names: dict[str, Any]) -> None:
    """Run *code*, then await the coroutines that it creates as expression statements without ``await``."""
    tree = ast.parse(code.replace("import asyncio\n", ""))
    for node in tree.body:
        if isinstance(node, ast.Expr):
            node.value = ast.Call(ast.Name("_keep", ast.Load()), [node.value], [])
    unawaited: list[Any] = []
    names["_keep"] = lambda value: unawaited.append(value) if inspect.isawaitable(value) else None
    compiled = compile(ast.fix_missing_locations(tree), "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if inspect.isawaitable(outcome := eval(compiled, names)):
        await outcome
    for awaitable in unawaited:
        await awaitable
