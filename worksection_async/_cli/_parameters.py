"""The arguments ``name=value``: parsed to the values of a call, described in the help, completed by the shell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from .._protocol.actions import ACTIONS
from .._protocol.call import Action
from .._protocol.names import nearest
from .._spec import Spec, load
from ..errors import InvalidCall, mask_secrets
from ..models import ProjectOptions
from ._forms import Form, forms_of

OPTION_PREFIX = "options."


def find_action(name: str) -> Action[object]:
    """Return the action *name*; raises `InvalidCall`, which names the nearest one."""
    if name not in ACTIONS:
        advice = "`worksection actions` lists all; --unchecked sends one that this release does not know"
        raise InvalidCall(mask_secrets(name), f"unknown action{nearest(name, ACTIONS)}. {advice}")
    return ACTIONS[name]


def split_arguments(action: str, arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts of each parameter; raises `InvalidCall` if an argument is not ``name=value``."""
    texts: dict[str, list[str]] = defaultdict(list)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name or not equals:
            # Long words are masked: the argument may be a key.
            raise InvalidCall(action, f"arguments must be name=value, got {mask_secrets(argument)!r}")
        texts[name].append(value)
    return texts


def parse_arguments(action: Action[object], arguments: Sequence[str]) -> dict[str, object]:
    """Return the parameters of a call.

    Raises:
        InvalidCall: A parameter is unknown (the error names the nearest one), given twice, or not in its form.
    """
    forms, values, options = forms_of(action), dict[str, object](), dict[str, Any]()
    for name, texts in split_arguments(action.name, arguments).items():
        if name not in forms:
            raise InvalidCall(action.name, f"unknown parameter {mask_secrets(name)!a}{_advice(name, forms)}")
        target, key = (options, name.removeprefix(OPTION_PREFIX)) if name.startswith(OPTION_PREFIX) else (values, name)
        try:
            target[key] = _parse(forms[name], texts)
        except (OSError, ValueError) as exc:
            raise InvalidCall(action.name, f"{name}: {getattr(exc, 'problem', exc)}") from None
    return values | ({"options": ProjectOptions(**options)} if options else {})


def _parse(form: Form, texts: Sequence[str]) -> Any:
    if form.is_list:
        return [item for text in texts for item in form.parse(text)]
    if len(texts) > 1:
        raise ValueError("can be given only once")
    return form.parse(texts[0])


def _advice(name: str, forms: Mapping[str, Form]) -> str:
    if name == "access_token" or not forms:
        return ": credentials are never arguments" if name == "access_token" else ": this action has no parameters"
    return f"; known parameters: {', '.join(forms)}{nearest(name, forms)}"


# Help


def write_action_help(formatter: click.HelpFormatter, action: Action[object], spec: Spec) -> None:
    """Write what *action* does, and its parameters."""
    described = spec.actions[action.name]
    group = next(group for group in spec.groups.values() if action.name in group.actions)
    facts = [f"Scope {described.scope}.", "It only reads." if action.kind == "read" else "It changes the account."]
    if action.credential == "token":
        facts.append("It needs an access token: the admin key is not accepted.")
    facts += [f"It requires at least one of {', '.join(names)}." for names in action.one_of]
    facts += [f"It accepts at most one of {', '.join(names)}." for names in action.exclusive]
    for text in (described.doc, " ".join(facts)):
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)
    formatter.write(f"\n  {described.source or group.source}\n")  # not wrapped, so that it can be copied
    write_parameters(formatter, action, spec)


def write_parameters(formatter: click.HelpFormatter, action: Action[object], spec: Spec) -> None:
    """Write the parameters of *action*."""
    if rows := list(describe_parameters(action, spec)):
        with formatter.section("Parameters"):
            formatter.write_dl(rows)


def describe_parameters(action: Action[object], spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield each parameter with its description in the spec and its form."""
    described, options = spec.actions[action.name].params, spec.models["ProjectOptions"].fields
    for name, form in forms_of(action).items():
        is_option = name.startswith(OPTION_PREFIX)
        doc = options[name.removeprefix(OPTION_PREFIX)].doc if is_option else described[name].doc
        required = "Required. " if not is_option and action.params[name].required else ""
        yield name, f"{required}{doc} [{form.hint}]"


# Completion


def complete_action(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the actions that begin with *incomplete*."""
    described = load().actions
    return [CompletionItem(name, help=described[name].doc) for name in ACTIONS if name.startswith(incomplete)]


def complete_arguments(action: Action[object], incomplete: str) -> list[CompletionItem[str]]:
    """Return the names of parameters, and after ``name=`` the values that are known."""
    forms = forms_of(action)
    name, equals, value = incomplete.partition("=")
    if not equals:
        docs = dict(describe_parameters(action, load()))
        return [CompletionItem(f"{known}=", "name", docs[known]) for known in forms if known.startswith(name)]
    form = forms.get(name, Form(""))
    done, comma, item = value.rpartition(",") if form.is_list and not form.is_path else ("", "", value)
    found = _paths(item) if form.is_path else [known for known in form.choices if known.startswith(item)]
    return [CompletionItem(f"{name}={done}{comma}{text}", "name" if text.endswith("/") else "plain") for text in found]


def _paths(text: str) -> list[str]:
    folder, slash, name = text.rpartition("/")
    try:
        entries = sorted(Path(f"{folder}{slash}" or ".").iterdir())
    except OSError:
        return []
    hidden = name.startswith(".")
    return [
        f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if entry.name.startswith(name) and entry.name.startswith(".") == hidden
    ]
