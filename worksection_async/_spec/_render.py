"""Renders the spec to source text, which ruff formats afterwards."""

import textwrap

import attrs

from ._endpoint_docs import endpoint_doc
from ._filters import render_filter_fields
from ._page import render_page
from ._python import (
    attribute_name,
    field_annotation,
    field_default,
    param_annotation,
    param_format,
    return_annotation,
    return_shape,
)
from ._schema import ActionSpec, EnumSpec, ErrorSpec, FieldSpec, Group, ModelSpec, Spec
from ._source import HEADER, docstring, join_lines

BASE = ("Change", "Clock", "Hours", "Model", "Raw", "Seconds")

FUNCTIONS = ("from_dict", "to_dict", "to_json")


@attrs.frozen
class Method:
    """How the method of an action is written."""

    kind: str
    define: str
    call: str


ENDPOINTS = {
    "_protocol/endpoints": Method("coroutine method", "async def", "await "),
    "blocking/_endpoints": Method("blocking method", "def", ""),
}
"""The folders of endpoints: the coroutines of `Session`, and their twins without ``await``."""


def render(spec: Spec) -> dict[str, str]:
    """Return all generated files: path in the repository → source text."""
    package = "worksection_async"
    files = {
        f"{package}/models/__init__.py": _models_index(spec),
        f"{package}/_protocol/actions.py": _actions(spec),
        f"{package}/_protocol/filter_fields.py": render_filter_fields(spec),
        f"{package}/_protocol/service.py": _service(spec),
        "docs/actions.md": render_page(spec),
    }
    if records := spec.enums.get("EventObjectType"):
        files[f"{package}/models/_changed_fields.py"] = _changed_fields(spec, records)
    for name, group in spec.groups.items():
        files[f"{package}/models/{name}.py"] = _models(spec, name, group)
    for folder, method in ENDPOINTS.items():
        files[f"{package}/{folder}/__init__.py"] = _endpoints_index(spec, method)
        for name, group in spec.groups.items():
            files[f"{package}/{folder}/{name}.py"] = _endpoints(spec, name, group, method)
    return files


# Each file imports everything that files of its kind can need; ruff removes the unused imports.


def _models(spec: Spec, name: str, group: Group) -> str:
    before = [other for other in spec.groups if other != name][: list(spec.groups).index(name)]
    return join_lines(
        HEADER.format(source=f"{name}.toml"),
        f'"""{group.title}: records that the service returns.',
        f'\nVendor page: {group.source}\n"""',
        "from __future__ import annotations",
        "import datetime as dt",
        "from decimal import Decimal",
        "from typing import Literal",
        "import attrs",
        "from ._base import Clock, Hours, Model, Raw, Seconds",
        (f"from .{it.mixin.replace('.', ' import ')}" for it in group.models.values() if it.mixin),
        (f"from .{other} import {', '.join(names)}" for other in before if (names := _public(spec.groups[other]))),
        f"__all__ = {_public(group)!r}",
        (_literal(enum_name, enum) for enum_name, enum in group.enums.items()),
        (_model(spec, model_name, model) for model_name, model in group.models.items()),
    )


def _public(group: Group) -> list[str]:
    return sorted([*group.enums, *group.models])


def _literal(name: str, enum: EnumSpec) -> str:
    values = ", ".join(f'"{value}"' for value in enum.values)
    return f'{name} = Literal[{values}]\n"""{enum.doc}"""\n'


def _model(spec: Spec, name: str, model: ModelSpec) -> str:
    fields = (
        f"    {attribute_name(field_name)}: {field_annotation(spec, field.type)}{field_default(spec, field)}\n"
        + docstring(field.doc)
        + "\n"
        for field_name, field in model.fields.items()
    )
    mixins = [model.mixin.rpartition(".")[2]] if model.mixin else []
    return join_lines(
        "@attrs.frozen(kw_only=True, repr=False)",
        f"class {name}({', '.join([model.base or 'Model', *mixins])}):",
        docstring(model.doc) + "\n",
        fields,
        (_sentinel(spec, name, prop) for prop in model.sentinels),
    )


def _sentinel(spec: Spec, model: str, prop: str) -> str:
    sentinel = spec.models[model].sentinels[prop]
    ids = " or ".join(f"self.id == {number}" for number in sentinel.ids)
    return join_lines(
        "    @property",
        f"    def {prop}(self) -> bool:",
        docstring(sentinel.doc, "        "),
        f'        return self.email.upper() == "{sentinel.email}" or {ids}',
    )


def _models_index(spec: Spec) -> str:
    groups = {name: _public(group) for name, group in spec.groups.items() if _public(group)}
    return join_lines(
        HEADER.format(source="*.toml"),
        '"""Records that the service returns: frozen, slotted, comparable and picklable attrs classes."""',
        "from ._base import Clock, Hours, Model, Raw, Seconds",
        "from ._changes import Change",
        f"from ._json import {', '.join(FUNCTIONS)}",
        "from ._plain import plain",
        (f"from .{name} import {', '.join(names)}" for name, names in groups.items()),
        f"__all__ = {sorted([*BASE, *FUNCTIONS, 'plain', *(name for names in groups.values() for name in names)])!r}",
    )


def _changed_fields(spec: Spec, records: EnumSpec) -> str:
    formats = {
        record: {name: _format(spec, field) for name, field in spec.fields(record.title()).items()}
        for record in records.values
    }
    return join_lines(
        HEADER.format(source="*.toml"),
        '"""The formats of the fields of the records that an event can be about."""',
        "from collections.abc import Mapping",
        f"FORMATS: Mapping[str, Mapping[str, str]] = {formats!r}",
        '"""Type of the object of an event → name of a field → its format."""',
    )


