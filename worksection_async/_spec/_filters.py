"""The module of fields that filters can ask about, as source text."""

from ._load import Spec
from ._python import attribute
from ._source import HEADER, docstring, lines


def filter_fields(spec: Spec) -> str:
    """The module: names to make conditions of, and what each action knows."""
    names = dict.fromkeys(name for fields in spec.filters.values() for name in fields)
    known = {
        action: {name: spec.operators(field) for name, field in fields.items()}
        for action, fields in spec.filters.items()
    }
    return lines(
        HEADER.format(source="*.toml"),
        '"""What filters can ask about: a name for each field, and the operators each action knows it with."""',
        "from collections.abc import Mapping",
        "from typing import Literal",
        "from .filter_language import DateField, FieldNames, NumberField, TextField",
        f"KNOWN: Mapping[str, Mapping[str, tuple[str, ...]]] = {known!r}",
        '"""Action → field → operators."""\n',
        "class Fields(FieldNames):",
        docstring("What filters can ask about; the type of each says in which actions."),
        (_filter_field(spec, name) for name in names),
        "F = Fields()",
        '"""The fields, to make conditions of: ``F.name.has("Report")``."""',
    )


def _filter_field(spec: Spec, name: str) -> str:
    asked = {action: fields[name] for action, fields in spec.filters.items() if name in fields}
    kind = f"{next(iter(asked.values())).kind.title()}Field"
    actions = ", ".join(f'"{action}"' for action in asked)
    docs = dict.fromkeys(field.doc for field in asked.values())
    partly = {action: it for action, it in asked.items() if len(docs) > 1 or it.operators}
    said = " ".join(f"In {action}: {it.doc}{_only(it.operators)}" for action, it in partly.items()) or next(iter(docs))
    return f'    {attribute(name)}: {kind}[Literal[{actions}]] = {kind}("{name}")\n{docstring(said)}\n'


def _only(operators: tuple[str, ...]) -> str:
    return f" Knows ``{'``, ``'.join(operators)}`` only." if operators else ""
