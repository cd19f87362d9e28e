"""The package and its simulator work from a zip file: everything that reads package data uses `importlib.resources`."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import worksection_async

PRELUDE = """
import os, sys
from importlib.resources import files
import anyio
import worksection_async
from worksection_async import OAuth2, MemoryTokenStore, Session, ApiKey
from worksection_async.errors import NotFound
from worksection_async.testing import Simulator

assert os.environ["PYTHONPATH"] in worksection_async.__file__, worksection_async.__file__
assert all(
    module.__file__.startswith(os.environ["PYTHONPATH"])
    for name, module in sys.modules.items() if name.startswith("worksection_async")
)
"""

IN_PROCESS = """
async def main():
    async with Simulator() as sim, sim.session() as ws:
        project = (await ws.get_projects())[0]
        task = await ws.post_task(project.id, "Перевірка", todo=["a", "b"])
        assert task in await ws.get_tasks(project.id)
        try:
            await ws.get_task(task.id + 1_000_000)
        except NotFound:
            return
    raise AssertionError("get_task found a task that does not exist")

anyio.run(main)
"""

OVER_A_SOCKET = """
import httpx

async def main():
    sim = Simulator()
    async with sim.serve() as url:
        async with Session(url, ApiKey(sim.api_key)) as ws:
            assert len(await ws.get_projects()) == len(sim.projects)
        app = sim.oauth_app(base_url=url)
        page = httpx.get(app.authorization_url()[0])
        assert page.status_code == 200 and "<form" in page.text, page.text
        token = await app.exchange(sim.issue_code())
        async with Session(url, OAuth2(app, MemoryTokenStore(token))) as ws:
            assert (await ws.me()).id == sim.owner.id

anyio.run(main)
"""

DATA = """
from worksection_async._spec import load
assert (files("worksection_async") / "py.typed").is_file()
assert "get_events" in load().actions
"""

COMMAND_LINE = """
import contextlib, importlib, io, pkgutil
import worksection_async._cli
from worksection_async.__main__ import main
for module in pkgutil.iter_modules(worksection_async._cli.__path__, "worksection_async._cli."):
    importlib.import_module(module.name)
with contextlib.suppress(SystemExit):
    main(["--help"])
"""


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package in a zip file, as in a wheel."""
    source = Path(worksection_async.__file__).parent
    path = tmp_path_factory.mktemp("zipped") / "worksection.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(source.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(source.parent))
    return path


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(IN_PROCESS, id="simulator in process"),
        pytest.param(OVER_A_SOCKET, id="simulator over a socket, with its login page"),
        pytest.param(DATA, id="data files"),
        pytest.param(COMMAND_LINE, id="command line"),
    ],
)
def test_the_package_works_from_a_zip_file(program: str, zipped: Path, tmp_path: Path) -> None:
    # PYTHONPATH comes before the finder of an editable installation; -P keeps the working directory off the path.
    command = [sys.executable, "-P", "-W", "error", "-c", PRELUDE + program]
    environment = {**os.environ, "PYTHONPATH": str(zipped)}
    environment.pop("COVERAGE_PROCESS_START", None)
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
