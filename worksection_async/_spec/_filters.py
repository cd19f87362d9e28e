"""Renders the module of filter fields."""

from ._python import attribute_name
from ._schema import Spec
from ._source import HEADER, docstring, join_lines


def render_filter_fields(spec: Spec) -> str:
    """Return the source of the module: filter fields, and the operators of each action."""
    names = dict.fromkeys(name for fields in spec.filters.values() for name in fields)
    operators = {
        action: {name: spec.operators(field) for name, field in fields.items()}
        for action, fields in spec.filters.items()
    }
    return join_lines(
        HEADER.format(source="*.toml"),
        '"""Fields of filters, and the operators that each action supports for them."""',
        "from collections.abc import Mapping",
        "from typing import Literal",
        "from .filter_language import DateField, FieldNames, NumberField, TextField",
        f"FILTER_OPERATORS: Mapping[str, Mapping[str, tuple[str, ...]]] = {operators!r}",
        '"""Action → field → supported operators."""\n',
        "class Fields(FieldNames):",
        docstring("The fields of filters; the type of a field names the actions that support it."),
        (_filter_field(spec, name) for name in names),
        "F = Fields()",
        '"""The fields, for building conditions: ``F.name.has("Report")``."""',
    )


def _filter_field(spec: Spec, name: str) -> str:
    by_action = {action: fields[name] for action, fields in spec.filters.items() if name in fields}
    kind = f"{next(iter(by_action.values())).kind.title()}Field"
    actions = ", ".join(f'"{action}"' for action in by_action)
    docs = dict.fromkeys(field.doc for field in by_action.values())
    special = {action: it for action, it in by_action.items() if len(docs) > 1 or it.operators}
    doc = " ".join(f"In {action}: {it.doc}{_operators_doc(it.operators)}" for action, it in special.items())
    doc = doc or next(iter(docs))
    return f'    {attribute_name(name)}: {kind}[Literal[{actions}]] = {kind}("{name}")\n{docstring(doc)}\n'


def _operators_doc(operators: tuple[str, ...]) -> str:
    return f" Supports only ``{'``, ``'.join(operators)}``." if operators else ""
