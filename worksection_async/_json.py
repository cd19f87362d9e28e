"""JSON read one record at a time.

The C scanner of `json.loads` keeps the interpreter for as long as the text lasts. Read record by record, in a
worker thread, the largest answer leaves the event loop its turn, and a decoded record can be let go as soon as
it has become a model.
"""

import json
import re
import time
from collections.abc import Callable
from typing import Any, cast

_value = cast(Any, json.JSONDecoder()).scan_once
_mark = re.compile(r"[ \t\n\r]*([\[\]{}:,]?)[ \t\n\r]*").match

PAUSE_EVERY = 64
"""Records between two moments at which other threads are let run."""


def decode(text: str, record: Callable[[object], object] | None = None, key: str = "data") -> object:
    """The value *text* is JSON for; the elements of the top-level array *key* have passed through *record*.

    Raises `ValueError` for what is no JSON, `RecursionError` for what is nested too deeply, and what *record* raises.
    """
    mark, at = _next(text, 0)
    if record is None or mark != "{":
        return json.loads(text)
    try:
        members, at = _members(text, at, record, key)
    except StopIteration as exc:  # the scanner's way to say that there is no value
        raise _unexpected(exc.value) from None
    if at != len(text):
        raise _unexpected(at)
    return members


def _members(text: str, at: int, record: Callable[[object], object], key: str) -> tuple[dict[str, object], int]:
    members: dict[str, object] = {}
    mark, end = _next(text, at)
    if mark == "}":
        return members, end
    while True:
        name, at = _value(text, at)
        mark, at = _next(text, at)
        if mark != ":" or not isinstance(name, str):
            raise _unexpected(at)
        read = _elements(text, at, record) if name == key and text.startswith("[", at) else _value(text, at)
        members[name], at = read
        mark, at = _next(text, at)
        if mark == "}":
            return members, at
        if mark != ",":
            raise _unexpected(at)


def _elements(text: str, at: int, record: Callable[[object], object]) -> tuple[list[object], int]:
    elements: list[object] = []
    _, at = _next(text, at)
    mark, end = _next(text, at)
    if mark == "]":
        return elements, end
    while True:
        value, at = _value(text, at)
        elements.append(record(value))
        if not len(elements) % PAUSE_EVERY:
            time.sleep(0)
        if text.startswith(",{", at):  # what there is between all records of a reply, without asking further
            at += 1
            continue
        mark, at = _next(text, at)
        if mark == "]":
            return elements, at
        if mark != ",":
            raise _unexpected(at)


def _next(text: str, at: int) -> tuple[str, int]:
    """The mark at *at*, if there is one, and where the next thing begins."""
    match = cast("re.Match[str]", _mark(text, at))  # there is one always: it matches nothing, too
    return match[1], match.end()


def _unexpected(at: int) -> ValueError:
    return ValueError(f"no JSON at character {at}")
