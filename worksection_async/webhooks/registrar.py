"""Keeps the webhook of a receiver registered, in the background, while the receiver is open."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator, Sequence

import anyio

from .._protocol.service import WEBHOOK_MAX_ERRORS
from .._transport.tasks import spawn
from ..errors import ApiError, FieldError, InvalidCall, NotFound, RateLimited, SessionClosed, WorksectionError
from ..models import Webhook
from .basic_auth import BasicAuth
from .probe import Probe
from .registration import Registration

START_SECONDS = 8.0
"""A server may take this long to start: until then, nothing is logged as a warning."""

UNANSWERED_SECONDS = 60.0
"""If no receiver has answered the probe for this time, the service is asked to try."""

MAX_PROBE_PAUSE_SECONDS = 300.0

FIRST_RETRY_SECONDS = 60.0
"""Pause after a failed call to the service; it doubles up to ``check_every``."""

LOST = "The events since then were not delivered: `ws.events_since` reads those of the last 30 days"

PAUSED = (
    "the service has paused webhook %d of %s, as it does after %d deliveries that were not answered with OK (the logs "
    f"of the receiver, and of the proxy in front of it, say why): it is registered again. {LOST}"
)
DELETED = f"webhook %d of %s no longer exists: it is registered again. {LOST}"

REFUSED = (
    "a delivery to %s was refused because of its credentials, and webhook %d was registered by another process, maybe "
    "with an earlier password: it is registered again. The refused event was not handled"
)
NOT_REACHABLE = "the webhook of %s is not registered yet: %s. The next attempt follows in %.0f s"

UNANSWERED = (
    "%s cannot be reached from this machine: %s. It is registered nevertheless: the service calls it first, and "
    "refuses the registration if it is not reachable"
)
FAILED = (
    "the webhook of %s could not be checked or registered: %s The receiver works on, and the next attempt follows in "
    "%.0f s"
)
NOT_CALLABLE = (
    " The service calls the URL before it registers it: it must be reachable from the internet, and a proxy must pass "
    "the answer unchanged within five seconds."
)
NO_PERMISSION = " The session needs the admin key, or a token of an administrator with the scope administrative."

STAYS_OPEN = "its session is closed. Keep the session open as long as the receiver"

DELETED_AT_ONCE = "the new webhook was deleted at once: is there a process for this URL that deletes it?"

CLOSED = (
    "the receiver was closed before its webhook was registered. Keep it open while you wait for `registered()`. "
    "The log says what kept it from registering"
)

logger: logging.Logger = logging.getLogger("worksection_async")


class Registrar:
    """Registers the webhook of one receiver, and looks after it, in a background task of the event loop."""

    def __init__(self, registration: Registration, auth: BasicAuth | None) -> None:
        self._wanted = registration
        self._auth = auth
        self._ws = registration.ws.with_options(lane="bulk", coalesce=False, max_wait=None, on_wait=None)
        self._probe = Probe(registration.url, auth, self._ws._caller.connection.http_to)
        self._urls = {registration.url}
        """The URL, and how the service writes it."""
        self._id: int | None = None
        """ID of the webhook that was active at the last look."""
        self._created: int | None = None
        """ID of the last webhook that this process registered; the password of another one is unknown."""
        self._found: int | None = None
        """ID of the webhook that was there when this process started, as long as its password can be an earlier one."""
        self._is_suspect = False
        """Whether the webhook that was found seems to have an earlier password."""

    def start(self) -> None:
        """Start the background task."""
        self._scope, self._stopped = anyio.CancelScope(), anyio.Event()
        self._registered, self._wake = anyio.Event(), anyio.Event()
        spawn(self._run())

    async def stop(self) -> None:
        """Stop the background task, and wait for its end. The webhook stays registered."""
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._stopped.wait()

    async def registered(self) -> int:
        """Wait until the webhook is registered, and return its ID; raises if the background task ends before that."""
        while not self._registered.is_set():
            await self._registered.wait()
        if self._id is None:
            if self._scope.cancel_called:
                raise InvalidCall("WebhookReceiver", CLOSED, sent=True)
            raise SessionClosed("add_webhook")
        return self._id

    def credentials_refused(self) -> None:
        """Note that the receiver refused a delivery: an earlier process may have registered an earlier password.

        Only the webhook that this process found when it started is doubted. Any other one was registered by this
        process, or while it ran: probably by a later one, whose password is the valid one.
        """
        if self._id is not None and self._id == self._found:
            self._is_suspect = True
            self._wake.set()

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._look_regularly()
        finally:
            self._stopped.set()
            if not self._registered.is_set():
                self._id = None
                self._registered.set()

    async def _look_regularly(self) -> None:
        longest = self._wanted.check_every
        pauses = _growing_pauses(min(FIRST_RETRY_SECONDS, longest), longest)
        while True:
            try:
                await self._look()
            except SessionClosed:
                logger.error("the webhook of %s is no longer looked after: %s", self._wanted, STAYS_OPEN)  # noqa: TRY400
                return
            except Exception as exc:
                pause = next(pauses)
                is_known = isinstance(exc, WorksectionError)
                logger.error(FAILED, self._wanted, self._reason(exc), pause, exc_info=not is_known)  # noqa: TRY400
            else:
                pauses = _growing_pauses(min(FIRST_RETRY_SECONDS, longest), longest)
                pause = longest * random.uniform(0.9, 1.1)  # noqa: S311  # workers that started together
            with anyio.move_on_after(pause):
                await self._wake.wait()
            self._wake = anyio.Event()

    async def _look(self) -> None:
        """Leave one active webhook of the URL: a present one, or else a new one."""
        webhooks = await self._webhooks()
        if self._is_suspect and self._found is not None:
            self._is_suspect = not any(_is_active(webhook) and webhook.id > self._found for webhook in webhooks)
        if not self._usable(webhooks):
            webhooks = await self._replace(webhooks)
        usable = self._usable(webhooks)
        if not usable:
            raise WorksectionError("add_webhook", DELETED_AT_ONCE, sent=True)
        # The one with the highest ID, for all processes alike: those that register at the same time agree on it.
        await self._keep(max(webhook.id for webhook in usable), webhooks)

    async def _replace(self, webhooks: Sequence[Webhook]) -> list[Webhook]:
        """Wait until the URL is reachable, register it if no other process has done that, and return its webhooks."""
        self._found = None  # decided: a suspicion now ends with a registration, and none begins
        self._note_loss(webhooks)
        await self._wait_until_reachable()
        present = await self._webhooks()
        if self._usable(present):
            return present
        await self._register()
        return await self._webhooks()

    async def _keep(self, kept: int, webhooks: Sequence[Webhook]) -> None:
        """Delete all *webhooks* but the one with the ID *kept*, and note that this one is registered."""
        for webhook in webhooks:
            if webhook.id != kept:
                with contextlib.suppress(NotFound):  # another process has deleted it
                    await self._ws.delete_webhook(webhook.id)
        if kept != self._id:
            what = "registered now" if kept == self._created else "registered already"
            logger.info("webhook %d of %s is active (%s)", kept, self._wanted, what)
        if self._id is None and kept != self._created:
            self._found = kept
        self._id = kept
        self._registered.set()

    async def _webhooks(self) -> list[Webhook]:
        """Return the webhooks of the URL, also if the service writes it in another way."""
        webhooks = await self._ws.get_webhooks()
        self._urls |= {webhook.url for webhook in webhooks if webhook.id == self._created and webhook.url}
        return [webhook for webhook in webhooks if webhook.url in self._urls or webhook.id == self._created]

    def _usable(self, webhooks: Sequence[Webhook]) -> list[Webhook]:
        """Return the active webhooks that may stay.

        Once this process has found or registered one, another process may replace it by one with other settings: during
        an update, the processes with the former settings must not replace it again.
        """
        if self._is_suspect:
            return []
        is_first_look = self._id is None and self._created is None
        return [
            webhook
            for webhook in webhooks
            if _is_active(webhook) and (not is_first_look or self._has_settings(webhook))
        ]

    def _has_settings(self, webhook: Webhook) -> bool:
        wanted = self._wanted
        return set(webhook.events) == set(wanted.events) and set(webhook.projects) == set(
            map(int, wanted.projects or ())
        )

    def _note_loss(self, webhooks: Sequence[Webhook]) -> None:
        """Log why a webhook is registered again."""
        if self._registered.is_set():
            self._registered = anyio.Event()
        if self._is_suspect:
            logger.warning(REFUSED, self._wanted, self._id)
        elif paused := [webhook.id for webhook in webhooks if webhook.status == "paused"]:
            logger.warning(PAUSED, max(paused), self._wanted, WEBHOOK_MAX_ERRORS)
        elif self._id is not None:
            logger.warning(DELETED, self._id, self._wanted)

    async def _wait_until_reachable(self) -> None:
        """Return when a receiver answers at the URL, or when none has answered for a minute.

        In the second case the service decides: it calls the URL, and refuses the registration without an answer.
        """
        started_at = anyio.current_time()
        for pause in _growing_pauses(1.0, MAX_PROBE_PAUSE_SECONDS):
            self._ws._caller.connection.check_open("add_webhook")
            problem = await self._probe.problem()
            if problem is None:
                return
            seconds = anyio.current_time() - started_at
            if problem.is_unanswered and seconds >= UNANSWERED_SECONDS:
                logger.warning(UNANSWERED, self._wanted, problem.reason)
                return
            level = logging.INFO if seconds < START_SECONDS else logging.WARNING
            logger.log(level, NOT_REACHABLE, self._wanted, problem.reason, pause)
            await anyio.sleep(pause)

    async def _register(self) -> None:
        wanted, auth = self._wanted, self._auth
        self._created = await self._ws.add_webhook(
            wanted.url,
            wanted.events,
            projects=wanted.projects,
            http_user=auth.username if auth else None,
            http_pass=auth.password if auth else None,
        )
        self._is_suspect = False

    def _reason(self, error: Exception) -> str:
        """Return what happened and what to do, without the path of the URL."""
        advice = ""
        if isinstance(error, FieldError):
            advice = NOT_CALLABLE
        elif isinstance(error, ApiError) and not isinstance(error, RateLimited):
            advice = NO_PERMISSION  # the message for a missing permission is not documented
        return f"{error}".replace(self._wanted.url, str(self._wanted)) + advice


def _is_active(webhook: Webhook) -> bool:
    return webhook.status in ("active", None)


def _growing_pauses(first: float, longest: float) -> Iterator[float]:
    """Yield pauses in seconds; each is about twice as long as the one before, at most *longest*."""
    while True:
        yield first * random.uniform(0.8, 1.0)  # noqa: S311  # workers that started together
        first = min(2 * first, longest)
