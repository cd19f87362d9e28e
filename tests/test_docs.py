"""Every Python example in README.md and docs/ runs against the simulator and passes mypy, and each page is complete.

Tests in examples run in tests/testing/test_plugin.py, programs in tests/webhooks/test_task_queues.py and
tests/blocking/test_django.py, commands in tests/cli/test_documented_commands.py.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Awaitable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import anyio.to_thread
import attrs
import pytest

import worksection_async
from tests.support.constants import DOCS, ROOT
from tests.support.examples import PAGES, blocks, is_test, languages, program_of, python_blocks
from tests.support.typed_examples import TYPES, module_of, type_errors
from worksection_async import Session, TokenBucket, blocking
from worksection_async._protocol.actions import ACTIONS
from worksection_async.testing import Simulator

INTENDED = re.compile(r'searching_\d+\.py:\d+: error: Argument "filter" to "get_costs" .*search_tasks')
"""The type error of the example that shows how an invalid filter is refused."""

pytestmark = pytest.mark.anyio


def examples() -> list[Any]:
    return [
        pytest.param(code, id=f"{page.name}-{number}")
        for page in PAGES
        for number, code in enumerate(python_blocks(page), 1)
        if not is_test(code) and not program_of(code)
    ]


def test_examples_are_found() -> None:
    assert len(examples()) >= 60


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_block_has_a_language_whose_blocks_are_checked(page: Path) -> None:
    directives = {"{include} ../README.md", "{toctree}"} if page.name == "index.md" else set()
    assert languages(page) <= {"python", "console", "text"} | directives
    for text in blocks(page, "text"):
        assert not re.search(r"^(async|await|from|import|worksection) ", text, re.MULTILINE), "it would not be checked"


def test_the_comparison_has_the_numbers_of_the_project() -> None:
    text = (DOCS / "why.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    [vendor] = [it for it in project["dependency-groups"]["tests"] if "worksection-api-client==" in it]
    assert f"(version {vendor.partition('==')[2]} is compared here)" in text
    assert f"| actions | {len(ACTIONS)}, each" in text
    assert f"all {len(ACTIONS)} of them" in (DOCS / "start.md").read_text("utf-8")
    assert len(project["project"]["dependencies"]) == 6
    assert "| dependencies | six |" in text


def test_the_readme_leads_to_each_page() -> None:
    text = PAGES[0].read_text("utf-8")
    pages = {page.name for page in PAGES[1:]} - {"index.md"}
    assert [page for page in sorted(pages) if f"(docs/{page}" not in text] == []


def links(page: Path) -> set[Path]:
    """Return the Markdown pages that *page* links to."""
    targets = re.findall(r"\]\(([^)#:\s]+\.md)(?:#[^)]*)?\)", page.read_text("utf-8"))
    return {(page.parent / target).resolve() for target in targets}


def test_each_page_can_be_reached_from_the_readme_by_links() -> None:
    """A Git host shows no toctree."""
    reached: set[Path] = set()
    found = {ROOT / "README.md"}
    while found:
        reached |= found
        found = {target for page in found for target in links(page)} - reached
    assert [page for page in reached if not page.exists()] == []
    assert sorted({*DOCS.rglob("*.md")} - {DOCS / "index.md"} - reached) == []


@pytest.mark.parametrize("code", examples())
async def test_the_example_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.pdf").write_bytes(b"%PDF")
    sim = Simulator()
    for id_project in (26, 8562):
        sim.delete(sim.projects[id_project])
    sim.add_member("anna@example.com", "Anna Lane")
    sim.add_member("bot@example.com", "Bot")
    project = sim.add_project("Owl brand launch", id=26)
    task = sim.add_task(project, "Development", id=123)
    sim.add_file(task, "requirements.doc", b"doc", id=17694)
    monkeypatch.setenv("WORKSECTION_ACCOUNT", "http://127.0.0.1")
    monkeypatch.setenv("WORKSECTION_API_KEY", sim.api_key)
    names: dict[str, Any] = {
        "__name__": "example",
        "date": date,
        "timedelta": timedelta,
        "Path": Path,
        "asyncio": _Asyncio,
    }
    simulated: dict[str, Any] = {"limiter": TokenBucket(1e6), "transport": sim.transport()}
    if "BlockingSession" in code:
        monkeypatch.setattr(blocking, "BlockingSession", _SimulatedSession(blocking.BlockingSession, simulated))
        await anyio.to_thread.run_sync(exec, code, names)
        return
    monkeypatch.setattr(worksection_async, "Session", _SimulatedSession(Session, simulated))
    async with sim, Session.from_env(**simulated) as ws:
        await _run(code, names | {"ws": ws})


@attrs.frozen
class _SimulatedSession:
    """Replaces a session class: it checks all arguments, and its sessions are those of the simulated account."""

    session_class: Any
    simulated: dict[str, Any]
    """The options that each session gets, whatever the example passes."""

    def __call__(self, *credential: Any, **options: Any) -> Any:
        self.session_class(*credential, **options)
        return self.from_env(**options)

    def from_env(self, **options: Any) -> Any:
        return self.session_class.from_env(**options | self.simulated)


class _Asyncio:
    """Replaces `asyncio` in examples: the test awaits their ``main`` itself, in the event loop under test."""

    @staticmethod
    def run(main: Any) -> None:
        main.close()

    @staticmethod
    async def gather(*calls: Awaitable[object]) -> list[object]:
        """Trio has no gather; the order of the calls does not matter here."""
        return [await call for call in calls]


async def _run(code: str, names: dict[str, Any]) -> None:
    """Run *code*, and its ``main`` if it has one."""
    source = code.replace("import asyncio\n", "")
    compiled = compile(source, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if inspect.isawaitable(outcome := eval(compiled, names)):
        await outcome
    if "main" in names:
        await names["main"]()


def test_the_examples_have_no_type_errors(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """This finds misspelled names in functions that an example only defines, for a web framework or a bot to call."""
    for page in PAGES:
        session = "worksection_async.blocking.BlockingSession" if page.name == "blocking.md" else TYPES["ws"]
        codes = [code for code in python_blocks(page) if not program_of(code)]
        for number, code in enumerate(codes, 1):
            module = tmp_path / f"{page.stem}_{number}.py".replace("-", "_")
            module.write_text(module_of(code, session), "utf-8")
    found = type_errors(tmp_path, pytestconfig.cache.mkdir("mypy"))
    unexpected = [error for error in found if not INTENDED.match(error)]
    assert not unexpected, "\n".join(unexpected)
    assert len(found) == 1  # so mypy has run
