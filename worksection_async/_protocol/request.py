"""One HTTP request as a value."""

from collections.abc import Mapping
from typing import Literal

import attrs

from .attachments import Part


@attrs.frozen(kw_only=True)
class Request:
    """What goes over the wire. Its repr tells no more than the action, for the rest may be secret."""

    action: str
    method: Literal["GET", "POST"]
    target: str = attrs.field(repr=False)
    """Path and query, as they are sent, byte for byte."""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    content: bytes = attrs.field(default=b"", repr=False)
    parts: tuple[Part, ...] = attrs.field(default=(), repr=False)

    @property
    def line_bytes(self) -> int:
        """Length of the first line of the request, which servers limit."""
        return len(f"{self.method} {self.target} HTTP/1.1\r\n")
