"""Spans and metrics of OpenTelemetry, from the events of a session. Needs the extra ``otel``.

Only constructing `OpenTelemetry` imports the package ``opentelemetry``.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .._limits.limiter import Limiter
from .._protocol.service import OAUTH_REFRESH
from .._transport.call_events import CallEvent, Kind
from .._transport.version import __version__
from ..models._extras import needs_extra

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider

NAME = "worksection_async"
REFRESH = OAUTH_REFRESH.strip("/").replace("/", "_")


class OpenTelemetry:
    """The ``on_call`` of a session that reports to OpenTelemetry: ``Session(…, on_call=OpenTelemetry())``.

    A call is a span with the name of its action; each of its requests is a child, and the current span while it is
    sent, so that spans of an instrumented httpx are children of the request.

    Args:
        tracer_provider: Creates the tracer; the default is the global provider.
        meter_provider: Creates the meter; the default is the global provider.

    Raises:
        ModuleNotFoundError: The package ``opentelemetry-api`` is not installed.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        with needs_extra("otel", "worksection_async.OpenTelemetry"):
            from opentelemetry import metrics, trace  # noqa: PLC0415
        self._trace = trace
        self._observation = metrics.Observation
        self._tracer = trace.get_tracer(NAME, __version__, tracer_provider)
        meter = metrics.get_meter(NAME, __version__, meter_provider)
        self._waits = meter.create_histogram("worksection.wait.duration", "s", "Time of a request in the queue")
        self._refusals = meter.create_counter("worksection.refusals", "{request}", "Requests refused as too early")
        self._refreshes = meter.create_counter("worksection.token.refreshes", "{refresh}", "Refreshes of a token")
        self._limiters: weakref.WeakKeyDictionary[Limiter, str] = weakref.WeakKeyDictionary()
        meter.create_observable_gauge(
            "worksection.queue.length", [self._queue_lengths], "{call}", "Calls that wait for a slot"
        )

    def watch_queue(self, limiter: Limiter, account: str = "") -> None:
        """Report the length of the queue of *limiter*, per lane, until the limiter is garbage.

        Args:
            limiter: ``ws.limiter``; it is known once the session is open.
            account: The value of the metric's attribute ``worksection.account``, if there are several accounts.
        """
        self._limiters[limiter] = account

    def __call__(self, event: CallEvent) -> None:
        """Add *event* to the current span, which `enclose` has started, and to the metrics."""
        self._describe(event)
        if event.kind == "call":
            if event.action == REFRESH:
                self._refreshes.add(1, {"worksection.outcome": event.outcome})
            return
        labels = {"worksection.action": event.action, "worksection.account": event.account}
        if event.lane:
            self._waits.record(event.seconds_waited, {**labels, "worksection.lane": event.lane})
        if event.answer == "refused":
            self._refusals.add(1, labels)

    @contextlib.contextmanager
    def enclose(self, kind: Kind, action: str, attempt: int) -> Iterator[None]:
        """Start a span and make it the current one; the context manager ends it."""
        name = action if kind == "call" else f"{action} attempt"
        # The text of an error may contain parameters: `__call__` adds the name of its class.
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            if attempt > 1:
                span.set_attribute("http.request.resend_count", attempt - 1)
            yield

    def _describe(self, event: CallEvent) -> None:
        span = self._trace.get_current_span()
        span.set_attributes(
            {
                "worksection.action": event.action,
                "worksection.account": event.account,
                "worksection.wait": event.seconds_waited,
                "worksection.answer": event.answer,
            }
        )
        if event.lane:
            span.set_attribute("worksection.lane", event.lane)
        if event.status is not None:
            span.set_attribute("http.response.status_code", event.status)
        if event.outcome != "ok":
            span.set_attribute("error.type", event.outcome)
            span.set_status(self._trace.StatusCode.ERROR)

    def _queue_lengths(self, _: CallbackOptions) -> Iterable[Observation]:
        for limiter, account in list(self._limiters.items()):
            for lane, length in limiter.statistics().waiting.items():
                yield self._observation(length, {"worksection.lane": lane, "worksection.account": account})
