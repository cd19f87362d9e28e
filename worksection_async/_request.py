"""One HTTP request as a value, and the two ways to write a call's parameters."""

import json
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import quote

import attrs

from ._call import Call
from ._files import Part
from ._wire import Repeated, Structured, WireValue


@attrs.frozen(kw_only=True)
class Request:
    """What goes over the wire. Its repr tells no more than the action, for the rest may be secret."""

    action: str
    method: Literal["GET", "POST"]
    target: str = attrs.field(repr=False)
    """Path and query, as they are sent, byte for byte."""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    content: bytes | None = attrs.field(default=None, repr=False)
    parts: tuple[Part, ...] = attrs.field(default=(), repr=False)

    @property
    def line_bytes(self) -> int:
        """Length of the first line of the request, which servers limit."""
        return len(f"{self.method} {self.target} HTTP/1.1\r\n")


def as_query(call: Call[object]) -> str:
    """The action and its parameters as a query: UTF-8, percent-encoded, spaces as ``%20``."""
    pairs = [("action", call.action.name), *(pair for item in call.params.items() for pair in _pairs(*item))]
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def _pairs(name: str, value: WireValue) -> Iterable[tuple[str, str]]:
    if isinstance(value, Repeated):
        return [(f"{name}[]", each) for each in value.values]
    if isinstance(value, Structured):
        return [(name, json.dumps(value.value, ensure_ascii=False, separators=(",", ":")))]
    return [(name, str(value))]


def as_json(call: Call[object]) -> bytes | None:
    """The parameters as a JSON object, or nothing where there are none."""
    if not call.params:
        return None
    values = {name: _nested(value) for name, value in call.params.items()}
    return json.dumps(values, ensure_ascii=False).encode()


def _nested(value: WireValue) -> object:
    if isinstance(value, Repeated):
        return value.values
    return value.value if isinstance(value, Structured) else value


def fits_query(call: Call[object]) -> bool:
    """Whether all parameters can be read from a query, its length aside."""
    return all(value.in_query for value in call.params.values() if isinstance(value, Structured))
