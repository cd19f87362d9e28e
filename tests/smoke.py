"""Smoke test of the installed wheel; `nox -s wheel` runs it in an environment without source tree and test tools."""

import sys
from pathlib import Path

import anyio

import worksection_async
from worksection_async.errors import NotFound
from worksection_async.testing import Simulator


async def main() -> None:
    async with Simulator() as sim, sim.session() as ws:
        project = (await ws.get_projects())[0]
        task = await ws.post_task(project.id, "Перевірка", todo=["a", "b"])
        assert task in await ws.get_tasks(project.id)
        try:
            await ws.get_task(task.id + 1_000_000)
        except NotFound:
            return
    raise AssertionError("get_task found a task that does not exist")


package = Path(worksection_async.__file__).parent
assert "site-packages" in package.parts, package
assert (package / "py.typed").exists()
assert not any(name.split(".")[0] in {"pytest", "hypothesis", "rich"} for name in sys.modules)
anyio.run(main)
print(f"worksection-async {worksection_async.__version__} works as installed, on Python {sys.version.split()[0]}")
