"""Everything this package raises.

::

    WorksectionError                  anything below
    ├── InvalidCall (ValueError)      your arguments; nothing was sent
    ├── TokenStoreError               where tokens are kept cannot be read or written; nothing was sent
    ├── WaitTooLong                   the queue is longer than max_wait allows; nothing was sent
    ├── SessionClosed (RuntimeError)  the session was closed before the request was sent
    ├── TransportError                no usable connection
    │   └── CallTimeout               the call's time ran out
    ├── UnexpectedReply               an answer that is not what the service says it answers
    └── ApiError                      the service refused
        ├── AuthError                 the credential
        │   └── ReauthorizationRequired   the user has to log in again
        ├── NotFound                  no such project, task, file, …, or not visible to this credential
        ├── FieldError                a value the service does not accept
        ├── StateError                already closed, not started, has children, …
        ├── RateLimited               more than one request a second on this account
        ├── TooManyRecords            more than 10 000 records; repeating does not help
        └── QuotaExceeded             the account's plan is full

Every error says which action it was, whose fault it is, what to do, and (`sent`) whether the request may have
reached the service. None carries a key, a token or a signature.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

__all__ = [
    "ApiError",
    "AuthError",
    "CallTimeout",
    "FieldError",
    "InvalidCall",
    "NotFound",
    "QuotaExceeded",
    "RateLimited",
    "ReauthorizationRequired",
    "SessionClosed",
    "StateError",
    "TokenStoreError",
    "TooManyRecords",
    "TransportError",
    "UnexpectedReply",
    "WaitTooLong",
    "WorksectionError",
]


def masked(text: str) -> str:
    """*text* from outside, short, without anything that is long enough to be a key, a token or a signature."""
    return re.sub(r"[\w.\-+/=@&?%:]{24,}", _unless_address, text[:4096])[:400]


def _unless_address(match: re.Match[str]) -> str:
    is_address = re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", match[0])
    return match[0] if is_address and not re.search(r"[0-9a-fA-F]{24}", match[0]) else "…"


class WorksectionError(Exception):
    """Base of all errors of this package."""

    action: str
    """Action that was called."""

    sent: bool
    """Whether the request may have reached the service."""

    retry_after: float | None
    """Seconds the service asks to wait, if it says so."""

    def __init__(self, action: str, sentence: str, outcome: str = "", *, sent: bool) -> None:
        super().__init__(f"{action}: {sentence}{outcome}")
        self.action = action
        self.sent = sent
        self.retry_after = None
        self._sentence = sentence

    def in_doubt(self) -> Self:
        """This error, met after an attempt of which nobody knows what became."""
        self.sent = True
        doubt = "an attempt before this one may have been carried out: look before repeating a write"
        self.args = (f"{self.action}: {self._sentence.removesuffix('.')}; {doubt}",)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(cls: type[WorksectionError], args: tuple[object, ...], facts: dict[str, object]) -> WorksectionError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class InvalidCall(WorksectionError, ValueError):
    """The arguments cannot be what is meant; nothing was sent. The caller's fault.

    Only that a folder already has the file that is downloaded turns out later.
    """

    def __init__(self, action: str, complaint: str, *, sent: bool = False) -> None:
        super().__init__(action, complaint, "" if sent else " (nothing was sent)", sent=sent)


class TokenStoreError(WorksectionError):
    """Where a pair of tokens is kept cannot be read, written or locked; nothing was sent. The machine's fault."""

    def __init__(self, what: str) -> None:
        super().__init__("token store", what, " (nothing was sent)", sent=False)


class WaitTooLong(WorksectionError):
    """The forecast for a turn is longer than ``max_wait``; nothing was sent. Come back after *eta* seconds."""

    eta: float
    """Seconds until this call could have been sent."""

    def __init__(self, action: str, eta: float, max_wait: float) -> None:
        sentence = f"a turn is {eta:.1f} s away and max_wait is {max_wait:.1f} s"
        super().__init__(action, sentence, " (nothing was sent)", sent=False)
        self.eta = eta


class SessionClosed(WorksectionError, RuntimeError):
    """The session was closed before the request was sent."""

    def __init__(self, action: str) -> None:
        super().__init__(action, "the session is closed", " (nothing was sent)", sent=False)


