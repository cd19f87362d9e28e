"""How the values of parameters are written on the command line: one form for each format of the protocol."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import attrs

from .._protocol import compound_formats, formats
from .._protocol.call import Action, Param
from .._protocol.compound_formats import Choice, FilterFormat
from .._protocol.filter_fields import FILTER_OPERATORS
from .._protocol.names import nearest
from ..models import ProjectOptions, UploadedFile, from_dict


@attrs.frozen
class Form:
    """How the value of one parameter is written."""

    hint: str
    """What to write, for the help."""
    parse: Callable[[str], Any] = str
    """Converts the text after ``name=``; the format of the parameter then checks the value."""
    is_list: bool = False
    """Whether `parse` returns a list, so that the parameter may be given more than once."""
    is_path: bool = False
    choices: tuple[str, ...] = ()
    """The possible values (or items), for completion."""


def form_of(param: Param) -> Form:
    """Return the form of the values of *param*."""
    if param.secret:
        return Form("@FILE that contains the value, or @- for standard input", _read_secret)
    if isinstance(param.format, Choice):
        values: tuple[str, ...] = get_args(param.format.enum)
        if param.format.several:
            return Form(f"any of {', '.join(values)}; separated by commas", _items, is_list=True, choices=values)
        return Form(f"one of {', '.join(values)}", choices=values)
    if isinstance(param.format, FilterFormat):
        return Form(f"conditions on {', '.join(FILTER_OPERATORS[param.format.action])}")
    return FORMS.get(param.format, JSON_FORM)


def forms_of(action: Action[object]) -> dict[str, Form]:
    """Return the forms of all parameters of *action*; each project option is a parameter of its own."""
    forms: dict[str, Form] = {}
    for name, param in action.params.items():
        if param.format is compound_formats.to_options:
            forms |= {f"{name}.{option}": FORMS[formats.to_flag] for option in option_names()}
        else:
            forms[name] = form_of(param)
    return forms


def option_names() -> list[str]:
    """Return the names of the options of a project."""
    return [field.name for field in attrs.fields(ProjectOptions) if field.name != "extra"]


def _items(text: str) -> list[str]:
    return re.split(r",\s*", text)


def _item(text: str) -> list[str]:
    return [text]


def _integer(text: str) -> object:
    return int(text) if text.isdecimal() else text


def _flag(text: str) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError(f"must be yes or no, got {text!r}{nearest(text, words)}")
    return words[text.lower()]


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise ValueError(f"must be JSON: {exc}") from None


def _uploads(text: str) -> list[object]:
    records = _json(text)
    if not isinstance(records, list) or not all(isinstance(record, Mapping) for record in records):
        raise ValueError("must be the JSON that `worksection call upload_files` prints")
    return [from_dict(UploadedFile, record) for record in records]


def _read_secret(text: str) -> str:
    """Return the content of a file; an argument would be visible to all users of the machine."""
    if not text.startswith("@"):
        raise ValueError("a secret in an argument is visible to other users: write @FILE, or @- for standard input")
    content = sys.stdin.read() if text == "@-" else Path(text[1:]).read_text("utf-8")
    return content.removesuffix("\n")


JSON_FORM = Form("JSON", _json)

FORMS: dict[formats.Format, Form] = {
    formats.to_id: Form("number"),
    formats.to_ids: Form("numbers, separated by commas", _items, is_list=True),
    formats.to_priority: Form("number", _integer),
    formats.to_str: Form("text"),
    formats.to_text: Form("text"),
    formats.to_email: Form("e-mail address"),
    formats.to_emails: Form("e-mail addresses, separated by commas", _items, is_list=True),
    formats.to_names: Form("names, separated by commas", _items, is_list=True),
    formats.to_date: Form("date, such as 2026-12-31"),
    formats.to_hours: Form("hours, such as 1.5 or 1:30"),
    formats.to_clock: Form("hours, such as 1.5 or 1:30"),
    formats.to_money: Form("amount, such as 75.17"),
    formats.to_flag: Form("yes or no", _flag, choices=("yes", "no")),
    formats.to_period: Form("period, such as 30m, 12h or 7d"),
    formats.to_todo: Form("text; repeat it for more items", _item, is_list=True),
    compound_formats.to_attach: Form("path of a file; repeat it for more files", _item, is_list=True, is_path=True),
    compound_formats.to_files: Form("path of a file; repeat it for more files", _item, is_list=True, is_path=True),
    compound_formats.to_uploads: Form("the JSON that `call upload_files` prints", _uploads, is_list=True),
}
