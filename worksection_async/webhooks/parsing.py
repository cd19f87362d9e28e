"""Parse webhook bodies into events. The observed format is a JSON array of events; other formats are tolerated.

When a webhook is registered, the service calls the URL once with an undocumented body. A body without events is
therefore no error. A body that seems to contain events and cannot be read is an error.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .._protocol.decoding import from_json
from .._protocol.structure import Malformed, Structure
from .._protocol.time_zones import to_time_zone
from ..errors import UnexpectedReply, WorksectionError, mask_secrets
from ..models import Event
from .body import decode_text, form_fields

MAX_WRAPPERS = 4
"""Accepted levels of JSON text in JSON text, and of lists in lists, around an event."""

MAX_DEPTH = 100
"""Accepted levels of nesting in an event. Real events have three."""

EXCERPT_CHARACTERS = 500
"""How much of an unreadable body is logged."""

MAX_SEARCHED_BYTES = 65_536
"""How much of an unreadable body is decoded for the excerpt."""


class UnreadableEvent(UnexpectedReply):
    """A webhook body, or one event in it, that has no known format. ``path`` is the JSON path of the invalid value.

    The text of the error contains the first 500 characters, without words that could be a key or a token.
    """

    def __init__(self, path: str, reason: str, excerpt: str) -> None:
        WorksectionError.__init__(
            self,
            "webhook",
            f"unexpected body at {path}: {reason}; it starts with {excerpt!r}",
            ". If this error persists, the service has changed the format",
            sent=False,
        )
        self.path = path
        self.http_status = 200


def parse_events(body: bytes | str, *, tz: dt.tzinfo | str | None = None) -> list[Event]:
    """Return the events in a webhook body; the list is empty if the body contains no events.

    The events equal those of ``get_events``. The body may be an array of events, a single event, JSON text inside
    JSON text, or a form. Unknown actions are kept in ``event.action``, unknown fields in ``event.extra``.

    Args:
        body: The request body as received: bytes in UTF-8, or text.
        tz: Time zone of the account, as in `Session`; without it, date-times are naive.

    Raises:
        UnreadableEvent: The body is not JSON or contains an invalid event; ``path`` is the JSON path of the invalid
            value. The error is an `UnexpectedReply`.
        InvalidCall: *tz* is no time zone.
    """
    events = []
    for event in read_events(body, to_time_zone("parse_events", tz)):
        if isinstance(event, UnreadableEvent):
            raise event
        events.append(event)
    return events


def read_events(
    body: bytes | str, tz: dt.tzinfo | None = None, encoding: str = "utf-8"
) -> Iterator[Event | UnreadableEvent]:
    """Yield the events in *body* in order, with an error in the place of each unreadable event.

    Any other exception is a fault of this package.
    """
    try:
        if isinstance(body, bytes):
            body = decode_text(body, encoding)
        for path, record in _find_records("$", _decode(body, encoding), MAX_WRAPPERS):
            yield _structure_event(path, record, tz)
    except Malformed as exc:
        yield unreadable(exc, body)
    except RecursionError:
        yield unreadable(Malformed("$", "nested too deeply"), body)


def _structure_event(path: str, record: Mapping[str, Any], tz: dt.tzinfo | None) -> Event | UnreadableEvent:
    # The limit of the JSON parser is not enough: it depends on the Python version, and a form is not parsed as JSON.
    if _is_deeper_than(MAX_DEPTH, record):
        return unreadable(Malformed(path, "nested too deeply"), record)
    try:
        return _structure(tz).at(path, record, Event)
    except Malformed as exc:
        return unreadable(exc, record)


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


def unreadable(exc: Malformed, content: object) -> UnreadableEvent:
    """Return the public error for *exc*, which was met in *content*."""
    return UnreadableEvent(exc.path, mask_secrets(exc.reason), excerpt(content))


def excerpt(content: object) -> str:
    """Return the first characters of a body or of a record, without anything that could be a credential."""
    if isinstance(content, bytes):
        text = content[:MAX_SEARCHED_BYTES].decode("utf-8", "replace")
    elif isinstance(content, str):
        text = content
    else:  # in parts: a record can be nested too deeply to be written as a whole
        parts = json.JSONEncoder(ensure_ascii=False).iterencode(content)
        text = "".join(itertools.islice(parts, EXCERPT_CHARACTERS))
    return mask_secrets(text, EXCERPT_CHARACTERS)


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


def _decode(text: str, encoding: str = "utf-8") -> object:
    """Decode JSON, or a form that contains JSON or fields; an empty body or a single word such as "ping" is None.

    *encoding* is the charset of the escaped bytes of a form that are not UTF-8.
    """
    text = text.strip("\ufeff\0 \t\r\n")
    if not text or re.fullmatch(r"[A-Za-z][\w-]{0,31}", text):
        return None
    try:
        return from_json(text)
    except ValueError:
        if re.match(r"[\w.\-+%\[\]]+=|%(5B|7B)", text, re.IGNORECASE) and not text.startswith("["):
            return _decode_form(form_fields(text, encoding))
    raise Malformed("$", "not JSON")


def _decode_form(fields: list[tuple[str, str]]) -> object:
    """Return the JSON text in the first field that contains one, or the fields as a dict."""
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
