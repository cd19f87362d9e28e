"""Docstrings of the generated endpoints."""

import re
import textwrap
from collections.abc import Iterator

from ._python import attribute_name
from ._schema import ActionSpec, Group, ParamSpec, Spec, type_names

WIDTH = 108
"""Maximum line length without the indentation of a method's docstring."""


def endpoint_doc(spec: Spec, action: ActionSpec, group: Group) -> str:
    """Return the docstring of an endpoint, without quotes and indentation."""
    sections = [
        [action.doc],
        [*_wrap(_access_doc(action)), f"Vendor page: {action.source or group.source}"],
        _wrap(" ".join(_constraint_docs(action))),
        _section("Args", {attribute_name(name): param.doc for name, param in action.params.items()}),
        ["Returns:", *_wrap(_returns_doc(spec, action), "    ")],
        _section("Raises", dict(possible_errors(spec, action))),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _wrap(text: str, indent: str = "", next_indent: str | None = None) -> list[str]:
    next_indent = indent if next_indent is None else next_indent
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=next_indent, break_on_hyphens=False)


def _section(title: str, items: dict[str, str]) -> list[str]:
    lines = (line for name, doc in items.items() for line in _wrap(f"{name}: {doc}", "    ", "        "))
    return [f"{title}:", *lines] if items else []


def _access_doc(action: ActionSpec) -> str:
    token = " Requires an access token; the admin key is not accepted." if action.credential == "token" else ""
    retry = "" if action.can_repeat else " Not retried if the request may have reached the service."
    return f"Scope ``{action.scope}``.{token}{retry}"


def _constraint_docs(action: ActionSpec) -> Iterator[str]:
    yield from (f"Requires at least one of {_listed(group)}." for group in action.one_of)
    yield from (f"Accepts at most one of {_listed(group)}." for group in action.exclusive)


def _listed(names: tuple[str, ...], separator: str = ", ") -> str:
    return separator.join(f"``{name}``" for name in names)


def _returns_doc(spec: Spec, action: ActionSpec) -> str:
    simple = {
        "None": "None after the service has confirmed the change.",
        "id": "The ID of the new record.",
        "message": "The service's summary of the change.",
    }
    if action.returns in simple:
        return simple[action.returns]
    stored = " as stored by the service" if action.kind == "write" else ""
    for pattern, text in (
        (r"envelope (\w+)", "A `{0}` record."),
        (r"list\[(\w+)\]", "A list of `{0}`{1}." if stored else "A list of `{0}`; empty if there are none."),
        (r"dict\[int, (\w+)\]", "A mapping of ID to `{0}`; empty if there are none."),
        (r"(\w+) \| None", "The `{0}`, or None if there is none."),
        (r"(\w+)", "The `{0}`{1}."),
    ):
        if match := re.fullmatch(pattern, action.returns):
            types = _field_types(spec, match[1], is_nested=action.returns.startswith("envelope"))
            return " ".join([text.format(match[1], stored), *_unit_docs(types)])
    raise ValueError(f"no description for {action.returns}")


def _unit_docs(types: set[str]) -> Iterator[str]:
    if types & {"hours", "clock", "timer"}:
        yield "Durations are `timedelta`."
    if "money" in types:
        yield "Amounts are `Decimal` in the account's currency."
    if "datetime" in types:
        yield "Times are `datetime`, without a time zone unless the session has ``tz``."


def _field_types(spec: Spec, model: str, *, is_nested: bool) -> set[str]:
    """Return the types of the fields of *model*, and with *is_nested* of the models in it."""
    types = {name for field in spec.fields(model).values() for name in type_names(field.type)}
    nested = (_field_types(spec, name, is_nested=False) for name in types & spec.models.keys() if is_nested)
    return types.union(*nested)


def possible_errors(spec: Spec, action: ActionSpec) -> Iterator[tuple[str, str]]:
    """Yield the error classes an action can raise, from the spec where it says so."""
    if causes := list(_invalid_call_causes(action)):
        yield "InvalidCall", f"{', or '.join(causes)}. No request was sent."
    yield "AuthError", "The credential is invalid, has expired or lacks the scope."
    kinds = {error.message: error.kind for error in spec.service.errors}
    already_done = kinds[action.already_done] if action.already_done else None
    if ids := tuple(attribute_name(name) for name, param in action.params.items() if _is_id(param)):
        yield "NotFound", f"No record has the ID {_listed(ids, ' or ')}, or the credential cannot access it."
    if action.params:
        yield "FieldError", "The service rejected an argument."
    if already_done and not (ids and already_done == "NotFound"):
        yield already_done, f'"{action.already_done}"; on a retry, this reply counts as success.'
    if _has_record_limit(spec, action):
        yield "TooManyRecords", f"The result has more than {spec.service.limits.max_records} records."
    yield "RateLimited", "The service refused all attempts because of its rate limit."
    yield "ApiError", "The service refused the request for another reason."
    yield "WaitTooLong", "The predicted wait is longer than ``max_wait``. No request was sent."
    yield "TransportError", "The connection failed or the timeout expired."
    yield "UnexpectedReply", "The reply has an unknown format."


def _invalid_call_causes(action: ActionSpec) -> Iterator[str]:
    if action.params:
        yield "An argument is missing or invalid"
    if action.credential == "token":
        yield "the session uses the admin key" if action.params else "The session uses the admin key"


def _is_id(param: ParamSpec) -> bool:
    return param.type == "id"


def _has_record_limit(spec: Spec, action: ActionSpec) -> bool:
    """Return True if the service has an error message for too many records of this kind ("Too many tasks")."""
    messages = [error.message for error in spec.service.errors if error.kind == "TooManyRecords"]
    match = re.fullmatch(r"list\[(\w+)\]", action.returns)
    return match is not None and any(f" {match[1].lower()}s " in message for message in messages)
