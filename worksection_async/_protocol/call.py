"""What a caller asks for, checked before anything is sent: an action, its parameters, and the way its reply is read."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Generic, Literal, TypeVar, cast

import attrs

from ..errors import InvalidCall
from ..models import ProjectOptions
from . import compound_formats, formats, shapes
from .attachments import Part, parts
from .encoding import as_query
from .service import MAX_TEXT_CHARACTERS

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


EMPTY = ("", formats.Repeated(()), formats.Structured({}))
"""Values that say no more than none would."""


@attrs.frozen
class Param:
    """A parameter: how its value is written, and whether the action needs it."""

    format: formats.Format
    required: bool = False

    @property
    def is_files(self) -> bool:
        """Whether it holds files, which travel beside the parameters or instead of them."""
        return self.format in (compound_formats.to_attach, compound_formats.to_files)


@attrs.frozen(kw_only=True)
class Action(Generic[T_co]):
    """An action of the service."""

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
    """An action with its parameters as the service reads them."""

    action: Action[T_co]
    params: Mapping[str, formats.WireValue] = attrs.field(repr=False)
    parts: tuple[Part, ...] = attrs.field(default=(), repr=False)

    @functools.cached_property
    def query(self) -> str:
        """The action and the parameters, as a URL has them."""
        return as_query(self.action.name, self.params)

    @property
    def fits_query(self) -> bool:
        """Whether all parameters can be read from a query, its length aside."""
        return all(value.in_query for value in self.params.values() if isinstance(value, formats.Structured))

    @property
    def is_upload(self) -> bool:
        """Whether files are all it has to say."""
        return any(param.format is compound_formats.to_files for param in self.action.params.values())


RESERVED = {"action", "hash", "access_token"}
"""Names in a query that say who asks for what; a parameter of that name would say it again."""


def prepare(action: Action[T], params: Mapping[str, object]) -> Call[T]:
    """Check *params* (None means not given) and write them; raises `InvalidCall`."""
    given = {name: value for name, value in params.items() if value is not None}
    for name in given.keys() - action.params.keys():
        known = ", ".join(action.params) or "none"
        raise InvalidCall(action.name, f"there is no parameter {name!r}; known are {known}")
    written = dict(_written(action, given))
    parts = tuple(_parts(action, given))
    for complaint in _complaints(action, written | {part.field: part.name for part in parts}):
        raise InvalidCall(action.name, complaint)
    return Call(action, written, parts)


def _written(action: Action[object], given: Mapping[str, object]) -> Iterator[tuple[str, formats.WireValue]]:
    for name, value in given.items():
        param = action.params[name]
        if param.is_files:
            continue
        try:
            text = param.format(value)
        except ValueError as exc:
            raise InvalidCall(action.name, f"{name}: {exc}") from None
        if isinstance(text, formats.Spread):
            yield from text.values.items()
        else:
            yield name, text


def _parts(action: Action[object], given: Mapping[str, object]) -> Iterator[Part]:
    for name, value in given.items():
        if action.params[name].is_files:
            field = "files[]" if action.params[name].format is compound_formats.to_files else f"{name}[{{index}}]"
            try:
                yield from parts(field, value)
            except (OSError, ValueError) as exc:
                raise InvalidCall(action.name, f"{name}: {exc}") from None


def _complaints(action: Action[object], written: Mapping[str, formats.WireValue]) -> Iterator[str]:
    present = {name.partition("[")[0] for name, value in written.items() if value not in EMPTY}
    for name, param in action.params.items():
        if param.required and name not in present:
            yield f"{name} is required"
    for group in action.one_of:
        if present.isdisjoint(group):
            yield f"at least one of {', '.join(group)} is required"
    described = sum(_characters(written[name]) for name in ("text", "todo") if name in written)
    if described > MAX_TEXT_CHARACTERS:
        yield f"text and todo together have {described} characters; the service would cut them at {MAX_TEXT_CHARACTERS}"
    for group in action.exclusive:
        chosen = [name for name in group if name in present and written[name] not in (0, "0")]
        if len(chosen) > 1:
            yield f"only one of {', '.join(chosen)} can be given"


def _characters(value: formats.WireValue) -> int:
    """Characters of a description; items of a checklist stand on lines of their own."""
    lines = [f"\r\n• {item}" for item in value.values] if isinstance(value, formats.Repeated) else [str(value)]
    return sum(map(len, lines))


def unknown(name: str, params: Mapping[str, object]) -> Action[None]:
    """An action this release does not know: nearly nothing is checked, and it may change something."""
    if not name:
        raise InvalidCall(name, "an action has a name")
    for taken in sorted(RESERVED & params.keys()):
        raise InvalidCall(name, f"{taken} is no parameter")
    for text in (name, *params):
        try:
            formats.to_name(text)
        except ValueError as exc:
            raise InvalidCall(name.encode(errors="backslashreplace").decode(), f"the name {text!a}: {exc}") from None
    return Action(
        name, kind="write", returns=shapes.nothing, params=dict.fromkeys(params, Param(compound_formats.by_type))
    )


def as_is(action: Action[object]) -> Action[dict[str, Any]]:
    """*action* with its reply left as it is, and parameters that may be text for the service to read as it is."""
    params = {
        name: param if param.is_files else Param(compound_formats.Lenient(param.format), param.required)
        for name, param in action.params.items()
    }
    if "options" in params:
        params |= {
            f"options.{rule.name}": Param(compound_formats.Lenient(formats.to_flag))
            for rule in attrs.fields(ProjectOptions)
        }
    return cast("Action[dict[str, Any]]", attrs.evolve(action, params=params, returns=shapes.raw))
