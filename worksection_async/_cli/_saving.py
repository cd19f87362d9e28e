"""``call download``: the one action whose answer is a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._protocol.actions import DOWNLOAD
from .._session.session import Session
from .._transfer.destination import Progress
from ..errors import InvalidCall


async def saved(session: Session, params: Mapping[str, Any]) -> dict[str, Any]:
    """Save a file, and say what became of it; ``to`` is a folder or a path, by default the present folder."""
    id_file, to = params.get("id_file", ""), params.get("to", ".")
    if set(params) - {"id_file", "to"} or not isinstance(to, str):
        raise InvalidCall(DOWNLOAD.name, "id_file and to are all it takes")
    if not isinstance(id_file, str) or not id_file.isdecimal():
        raise InvalidCall(DOWNLOAD.name, f"id_file: a number expected, not {id_file!r}")
    with _bar() as progress:
        file = await session.download(int(id_file), to, progress)
    return {"path": str(file.path), "name": file.name, "size": file.size, "media_type": file.media_type}


@contextmanager
def _bar() -> Iterator[Progress | None]:
    """A bar on a terminal, where `rich` is there to draw it; beside the output, which may be read by a program."""
    try:
        from rich import progress as rich  # noqa: PLC0415  # an extra of its own
        from rich.console import Console  # noqa: PLC0415
    except ModuleNotFoundError:
        yield None
        return
    console = Console(file=sys.stderr)
    columns = (rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn())
    with rich.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
