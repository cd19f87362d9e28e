"""The command ``watch``: print events when they happen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from .._session.session import Session
from .._sync.cursor_stores import FileCursor, Lease
from ._command import Command, FiniteFloat
from ._output import print_line
from ._runner import run_calls
from ._text import print_error


class AnnouncingCursor(FileCursor):
    """Says once why nothing is printed while another program watches with the same file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._message = f"Another program watches with {path}: waiting for its end."

    async def acquire(self, lease: Lease) -> bool:
        """Lock the file."""
        is_held = await super().acquire(lease)
        if not is_held and self._message:
            print_error(self._message)
            self._message = ""
        return is_held


@click.command("watch", cls=Command)
@click.option("--every", type=FiniteFloat(0, min_open=True), default=60.0, metavar="SECONDS", show_default=True,
              help="Seconds between two polls; a poll is one call.")  # fmt: skip
@click.option("--project", "projects", type=click.IntRange(1), multiple=True, metavar="ID",
              help="Only events of this project; repeat it for more projects.")  # fmt: skip
@click.option("--cursor", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Continue where the last run stopped; the position is saved in FILE after each event.")  # fmt: skip
def command(every: float, projects: Sequence[int], cursor: Path | None) -> None:
    """Print the events of the account from now on, one JSON object per line, until Ctrl-C.

    \b
    worksection watch --project 26 | jq 'select(.action == "post")'
    """

    async def stream(session: Session) -> None:
        store = None if cursor is None else AnnouncingCursor(cursor)
        async with session.watch(projects=projects or None, every=every, cursor=store) as watch:
            async for event in watch:
                print_line(event)

    run_calls(stream)
