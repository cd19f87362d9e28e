"""The pytest plugin: one simulator per test, under each runner of asynchronous tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.examples import PAGES, is_test, programs, python_blocks

pytest_plugins = ["pytester"]

PLUGINS = ["_worksection_async_pytest", "pytest_asyncio.plugin", "anyio.pytest_plugin"]
"""Named, so that the plugins of the machine do not matter."""

CHECKS = '''
import asyncio, inspect
import anyio, pytest
from worksection_async import Session
from worksection_async.testing import Simulator

seen = []

@pytest.fixture
def project(worksection_sim):
    return worksection_sim.add_project("Owl")

async def check(worksection, worksection_sim, project):
    """The fixtures belong to one simulator, which no other test has used."""
    assert isinstance(worksection, Session) and isinstance(worksection_sim, Simulator)
    assert worksection_sim not in seen and worksection_sim.requests == []
    seen.append(worksection_sim)
    task = await worksection.post_task(project.id, "Plan")
    assert list(worksection_sim.tasks)[-1] == task.id

async def check_hour(worksection, worksection_sim):
    """The clock jumps before anything has used it, and also for the sleeps of the test."""
    began = anyio.current_time()
    await anyio.sleep(3600)
    for _ in range(3):
        await worksection.get_projects()
    assert [round(request.arrived_at) for request in worksection_sim.requests] == [3600, 3601, 3602]
    assert round(anyio.current_time() - began) == 3602
'''

VIRTUAL = '@pytest.mark.worksection(rate=1.0, seed="empty", clock="virtual")'


def run(pytester: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(CHECKS + body)
    pytester.makeini("[pytest]")  # the folder can be below the one of this project, whose options would apply
    plugins = [option for plugin in PLUGINS for option in ("-p", plugin)]
    strict = ["--strict-markers", "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return pytester.runpytest_inprocess(*plugins, *strict, *options)


def test_the_fixtures_work_with_pytest_asyncio_and_anyio_and_without_them(pytester: pytest.Pytester) -> None:
    tests = f"""
@pytest.mark.asyncio
async def test_asyncio(worksection, worksection_sim, project):
    await check(worksection, worksection_sim, project)

@pytest.mark.asyncio(loop_scope="session")
{VIRTUAL}
async def test_asyncio_virtual(worksection, worksection_sim):
    await check_hour(worksection, worksection_sim)

@pytest.mark.asyncio(loop_scope="session")
async def test_the_next_test_in_the_loop_has_the_time_of_the_machine(worksection, worksection_sim):
    from worksection_async._transport.clock import is_jumping
    assert not is_jumping()

@pytest.mark.anyio
async def test_anyio(worksection, worksection_sim, project):
    await check(worksection, worksection_sim, project)

@pytest.mark.anyio
{VIRTUAL}
async def test_anyio_virtual(worksection, worksection_sim):
    await check_hour(worksection, worksection_sim)

@pytest.mark.anyio
class TestClass:
    {VIRTUAL}
    async def test_method(self, worksection, worksection_sim):
        await check_hour(worksection, worksection_sim)

def test_sync(worksection, worksection_sim, project):
    asyncio.run(check(worksection, worksection_sim, project))

{VIRTUAL}
def test_sync_virtual(worksection, worksection_sim):
    async def main():
        await worksection.get_projects()
        await asyncio.sleep(3600)
        await worksection.get_projects()
    asyncio.run(main())
    assert [request.arrived_at for request in worksection_sim.requests] == pytest.approx([0, 3600])
"""
    run(pytester, tests).assert_outcomes(passed=11)


def test_the_fixtures_work_in_the_auto_mode_of_pytest_asyncio(pytester: pytest.Pytester) -> None:
    tests = f"""
@pytest.fixture
async def posted(worksection, worksection_sim):
    task = await worksection.post_task(worksection_sim.add_project("Owl").id, "Plan")
    yield task
    await worksection.complete_task(task.id)

async def test_auto(worksection, worksection_sim, posted):
    assert worksection_sim.tasks[posted.id].name == "Plan"

{VIRTUAL}
async def test_auto_virtual(worksection, worksection_sim):
    await check_hour(worksection, worksection_sim)

{VIRTUAL}
async def test_tokens_expire(worksection, worksection_sim):
    before = worksection_sim.clock.time()
    worksection_sim.advance(hours=25)
    assert worksection_sim.clock.time() - before == pytest.approx(25 * 3600)
"""
    run(pytester, tests, "-o", "asyncio_mode=auto").assert_outcomes(passed=3)


def test_the_marker_of_a_function_overrides_that_of_its_module(pytester: pytest.Pytester) -> None:
    tests = """
pytestmark = pytest.mark.worksection(rate=1.0, seed="empty")

@pytest.mark.worksection(seed="demo")
def test_both(worksection_sim):
    assert len(worksection_sim.projects) == 5
    assert worksection_sim.rate.per_second == 1.0

def test_module(worksection_sim):
    assert len(worksection_sim.projects) == 0
"""
    run(pytester, tests).assert_outcomes(passed=2)


def test_wrong_markers_are_refused_with_the_reason(pytester: pytest.Pytester) -> None:
    wrong = ["clok='virtual'", "seed='dmo'", "clock='fast'", "rate='fast'", "'empty'"]
    tests = "".join(
        f"\n@pytest.mark.worksection({options})\ndef test_{number}(worksection_sim): pass\n"
        for number, options in enumerate(wrong)
    )
    result = run(pytester, tests)
    result.assert_outcomes(errors=len(wrong))
    result.stdout.no_fnmatch_line("*No request was sent*")
    result.stdout.fnmatch_lines_random(
        [
            "*: unknown option 'clok'; known options: rate, seed, clock, the nearest one is clock",
            "@pytest.mark.worksection: seed must be one of demo, empty, large, not 'dmo'",
            "@pytest.mark.worksection: clock must be one of real, virtual, not 'fast'",
            "@pytest.mark.worksection: rate must be a positive number of requests per second, not 'fast'",
            "@pytest.mark.worksection: pass options by name: rate, seed, clock",
        ]
    )


def test_the_blocking_session_has_the_simulator_and_the_clock_of_the_test(pytester: pytest.Pytester) -> None:
    tests = f"""
{VIRTUAL}
def test_blocking(blocking_worksection, worksection, worksection_sim):
    for _ in range(3):
        blocking_worksection.get_projects()
    worksection_sim.advance(hours=1)
    blocking_worksection.get_projects()
    asyncio.run(worksection.get_projects())
    assert [round(request.arrived_at) for request in worksection_sim.requests] == [0, 1, 2, 3602, 3603]
"""
    run(pytester, tests).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(map(is_test, python_blocks(page)))], ids=lambda page: page.name
)
def test_the_documented_tests_pass(pytester: pytest.Pytester, page: Path) -> None:
    examples = [code for code in python_blocks(page) if is_test(code)]
    for name, code in programs(page).items():
        if not is_test(code):
            assert f"\nfrom {name.removesuffix('.py')} import " in "".join(examples)
            (pytester.path / name).write_text(code, "utf-8")  # a module that the tests import
    run(pytester, "\n".join(examples)).assert_outcomes(passed=2 * len(examples))


def test_the_plugin_imports_the_package_only_for_its_fixtures() -> None:
    program = """
import sys, pytest
before = set(sys.modules)
import _worksection_async_pytest
print(sorted(set(sys.modules) - before))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "['_worksection_async_pytest']\n"