def _format(spec: Spec, field: FieldSpec) -> str:
    type_ = field.type.removesuffix("?")
    return "str" if type_ in spec.enums else type_


def _class(name: str) -> str:
    return f"{name.title()}Endpoints"


def _endpoints(spec: Spec, name: str, group: Group, method: Method) -> str:
    callable_ = {action: it for action, it in group.actions.items() if it.returns != "file"}
    return join_lines(
        HEADER.format(source=f"{name}.toml"),
        f'"""{group.title}: one {method.kind} per action.',
        f'\nVendor page: {group.source}\n"""',
        "from __future__ import annotations",
        "import datetime as dt",
        "from collections.abc import Mapping, Sequence",
        "from decimal import Decimal",
        "from typing import Literal",
        "from ..._protocol import actions",
        "from ._base import EndpointGroup",
        "from ..._protocol.filter_language import Filter",
        "from ..._protocol.attachments import Attachment",
        f"from ...models import {', '.join(sorted([*spec.models, *spec.enums]))}",
        f"class {_class(name)}(EndpointGroup):",
        docstring(f"{group.title}."),
        (_endpoint(spec, action, it, group, method) for action, it in callable_.items()),
    )


def _endpoint(spec: Spec, name: str, action: ActionSpec, group: Group, method: Method) -> str:
    required = {param: it for param, it in action.params.items() if it.required}
    rest = {param: it for param, it in action.params.items() if not it.required}
    signature = [
        "self",
        *(f"{attribute_name(param)}: {param_annotation(it)}" for param, it in required.items()),
        *(["*"] if rest else []),
        *(f"{attribute_name(param)}: {param_annotation(it)} | None = None" for param, it in rest.items()),
    ]
    arguments = ", ".join(f'"{param}": {attribute_name(param)}' for param in action.params)
    return join_lines(
        f"    {method.define} {name}({', '.join(signature)}) -> {return_annotation(action.returns)}:",
        textwrap.indent(f'"""{endpoint_doc(spec, action, group)}"""', "        "),
        f"        return {method.call}self._caller.call(actions.{name.upper()}, {{{arguments}}})",
    )


def _endpoints_index(spec: Spec, method: Method) -> str:
    return join_lines(
        HEADER.format(source="*.toml"),
        '"""All endpoints in one class."""',
        (f"from .{name} import {_class(name)}" for name in spec.groups),
        f"class Endpoints({', '.join(_class(name) for name in spec.groups)}):",
        docstring(f"One {method.kind} per action of the service, with the name of the action."),
    )


def _actions(spec: Spec) -> str:
    return join_lines(
        HEADER.format(source="*.toml"),
        '"""The table of actions: parameters, retry rules and reply format of each."""',
        "import datetime as dt",
        "from . import compound_formats, formats, shapes",
        "from .call import Action, Param",
        f"from ..models import {', '.join(sorted([*spec.models, *spec.enums]))}",
        (_action(spec, name, action) for name, action in spec.actions.items()),
        f"ALL: tuple[Action[object], ...] = ({', '.join(name.upper() for name in spec.actions)})",
        "ACTIONS = {action.name: action for action in ALL}",
    )


def _flags(**flags: bool) -> str:
    return "".join(f", {name}=True" for name, is_set in flags.items() if is_set)


def _action(spec: Spec, name: str, action: ActionSpec) -> str:
    params = ", ".join(
        f'"{param}": Param({param_format(spec, it)}{_flags(required=it.required, secret=it.secret)})'
        for param, it in action.params.items()
    )
    options = [f'"{name}"', f'kind="{action.kind}"', f"returns={return_shape(action.returns)}"]
    if action.can_repeat:
        options.append("repeatable=True")
    if action.already_done:
        options.append(f'already_done="{action.already_done}"')
    if action.credential != "any":
        options.append(f'credential="{action.credential}"')
    if action.one_of:
        options.append(f"one_of={action.one_of!r}")
    if action.exclusive:
        options.append(f"exclusive={action.exclusive!r}")
    if params:
        options.append(f"params={{{params}}}")
    return f"{name.upper()} = Action({', '.join(options)})"


def _service(spec: Spec) -> str:
    service = spec.service
    scopes = ", ".join(f'"{scope}"' for scope in service.scopes.values)
    return join_lines(
        HEADER.format(source="service.toml"),
        '"""Constants of the service: URLs, limits, scopes and error messages."""',
        "from typing import Literal, NamedTuple",
        (f'{name.upper()}_URL = "{path}"' for name, path in service.paths.items()),
        (f"{name.upper()} = {value!r}" for name, value in attrs.asdict(service.limits).items()),
        (f"OAUTH_{name.upper()} = {value!r}" for name, value in attrs.asdict(service.oauth).items()),
        (f"WEBHOOK_{name.upper()} = {value!r}" for name, value in _webhooks(spec).items()),
        f'Scope = Literal[{scopes}]\n"""{service.scopes.doc}"""\n',
        "class KnownError(NamedTuple):",
        docstring("An error message of the service, with the error class that represents it.") + "\n",
        "    message: str\n    kind: str\n    code: int | None\n    default: bool\n    hint: str | None\n",
        "KNOWN_ERRORS = (",
        (_error(error) for error in service.errors),
        ")",
    )


def _webhooks(spec: Spec) -> dict[str, object]:
    return attrs.asdict(spec.service.webhooks) if spec.service.webhooks else {}


def _error(error: ErrorSpec) -> str:
    return f"    KnownError({error.message!r}, {error.kind!r}, {error.code!r}, {error.default!r}, {error.hint!r}),"
