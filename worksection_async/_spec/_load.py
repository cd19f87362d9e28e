"""The spec as values: TOML files → frozen attrs classes, with a path in every complaint."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import attrs
import cattrs

from .. import errors

T = TypeVar("T")

HERE = Path(__file__).parent

# A group's models may refer to those of the groups before it.
GROUPS = ("members", "projects", "files", "comments", "tags", "tasks", "costs", "timers", "webhooks")

Evidence = Literal["docs", "recorded", "vendor-client", "inferred"]

FIELD_TYPES = {"id", "int", "str", "bool", "date", "datetime", "time", "hours", "clock", "timer", "money", "any"}
PARAM_TYPES = {
    "id", "ids", "str", "text", "email", "emails", "assignee", "name", "names", "date", "hours", "clock", "money",
    "flag", "priority", "period", "todo", "attach", "files", "uploads", "ProjectOptions",
}  # fmt: skip
NEUTRAL_TYPES = {"str", "clock", "timer", "money", "any"}
"""Types with a value for "nothing said"; a field of another type is essential, or optional (``?``)."""
RETURN_TYPES = {"None", "id", "message", "file"}


@attrs.frozen(kw_only=True)
class EnumSpec:
    doc: str
    values: tuple[str, ...]
    aliases: Mapping[str, str] = attrs.field(factory=dict)
    """Another spelling the service uses → the value it means."""


@attrs.frozen(kw_only=True)
class FieldSpec:
    type: str
    doc: str
    essential: bool = False
    aliases: tuple[str, ...] = ()
    evidence: Evidence = "docs"

    @property
    def optional(self) -> bool:
        return self.type.endswith("?")


@attrs.frozen(kw_only=True)
class SentinelSpec:
    """A user that is no user: recognised by its address or its numbers, never by its localised name."""

    email: str
    ids: tuple[int, ...]
    doc: str


@attrs.frozen(kw_only=True)
class ModelSpec:
    doc: str
    base: str | None = None
    mixin: str | None = None
    """A class by hand that adds properties: its module in models/ and its name."""
    fields: Mapping[str, FieldSpec] = attrs.field(factory=dict)
    sentinels: Mapping[str, SentinelSpec] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ParamSpec:
    type: str
    doc: str
    required: bool = False
    evidence: Evidence = "docs"


@attrs.frozen(kw_only=True)
class FilterField:
    """Something the ``filter`` of an action can ask about."""

    kind: str
    doc: str
    operators: tuple[str, ...] = ()
    """Those of its kind that it knows; all when nothing is said."""
    aliases: tuple[str, ...] = ()
    evidence: Evidence = "docs"


@attrs.frozen(kw_only=True)
class ActionSpec:
    doc: str
    kind: Literal["read", "write"]
    scope: str
    returns: str
    evidence: Evidence
    repeatable: bool = False
    """Whether a second execution leaves the account as the first did; reads always are."""
    settled: str | None = None
    """The error that, on a repetition, means that the first attempt had worked."""
    credential: Literal["any", "token"] = "any"
    source: str | None = None
    one_of: tuple[tuple[str, ...], ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    params: Mapping[str, ParamSpec] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Group:
    title: str
    source: str
    enums: Mapping[str, EnumSpec] = attrs.field(factory=dict)
    models: Mapping[str, ModelSpec] = attrs.field(factory=dict)
    filters: Mapping[str, Mapping[str, FilterField]] = attrs.field(factory=dict)
    actions: Mapping[str, ActionSpec] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ErrorSpec:
    message: str
    kind: str
    evidence: Evidence
    code: int | None = None
    default: bool = False
    hint: str | None = None


@attrs.frozen(kw_only=True)
class Limits:
    requests_per_second: float
    records: int
    request_line_bytes: int
    text_characters: int


@attrs.frozen(kw_only=True)
class OAuth:
    home: str
    authorize: str
    token: str
    refresh: str
    resource: str
    code_seconds: int
    access_seconds: int
    refresh_seconds: int
    wrong_app: str
    void: tuple[str, ...]
    expired: str


@attrs.frozen(kw_only=True)
class Webhooks:
    answer: str
    seconds: float
    errors: int


@attrs.frozen(kw_only=True)
class Service:
    paths: Mapping[str, str]
    oauth: OAuth
    limits: Limits
    scopes: EnumSpec
    errors: tuple[ErrorSpec, ...]
    webhooks: Webhooks | None = None
    filters: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Kind of a field → the operators it can have."""


