"""All exceptions of this package.

::

    WorksectionError                      base class of all errors below
    ├── InvalidCall (ValueError)          invalid arguments; no request was sent
    ├── TokenStoreError                   the token store cannot be read, written or locked; no request was sent
    ├── WaitTooLong                       the forecast wait exceeds max_wait; no request was sent
    ├── SessionClosed (RuntimeError)      the session was closed before the request was sent
    ├── StorageError (OSError)            a file cannot be written on this machine: the disk is full, …
    ├── TransportError                    no connection, or the connection failed
    │   └── CallTimeout                   a timeout of the call expired
    ├── EventsLost                        some events since the last look cannot be read any more
    ├── UnexpectedReply                   the reply does not have the documented format
    └── ApiError                          the service refused the request
        ├── AuthError                     the credential is wrong, expired or not sufficient
        │   └── ReauthorizationRequired   the user must log in again
        ├── NotFound                      no such project, task, file, …, or not visible with this credential
        ├── FieldError                    the service does not accept a value
        ├── StateError                    not possible in the present state: already closed, not started, …
        ├── RateLimited                   the rate limit of the account was exceeded
        ├── TooManyRecords                more than 10 000 records; a retry does not help
        └── QuotaExceeded                 a limit of the account's plan was reached

The text of each error names the action, the cause and what to do. `sent` tells if the request may have reached the
service. No error contains a key, a token or a signature.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, ClassVar, Self

__all__ = [
    "ApiError",
    "AuthError",
    "CallTimeout",
    "EventsLost",
    "FieldError",
    "InvalidCall",
    "NotFound",
    "QuotaExceeded",
    "RateLimited",
    "ReauthorizationRequired",
    "SessionClosed",
    "StateError",
    "StorageError",
    "TokenStoreError",
    "TooManyRecords",
    "TransportError",
    "UnexpectedReply",
    "WaitTooLong",
    "WorksectionError",
]


NOT_SENT = ". No request was sent."
MAY_BE_EXECUTED = " may have been executed: check before you repeat a write."
REPEATABLE = " may have arrived. The call only reads: you can repeat it."
MAYBE_EXECUTED = ", maybe after executing the request"
IF_IT_PERSISTS = " If this error persists, the service has changed the format."


WORD_CHARACTER = r"[\w.\-+/=@&?%:]"
LONG_WORD = WORD_CHARACTER + "{24,}"
MAX_SEARCHED_CHARACTERS = 4096


def mask_secrets(text: str, max_characters: int = 400) -> str:
    """Shorten external *text*, and replace words that are long enough to be a key, a token or a signature by ``…``."""
    # A word that is cut here could be the beginning of a token.
    pattern = LONG_WORD if len(text) <= MAX_SEARCHED_CHARACTERS else rf"{LONG_WORD}|{WORD_CHARACTER}+\Z"
    return re.sub(pattern, _mask_unless_email, text[:MAX_SEARCHED_CHARACTERS])[:max_characters]


def _mask_unless_email(match: re.Match[str]) -> str:
    is_address = re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", match[0])
    return match[0] if is_address and not re.search(r"[0-9a-fA-F]{24}", match[0]) else "…"


class WorksectionError(Exception):
    """Base class of all errors of this package."""

    args: tuple[Any, ...]

    action: str
    """Name of the action that was called."""

    sent: bool
    """Whether the request may have reached the service."""

    retry_after: float | None
    """Seconds that the service asks to wait; None if it does not."""

    def __init__(
        self, action: str, sentence: str, outcome: str = "", outcome_of_read: str | None = None, *, sent: bool
    ) -> None:
        super().__init__()
        self.action = action
        self.sent = sent
        self.retry_after = None
        self._is_read = False
        self._outcome_of_read = outcome if outcome_of_read is None else outcome_of_read
        self._set_text(sentence, outcome)

    def _set_text(self, sentence: str, outcome: str = "") -> None:
        self._sentence = sentence
        self.args = (f"{self.action}: {sentence.removesuffix('.') if outcome else sentence}{outcome}",)

    def in_doubt(self) -> Self:
        """Return this error with ``sent`` set, because the result of an earlier attempt is unknown."""
        self.sent = True
        self._set_text(self._sentence, f". An earlier attempt{REPEATABLE if self._is_read else MAY_BE_EXECUTED}")
        return self

    def of_read(self) -> Self:
        """Return this error as that of a call that only reads: the text says that it can be repeated."""
        self._is_read = True
        self._set_text(self._sentence, self._outcome_of_read)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[WorksectionError], args: tuple[object, ...], attributes: dict[str, object]) -> WorksectionError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InvalidCall(WorksectionError, ValueError):
    """Invalid arguments of a call or a constructor; no request was sent. Correct the call.

    Exceptions: ``sent`` is True if the request was needed to find the name of a download, and that file already exists,
    and if a file changed while it was sent.
    """

    def __init__(self, action: str, problem: str, *, sent: bool = False) -> None:
        super().__init__(action, problem, "" if sent else NOT_SENT, sent=sent)

    @property
    def problem(self) -> str:
        """What is wrong, without the action and the outcome."""
        return self._sentence


class TokenStoreError(WorksectionError):
    """The token store cannot be read, written or locked; no request was sent. Check the file, server or database."""

    def __init__(self, problem: str) -> None:
        super().__init__("token store", problem, NOT_SENT, sent=False)


class WaitTooLong(WorksectionError):
    """The forecast wait in the queue exceeds ``max_wait``; no request was sent. Call again after *eta* seconds."""

    eta: float
    """Forecast wait in seconds."""

    def __init__(self, action: str, eta: float, max_wait: float, waited: float = 0.0) -> None:
        passed = f", of which {waited:.1f} s have passed" if waited else ""
        sentence = f"the forecast wait of {eta:.1f} s exceeds max_wait ({max_wait:.1f} s{passed})"
        super().__init__(action, sentence, NOT_SENT, sent=False)
        self.eta = eta


class SessionClosed(WorksectionError, RuntimeError):
    """The session was closed before the request was sent."""

    def __init__(self, action: str) -> None:
        super().__init__(action, "the session is closed", NOT_SENT, sent=False)


class StorageError(WorksectionError, OSError):
    """A file cannot be written on this machine: the disk is full, or the folder cannot be used."""

    kept: str
    """Path of the complete download if only its last step failed, the move to its place; otherwise empty."""

    def __init__(self, action: str, problem: str, *, sent: bool, kept: str = "") -> None:
        super().__init__(action, problem, ". The call only reads: you can repeat it." if sent else NOT_SENT, sent=sent)
        self.kept = kept


class TransportError(WorksectionError):
    """The connection to the service failed: a problem of the network or of the service."""

    is_permanent: bool
    """Whether another attempt would fail in the same way, for example because of a certificate or a proxy setting."""

    def __init__(self, action: str, problem: str, *, sent: bool, is_permanent: bool = False) -> None:
        if sent:
            outcomes = MAY_BE_EXECUTED, " may have arrived. The call only reads." if is_permanent else REPEATABLE
        else:
            outcomes = (" was not sent." if is_permanent else " was not sent: you can repeat it.",) * 2
        super().__init__(action, problem, *(f". The request{outcome}" for outcome in outcomes), sent=sent)
        self.is_permanent = is_permanent


class CallTimeout(TransportError):
    """A timeout expired: the ``timeout`` of the call (in seconds), or the shorter timeout for connecting."""


class EventsLost(WorksectionError):
    """Some events since the last look cannot be read any more. The watch continues with the later ones.

    It is raised once, in the loop over a watch or over `Session.events_since`. Read the records of the account again
    (`Session.iter_tasks`, `Session.iter_costs`, ...), then iterate again.
    """

    since: dt.datetime
    """Events after this time may be lost (UTC)."""

    until: dt.datetime
    """Events before this time may be lost (UTC)."""

    def __init__(self, since: dt.datetime, until: dt.datetime, reason: str) -> None:
        span = f"from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
        advice = "Read the account again (iter_tasks, iter_costs, ...), then iterate again: the watch continues"
        super().__init__("get_events", f"events {span} may be lost: {reason}. {advice}", sent=True)
        self.since = since
        self.until = until


class UnexpectedReply(WorksectionError):
    """The reply is not JSON, is truncated, or does not have a known format. The cause is the service or a proxy.

    If the error persists, the service has changed the format, and this package needs an update.
    """

    path: str
    """JSON path of the invalid value: ``$.data[37].date_end``."""

    http_status: int
    """HTTP status of the reply."""

    def __init__(self, action: str, path: str, reason: str, *, http_status: int, excerpt: str = "") -> None:
        shown = f"; the body starts with {excerpt!r}" if excerpt else ""
        super().__init__(
            action,
            f"unexpected reply (HTTP {http_status}) at {path}: {reason}{shown}",
            f". The request may have been executed.{IF_IT_PERSISTS}",
            f". The call only reads: you can repeat it.{IF_IT_PERSISTS}",
            sent=True,
        )
        self.path = path
        self.http_status = http_status


class ApiError(WorksectionError):
    """The service refused the request and did not execute it (with a 5xx status, it may have been executed)."""

    advice: ClassVar[str] = "Read the vendor's documentation of the action."
    """What to do if this package does not know the message."""

    code: int | None
    """The service's ``status_code``. One code has several meanings, so the class depends on the message."""

    message: str
    """The message of the service."""

    details: str
    """The invalid field or value; empty if the service does not name it."""

    http_status: int
    """HTTP status of the reply; mostly 200."""

    def __init__(
        self,
        action: str,
        message: str,
        *,
        code: int | None = None,
        details: str = "",
        http_status: int = 200,
        hint: str | None = None,
    ) -> None:
        reason = f"{message} ({details})" if details not in ("", message) else message
        did = "refused" if http_status < 500 else f"failed with HTTP {http_status}{MAYBE_EXECUTED}"
        super().__init__(action, f"the service {did}: {reason.removesuffix('.')}. {hint or self.advice}", sent=True)
        self.code = code
        self.message = message
        self.details = details
        self.http_status = http_status

    def of_read(self) -> Self:
        """Return this error as that of a call that only reads: the text does not say that it may be executed."""
        self._sentence = self._sentence.replace(MAYBE_EXECUTED, "", 1)
        return super().of_read()


