"""The command ``call download``, whose reply is a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._protocol.actions import DOWNLOAD
from .._session.session import Session
from .._transfer.destination import Progress
from ..errors import InvalidCall


async def download_file(session: Session, params: Mapping[str, Any]) -> dict[str, Any]:
    """Save a file and return its properties; ``to`` is a folder or a path (default: the current folder)."""
    id_file, to = params.get("id_file", ""), params.get("to", ".")
    if set(params) - {"id_file", "to"} or not isinstance(to, str):
        raise InvalidCall(DOWNLOAD.name, "the parameters are id_file and to")
    if not isinstance(id_file, str) or not id_file.isdecimal():
        raise InvalidCall(DOWNLOAD.name, f"id_file must be a number, got {id_file!r}")
    with _progress_bar() as progress:
        file = await session.download(int(id_file), to, progress)
    return {"path": str(file.path), "name": file.name, "size": file.size, "media_type": file.media_type}


@contextmanager
def _progress_bar() -> Iterator[Progress | None]:
    """Show a progress bar on a terminal, if rich is installed; on stderr, because a program may read stdout."""
    try:
        from rich import progress as rich  # noqa: PLC0415  # an optional dependency
        from rich.console import Console  # noqa: PLC0415
    except ModuleNotFoundError:
        yield None
        return
    console = Console(file=sys.stderr)
    columns = (rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn())
    with rich.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
