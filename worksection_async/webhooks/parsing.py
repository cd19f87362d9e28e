"""Parse webhook bodies into events. The observed format is a JSON array of events; other formats are tolerated.

When a webhook is registered, the service calls the URL once with an undocumented body. A body without events is
therefore no error. A body that seems to contain events and cannot be read is an error.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from .._protocol.decoding import from_json, text_of
from .._protocol.structure import Malformed, Structure
from ..errors import UnexpectedReply, WorksectionError, mask_secrets
from ..models import Event

MAX_WRAPPERS = 4
"""Accepted levels of JSON text in JSON text, and of lists in lists, around an event."""

MAX_DEPTH = 100
"""Accepted levels of nesting in an event. Real events have three."""


class UnreadableEvent(UnexpectedReply):
    """A webhook body, or one event in it, that has no known format. ``path`` is the JSON path of the invalid value."""

    def __init__(self, path: str, reason: str) -> None:
        WorksectionError.__init__(
            self,
            "webhook",
            f"unexpected body at {path}: {reason}",
            ". If this error persists, the service has changed the format",
            sent=False,
        )
        self.path = path
        self.http_status = 200


def parse_events(body: bytes | str, *, tz: dt.tzinfo | None = None) -> list[Event]:
    """Return the events in a webhook body; the list is empty if the body contains no events.

    The events equal those of ``get_events``. The body may be an array of events, a single event, JSON text inside
    JSON text, or a form. Unknown actions are kept in ``event.action``, unknown fields in ``event.extra``.

    Args:
        body: The request body as received.
        tz: Time zone of the account; without it, date-times are naive.

    Raises:
        UnreadableEvent: The body is not JSON or contains an invalid event; ``path`` is the JSON path of the invalid
            value. The error is an `UnexpectedReply`.
    """
    events = []
    for event in read_events(body, tz):
        if isinstance(event, UnreadableEvent):
            raise event
        events.append(event)
    return events


def read_events(body: bytes | str, tz: dt.tzinfo | None = None) -> Iterator[Event | UnreadableEvent]:
    """Yield the events in *body* in order, with an error in the place of each unreadable event."""
    try:
        for path, record in _find_records("$", _decode(body), MAX_WRAPPERS):
            yield _structure_event(path, record, tz)
    except Malformed as exc:
        yield _unreadable(exc)
    except RecursionError:
        yield _unreadable(Malformed("$", "nested too deeply"))


def _structure_event(path: str, record: Mapping[str, Any], tz: dt.tzinfo | None) -> Event | UnreadableEvent:
    # The limit of the JSON parser is not enough: it depends on the Python version, and a form is not parsed as JSON.
    if _is_deeper_than(MAX_DEPTH, record):
        return _unreadable(Malformed(path, "nested too deeply"))
    try:
        return _structure(tz).at(path, record, Event)
    except Malformed as exc:
        return _unreadable(exc)


def _is_deeper_than(max_depth: int, value: object) -> bool:
    """Return True if *value* has more than *max_depth* levels of lists and dicts. Does not recurse."""
    level = [value]
    for _ in range(max_depth + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [item for it in containers for item in (it.values() if isinstance(it, dict) else it)]
    return True


@functools.lru_cache(maxsize=16)
def _structure(tz: dt.tzinfo | None) -> Structure:
    return Structure(tz)


def _unreadable(exc: Malformed) -> UnreadableEvent:
    return UnreadableEvent(exc.path, mask_secrets(exc.reason))


def _find_records(path: str, value: object, wrappers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object in *value* that may be an event, with its JSON path; unwrap up to *wrappers* levels."""
    if isinstance(value, str) and wrappers:
        yield from _find_records(path, _decode(value), wrappers - 1)
    elif isinstance(value, list) and wrappers:
        for index, item in enumerate(value):
            yield from _find_records(f"{path}[{index}]", item, wrappers - 1)
    elif isinstance(value, dict):
        if _may_be_event(value):
            yield path, value
    elif isinstance(value, str | list):
        raise Malformed(path, f"wrapped in more than {MAX_WRAPPERS} levels")


def _may_be_event(record: Mapping[str, Any]) -> bool:
    """Return True if *record* has a key of an event, or a nested value that could contain one."""
    return bool(record.keys() & {"action", "object"}) or any(isinstance(it, dict | list) for it in record.values())


def _decode(body: bytes | str) -> object:
    """Decode JSON, or a form that contains JSON or fields; an empty body or a single word such as "ping" is None."""
    try:
        text = (text_of(body) if isinstance(body, bytes) else body).strip("\ufeff\0 \t\r\n")
    except UnicodeDecodeError:
        raise Malformed("$", "not UTF-8") from None
    if not text or re.fullmatch(r"[A-Za-z][\w-]{0,31}", text):
        return None
    try:
        return from_json(text)
    except ValueError:
        if re.match(r"[\w.\-+%\[\]]+=|%(5B|7B)", text, re.IGNORECASE) and not text.startswith("["):
            return _decode_form(text)
    raise Malformed("$", "not JSON")


def _decode_form(text: str) -> object:
    """Return the JSON text in the first field that contains one, or the fields as a dict."""
    fields = parse_qsl(text, keep_blank_values=True) if "=" in text else [("", unquote_plus(text))]
    for name, value in fields:
        for candidate in (value, name):
            if candidate.lstrip().startswith(("[{", "{", '"[', '"{')):
                return candidate
    return _unflatten(fields)


def _unflatten(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """Convert ``object[type]=task``, PHP's notation for nested fields, to ``{"object": {"type": "task"}}``."""
    record: dict[str, Any] = {}
    for name, value in fields:
        head, *inner = re.findall(r"[^\[\]]+", name) or [""]
        parent = record
        for key in inner:
            parent = parent.setdefault(head, {})
            if not isinstance(parent, dict):
                raise Malformed("$", "the form contains a field and a subfield of it")
            head = key
        parent[head] = value
    return record
