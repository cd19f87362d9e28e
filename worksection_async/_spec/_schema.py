"""The classes that represent the spec: actions with their parameters, models with their fields, errors, limits."""

import re
from collections.abc import Mapping
from typing import Literal

import attrs

# Order matters: models may refer only to models of earlier groups.
GROUPS = ("members", "projects", "files", "comments", "tags", "tasks", "costs", "timers", "webhooks")

Evidence = Literal["docs", "recorded", "vendor-client", "inferred"]

FIELD_TYPES = {"id", "int", "str", "bool", "date", "datetime", "time", "hours", "clock", "timer", "money", "any"}
PARAM_TYPES = {
    "id", "ids", "str", "text", "email", "emails", "assignee", "name", "names", "date", "hours", "clock", "money",
    "flag", "priority", "period", "todo", "attach", "files", "uploads", "ProjectOptions",
}  # fmt: skip
DEFAULTED_TYPES = {"str", "clock", "timer", "money", "any"}
"""Types with a default for an absent key; a field of another type must be essential or optional (``?``)."""
RETURN_TYPES = {"None", "id", "message", "file"}


@attrs.frozen(kw_only=True)
class EnumSpec:
    """A set of named values."""

    doc: str
    values: tuple[str, ...]
    aliases: Mapping[str, str] = attrs.field(factory=dict)
    """Alternative spelling in replies → value."""


@attrs.frozen(kw_only=True)
class FieldSpec:
    """A field of a model."""

    type: str
    doc: str
    essential: bool = False
    records: bool = False
    """Whether the field contains the records of a reply, so that an invalid one is an error of the reply."""
    aliases: tuple[str, ...] = ()
    evidence: Evidence = "docs"

    @property
    def is_optional(self) -> bool:
        """Whether the field is None if the key is absent."""
        return self.type.endswith("?")


@attrs.frozen(kw_only=True)
class SentinelSpec:
    """A placeholder in a user field, recognized by email or ID; its name is localized and cannot identify it."""

    email: str
    ids: tuple[int, ...]
    doc: str


@attrs.frozen(kw_only=True)
class ModelSpec:
    """A record in replies."""

    doc: str
    base: str | None = None
    mixin: str | None = None
    """Handwritten mixin class with more properties: ``module.Class`` in models/."""
    fields: Mapping[str, FieldSpec] = attrs.field(factory=dict)
    sentinels: Mapping[str, SentinelSpec] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ParamSpec:
    """A parameter of an action."""

    type: str
    doc: str
    required: bool = False
    secret: bool = False
    """Whether the value is a password, which must not be shown."""
    evidence: Evidence = "docs"


@attrs.frozen(kw_only=True)
class FilterField:
    """A field that the ``filter`` parameter of an action supports."""

    kind: str
    doc: str
    operators: tuple[str, ...] = ()
    """Supported operators; empty means all operators of its kind."""
    aliases: tuple[str, ...] = ()
    evidence: Evidence = "docs"


@attrs.frozen(kw_only=True)
class ActionSpec:
    """An action of the service."""

    doc: str
    kind: Literal["read", "write"]
    scope: str
    returns: str
    evidence: Evidence
    repeatable: bool = False
    """Whether the action is idempotent and may be retried; reads always are."""
    already_done: str | None = None
    """Error message of a retry which shows that the first attempt succeeded."""
    credential: Literal["any", "token"] = "any"
    source: str | None = None
    one_of: tuple[tuple[str, ...], ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    params: Mapping[str, ParamSpec] = attrs.field(factory=dict)

    @property
    def can_repeat(self) -> bool:
        """Whether the action may be retried after the request was sent."""
        return self.repeatable or self.kind == "read"


@attrs.frozen(kw_only=True)
class Group:
    """The content of one TOML file: the actions of one vendor page with their models."""

    title: str
    source: str
    enums: Mapping[str, EnumSpec] = attrs.field(factory=dict)
    models: Mapping[str, ModelSpec] = attrs.field(factory=dict)
    filters: Mapping[str, Mapping[str, FilterField]] = attrs.field(factory=dict)
    actions: Mapping[str, ActionSpec] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ErrorSpec:
    """An error message of the service."""

    message: str
    kind: str
    evidence: Evidence
    code: int | None = None
    default: bool = False
    hint: str | None = None


@attrs.frozen(kw_only=True)
class Limits:
    """Limits of the service."""

    requests_per_second: float
    max_records: int
    max_request_line_bytes: int
    max_text_characters: int


@attrs.frozen(kw_only=True)
class OAuth:
    """Endpoints, lifetimes and error codes of OAuth2."""

    origin: str
    authorize: str
    token: str
    refresh: str
    resource: str
    code_ttl_seconds: int
    access_ttl_seconds: int
    refresh_ttl_seconds: int
    refusals: Mapping[str, tuple[str, ...]]
    """What is refused → parts of the error codes and messages."""


@attrs.frozen(kw_only=True)
class Webhooks:
    """How the service calls webhooks."""

    reply: str
    timeout_seconds: float
    max_errors: int


@attrs.frozen(kw_only=True)
class Service:
    """Facts about the whole service."""

    paths: Mapping[str, str]
    oauth: OAuth
    limits: Limits
    scopes: EnumSpec
    errors: tuple[ErrorSpec, ...]
    webhooks: Webhooks | None = None
    filters: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Kind of filter field → supported operators."""


@attrs.frozen
class Spec:
    """The whole spec."""

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
        """Return the operators that *field* supports."""
        return field.operators or self.service.filters.get(field.kind, ())

    def fields(self, model: str) -> dict[str, FieldSpec]:
        """Return all fields of a model, inherited fields first."""
        spec = self.models[model]
        inherited = self.fields(spec.base) if spec.base else {}
        return inherited | dict(spec.fields)


def type_names(type_: str) -> list[str]:
    """Return the simple types in a type: ``map[int, Tag]?`` → int, Tag."""
    inner = type_.removesuffix("?")
    match = re.fullmatch(r"(list|csv|map|filter)\[(.+)\]", inner)
    return re.split(r",\s*", match[2]) if match else [inner]
