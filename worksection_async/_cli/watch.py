"""The command ``watch``: print events when they happen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from .._session.session import Session
from .._sync.cursor import Cursor
from .._sync.watch import EventWatch
from .._transport.paths import replace_text
from ..errors import InvalidCall, StorageError
from ._command import Command, FiniteFloat
from ._output import print_line
from ._runner import run_calls


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
    start = None if cursor is None else _load(cursor)

    async def stream(session: Session) -> None:
        watch = session.watch(projects=projects or None, every=every, cursor=start)
        if cursor is not None:
            _save(watch, cursor)
        async for event in watch:
            print_line(event)
            if cursor is not None:
                _save(watch, cursor)

    run_calls(stream)


def _load(path: Path) -> Cursor | None:
    try:
        return Cursor.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise InvalidCall("watch", f"--cursor: {path}: {exc.strerror}") from None


def _save(watch: EventWatch, path: Path) -> None:
    try:
        replace_text(path, watch.cursor.to_json())
    except OSError as exc:
        raise StorageError("watch", f"{path}: {exc.strerror}", sent=True) from None
