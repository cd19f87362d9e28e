"""One call of a webhook as the service makes it: its body, its request, and which answer is accepted."""

import functools
import json
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import anyio
import attrs
import httpx

from .._protocol.account import is_loopback
from .._protocol.service import WEBHOOK_REPLY
from ..models import Event
from ._formats import moment_text
from ._reply import Record


def webhook_record(event: Event) -> Record:
    """Return *event* as the service posts it: as in ``get_events``, except for the page, which names the task only."""
    page = event.object.page if event.id_task is None else f"/task/{event.id_task}/"
    record: Record = {
        "action": event.action,
        "object": _present({"type": event.object.type, "id": str(event.object.id), "page": page}, event.object.extra),
    }
    if event.date_added is not None:
        record["date_added"] = moment_text(event.date_added)
    if (user := event.user_from) is not None:
        number = None if user.id is None else str(user.id)
        record["user_from"] = _present({"id": number, "email": user.email, "name": user.name}, user.extra)
    record["new"] = event.new or []  # as PHP writes an empty map
    if event.action == "update" or event.old:
        record["old"] = event.old or []
    return {**record, **event.extra}


def _present(values: Mapping[str, object], extra: Mapping[str, object]) -> Record:
    """Return the values that are set, and unknown fields."""
    return {**{name: value for name, value in values.items() if value is not None}, **extra}


def body_of(records: Sequence[Record]) -> bytes:
    """Return the body of a call."""
    return json.dumps(records, ensure_ascii=False).encode()


@attrs.frozen
class CallResult:
    """The answer of a webhook."""

    status: int | None
    """HTTP status, or None without an answer."""
    error: str
    """The reason of a failure; empty after a success."""


async def call_webhook(
    url: str, body: bytes, credentials: tuple[str, str], transport: httpx.AsyncBaseTransport, seconds: float
) -> CallResult:
    """Post *body* once.

    Args:
        url: What to call; no redirect is followed.
        body: Of `body_of`; empty for the call at the registration.
        credentials: User name and password of Basic authentication; empty names for none.
        transport: How to reach the URL; it is closed.
        seconds: Timeout.
    """
    try:
        with anyio.fail_after(seconds):
            # The explicit transport also ignores proxy settings.
            async with httpx.AsyncClient(transport=transport, timeout=None) as http:  # noqa: S113
                http.auth = httpx.BasicAuth(*credentials) if credentials[0] else httpx.Auth()
                response = await http.post(url, content=body, headers={"Content-Type": "application/json"})
    except TimeoutError:
        return CallResult(None, f"no reply within {seconds:g} s")
    except Exception as exc:  # noqa: BLE001  # an application in process may raise any error
        return CallResult(None, f"{type(exc).__name__}: {exc}")
    return CallResult(response.status_code, _reply_error(response))


def _reply_error(response: httpx.Response) -> str:
    """Return the reason why the service would reject *response*; empty if it is accepted."""
    if response.status_code != 200:
        return f"HTTP {response.status_code}"
    try:
        is_expected = response.json() == json.loads(WEBHOOK_REPLY)
    except ValueError:
        is_expected = False
    return "" if is_expected else f"the reply is not {WEBHOOK_REPLY}"


def network_to(url: str) -> httpx.AsyncHTTPTransport:
    """Return a transport to *url*. A server of this machine may have a self-signed certificate."""
    return httpx.AsyncHTTPTransport(verify=_any_certificate() if is_local(url) else True)


def is_local(url: str) -> bool:
    """Return whether *url* leads to this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
    except ValueError:
        return False


@functools.cache
def _any_certificate() -> ssl.SSLContext:
    """Return a TLS context that accepts any certificate."""
    return httpx.create_ssl_context(verify=False)
