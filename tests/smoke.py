"""What `nox -s wheel` runs in an environment that knows the package as a user has it: no source tree, no test tools."""

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
        except NotFound as error:
            assert error.action == "get_task"
        else:
            raise AssertionError("a task that is not there was found")


package = Path(worksection_async.__file__).parent
assert "site-packages" in package.parts, package
assert (package / "py.typed").exists()
assert not any(name.split(".")[0] in {"pytest", "hypothesis", "rich"} for name in sys.modules)
anyio.run(main)
print(f"worksection-async {worksection_async.__version__} works as installed, on Python {sys.version.split()[0]}")
