"""Bodies of webhooks → events. An array of events is what the service was seen to send; the rest is caution.

The service calls an address once when it is registered, with nobody knows what: a body that tells of nothing is no
error. A body that seems to tell of something and cannot be read is.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from .._protocol.structure import Malformed, Structure
from ..errors import UnexpectedReply, WorksectionError, masked
from ..models import Event

LAYERS = 4
"""How often JSON may be wrapped: text in text, a list in a list."""


class UnreadableEvent(UnexpectedReply):
    """A webhook's body, or an event in it, that is like nothing the service is known to send."""

    def __init__(self, path: str, reason: str) -> None:
        WorksectionError.__init__(
            self,
            "webhook",
            f"unexpected body at {path}: {reason}",
            ". If it lasts, the service has changed",
            sent=False,
        )
        self.path = path
        self.http_status = 200


def parse_events(body: bytes | str, *, tz: dt.tzinfo | None = None) -> list[Event]:
    """The events in the body of a webhook; none in an empty body, or in one that tells of nothing.

    They are what ``get_events`` returns. An array of them is expected; a single one, JSON in JSON and forms are read
    as well, and what the service has since invented is kept (``event.action`` as it came, ``event.extra``).

    Args:
        body: As it was received.
        tz: Time zone of the account; date-times are naive without.

    Raises:
        UnreadableEvent: The body is no JSON, or is like no event; ``path`` says where. It is an `UnexpectedReply`.
    """
    events = []
    for event in read_events(body, tz):
        if isinstance(event, UnreadableEvent):
            raise event
        events.append(event)
    return events


def read_events(body: bytes | str, tz: dt.tzinfo | None = None) -> Iterator[Event | UnreadableEvent]:
    """The events in *body*, and in the place of each that cannot be read the error."""
    try:
        for path, record in _records("$", _decoded(body), LAYERS):
            yield _event(path, record, tz)
    except Malformed as exc:
        yield _unreadable(exc)
    except RecursionError:
        yield _unreadable(Malformed("$", "nested too deeply"))


def _event(path: str, record: Mapping[str, Any], tz: dt.tzinfo | None) -> Event | UnreadableEvent:
    try:
        event = _structure(tz).at(path, record, Event)
        _ = event.key  # what is nested too deeply for that is no event
    except Malformed as exc:
        return _unreadable(exc)
    return event


@functools.lru_cache(maxsize=16)
def _structure(tz: dt.tzinfo | None) -> Structure:
    return Structure(tz)


def _unreadable(exc: Malformed) -> UnreadableEvent:
    return UnreadableEvent(exc.path, masked(exc.reason))


def _records(path: str, value: object, layers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects in *value* that tell of something, and where each stands."""
    if isinstance(value, str) and layers:
        yield from _records(path, _decoded(value), layers - 1)
    elif isinstance(value, list) and layers:
        for index, item in enumerate(value):
            yield from _records(f"{path}[{index}]", item, layers - 1)
    elif isinstance(value, dict):
        if not _tells_nothing(value):
            yield path, value
    elif isinstance(value, str | list):
        raise Malformed(path, "wrapped too often")


def _tells_nothing(record: Mapping[str, Any]) -> bool:
    """Whether a record is none of an event: it has none of its keys, and nothing in which one could be hidden."""
    return not record.keys() & {"action", "object"} and not any(isinstance(it, dict | list) for it in record.values())


def _decoded(body: bytes | str) -> object:
    """JSON, a form with JSON or with fields in it, or a lone word, which says nothing (None)."""
    try:
        text = (body.decode() if isinstance(body, bytes) else body).strip("\ufeff\0 \t\r\n")
    except UnicodeDecodeError:
        raise Malformed("$", "no UTF-8") from None
    if not text or re.fullmatch(r"[A-Za-z][\w-]{0,31}", text):
        return None
    try:
        return json.loads(text)
    except ValueError:
        if re.match(r"[\w.\-+%\[\]]+=|%(5B|7B)", text, re.IGNORECASE) and not text.startswith("["):
            return _form(text)
    raise Malformed("$", "no JSON")


def _form(text: str) -> object:
    fields = parse_qsl(text, keep_blank_values=True) if "=" in text else [("", unquote_plus(text))]
    for name, value in fields:
        for candidate in (value, name):
            if candidate.lstrip().startswith(("[{", "{", '"[', '"{')):
                return candidate
    return _unflattened(fields)


def _unflattened(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """``object[type]=task`` as PHP means it: ``{"object": {"type": "task"}}``."""
    record: dict[str, Any] = {}
    for name, value in fields:
        head, *inner = re.findall(r"[^\[\]]+", name) or [""]
        place = record
        for key in inner:
            place = place.setdefault(head, {})
            if not isinstance(place, dict):
                raise Malformed("$", "a form that contradicts itself")
            head = key
        place[head] = value
    return record
