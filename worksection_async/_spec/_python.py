"""Translates the types of the spec to Python source: annotations, defaults and format functions."""

import keyword
import re

from ._schema import FieldSpec, ParamSpec, Spec, type_names

FIELD_PYTHON = {
    "id": "int", "int": "int", "str": "str", "bool": "bool", "date": "dt.date", "datetime": "dt.datetime",
    "time": "dt.time", "hours": "Hours", "clock": "Clock", "timer": "Seconds", "money": "Decimal", "any": "Raw",
}  # fmt: skip
FIELD_DEFAULT = {
    "str": '""', "clock": "dt.timedelta(0)", "timer": "dt.timedelta(0)", "money": "Decimal(0)", "any": "None",
}  # fmt: skip
PARAM_PYTHON = {
    "id": "int", "ids": "Sequence[int]", "str": "str", "text": "str", "email": "str", "emails": "Sequence[str]",
    "assignee": "str", "name": "str | int", "names": "Sequence[str | int]", "date": "dt.date",
    "hours": "dt.timedelta | Decimal | float", "clock": "dt.timedelta | Decimal | float", "money": "Decimal | float",
    "flag": "bool", "priority": "int", "period": "str | dt.timedelta", "todo": "Sequence[str]",
    "attach": "Sequence[Attachment]", "files": "Sequence[Attachment]", "uploads": "Sequence[UploadedFile]",
}  # fmt: skip


def attribute_name(name: str) -> str:
    """Return the Python name for a name of the service: ``from`` → ``from_``."""
    return f"{name}_" if keyword.iskeyword(name) else name


def field_annotation(spec: Spec, type_: str) -> str:
    """Return the annotation of a model field."""
    if type_.endswith("?"):
        return f"{field_annotation(spec, type_[:-1])} | None"
    inner = [_field_name(spec, name) for name in type_names(type_)]
    if type_.startswith(("list[", "csv[")):
        return f"tuple[{inner[0]}, ...]"
    if type_.startswith("map["):
        return f"dict[{inner[0]}, {inner[1]}]"
    return inner[0]


def _field_name(spec: Spec, name: str) -> str:
    return f"{name} | str" if name in spec.enums else FIELD_PYTHON.get(name, name)


def field_default(spec: Spec, field: FieldSpec) -> str:
    """Return the default of a field, including the ``=``; empty if the key is essential."""
    options = {}
    if field.essential:
        pass
    elif field.is_optional:
        options["default"] = "None"
    elif field.type.startswith(("list[", "csv[")):
        options["default"] = "()"
    elif field.type.startswith("map["):
        options |= {"factory": "dict", "hash": "False"}
    else:
        options["default"] = FIELD_DEFAULT[field.type]
    if metadata := _metadata(spec, field):
        options["metadata"] = repr(metadata)
    if not options:
        return ""
    if options.keys() == {"default"}:
        return f" = {options['default']}"
    return f" = attrs.field({', '.join(f'{key}={value}' for key, value in options.items())})"


def _metadata(spec: Spec, field: FieldSpec) -> dict[str, object]:
    enum = spec.enums.get(field.type.removesuffix("?"))
    value_aliases = {"value_aliases": dict(enum.aliases)} if enum and enum.aliases else {}
    aliases = {"aliases": field.aliases} if field.aliases else {}
    records = {"records": True} if field.records else {}
    return {**value_aliases, **aliases, **records}


def param_annotation(param: ParamSpec) -> str:
    """Return the annotation of a parameter."""
    if match := re.fullmatch(r"map\[date, (\w+)\]", param.type):
        return f"Mapping[str | int, Mapping[dt.date, {match[1]}]]"
    if match := re.fullmatch(r"list\[(\w+)\]", param.type):
        return f"Sequence[{match[1]}]"
    if match := re.fullmatch(r"filter\[(\w+)\]", param.type):
        return f'Filter[Literal["{match[1]}"]] | str'
    return PARAM_PYTHON.get(param.type, param.type)


def param_format(spec: Spec, param: ParamSpec) -> str:
    """Return the expression for the function that formats the values of a parameter."""
    if match := re.fullmatch(r"map\[date, (\w+)\]", param.type):
        return f"compound_formats.schedule({match[1]})"
    if match := re.fullmatch(r"list\[(\w+)\]", param.type):
        return f"compound_formats.choices({match[1]})"
    if match := re.fullmatch(r"filter\[(\w+)\]", param.type):
        return f'compound_formats.FilterFormat("{match[1]}")'
    if param.type in spec.enums:
        return f"compound_formats.choice({param.type})"
    compound = {"ProjectOptions": "options", "uploads": "uploads", "attach": "attach", "files": "files"}
    return f"compound_formats.to_{compound[param.type]}" if param.type in compound else f"formats.to_{param.type}"


def return_annotation(returns: str) -> str:
    """Return the annotation of an endpoint's result."""
    return {"id": "int", "message": "str"}.get(returns, returns.removeprefix("envelope "))


def return_shape(returns: str) -> str:
    """Return the expression for the function in `worksection_async._protocol.shapes` that reads a reply."""
    simple = {"None": "shapes.nothing", "id": "shapes.new_id", "message": "shapes.message", "file": "shapes.file"}
    if returns in simple:
        return simple[returns]
    for pattern, shape in (
        (r"envelope (\w+)", "envelope_of"),
        (r"list\[(\w+)\]", "many"),
        (r"dict\[int, (\w+)\]", "by_id"),
        (r"(\w+) \| None", "optional"),
        (r"(\w+)", "one"),
    ):
        if match := re.fullmatch(pattern, returns):
            return f"shapes.{shape}({match[1]})"
    raise ValueError(f"no shape for {returns}")
