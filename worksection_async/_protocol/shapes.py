"""The shapes a reply can have: where in the envelope the answer stands, and what it becomes.

The service is not strict about shapes: one object comes as a list of one, an empty map as ``[]``, an empty
list as no key at all. Each reader here accepts every form that was seen.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from .formats import from_id, from_str
from .structure import Malformed, Structure

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Envelope = Mapping[str, Any]
"""The top level of a reply that says it is ok."""


@attrs.frozen
class Returns(Generic[T_co]):
    """How a reply is read."""

    read: Callable[[Envelope, Structure], T_co]
    model: Any = None
    """What the answer is made of; to be ready to structure it takes a while the first time."""


def many(model: type[T]) -> Returns[list[T]]:
    """All records of ``data``."""

    def read(envelope: Envelope, structure: Structure) -> list[T]:
        return structure.each("$.data", _items(envelope), model)

    return Returns(read, model)


def one(model: type[T]) -> Returns[T]:
    """The object in ``data``, which may be a list of one."""

    def read(envelope: Envelope, structure: Structure) -> T:
        if (found := maybe(model).read(envelope, structure)) is None:
            raise Malformed("$.data", "a record expected, not nothing")
        return found

    return Returns(read, model)


def maybe(model: type[T]) -> Returns[T | None]:
    """The object in ``data``, if there is one."""

    def read(envelope: Envelope, structure: Structure) -> T | None:
        data = envelope.get("data")
        if isinstance(data, list) and data:
            return structure.at("$.data[0]", data[0], model)
        return structure.at("$.data", data, model) if data else None

    return Returns(read, model)


def by_id(model: type[T]) -> Returns[dict[int, T]]:
    """A map of ``data`` with numbers for keys; a list of records with numbers of their own will do."""

    def read(envelope: Envelope, structure: Structure) -> dict[int, T]:
        data = envelope.get("data") or {}
        if isinstance(data, list):
            records: list[Any] = many(model).read(envelope, structure)
            return {record.id: record for record in records}
        return structure.at("$.data", data, dict[int, model])  # type: ignore[valid-type]

    return Returns(read, model)


def whole(model: type[T]) -> Returns[T]:
    """The envelope itself, apart from ``status``."""

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
    """The elements of ``data`` in any form: absent, a list, one record, a map with running numbers for keys."""
    data = envelope.get("data")
    if isinstance(data, list):
        return data
    if isinstance(data, dict):
        return list(data.values()) if all(key.isdecimal() for key in data) else [data]
    if data is None or data == "":
        return []
    raise Malformed("$.data", f"a list expected, not {data!r:.40}")


new_id: Returns[int] = Returns(_read_new_id)
"""The number of what was created, beside ``status``."""

message: Returns[str] = Returns(_read_message)
"""The service's own summary."""

nothing: Returns[None] = Returns(_read_nothing)
"""That it is ok."""

file: Returns[None] = Returns(_read_nothing)
"""A file instead of an envelope; `worksection_async._download` reads it."""

raw: Returns[dict[str, Any]] = Returns(_read_raw)
"""The envelope as it came."""
