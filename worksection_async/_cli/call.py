"""The command ``call``: call one action and print its reply."""

import json
import sys
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from .._protocol import formats
from .._protocol.actions import ACTIONS, DOWNLOAD
from .._session.session import Session
from ..errors import InvalidCall, WorksectionError
from ..models import plain
from ._download import download_file
from ._text import printable

TEXTS = ("text", "comment")
"""Fields that can contain HTML: descriptions, comments, and comments of costs."""


def run(options: Namespace) -> int:
    """Call an action of the account in the environment, and print the reply as JSON; return the exit code."""
    action = options.action
    try:
        envelope = anyio.run(_call, Session.from_env(), options, parse_params(action, options.params))
    except WorksectionError as error:
        return _fail(error, 2 if isinstance(error, InvalidCall) else 1)
    if options.plain:
        envelope = without_html(envelope)
    sys.stdout.write(format_json(envelope, sys.stdout.encoding) + "\n")
    return 0


async def _call(session: Session, options: Namespace, params: Mapping[str, Any]) -> dict[str, Any]:
    async with session:
        if options.action == DOWNLOAD.name:
            return await download_file(session, params)
        return await session.call(options.action, params, unchecked=options.unchecked)


def parse_params(action: str, arguments: Sequence[str]) -> dict[str, str | list[str]]:
    """Parse ``name=value`` arguments. The value is a list if the name is repeated or the parameter takes a list.

    Raises:
        InvalidCall: An argument is not ``name=value``.
    """
    values: dict[str, list[str]] = defaultdict(list)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise InvalidCall(action, f"arguments must be name=value, got {argument!r}")
        values[name].append(value)
    return {name: texts if len(texts) > 1 or _is_list(action, name) else texts[0] for name, texts in values.items()}


def _is_list(action: str, name: str) -> bool:
    """Return True for files and checklists: their items may contain commas, so that each is an argument of its own."""
    param = ACTIONS[action].params.get(name) if action in ACTIONS else None
    return param is not None and (param.is_files or param.format is formats.to_todo)


def without_html(value: Any) -> Any:
    """Return a copy of *value*, a reply or a part of it, with the texts of descriptions and comments as plain text."""
    if isinstance(value, list):
        return [without_html(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: plain(item) if key in TEXTS and isinstance(item, str) else without_html(item)
        for key, item in value.items()
    }


def format_json(envelope: Mapping[str, Any], encoding: str) -> str:
    """Return *envelope* as indented JSON; characters that *encoding* does not have are escaped."""
    text = json.dumps(envelope, indent=2, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(envelope, indent=2)
    return text


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"{printable(str(error))}\n")
    return code