class TransportError(WorksectionError):
    """The service could not be talked to. The network's fault, or the service's."""

    def __init__(self, action: str, what: str, *, sent: bool) -> None:
        done = "may have been carried out: look before repeating a write" if sent else "was never sent: repeat it"
        super().__init__(action, what, f"; the request {done}", sent=sent)


class CallTimeout(TransportError):
    """A time limit ran out: the call's own (``timeout``, in seconds), or the shorter one for reaching the service."""


class UnexpectedReply(WorksectionError):
    """An answer that is not JSON, cut, or shaped like nothing the service is known to send. The service's fault,
    or that of something between; if it lasts, this package has to learn a new shape.
    """

    path: str
    """Where in the reply the trouble is: ``$.data[37].date_end``."""

    http_status: int
    """Status of the HTTP answer."""

    def __init__(self, action: str, path: str, reason: str, *, http_status: int, excerpt: str = "") -> None:
        shown = f"; it begins {excerpt!r}" if excerpt else ""
        super().__init__(
            action,
            f"unexpected reply (HTTP {http_status}) at {path}: {reason}{shown}",
            "; the request may have been carried out. If it lasts, the service has changed",
            sent=True,
        )
        self.path = path
        self.http_status = http_status


class ApiError(WorksectionError):
    """The service understood the request and refused it; it was not carried out (unless the status is 5xx)."""

    advice: ClassVar[str] = "The vendor's page of the action says what it takes."
    """What to do, where nothing more is known of the message."""

    code: int | None
    """The service's ``status_code``; its meaning varies, the message decides."""

    message: str
    """The service's own words."""

    details: str
    """The offending field or value, where the service names one."""

    http_status: int
    """Status of the HTTP answer: mostly 200."""

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
        said = f"{message} ({details})" if details not in ("", message) else message
        did = "refused" if http_status < 500 else f"failed with HTTP {http_status}, maybe after carrying it out"
        super().__init__(action, f"the service {did}: {said.removesuffix('.')}. {hint or self.advice}", sent=True)
        self.code = code
        self.message = message
        self.details = details
        self.http_status = http_status


class AuthError(ApiError):
    """The credential is wrong, has expired, or does not suffice."""

    advice = "Check the key, or the token and its scopes."


class ReauthorizationRequired(AuthError):
    """The refresh token is dead, or there is none yet: the user has to log in. The call itself was not sent."""

    login_url: str
    """Where to send the user."""

    def __init__(self, action: str, message: str, login_url: str) -> None:
        super().__init__(action, message)
        self._sentence = f"{message.removesuffix('.')}: let the user log in at login_url"
        self.args = (f"{action}: {self._sentence} (nothing was sent)",)
        self.login_url = login_url
        self.sent = False


class NotFound(ApiError):
    """No such project, task, timer, file or webhook, or this credential may not see it."""

    advice = "Check the number; this credential may also not be allowed to see it."


class FieldError(ApiError):
    """A value the service does not accept; ``details`` names it."""

    advice = "Correct the value and call again."


class StateError(ApiError):
    """Not possible in the present state: already closed, already started, has open children, …"""

    advice = "Read the present state before deciding what to do."


class RateLimited(ApiError):
    """The service refused all attempts as too early, for as long as the call could wait; it was not carried out."""

    def __init__(self, action: str, message: str, *, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(action, message, **facts)
        self.retry_after = retry_after

    def given_up(self, seconds: float, refused_share: float) -> Self:
        """Return this error with what is known about the other client.

        Args:
            seconds: Time from the first refusal of the call to the last.
            refused_share: Share of all requests of the last minute that were refused, 0 to 1.
        """
        self._sentence = (
            f"the service refused: {self.message.removesuffix('.')}, for {seconds:.0f} s. Another client uses the "
            f"budget of this account: {refused_share:.0%} of the requests of this process in the last minute were "
            "refused. Let all clients share one limiter, or wait longer (patience, max_wait)"
        )
        self.args = (f"{self.action}: {self._sentence}",)
        return self


class TooManyRecords(ApiError):
    """More records than one answer may hold. Narrow the call; repeating it does not help."""


class QuotaExceeded(ApiError):
    """The account's plan is full."""
