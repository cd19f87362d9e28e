"""A signed HTTP request as a value."""

from collections.abc import Mapping
from typing import Literal

import attrs

from .attachments import FilePart


@attrs.frozen(kw_only=True)
class Request:
    """A signed HTTP request. Its repr shows only the action and the method: other fields contain secrets."""

    action: str
    method: Literal["GET", "POST"]
    target: str = attrs.field(repr=False)
    """Path and query exactly as they are sent, because the signature covers their bytes."""
    is_path_secret: bool = attrs.field(default=False, repr=False)
    """Whether logs must not contain the path; they never contain the query."""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    content: bytes = attrs.field(default=b"", repr=False)
    parts: tuple[FilePart, ...] = attrs.field(default=(), repr=False)

    @property
    def line_bytes(self) -> int:
        """Length of the request line in bytes, which servers limit."""
        return len(f"{self.method} {self.target} HTTP/1.1\r\n")
