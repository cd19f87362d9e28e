"""Calls: an action with its parameters, checked and encoded before anything is sent."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Generic, Literal, TypeVar

import attrs

from ..errors import InvalidCall
from . import compound_formats, formats, shapes
from .attachments import FilePart, file_parts
from .encoding import as_query
from .names import unknown_parameter
from .service import MAX_TEXT_CHARACTERS

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


ABSENT_VALUES = ("", formats.Repeated(()), formats.Structured({}))
"""Values treated as absent."""


@attrs.frozen
class Param:
    """A parameter of an action: the format of its value, whether it is required, and whether it is a password."""

    format: formats.Format
    required: bool = False
    secret: bool = False

    @property
    def is_files(self) -> bool:
        """Whether the value is files, which are sent as parts of a multipart body."""
        return self.format in (compound_formats.to_attach, compound_formats.to_files)


@attrs.frozen(kw_only=True)
class Action(Generic[T_co]):
    """An action of the service; the instances are generated in `_protocol.actions`."""

    name: str = attrs.field(kw_only=False)
    kind: Literal["read", "write"]
    returns: shapes.Returns[T_co]
    repeatable: bool = False
    already_done: str | None = None
    credential: Literal["any", "token"] = "any"
    one_of: tuple[tuple[str, ...], ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    params: Mapping[str, Param] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class Call(Generic[T_co]):
    """An action with its encoded parameters and files."""

    action: Action[T_co]
    params: Mapping[str, formats.WireValue] = attrs.field(repr=False)
    parts: tuple[FilePart, ...] = attrs.field(default=(), repr=False)

    @functools.cached_property
    def query(self) -> str:
        """The action and the parameters as the query of a URL."""
        return as_query(self.action.name, self.params)

    @property
    def fits_query(self) -> bool:
        """Whether the service reads all parameters from a query; the length is not checked."""
        return all(value.in_query for value in self.params.values() if isinstance(value, formats.Structured))

    @property
    def is_upload(self) -> bool:
        """Whether the body consists of files only."""
        return any(param.format is compound_formats.to_files for param in self.action.params.values())


def prepare(action: Action[T], params: Mapping[str, object]) -> Call[T]:
    """Check and encode *params*; None means not given. Raises `InvalidCall`."""
    given = {name: value for name, value in params.items() if value is not None}
    for name in given:
        if name not in action.params:
            raise InvalidCall(action.name, unknown_parameter(name, action.params))
    encoded = dict(_encode(action, given))
    parts = tuple(_encode_files(action, given))
    for problem in _problems(action, encoded | {part.field: part.name for part in parts}):
        raise InvalidCall(action.name, problem)
    return Call(action, encoded, parts)


def _encode(action: Action[object], given: Mapping[str, object]) -> Iterator[tuple[str, formats.WireValue]]:
    for name, value in given.items():
        param = action.params[name]
        if param.is_files:
            continue
        try:
            value_on_wire = param.format(value)
        except ValueError as exc:
            raise InvalidCall(action.name, f"{name}: {exc}") from None
        if isinstance(value_on_wire, formats.Spread):
            yield from value_on_wire.values.items()
        else:
            yield name, value_on_wire


def _encode_files(action: Action[object], given: Mapping[str, object]) -> Iterator[FilePart]:
    for name, value in given.items():
        if action.params[name].is_files:
            field = "files[]" if action.params[name].format is compound_formats.to_files else f"{name}[{{index}}]"
            try:
                yield from file_parts(field, value)
            except (OSError, ValueError) as exc:
                raise InvalidCall(action.name, f"{name}: {exc}") from None


def _problems(action: Action[object], encoded: Mapping[str, formats.WireValue]) -> Iterator[str]:
    present = {name.partition("[")[0] for name, value in encoded.items() if value not in ABSENT_VALUES}
    for name, param in action.params.items():
        if param.required and name not in present:
            yield f"{name} is required"
    for group in action.one_of:
        if present.isdisjoint(group):
            yield f"at least one of {', '.join(group)} is required"
    characters = sum(_characters(encoded[name]) for name in ("text", "todo") if name in encoded)
    if characters > MAX_TEXT_CHARACTERS:
        yield f"text and todo together have {characters} characters; the service truncates at {MAX_TEXT_CHARACTERS}"
    for group in action.exclusive:
        chosen = [name for name in group if name in present and encoded[name] not in (0, "0")]
        if len(chosen) > 1:
            yield f"only one of {', '.join(chosen)} can be given"


def _characters(value: formats.WireValue) -> int:
    """Return the number of characters that the service stores; it adds a line break and a bullet per checklist item."""
    lines = [f"\r\n• {item}" for item in value.values] if isinstance(value, formats.Repeated) else [str(value)]
    return sum(map(len, lines))
