"""Tables of records that fit the terminal."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import attrs
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..models import Model, User, plain
from ._text import format_duration, printable, wrapped

MAX_CELL_WIDTH = 40
"""Longer values are cut in a table of several records."""

GAP = 2
"""Spaces between two columns."""

LABELS = ("name", "title", "email", "id")
"""The fields by which a nested record is shown, the first one that it has."""

LAST = ("page", "extra")
"""Fields that come last, because they are long and say little."""

Number = int | float | Decimal | dt.timedelta


def format_records(records: Sequence[Model], width: int | None) -> str:
    """Return a table with a row per record, in *width* characters (None: unlimited).

    Columns without any value are omitted, and so are those that do not fit: the last line names them.
    """
    if not records:
        return "No records.\n"
    columns = {name: [getattr(record, name) for record in records] for name in _ordered(records[0])}
    filled = {name: values for name, values in columns.items() if any(map(_cell, values))}
    fitting = _fitting(filled, width)
    table = _new_table(show_header=True)
    for name in fitting:
        is_number = all(isinstance(value, Number) for value in filled[name] if value is not None)
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True, max_width=MAX_CELL_WIDTH)
    for index in range(len(records)):
        table.add_row(*(Text(_cell(filled[name][index])) for name in fitting))
    omitted = [name for name in filled if name not in fitting]
    note = f"Columns that do not fit: {', '.join(omitted)}. They are in --json and --csv." if omitted else ""
    return _rendered(table, width) + (_rendered(Text(f"\n{wrapped(note, width)}", "dim"), width) if note else "")


def format_record(record: Model, width: int | None) -> str:
    """Return the fields of *record* that have a value, one per line."""
    table = _new_table(show_header=False)
    for name in _ordered(record):
        if cell := _cell(getattr(record, name)):
            table.add_row(Text(name, "dim"), Text(cell))
    return _rendered(table, width)


def _new_table(*, show_header: bool) -> Table:
    return Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim", show_header=show_header)


def _rendered(display: Table | Text, width: int | None) -> str:
    """Return *display* as text. It is never wider than *width*; without one it is as wide as it needs to be."""
    console = Console(file=io.StringIO(), width=width or 100_000, force_terminal=bool(width), highlight=False)
    with console.capture() as capture:
        console.print(display)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _fitting(columns: Mapping[str, Sequence[object]], width: int | None) -> list[str]:
    """Return the names of the first columns that fit into *width*; the first column always does."""
    names, used = list[str](), -GAP
    for name, values in columns.items():
        widest = max(cell_len(name), *(min(cell_len(_cell(value)), MAX_CELL_WIDTH) for value in values))
        used += widest + GAP
        if width is not None and used > width and names:
            break
        names.append(name)
    return names


def _ordered(record: Model) -> list[str]:
    names = [field.name for field in attrs.fields(type(record))]
    return sorted(names, key=lambda name: name in LAST)


def _all_cells(record: Model) -> str:
    """Return the fields of a record without a name, such as a total."""
    cells = {name: _cell(getattr(record, name)) for name in _ordered(record)}
    return ", ".join(f"{name} {cell}" for name, cell in cells.items() if cell)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case User() if value.is_nobody or value.is_anybody:
            return "" if value.is_nobody else "anybody"
        case Model():
            return next((_cell(label) for name in LABELS if (label := getattr(value, name, None))), _all_cells(value))
        case bool():
            return "yes" if value else "no"
        case dt.timedelta():
            return format_duration(value) if value else ""
        case dt.datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case str():
            return printable(plain(value)) if "<" in value or "&" in value else printable(value)
        case Mapping():
            return ", ".join(filter(None, map(_cell, value.values())))
        case Iterable():
            return ", ".join(filter(None, map(_cell, value)))
        case _:
            return str(value)
