"""`OpenTelemetry`, with the SDK's in-memory exporters and beside the instrumentation of httpx."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.session.test_call_events import _hash, assert_not_in, random_calls
from worksection_async import ApiKey, MemoryTokenStore, OAuth2, OpenTelemetry, Session, TokenBucket, errors
from worksection_async.testing import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_retry_delay")]


@attrs.frozen
class Telemetry:
    on_call: OpenTelemetry
    spans_: InMemorySpanExporter
    reader: InMemoryMetricReader

    def spans(self) -> list[ReadableSpan]:
        return sorted(self.spans_.get_finished_spans(), key=lambda span: span.start_time or 0)

    def metrics(self) -> dict[str, list[Any]]:
        data: Any = self.reader.get_metrics_data()
        scopes = data.resource_metrics[0].scope_metrics if data else []
        return {each.name: list(each.data.data_points) for scope in scopes for each in scope.metrics}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    yield Telemetry(OpenTelemetry(tracers, meters), exporter, reader)
    meters.shutdown()
    tracers.shutdown()


async def test_a_call_is_a_span_with_a_child_per_attempt(telemetry: Telemetry) -> None:
    async with Simulator() as sim, sim.session(on_call=telemetry.on_call) as ws:
        sim.fail("get_users", "server_error")
        await ws.get_users()
    call, first, second = telemetry.spans()
    assert [span.name for span in (call, first, second)] == ["get_users", "get_users attempt", "get_users attempt"]
    assert call.parent is None
    assert first.parent is not None
    assert first.parent == second.parent == call.context
    assert "http.request.resend_count" not in (first.attributes or {})
    assert (second.attributes or {})["http.request.resend_count"] == 1
    assert (first.attributes or {})["http.response.status_code"] == 502
    assert (first.attributes or {})["error.type"] == "UnexpectedReply"
    assert not first.status.is_ok
    assert call.status.is_ok
    assert all("worksection.wait" in (span.attributes or {}) for span in (call, first, second))


async def test_spans_of_an_instrumented_httpx_are_children_of_the_attempts(
    telemetry: Telemetry, request: pytest.FixtureRequest
) -> None:
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(telemetry.spans_))
    HTTPXClientInstrumentor().instrument(tracer_provider=tracers)
    request.addfinalizer(HTTPXClientInstrumentor().uninstrument)
    async with Simulator() as sim, sim.serve() as url:
        async with Session(url, ApiKey(sim.api_key), limiter=TokenBucket(1e6), on_call=telemetry.on_call) as ws:
            await ws.get_users()
        call, attempt, sent = telemetry.spans()
        secrets = {sim.api_key, *(_hash(each.query) for each in sim.requests)}
    assert sent.name == "GET"
    assert sent.parent is not None
    assert attempt.parent is not None
    assert sent.parent.span_id == attempt.context.span_id
    assert attempt.parent.span_id == call.context.span_id
    assert_not_in(secrets, "".join(span.to_json() for span in telemetry.spans()))


async def test_the_exporters_get_no_secret(telemetry: Telemetry) -> None:
    async with Simulator(seed="empty") as sim:
        pair = sim.issue_pair(expires_in=-1)
        auth = OAuth2(sim.oauth_app(), MemoryTokenStore(pair))
        async with sim.session(auth, on_call=telemetry.on_call) as ws, sim.session(on_call=telemetry.on_call) as keyed:
            await random_calls(ws, sim, random.Random(3), 100)
            sim.clear_faults()
            await keyed.get_users()
        tokens = {each.headers.get("authorization", "").removeprefix("Bearer ") for each in sim.requests}
        hashes = {_hash(each.query) for each in sim.requests}
    secrets = {sim.api_key, sim.oauth.client_secret, pair.access_token, pair.refresh_token or "", "confidential-title"}
    text = "".join(span.to_json() for span in telemetry.spans()) + repr(telemetry.metrics())
    assert "post_task" in text
    assert_not_in((secrets | tokens | hashes) - {""}, text)


async def test_waits_refusals_refreshes_and_queues_are_metrics(telemetry: Telemetry) -> None:
    async with Simulator() as sim:
        auth = OAuth2(sim.oauth_app(), MemoryTokenStore(sim.issue_pair(expires_in=-1)))
        async with sim.session(auth, on_call=telemetry.on_call) as ws:
            telemetry.on_call.watch_queue(ws.limiter, "acme")
            sim.fail("get_users", "too_many_requests", times=2)
            await ws.get_users()
            metrics = telemetry.metrics()
    (waits,), (refusals,) = metrics["worksection.wait.duration"], metrics["worksection.refusals"]
    assert (waits.count, waits.attributes["worksection.lane"]) == (3, "normal")
    assert (refusals.value, refusals.attributes["worksection.action"]) == (2, "get_users")
    assert [point.value for point in metrics["worksection.token.refreshes"]] == [1]
    lanes = {point.attributes["worksection.lane"]: point.value for point in metrics["worksection.queue.length"]}
    assert lanes == {"interactive": 0, "normal": 0, "bulk": 0}


async def test_the_text_of_an_error_is_in_no_span(telemetry: Telemetry) -> None:
    async with Simulator() as sim, sim.session(on_call=telemetry.on_call) as ws:
        with pytest.raises(errors.NotFound):
            await ws.get_task(404404)
    assert all(not span.events and not span.status.description for span in telemetry.spans())
    assert "404404" not in "".join(span.to_json() for span in telemetry.spans())


def test_without_opentelemetry_the_package_works_and_the_class_names_its_extra() -> None:
    script = """
import sys
sys.modules["opentelemetry"] = None
import worksection_async
try:
    worksection_async.OpenTelemetry()
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "worksection-async[otel]" in done.stdout


def test_importing_the_package_does_not_import_opentelemetry() -> None:
    script = "import sys, worksection_async; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