@attrs.frozen
class Spec:
    service: Service
    groups: Mapping[str, Group]

    @property
    def actions(self) -> dict[str, ActionSpec]:
        return {name: action for group in self.groups.values() for name, action in group.actions.items()}

    @property
    def enums(self) -> dict[str, EnumSpec]:
        return {name: enum for group in self.groups.values() for name, enum in group.enums.items()}

    @property
    def models(self) -> dict[str, ModelSpec]:
        return {name: model for group in self.groups.values() for name, model in group.models.items()}

    @property
    def filters(self) -> dict[str, Mapping[str, FilterField]]:
        return {name: fields for group in self.groups.values() for name, fields in group.filters.items()}

    def operators(self, field: FilterField) -> tuple[str, ...]:
        """What *field* of a filter can be compared by."""
        return field.operators or self.service.filters.get(field.kind, ())

    def fields(self, model: str) -> dict[str, FieldSpec]:
        """All fields of a model, those of its base first."""
        spec = self.models[model]
        inherited = self.fields(spec.base) if spec.base else {}
        return inherited | dict(spec.fields)


class SpecError(Exception):
    """The TOML does not say what a spec can say; every line of the message names a place."""


def load(folder: Path = HERE) -> Spec:
    """Read and check the spec in *folder*; raises `SpecError`."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    spec = Spec(
        _read(converter, folder / "service.toml", Service),
        {name: _read(converter, folder / f"{name}.toml", Group) for name in GROUPS},
    )
    if complaints := list(_complaints(spec)):
        raise SpecError("\n".join(complaints))
    return spec


def _read(converter: cattrs.Converter, path: Path, cls: type[T]) -> T:
    try:
        return converter.structure(tomllib.loads(path.read_text("utf-8")), cls)
    except tomllib.TOMLDecodeError as exc:
        raise SpecError(f"{path.name}: {exc}") from None
    except cattrs.BaseValidationError as exc:
        raise SpecError("\n".join(f"{path.name}: {line}" for line in cattrs.transform_error(exc))) from None


def names_in(type_: str) -> list[str]:
    """The simple types a type is made of: ``map[int, Tag]?`` → int, Tag."""
    inner = type_.removesuffix("?")
    match = re.fullmatch(r"(list|csv|map|filter)\[(.+)\]", inner)
    return re.split(r",\s*", match[2]) if match else [inner]


def _complaints(spec: Spec) -> Iterator[str]:
    """What the shape of the TOML cannot rule out: names that nothing defines."""
    models, enums = spec.models, spec.enums
    param_types = PARAM_TYPES | enums.keys() | spec.filters.keys()
    yield from _unknown(spec, FIELD_TYPES | models.keys() | enums.keys(), param_types)
    yield from _filter_complaints(spec)
    yield from (f"$.errors: no such class {it.kind}" for it in spec.service.errors if it.kind not in errors.__all__)
    messages = {error.message for error in spec.service.errors}
    options = {f"options.{field}" for field in models["ProjectOptions"].fields} if "ProjectOptions" in models else set()
    for name, action in spec.actions.items():
        params = action.params.keys() | options
        for group in (*action.one_of, *action.exclusive):
            yield from (f"$.actions.{name}: no parameter {param}" for param in group if param not in params)
        if action.scope not in spec.service.scopes.values:
            yield f"$.actions.{name}.scope: unknown scope {action.scope}"
        if action.settled is not None and action.settled not in messages:
            yield f"$.actions.{name}.settled: no such message in service.toml"


def _filter_complaints(spec: Spec) -> Iterator[str]:
    kinds: dict[str, str] = {}
    for action, fields in spec.filters.items():
        for name, field in fields.items():
            place = f"$.filters.{action}.{name}"
            if field.kind not in spec.service.filters:
                yield f"{place}.kind: unknown kind {field.kind}"
            elif not set(field.operators) <= set(spec.service.filters[field.kind]):
                yield f"{place}.operators: a {field.kind} knows {' '.join(spec.service.filters[field.kind])}"
            if kinds.setdefault(name, field.kind) != field.kind:
                yield f"{place}.kind: a {kinds[name]} in another filter"


def _unknown(spec: Spec, field_types: set[str], param_types: set[str]) -> Iterator[str]:
    for name, model in spec.models.items():
        if model.base is not None and model.base not in spec.models:
            yield f"$.models.{name}.base: unknown model {model.base}"
        for field_name, field in model.fields.items():
            for part in names_in(field.type):
                if part not in field_types:
                    yield f"$.models.{name}.fields.{field_name}: unknown type {part}"
            if not (field.essential or field.optional or "[" in field.type or field.type in NEUTRAL_TYPES):
                yield f"$.models.{name}.fields.{field_name}: {field.type} has no default; essential = true, or a ?"
    for name, action in spec.actions.items():
        for param_name, param in action.params.items():
            for part in names_in(param.type):
                if part not in param_types:
                    yield f"$.actions.{name}.params.{param_name}: unknown type {part}"
        model_name = re.sub(r"^envelope | \| None$", "", action.returns)
        for part in names_in(model_name.replace("dict[", "map[")):
            if part not in RETURN_TYPES | {"int"} | spec.models.keys():
                yield f"$.actions.{name}.returns: unknown type {part}"
