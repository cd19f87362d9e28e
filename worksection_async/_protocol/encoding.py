"""Encodes parameters as a query or as a JSON body."""

import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from .formats import Repeated, Structured, WireValue

_to_json = json.JSONEncoder(ensure_ascii=False).encode


def as_query(action: str, params: Mapping[str, WireValue]) -> str:
    """Return the action and its parameters as a query: UTF-8, percent-encoded, spaces as ``%20``."""
    pairs = [("action", action), *(pair for item in params.items() for pair in _pairs(*item))]
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def _pairs(name: str, value: WireValue) -> Iterable[tuple[str, str]]:
    if isinstance(value, Repeated):
        return [(f"{name}[]", item) for item in value.values]
    if isinstance(value, Structured):
        return [(name, json.dumps(value.value, ensure_ascii=False, separators=(",", ":")))]
    return [(name, str(value))]


def as_json(params: Mapping[str, WireValue]) -> bytes:
    """Return the parameters as a JSON object; empty without parameters."""
    return _to_json({name: _nested(value) for name, value in params.items()}).encode() if params else b""


def _nested(value: WireValue) -> object:
    if isinstance(value, Repeated):
        return value.values
    return value.value if isinstance(value, Structured) else value
