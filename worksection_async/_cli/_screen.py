"""The terminal output of the demo: steps, calls, tables and checks."""

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
from ._demo_session import SetResult
from ._text import format_result, printable

MAX_WIDTH = 80
"""Width of the output in characters."""

INDENT = 3

PROGRESS_BAR_WIDTH = 24

MAX_ACTUAL_LENGTH = 300
"""Characters that are shown of the actual value of a failed check."""


class Screen:
    """Prints to a terminal or a pipe, and counts the checks. A pipe gets no colours and no live output."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self.console = Console(file=file, highlight=False, markup=False, emoji=False)
        self.console.width = min(self.console.width, MAX_WIDTH)
        self.passed = 0
        self.failed = 0
        self._steps = 0
        is_unicode = self.console.encoding.startswith("utf")
        self._marks = {True: "✓", False: "✗"} if is_unicode else {True: "ok", False: "FAILED"}

    def write(self, text: str, style: str = "") -> None:
        """Print a paragraph."""
        self.console.print(Text(text, style))

    def step(self, name: str) -> None:
        """Print the heading of the next step."""
        self._steps += 1
        self.console.print()
        self.console.print(Text.assemble((f"{self._steps}", "cyan"), "  ", (name, "bold")))

    @contextmanager
    def call(self, call: str) -> Iterator[SetResult]:
        """Show a call: with a spinner while it is made, then with its result."""
        with self._until_finished(call, Spinner("dots", _line(call, "", self._width - 2), style="cyan")) as set_result:
            yield set_result

    @contextmanager
    def transfer(self, call: str) -> Iterator[tuple[SetResult, Progress]]:
        """Show a call that transfers a file: with a progress bar while it is made, then with its result."""
        bar = ProgressBar(total=None, width=PROGRESS_BAR_WIDTH)
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_row(_line(call, "", self._width - PROGRESS_BAR_WIDTH - 2), bar)
        with self._until_finished(call, row) as set_result:
            yield set_result, bar.update

    @contextmanager
    def _until_finished(self, call: str, display: RenderableType) -> Iterator[SetResult]:
        result = ""

        def set_result(value: object) -> None:
            nonlocal result
            result = format_result(value)

        try:
            with self.live(display):
                yield set_result
        except WorksectionError as error:
            result = type(error).__name__
            raise
        finally:
            self.show(_line(call, result, self._width))

    @property
    def _width(self) -> int:
        return self.console.width - INDENT

    @contextmanager
    def live(self, display: RenderableType) -> Iterator[None]:
        """Show *display* on a terminal, and refresh it until the block ends; a pipe gets no output."""
        if not self.console.is_terminal:
            yield
            return
        with Live(_indented(display), console=self.console, transient=True, refresh_per_second=12):
            yield

    def show(self, *displays: RenderableType) -> None:
        """Print below the heading of the step."""
        self.console.print(_indented(Group(*displays)))

    def check(self, claim: str, is_true: bool, actual: object = "") -> None:
        """Print and count a check; if *claim* is false, print the *actual* value, too."""
        self.passed += is_true
        self.failed += not is_true
        mark = Text(self._marks[is_true], "green" if is_true else "bold red")
        self.show(_hanging(mark, Text(printable(claim))))
        if not is_true and actual != "":
            self.show(_hanging(Text(" "), Text(printable(f"actual: {actual}")[:MAX_ACTUAL_LENGTH], "red")))

    def quote(self, text: str) -> None:
        """Print a message of the service or of an error."""
        self.show(Padding(Text(printable(text), "italic"), (0, 0, 0, 2)))


def _indented(display: RenderableType) -> Padding:
    return Padding(display, (0, 0, 0, INDENT), expand=False)


def _line(call: str, result: str, width: int) -> Text:
    """Return a line with *call* at its left and *result* at its right; a long call is cut."""
    line = Text(call, "dim", no_wrap=True)
    line.truncate(width - len(result) - 2, overflow="ellipsis", pad=bool(result))
    return Text.assemble(line, "  ", (result, "cyan")) if result else line


def table(*columns: Column | str) -> Table:
    """Return an empty table without line breaks in its cells."""
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in table.columns:
        column.no_wrap = True
    return table


def narrow(name: str, width: int) -> Column:
    """Return a column with at most *width* characters."""
    return Column(name, max_width=width)


def number(name: str = "") -> Column:
    """Return a right-aligned column."""
    return Column(name, justify="right")


def _hanging(mark: Text, text: Text) -> Table:
    """Return *text* next to *mark*, with a hanging indent."""
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_row(mark, text)
    return row
