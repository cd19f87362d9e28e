"""Result types of actions: each one reads the result from the envelope of a reply.

The service is not strict about types: it sends one object as a list of one, an empty object as ``[]``, and omits the
key of an empty list. Each reader accepts every form that has been seen.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from ..models._reply_formats import from_id, from_str
from .structure import Malformed, Structure

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Envelope = Mapping[str, Any]
"""The top level of a reply with status ok."""


@attrs.frozen
class Returns(Generic[T_co]):
    """The result type of an action: a function that reads the envelope, and the model of the result."""

    read: Callable[[Envelope, Structure], T_co]
    model: Any = None
    """Model of the records, so that its hooks can be compiled before the first reply arrives."""


def many(model: type[T]) -> Returns[list[T]]:
    """A list of all records in ``data``."""

    def read(envelope: Envelope, structure: Structure) -> list[T]:
        return structure.each("$.data", _items(envelope), model)

    return Returns(read, model)


def one(model: type[T]) -> Returns[T]:
    """The object in ``data``, which can be a list of one."""

    def read(envelope: Envelope, structure: Structure) -> T:
        if (found := optional(model).read(envelope, structure)) is None:
            raise Malformed("$.data", "must be a record, got nothing")
        return found

    return Returns(read, model)


def optional(model: type[T]) -> Returns[T | None]:
    """The object in ``data``, or None."""

    def read(envelope: Envelope, structure: Structure) -> T | None:
        data = envelope.get("data")
        if isinstance(data, list) and data:
            return structure.at("$.data[0]", data[0], model)
        return structure.at("$.data", data, model) if data else None

    return Returns(read, model)


def by_id(model: type[T]) -> Returns[dict[int, T]]:
    """A dict of the records in ``data`` by id; ``data`` can also be a list of records that contain their id."""

    def read(envelope: Envelope, structure: Structure) -> dict[int, T]:
        data = envelope.get("data") or {}
        if isinstance(data, list):
            records: list[Any] = many(model).read(envelope, structure)
            return {record.id: record for record in records}
        return structure.at("$.data", data, dict[int, model])  # type: ignore[valid-type]

    return Returns(read, model)


def envelope_of(model: type[T]) -> Returns[T]:
    """The envelope itself without ``status``."""

    def read(envelope: Envelope, structure: Structure) -> T:
        return structure.at("$", {key: value for key, value in envelope.items() if key != "status"}, model)

    return Returns(read, model)


def _read_new_id(envelope: Envelope, _: Structure) -> int:
    data = envelope.get("data")
    found = envelope.get("id") or (data.get("id") if isinstance(data, dict) else None)
    try:
        return from_id(found)
    except (TypeError, ValueError) as exc:
        raise Malformed("$.id", str(exc)) from None


def _read_message(envelope: Envelope, _: Structure) -> str:
    try:
        return from_str(envelope.get("message") or "")
    except TypeError as exc:
        raise Malformed("$.message", str(exc)) from None


def _read_nothing(_: Envelope, __: Structure) -> None:
    return None


def _read_raw(envelope: Envelope, _: Structure) -> dict[str, Any]:
    return dict(envelope)


def _items(envelope: Envelope) -> list[Any]:
    """Return the records of ``data`` in any form: absent, a list, one record, an object with numeric keys."""
    data = envelope.get("data")
    if isinstance(data, list):
        return data
    if isinstance(data, dict):
        return list(data.values()) if all(key.isdecimal() for key in data) else [data]
    if data is None or data == "":
        return []
    raise Malformed("$.data", f"must be a list, got {data!r:.40}")


new_id: Returns[int] = Returns(_read_new_id)
"""The id of the created record, which is a key of the envelope or of ``data``."""

message: Returns[str] = Returns(_read_message)
"""The message of the envelope."""

nothing: Returns[None] = Returns(_read_nothing)
"""Status only; returns None."""

file: Returns[None] = Returns(_read_nothing)
"""A file instead of an envelope; `_transfer` reads it."""

raw: Returns[dict[str, Any]] = Returns(_read_raw)
"""The unchanged envelope."""
