"""What a session does, as values: a `CallEvent` after each request and after each call, for `Session(on_call=…)`.

An event never contains a parameter, a credential or the text of an error, because each of them can be a secret.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Literal, Self

import anyio
import attrs

from ..errors import ApiError, RateLimited, UnexpectedReply

Kind = Literal["attempt", "call"]
Answer = Literal["reply", "refused", "coalesced", "cached", "none"]

logger = logging.getLogger("worksection_async")


@attrs.frozen(kw_only=True)
class CallEvent:
    """The end of a request (an attempt), or of a whole call."""

    kind: Kind
    """``"attempt"`` for each request that was given to the transport, ``"call"`` once for each call."""
    action: str
    """Name of the action; ``"oauth2_refresh"`` for the refresh of a token."""
    account: str
    """URL of the account, without a path; empty before the account is known."""
    lane: str
    """Lane of the limiter; empty for a token refresh, which needs no slot."""
    seconds_waited: float
    """Seconds in the limiter's queue: before this attempt, or before all attempts of the call."""
    seconds_on_wire: float
    """Seconds from giving the request to the transport until its reply was read; of a call: all attempts together."""
    attempt: int
    """Number of the request, from 1; of a call: the number of its requests. Refused requests count."""
    status: int | None
    """HTTP status of the last reply; None without one."""
    outcome: str
    """``"ok"``, ``"Cancelled"``, or the name of the error's class."""
    answer: Answer
    """The origin of the result: ``"reply"`` of the service; ``"refused"`` as too early; ``"coalesced"`` with an
    identical read; ``"cached"``; or ``"none"``: no reply arrived."""


OnCall = Callable[[CallEvent], object]
Enclose = Callable[[Kind, str, int], AbstractContextManager[object]]


class CallRecord:
    """The record of a call that is not observed: it does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def wait(self) -> AbstractContextManager[object]:
        """Return the context in which the call waits for a slot."""
        return _NOTHING

    def attempt(self) -> AbstractContextManager[object]:
        """Return the context in which one request is sent and its reply is read."""
        return _NOTHING

    def replied(self, status: int) -> None:
        """Record that the headers of a reply have arrived."""

    def saved(self, answer: Literal["coalesced", "cached"]) -> None:
        """Record that the call needed no request."""


_NOTHING = contextlib.nullcontext()

UNOBSERVED = CallRecord()


class Observer:
    """Gives the events of one session to its log and to its *on_call*.

    If *on_call* has a method ``enclose(kind, action, attempt)``, each call and each attempt runs inside the context
    manager that it returns, and the event is given to *on_call* before that is left: a tracer needs a current span.
    """

    def __init__(self, on_call: OnCall | None, enclose: Enclose | None = None) -> None:
        self._on_call = on_call
        self._enclose = enclose
        self._has_failed = False
        self.account = ""

    def call(self, action: str, lane: str = "") -> CallRecord:
        """Return the record of a new call, a context manager."""
        if self._on_call is None and not logger.isEnabledFor(logging.DEBUG):
            return UNOBSERVED
        return ObservedCall(self, action, lane)

    def enclosing(self, kind: Kind, action: str, attempt: int) -> AbstractContextManager[object]:
        """Return the context in which a call or an attempt runs."""
        return contextlib.nullcontext() if self._enclose is None else self._enclose(kind, action, attempt)

    def tell(self, event: CallEvent) -> None:
        """Log *event* and give it to `on_call`, whose errors do not reach the call."""
        logger.debug(
            "%s %s: %s (answer: %s, status: %s, attempt: %d, waited %.3f s, on the wire %.3f s, lane: %s, %s)",
            event.kind, event.action, event.outcome, event.answer, event.status, event.attempt,
            event.seconds_waited, event.seconds_on_wire, event.lane or "none", event.account,
        )  # fmt: skip
        if self._on_call is None:
            return
        try:
            self._on_call(event)
        except Exception:
            if not self._has_failed:
                logger.exception("on_call failed; its further errors are not logged")
            self._has_failed = True


class ObservedCall(CallRecord):
    """The record of one call: its attempts so far, and how it was answered."""

    def __init__(self, observer: Observer, action: str, lane: str) -> None:
        self._observer = observer
        self._action = action
        self._lane = lane
        self._contexts = contextlib.ExitStack()
        self._last_wait = self._waited = self._on_wire = 0.0
        self._attempts = 0
        self._status: int | None = None
        self._answer: Answer = "none"

    def __enter__(self) -> Self:
        self._contexts.enter_context(self._observer.enclosing("call", self._action, 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tell("call", error, self._waited, self._on_wire)
        self._contexts.close()  # without the error: a tracer would record its text

    @contextlib.contextmanager
    def wait(self) -> Iterator[None]:
        started_at = anyio.current_time()
        try:
            yield
        finally:
            self._last_wait = anyio.current_time() - started_at
            self._waited += self._last_wait

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        self._attempts += 1
        self._status, self._answer = None, "none"
        with contextlib.ExitStack() as contexts:
            contexts.enter_context(self._observer.enclosing("attempt", self._action, self._attempts))
            started_at = anyio.current_time()
            failure: BaseException | None = None
            try:
                yield
            except BaseException as exc:
                self._failed(exc)
                failure = exc
                raise
            finally:
                on_wire = anyio.current_time() - started_at
                self._on_wire += on_wire
                self._tell("attempt", failure, self._last_wait, on_wire)
                contexts.close()  # without the error, as above
                del failure  # it refers to this frame

    def replied(self, status: int) -> None:
        self._status, self._answer = status, "reply"

    def saved(self, answer: Literal["coalesced", "cached"]) -> None:
        self._answer = answer

    def _failed(self, error: BaseException) -> None:
        if self._status is None and isinstance(error, ApiError | UnexpectedReply):
            self.replied(error.http_status)  # of a token refresh
        if isinstance(error, RateLimited):
            self._answer = "refused"

    def _tell(self, kind: Kind, error: BaseException | None, waited: float, on_wire: float) -> None:
        event = CallEvent(
            kind=kind,
            action=self._action,
            account=self._observer.account,
            lane=self._lane,
            seconds_waited=waited,
            seconds_on_wire=on_wire,
            attempt=self._attempts,
            status=self._status,
            outcome=_outcome(error),
            answer=self._answer,
        )
        self._observer.tell(event)


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    name = type(error).__name__
    return "Cancelled" if name == "CancelledError" else name  # asyncio's name; trio's is Cancelled
