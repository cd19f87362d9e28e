"""Tracks by the events of the transport (httpx's ``trace`` extension) how far a request was sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any


class RequestTrace:
    """How far one request was sent; it is passed to httpcore as the ``trace`` extension.

    Args:
        on_sent: Called when the headers of the request have been written.
        has_events: Whether the transport certainly reports events, so that no event means that nothing was sent.
    """

    def __init__(self, on_sent: Callable[[], Awaitable[None]], *, has_events: bool) -> None:
        self._on_sent = on_sent
        self._has_events = has_events
        self._sent = False
        self.own_error: Exception | None = None
        """The error of *on_sent*, which is no error of the transport through which it passes."""
        self.own_traceback: TracebackType | None = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        self._has_events = True
        if event.endswith(".receive_response_headers.complete"):
            _remove_cookies(info)
        _, _, what = event.partition(".send_request_headers.")
        if what == "started" and info["request"].method != b"CONNECT":
            self._sent = True
        # A failed write counts, too: a server may answer a request of which it has read a part.
        elif self._sent and (what == "complete" or (what == "failed" and isinstance(info["exception"], Exception))):
            await self._report()

    async def _report(self) -> None:
        try:
            await self._on_sent()
        except Exception as exc:
            self.own_error, self.own_traceback = exc, exc.__traceback__
            raise

    @property
    def may_have_arrived(self) -> bool:
        """True unless the transport reports events and none of them says that sending started."""
        return self._sent or not self._has_events


def _remove_cookies(info: dict[str, Any]) -> None:
    """Remove ``Set-Cookie`` from the received headers: httpcore logs them at DEBUG, after it has called the trace."""
    headers = info["return_value"][3]
    headers[:] = [header for header in headers if header[0].lower() != b"set-cookie"]
