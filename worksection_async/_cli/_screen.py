"""What the demo shows, and what it counts: steps, calls, tables, checks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from .._transfer.destination import Progress
from ..errors import WorksectionError
from . import _words as words
from ._guide import Tell

WIDTH = 80
INDENT = 3

BAR = 24
"""Width of the bar of a transfer."""

LONGEST = 300
"""Characters shown of what was seen instead."""


class Screen:
    """A terminal, or a pipe, in which case nothing moves and nothing is coloured."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self.console = Console(file=file, highlight=False, markup=False, emoji=False)
        self.console.width = min(self.console.width, WIDTH)
        self.passed = 0
        self.failed = 0
        self._steps = 0
        is_unicode = self.console.encoding.startswith("utf")
        self._marks = {True: "✓", False: "✗"} if is_unicode else {True: "ok", False: "FAILED"}

    def say(self, text: str, style: str = "") -> None:
        """A paragraph."""
        self.console.print(Text(text, style))

    def step(self, name: str) -> None:
        """The heading of what follows."""
        self._steps += 1
        self.console.print()
        self.console.print(Text.assemble((f"{self._steps}", "cyan"), "  ", (name, "bold")))

    @contextmanager
    def call(self, call: str) -> Iterator[Tell]:
        """A call, with a spinner until it is answered, and then with its result."""
        with self._until_answered(call, Spinner("dots", _line(call, "", self._room - 2), style="cyan")) as tell:
            yield tell

    @contextmanager
    def transfer(self, call: str) -> Iterator[tuple[Tell, Progress]]:
        """A call that moves bytes, with a bar until they are there, and then with its result."""
        bar = ProgressBar(total=None, width=BAR)
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_row(_line(call, "", self._room - BAR - 2), bar)
        with self._until_answered(call, row) as tell:
            yield tell, bar.update

    @contextmanager
    def _until_answered(self, call: str, picture: RenderableType) -> Iterator[Tell]:
        result = ""

        def tell(value: object) -> None:
            nonlocal result
            result = words.result(value)

        try:
            with self.moving(picture):
                yield tell
        except WorksectionError as error:
            result = type(error).__name__
            raise
        finally:
            self.show(_line(call, result, self._room))

    @property
    def _room(self) -> int:
        return self.console.width - INDENT

    @contextmanager
    def moving(self, picture: RenderableType) -> Iterator[None]:
        """Show *picture*, drawn anew all the time, until the block ends; nothing where nothing can move."""
        if not self.console.is_terminal:
            yield
            return
        with Live(_indented(picture), console=self.console, transient=True, refresh_per_second=12):
            yield

    def show(self, *pictures: RenderableType) -> None:
        """Something below the heading of the step."""
        self.console.print(_indented(Group(*pictures)))

    def check(self, claim: str, holds: bool, seen: object = "") -> None:
        """Say whether *claim* holds, and what was *seen* if it does not."""
        self.passed += holds
        self.failed += not holds
        mark = Text(self._marks[holds], "green" if holds else "bold red")
        self.show(_hanging(mark, Text(words.printable(claim))))
        if not holds and seen != "":
            self.show(_hanging(Text(" "), Text(words.printable(f"seen: {seen}")[:LONGEST], "red")))

    def quote(self, text: str) -> None:
        """Somebody else's words."""
        self.show(Padding(Text(words.printable(text), "italic"), (0, 0, 0, 2)))


def _indented(picture: RenderableType) -> Padding:
    return Padding(picture, (0, 0, 0, INDENT), expand=False)


def _line(call: str, result: str, room: int) -> Text:
    """*call* and *result* at the two ends of a line; what does not fit is cut from the call."""
    line = Text(call, "dim", no_wrap=True)
    line.truncate(room - len(result) - 2, overflow="ellipsis", pad=bool(result))
    return Text.assemble(line, "  ", (result, "cyan")) if result else line


def table(*columns: Column | str) -> Table:
    """An empty table whose cells never wrap."""
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in table.columns:
        column.no_wrap = True
    return table


def narrow(name: str, width: int) -> Column:
    """A column that is at most so wide."""
    return Column(name, max_width=width)


def number(name: str = "") -> Column:
    """A column aligned at its right."""
    return Column(name, justify="right")


def _hanging(mark: Text, text: Text) -> Table:
    """*text* beside *mark*, and its further lines below it."""
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_row(mark, text)
    return row
