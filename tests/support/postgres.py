"""A real PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

VERSIONS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
"""Debian installs PostgreSQL there, not on PATH."""

INITDB = shutil.which("initdb", path=os.pathsep.join([*map(str, reversed(VERSIONS)), os.environ.get("PATH", "")]))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database (for SQLAlchemy and asyncpg); other tests may have used it before."""
    if INITDB is None:
        pytest.skip("no PostgreSQL found: apt-get install postgresql")
    # Not in the folder of the tests: PostgreSQL does not run as root, and only root could enter that one.
    prefix = "worksection-postgres-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder,
        _postgres_in(Path(folder), Path(INITDB).resolve().parent),
    ):
        yield f"postgresql+asyncpg://postgres@/postgres?host={folder}"


@contextmanager
def _postgres_in(folder: Path, programs: Path) -> Iterator[None]:
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [f"{programs}/{program}", "-D", f"{folder}/data", *arguments]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **user)

    run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c max_connections=50"
    run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", settings, "start")
    try:
        yield
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
