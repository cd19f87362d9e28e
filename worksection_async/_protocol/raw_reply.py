"""`RawReply`: a reply of the service as it arrived, for debugging."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..errors import mask_secrets


@attrs.frozen(kw_only=True, repr=False)
class RawReply:
    """A reply of the service as it arrived. The repr shows no body, no cookies and no long values of headers."""

    status: int
    """HTTP status; the service sends most errors with 200."""
    headers: Mapping[str, str] = attrs.field(hash=False)
    """Headers, with names in lower case."""
    body: bytes
    """The body, decompressed."""

    def __repr__(self) -> str:
        headers = {name: "…" if "cookie" in name else mask_secrets(text) for name, text in self.headers.items()}
        return f"RawReply(status={self.status}, headers={headers!r}, body=<{len(self.body)} bytes>)"