class AuthError(ApiError):
    """The credential is wrong, has expired, or lacks a scope or permission."""

    advice = "Check the key, or the token and its scopes."

    refuses_token: bool
    """Whether the access token itself was refused (expired, revoked, invalid), and not what it may do."""

    def __init__(self, action: str, message: str, *, refuses_token: bool = False, **attributes: Any) -> None:
        super().__init__(action, message, **attributes)
        self.refuses_token = refuses_token


class ReauthorizationRequired(AuthError):
    """The refresh token is invalid or missing, or a refreshed token is refused: the user must log in.

    The call was not executed. ``sent`` is False if it was not even sent, because there was no valid token for it.
    """

    login_url: str
    """URL where the user logs in: the *login_url* of the `OAuthApp`, or else an authorization URL with a new state."""

    def __init__(self, action: str, message: str, login_url: str, *, sent: bool = False) -> None:
        super().__init__(action, message)
        outcome = ". The call was not executed." if sent else NOT_SENT
        self._outcome_of_read = outcome
        self._set_text(f"{message.removesuffix('.')}: the user must log in at login_url", outcome)
        self.login_url = login_url
        self.sent = sent


class NotFound(ApiError):
    """No such project, task, timer, file or webhook, or this credential has no access to it."""

    advice = "Check the id, and that this credential has access to it."


