"""The pages that follow the spec: actions with their examples, models with their fields."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

from tests.reference.calls import CALLS
from tests.reference.exchanges import Exchange
from tests.reference.markdown import Link, code_link, fence, formatted, linked, page, table
from worksection_async import models
from worksection_async._spec import ActionSpec, EnumSpec, Group, ModelSpec, ParamSpec, Spec
from worksection_async._spec._endpoint_docs import possible_errors
from worksection_async._spec._python import attribute_name, field_annotation, param_annotation, return_annotation

EVIDENCE = {
    "docs": "the vendor's documentation",
    "recorded": "a recorded reply",
    "vendor-client": "the vendor's own client",
    "inferred": "an inference",
}

SPECIFIC_ERRORS = {"NotFound", "StateError", "TooManyRecords"}


def action_page(spec: Spec, group: Group, exchanges: Mapping[str, Exchange], link: Link) -> str:
    """Return the page of the actions of *group*."""
    codes = formatted([f"result = {CALLS[name].code}" for name in group.actions])
    results = formatted([exchanges[name].result for name in group.actions])
    listed = " · ".join(f"[{name}](#{name})" for name in group.actions)
    intro = (
        f"{listed}\n\n"
        "`ws` is a session of the demo account of the [simulator](../testing.md), from which the replies come. A list "
        "is shortened to its first record. See also: [all actions](../actions.md), [models](models.md), "
        "[errors](errors.md)."
    )
    parts = (
        _action(spec, group, name, link) + _example(code, result, exchanges[name].reply, group.actions[name].returns)
        for name, code, result in zip(group.actions, codes, results, strict=True)
    )
    return page(f"Actions: {group.title.lower()}", intro, *parts, source="_spec/*.toml and tests/reference/calls.py")


def _action(spec: Spec, group: Group, name: str, link: Link) -> str:
    action = group.actions[name]
    parts = (
        f"## {name}",
        action.doc,
        _facts(action, group, link),
        table(["parameter", "type", "meaning"], (_param(spec, *item) for item in action.params.items())),
        " ".join(_rules(spec, action)),
    )
    return "\n\n".join(part for part in parts if part)


def _facts(action: ActionSpec, group: Group, link: Link) -> str:
    returns = "DownloadedFile" if action.returns == "file" else return_annotation(action.returns)
    token = " (an access token is required)" if action.credential == "token" else ""
    retried = "yes" if action.can_repeat else "no, because it could be executed twice"
    names = re.sub(r"[A-Z]\w+", lambda match: f"\0{match[0]}\0", returns)
    shown = "".join(
        (code_link(part, link) if index % 2 else f"`{part}`") for index, part in enumerate(names.split("\0")) if part
    )
    return "\n".join(
        [
            f"- returns {shown}",
            f"- scope `{action.scope}`{token}",
            f"- retried if the reply is lost: {retried}",
            f"- [vendor page]({action.source or group.source}); the facts come from {EVIDENCE[action.evidence]}",
        ]
    )


def _param(spec: Spec, name: str, param: ParamSpec) -> tuple[str, str, str]:
    required = " **Required.**" if param.required else ""
    evidence = "" if param.evidence == "docs" else f" Source: {EVIDENCE[param.evidence]}."
    annotation = param_annotation(param)
    files = " What a file can be: [files](../files.md#upload)." if "Attachment" in annotation else ""
    return (
        f"`{attribute_name(name)}`",
        f"`{annotation}`",
        f"{param.doc}{required}{_choices(spec, param.type)}{files}{evidence}",
    )


def _choices(spec: Spec, type_: str) -> str:
    """Return the accepted values if *type_* contains an enumeration."""
    names = [name for name in re.findall(r"\w+", type_) if name in spec.enums]
    count = "Any of" if type_.startswith(("list[", "csv[")) else "One of"
    return "".join(f" {count} {_values(spec.enums[name])}." for name in names)


def _values(enum: EnumSpec) -> str:
    return ", ".join(f"`{value}`" for value in enum.values)


def _rules(spec: Spec, action: ActionSpec) -> Iterator[str]:
    yield from (f"Requires at least one of {_listed(names)}." for names in action.one_of)
    yield from (f"Accepts at most one of {_listed(names)}." for names in action.exclusive)
    own = [(name, why) for name, why in possible_errors(spec, action) if name in SPECIFIC_ERRORS]
    if own:
        yield "Raises " + "; ".join(f"`{name}`: {why.replace('``', '`').removesuffix('.')}" for name, why in own) + "."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _example(code: str, result: str, reply: str, returns: str) -> str:
    shown = "" if returns == "None" else f"\n# result:\n{result}"
    details = f"<details>\n<summary>Reply of the service</summary>\n\n{fence(reply, 'json')}\n\n</details>"
    return "\n\n".join(["", fence(f"{code}\n{shown}"), *([details] if reply else [])])


def model_page(spec: Spec, link: Link) -> str:
    """Return the page of all models."""
    intro = (
        "All models are in `worksection_async.models`. They are frozen [attrs](https://www.attrs.org/) classes: "
        "comparable, hashable and picklable. Fields that the service may omit have a default. Every model has `extra`: "
        "unknown keys, and values that could not be read. [Models](../models.md) explains how to convert them.\n\n"
        "`dt` is the module `datetime`. `Hours`, `Clock` and `Seconds` are `dt.timedelta`; they differ in the format "
        "that the service sends. `Raw` is any JSON value. Where a field has one of several values, a value that this "
        "release does not know is a `str`."
    )
    parts = [part for group in spec.groups.values() for part in _models(spec, group, link)]
    return page("Models", intro, *parts, source="_spec/*.toml")


def _models(spec: Spec, group: Group, link: Link) -> Iterator[str]:
    if not group.models:
        return
    yield f"## {group.title}: models"
    for name, model in group.models.items():
        yield "\n\n".join(part for part in (f"### {name}", model.doc, _bases(model, link), _fields(spec, name)) if part)


def _bases(model: ModelSpec, link: Link) -> str:
    return f"Has the fields of {code_link(model.base, link)}, too." if model.base else ""


def _fields(spec: Spec, name: str) -> str:
    rows = [
        (
            f"`{attribute_name(field_name)}`",
            f"`{field_annotation(spec, field.type)}`",
            field.doc
            + _choices(spec, field.type)
            + ("" if field.evidence == "docs" else f" Source: {EVIDENCE[field.evidence]}."),
        )
        for field_name, field in spec.models[name].fields.items()
    ]
    return table(["field", "type", "meaning"], [*rows, *_properties(spec.models[name], name)])


def _properties(model: ModelSpec, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield the properties that *model* adds to its base, those of its mixin included."""
    inherited = dir(getattr(models, model.base or "Model"))
    for attribute, value in inspect.getmembers(getattr(models, name), inspect.isdatadescriptor):
        if isinstance(value, property) and attribute not in inherited and value.fget:
            doc = linked(" ".join((inspect.getdoc(value) or "").split()), lambda _: None)
            returned = value.fget.__annotations__["return"]
            yield f"`{attribute}`", f"`{getattr(returned, '__name__', returned)}`", f"Property. {doc}"
