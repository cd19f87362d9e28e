"""The command ``download``: save a stored file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .._protocol.actions import DOWNLOAD
from .._session.session import Session
from .._transfer.destination import DownloadedFile, Progress
from ..errors import InvalidCall
from ._command import Command
from ._output import print_text
from ._runner import run_calls
from ._text import printable


@click.command("download", cls=Command)
@click.argument("id_file", type=click.IntRange(1))
@click.argument("to", type=click.Path(path_type=Path), default=Path(), metavar="[TO]")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(id_file: int, to: Path, overwrite: bool) -> None:
    """Save the file with the id ID_FILE, and print its path.

    TO is a folder or the path of the new file; the default is the current folder. A download that is interrupted or
    fails leaves no file.
    """

    async def save(session: Session) -> DownloadedFile:
        with progress_bar() as progress:
            try:
                return await session.download(id_file, to, progress, overwrite=overwrite)
            except InvalidCall as error:
                problem = error.problem.replace("overwrite=True", "--overwrite")
                raise InvalidCall(DOWNLOAD.name, problem, sent=error.sent) from None

    print_text(f"{printable(str(run_calls(save).path))}\n")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on stderr from the first byte, if that is a terminal; a program may read stdout."""
    from rich import progress as rich  # noqa: PLC0415  # takes long to import
    from rich.console import Console  # noqa: PLC0415

    console = Console(file=sys.stderr)
    columns = (rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn())
    bar = rich.Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=None)

    def show(done: int, total: int | None) -> None:
        bar.start()  # not earlier: until then the line about the wait may be shown
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()