class FieldError(ApiError):
    """The service does not accept a value; ``details`` names it."""

    advice = "Correct the value and call again."


class StateError(ApiError):
    """Not possible in the present state: already closed, already started, open subtasks, …"""

    advice = "Read the present state first."


class RateLimited(ApiError):
    """The service refused all attempts because of its rate limit, until the call gave up. Nothing was executed."""

    def __init__(self, action: str, message: str, *, retry_after: float | None = None, **attributes: Any) -> None:
        super().__init__(action, message, **attributes)
        self.retry_after = retry_after

    def given_up(self, seconds: float, refused_share: float) -> Self:
        """Return this error with what is known about the other client.

        Args:
            seconds: Time from the first refusal of the call to the last.
            refused_share: Share of all requests of the last minute that were refused, 0 to 1.
        """
        self._set_text(
            f"the service refused: {self.message.removesuffix('.')}, for {seconds:.0f} s. Another client uses the "
            f"rate limit of this account: {refused_share:.0%} of the requests of this process in the last minute were "
            "refused. Let all clients share one limiter, or wait longer (patience, max_wait)"
        )
        return self


class TooManyRecords(ApiError):
    """The result has more records than one reply can contain. Narrow the call; a retry does not help."""


class QuotaExceeded(ApiError):
    """A limit of the account's plan was reached."""
