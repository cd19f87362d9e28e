"""Prints replies as JSON, as a table or as CSV."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import click

from ..models import Model, plain, to_dict
from ._records import columns_of, flat, model_of_records, records_of, rest_of
from ._text import width_of

OutputFormat = Literal["json", "table", "csv"]

TEXTS = ("text", "comment")
"""Fields that can contain HTML: descriptions, comments, and comments of costs."""

UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that JSON may contain and a terminal may execute."""

F = TypeVar("F", bound=Callable[..., Any])


def output_options(command: F) -> F:
    """Add ``--json``, ``--table`` and ``--csv`` to *command*, as its argument ``output``."""
    for name, description in (
        ("csv", "Print the records as CSV. Durations are seconds; nested records are columns such as user_to.email."),
        ("table", "Print the records as a table that fits the terminal."),
        ("json", "Print the reply as JSON. This is the default."),
    ):
        command = click.option(f"--{name}", "output", flag_value=name, default="json", help=description)(command)
    return command


def print_reply(reply: object, output: OutputFormat, model: type[Model] | None, *, is_plain: bool) -> None:
    """Print *reply*, the result of a call.

    Args:
        reply: What the method of the session returned.
        output: The format. What is no record (an id, nothing) is always printed as JSON.
        model: The model of the reply, if it has one; CSV takes its columns from it, so that they are always the same.
        is_plain: Whether HTML in descriptions and comments is converted to text.
    """
    records = records_of(reply)
    if output == "json" or records is None or model is None:
        print_text(json_text(_plain_if(is_plain, to_dict(reply)), indent=2) + "\n")
    elif output == "csv":
        print_text(csv_text(_plain_if(is_plain, to_dict(records)), model_of_records(model)))
    else:
        print_text(_table_text(reply, records, width_of(sys.stdout)))


def print_line(record: object) -> None:
    """Print *record* as one line of JSON, now: another program may read the lines one by one."""
    print_text(json_text(to_dict(record)) + "\n")


def print_text(text: str) -> None:
    """Print *text* and flush it; characters that the encoding of stdout does not have are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return *value* as JSON that every encoding of stdout and every terminal can show."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def csv_text(records: Sequence[dict[str, object]], model: type[Model]) -> str:
    """Return *records*, results of `to_dict`, as CSV with the columns of *model*."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns_of(model), extrasaction="ignore", lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(map(flat, records))
    return file.getvalue()


def without_html(value: Any) -> Any:
    """Return a copy of *value*, a reply or a part of it, with the texts of descriptions and comments as plain text."""
    if isinstance(value, list):
        return [without_html(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: plain(item) if key in TEXTS and isinstance(item, str) else without_html(item)
        for key, item in value.items()
    }


def _plain_if(is_plain: bool, value: Any) -> Any:
    return without_html(value) if is_plain else value


def _table_text(reply: object, records: list[Model], width: int | None) -> str:
    from ._table import format_record, format_records  # noqa: PLC0415  # rich takes as long as all other imports

    if records == [reply]:
        return format_record(records[0], width)
    rest = rest_of(reply)
    return format_records(records, width) + ("" if rest is None else "\n" + format_record(rest, width))
