"""`Registration`: the webhook that a receiver keeps registered, as a value. The `Registrar` does the work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import get_args
from urllib.parse import SplitResult, urlsplit

import attrs

from .._protocol.account import is_loopback
from .._protocol.actions import ADD_WEBHOOK
from .._protocol.call import prepare
from .._protocol.values import as_number, shown
from .._session.session import Session
from ..errors import InvalidCall
from ..models import WebhookEvent


@attrs.frozen
class Registration:
    """The webhook that a receiver registers while it is open.

    ::

        WebhookReceiver(handler, register=Registration(ws, url))

    In the background, the receiver asks itself through *url* until it is reachable, registers the URL with its
    credentials, and deletes other webhooks of the same URL. A webhook with the same settings stays. Every *check_every*
    seconds it looks whether the service has paused or lost the webhook, and registers it again. Errors are logged
    (logger ``worksection_async``) with what to do, and it tries again after growing pauses; they never stop the
    receiver.

    Any number of processes behind one URL can do that: exactly one webhook remains. A look is one call in the bulk
    lane, a registration three more, and one for each webhook that it deletes.

    Args:
        ws: A session with the admin key or the scope ``administrative``, which stays open as long as the receiver.
        url: Public address of the receiver. Plain HTTP is allowed for loopback only, because the service sends the
            password to it.
        events: Events to subscribe to; all by default.
        projects: IDs of projects to limit the webhook to; all by default.
        check_every: Seconds between two looks.

    Raises:
        InvalidCall: The session, the URL, an event, a project or the number is invalid.
    """

    ws: Session
    url: str = attrs.field(repr=False)
    events: Sequence[WebhookEvent] = attrs.field(default=get_args(WebhookEvent), kw_only=True)
    projects: Sequence[int] | None = attrs.field(default=None, kw_only=True)
    check_every: float = attrs.field(default=3600.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.ws, Session):
            raise InvalidCall("Registration", f"ws must be a Session, got {shown(self.ws)}")
        _check_url(self.url)
        if not as_number(self.check_every) > 0:
            raise InvalidCall("Registration", f"check_every must be positive, got {shown(self.check_every)}")
        for name, value in {"events": self.events, "projects": self.projects or ()}.items():
            if isinstance(value, str) or not isinstance(value, Collection):
                raise InvalidCall("Registration", f"{name} must be a sequence, got {shown(value)}")
        prepare(ADD_WEBHOOK, {"url": self.url, "events": self.events, "projects": self.projects})

    def __str__(self) -> str:
        """Return the URL without its path, which may be secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/…"


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url) if isinstance(url, str) else SplitResult("", "", "", "", "")
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = SplitResult("", "", "", "", ""), ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.fragment:
        expected = "a URL without user and fragment, such as https://example.com/hooks/7f3c9a/"
        raise InvalidCall("Registration", f"url must be {expected}")
    if parts.scheme == "http" and not is_loopback(host):
        raise InvalidCall("Registration", "url: https is required, because the service sends events and password to it")
