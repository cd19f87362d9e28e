"""One action, called and printed."""

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
from . import _account
from . import _words as words
from ._saving import saved


def run(options: Namespace) -> int:
    """Call an action on the account the environment names and print the envelope; returns the exit code."""
    action = options.action
    try:
        envelope = anyio.run(_called, _account.session(), action, parsed(action, options.params))
    except WorksectionError as error:
        return _failure(error, 2 if isinstance(error, InvalidCall) else 1)
    except _account.Unnamed as error:
        return _failure(error, 2)
    except OSError as error:  # a file cannot be written
        return _failure(error, 1)
    sys.stdout.write(as_json(envelope, sys.stdout.encoding) + "\n")
    return 0


async def _called(session: Session, action: str, params: Mapping[str, Any]) -> dict[str, Any]:
    async with session:
        return await (saved(session, params) if action == DOWNLOAD.name else session.call(action, params))


def parsed(action: str, arguments: Sequence[str]) -> dict[str, str | list[str]]:
    """Parameters by name: a text, or a list of texts where the name is repeated or no comma would separate them.

    Raises:
        InvalidCall: An argument is not ``name=value``.
    """
    values: dict[str, list[str]] = defaultdict(list)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise InvalidCall(action, f"name=value expected, not {argument!r}")
        values[name].append(value)
    return {name: texts if len(texts) > 1 or _is_list(action, name) else texts[0] for name, texts in values.items()}


def _is_list(action: str, name: str) -> bool:
    """Whether a comma does not separate the items: files, and items of a checklist."""
    param = ACTIONS[action].params.get(name) if action in ACTIONS else None
    return param is not None and (param.is_files or param.format is formats.to_todo)


def as_json(envelope: Mapping[str, Any], encoding: str) -> str:
    """*envelope* for people, in the characters *encoding* has."""
    text = json.dumps(envelope, indent=2, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(envelope, indent=2)
    return text


def _failure(error: Exception, code: int) -> int:
    sys.stderr.write(f"{words.printable(str(error))}\n")
    return code
