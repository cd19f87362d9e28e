"""Loads the TOML files into the classes of `_schema`; each error message names the place in the file."""

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TypeVar

import cattrs

from .. import errors
from ._schema import DEFAULTED_TYPES, FIELD_TYPES, GROUPS, PARAM_TYPES, RETURN_TYPES, Group, Service, Spec, type_names

T = TypeVar("T")


class SpecError(Exception):
    """The TOML files are invalid; each line of the message names the file or the path of one error."""


def load(folder: Traversable | None = None) -> Spec:
    """Read and check the spec in *folder* (default: the one of this package, which may be in a zip file).

    Raises:
        SpecError: A file is invalid.
    """
    folder = folder or files("worksection_async._spec")
    converter = cattrs.Converter(forbid_extra_keys=True)
    spec = Spec(
        _read(converter, folder / "service.toml", Service),
        {name: _read(converter, folder / f"{name}.toml", Group) for name in GROUPS},
    )
    if problems := list(_find_problems(spec)):
        raise SpecError("\n".join(problems))
    return spec


def _read(converter: cattrs.Converter, path: Traversable, cls: type[T]) -> T:
    try:
        return converter.structure(tomllib.loads(path.read_text("utf-8")), cls)
    except tomllib.TOMLDecodeError as exc:
        raise SpecError(f"{path.name}: {exc}") from None
    except cattrs.BaseValidationError as exc:
        raise SpecError("\n".join(f"{path.name}: {line}" for line in cattrs.transform_error(exc))) from None


def _find_problems(spec: Spec) -> Iterator[str]:
    """Yield a message for each reference to an undefined name, which the structure of the classes cannot exclude."""
    models, enums = spec.models, spec.enums
    param_types = PARAM_TYPES | enums.keys() | spec.filters.keys()
    yield from _find_unknown_types(spec, FIELD_TYPES | models.keys() | enums.keys(), param_types)
    yield from _find_filter_problems(spec)
    kinds = {error.kind for error in spec.service.errors}
    yield from (f"$.errors: unknown error class {kind}" for kind in sorted(kinds - set(errors.__all__)))
    messages = {error.message for error in spec.service.errors}
    options = {f"options.{field}" for field in models["ProjectOptions"].fields} if "ProjectOptions" in models else set()
    for name, action in spec.actions.items():
        params = action.params.keys() | options
        for group in (*action.one_of, *action.exclusive):
            yield from (f"$.actions.{name}: unknown parameter {param}" for param in group if param not in params)
        if action.scope not in spec.service.scopes.values:
            yield f"$.actions.{name}.scope: unknown scope {action.scope}"
        if action.already_done is not None and action.already_done not in messages:
            yield f"$.actions.{name}.already_done: unknown error message; service.toml lists the known messages"


def _find_filter_problems(spec: Spec) -> Iterator[str]:
    kinds: dict[str, str] = {}
    for action, fields in spec.filters.items():
        for name, field in fields.items():
            place = f"$.filters.{action}.{name}"
            if field.kind not in spec.service.filters:
                yield f"{place}.kind: unknown kind {field.kind}"
            elif not set(field.operators) <= set(spec.service.filters[field.kind]):
                yield f"{place}.operators: a {field.kind} field supports {' '.join(spec.service.filters[field.kind])}"
            if kinds.setdefault(name, field.kind) != field.kind:
                yield f"{place}.kind: the field has the kind {kinds[name]} in another filter"


def _find_unknown_types(spec: Spec, field_types: set[str], param_types: set[str]) -> Iterator[str]:
    for name, model in spec.models.items():
        if model.base is not None and model.base not in spec.models:
            yield f"$.models.{name}.base: unknown model {model.base}"
        for field_name, field in model.fields.items():
            for part in type_names(field.type):
                if part not in field_types:
                    yield f"$.models.{name}.fields.{field_name}: unknown type {part}"
            if not (field.essential or field.is_optional or "[" in field.type or field.type in DEFAULTED_TYPES):
                yield f"$.models.{name}.fields.{field_name}: {field.type} has no default; set essential = true or add ?"
    for name, action in spec.actions.items():
        for param_name, param in action.params.items():
            for part in type_names(param.type):
                if part not in param_types:
                    yield f"$.actions.{name}.params.{param_name}: unknown type {part}"
        model_name = re.sub(r"^envelope | \| None$", "", action.returns)
        for part in type_names(model_name.replace("dict[", "map[")):
            if part not in RETURN_TYPES | {"int"} | spec.models.keys():
                yield f"$.actions.{name}.returns: unknown type {part}"
