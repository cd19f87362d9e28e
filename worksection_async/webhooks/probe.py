"""The probe: a receiver asks through its public URL whether the calls of the service will arrive.

It is a POST with the credentials of the receiver, as the service sends them, and a nonce in its body. Every open
receiver with the same credentials answers it with a proof. So it does not matter which of several workers behind the
URL gets it, and a cache, a login page or another program, which may answer OK as well, is not mistaken for a receiver.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

import attrs

from .._protocol.request import Request
from .._protocol.service import WEBHOOK_REPLY, WEBHOOK_TIMEOUT_SECONDS
from .._transport.http import Http, HttpResponse
from ..errors import InvalidCall, TransportError
from .basic_auth import BasicAuth

PROBE = "worksection_async_probe"

MAX_PROBE_BYTES = 100

MAX_ANSWER_BYTES = 1000

ACTION = "webhook probe"

REDIRECT = (
    "it answers with a redirect, which the service does not follow: register the address to which it leads (a URL that "
    "is mounted in Starlette or FastAPI ends with a slash)"
)
REASONS = {
    401: "it refuses the credentials: a proxy in front of it removes the header Authorization or wants other "
    "credentials, or a receiver with another password is still running",
    403: "a firewall, a proxy, or a check of CSRF tokens in front of it refuses the request",
    404: "nothing is served at this path: compare it with the path at which the receiver is mounted",
    405: "it does not accept POST requests at this path: compare it with the path at which the receiver is mounted",
    502: "a proxy in front of it cannot reach the application",
    503: "the application is not ready, or the receiver in it is not open",
    504: "a proxy in front of it gets no answer of the application",
}
ANOTHER_PROGRAM = "another program answers there, not a WebhookReceiver with the same credentials"


def answer_to(body: bytes, auth: BasicAuth | None) -> bytes | None:
    """Return the body of the answer if *body* is that of a probe, otherwise None."""
    nonce = _nonce_of(body)
    return None if nonce is None else _answer(nonce, auth)


def is_test(body: bytes) -> bool:
    """Return True if *body* is that of a probe or of the service's test call, which another process caused."""
    return not body or _nonce_of(body) is not None


def _nonce_of(body: bytes) -> str | None:
    match = re.fullmatch(rb'\{"%s": "([0-9a-f]{32})"\}' % PROBE.encode(), body)
    return None if match is None else match[1].decode()


def _answer(nonce: str, auth: BasicAuth | None) -> bytes:
    """Return what only a receiver with these credentials can answer."""
    key = b"" if auth is None else auth.pair
    proof = hmac.new(key, f"{PROBE} {nonce}".encode(), hashlib.sha256).hexdigest()
    return json.dumps({**json.loads(WEBHOOK_REPLY), "proof": proof}).encode()


@attrs.frozen
class Problem:
    """Why the calls of the service may not arrive."""

    reason: str
    is_unanswered: bool = False
    """Whether no answer came. The service may still reach the URL: some networks do not let a machine call itself."""


@attrs.frozen
class Probe:
    """Asks a URL whether it leads to a receiver with these credentials."""

    url: str = attrs.field(repr=False)
    auth: BasicAuth | None
    http_to: Callable[[str], Http]
    """Returns a client for an origin."""

    async def problem(self) -> Problem | None:
        """Send a probe; return None if a receiver has answered it."""
        nonce, parts = secrets.token_hex(16), urlsplit(self.url)
        http = self.http_to(f"{parts.scheme}://{parts.netloc}")
        try:
            await http.open(ACTION)
            async with http.exchange(self._request(nonce), WEBHOOK_TIMEOUT_SECONDS) as response:
                return await self._problem_of(response, nonce)
        except (InvalidCall, TransportError) as error:
            return Problem(f"it did not answer ({error._sentence})", is_unanswered=True)
        finally:
            await http.aclose()

    def _request(self, nonce: str) -> Request:
        # A function of its own, because the header must not be a variable in the traceback of an error.
        parts = urlsplit(self.url)
        return Request(
            action=ACTION,
            method="POST",
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            is_path_secret=True,
            headers={"Content-Type": "application/json"} | ({"Authorization": self.auth.header} if self.auth else {}),
            content=json.dumps({PROBE: nonce}).encode(),
        )

    async def _problem_of(self, response: HttpResponse, nonce: str) -> Problem | None:
        if response.status != 200:
            reason = REDIRECT if 300 <= response.status < 400 else REASONS.get(response.status, ANOTHER_PROGRAM)
            return Problem(f"{reason} (HTTP {response.status})")
        content = b""
        async with contextlib.aclosing(response.chunks()) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    break
        return None if content == _answer(nonce, self.auth) else Problem(ANOTHER_PROGRAM)
