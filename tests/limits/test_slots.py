"""Sessions and slots: no request is sent before its slot, and an unused slot is returned."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
import trio
import trio.testing

from tests.support.tcp import REPLY, TcpServer, answer
from tests.support.virtual_time import virtual_time
from worksection_async import ApiKey, FileTokenBucket, Session, TokenBucket, errors
from worksection_async._limits.bucket_state import MAX_JITTER
from worksection_async._limits.queue import Waiter
from worksection_async._transport.trace import RequestTrace

SECOND_SLOT_SECONDS = 1 + MAX_JITTER


class Service:
    """A service that answers each request, and records its action and arrival time."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[str, float]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.arrivals.append((request.url.params["action"], trio.current_time()))
        return httpx.Response(200, json={"status": "ok", "data": []})


@contextlib.asynccontextmanager
async def session(service: Callable[[httpx.Request], httpx.Response], **options: Any) -> AsyncIterator[Session]:
    """A session on the virtual clock; its first slot was used just now."""
    limiter = TokenBucket(clock=trio.current_time)
    options = {"limiter": limiter, "coalesce": False, "retries": 0, **options}
    async with Session("example", ApiKey("key"), transport=httpx.MockTransport(service), **options) as ws:
        await limiter.acquire()
        yield ws


@virtual_time
async def test_with_a_transport_without_trace_events_requests_are_an_interval_apart() -> None:
    service = Service()
    async with session(service) as ws, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ws.get_tasks, 1)
    assert len(service.arrivals) == 20
    assert min(after - before for (_, before), (_, after) in itertools.pairwise(service.arrivals)) >= 1


@virtual_time
async def test_a_cancelled_call_is_not_sent_and_returns_its_slot() -> None:
    """A read and a write are cancelled while they wait for a slot."""
    service = Service()
    async with session(service) as ws, anyio.create_task_group() as tasks:
        began = trio.current_time()
        calls: list[Callable[[], Awaitable[object]]] = [ws.get_users, lambda: ws.add_user("a@example.com")]
        scopes = [anyio.CancelScope() for _ in calls]
        for scope, call in zip(scopes, calls, strict=True):
            tasks.start_soon(_within, scope, call)
        tasks.start_soon(ws.get_tasks, 1)
        await trio.sleep(SECOND_SLOT_SECONDS - 0.001)
        for scope in scopes:
            scope.cancel()
    ((action, arrival),) = service.arrivals
    assert action == "get_tasks"
    assert arrival == pytest.approx(began + SECOND_SLOT_SECONDS)


async def _within(scope: anyio.CancelScope, call: Callable[[], Awaitable[object]]) -> None:
    with scope:
        await call()


@virtual_time
async def test_the_waiting_time_does_not_count_for_the_timeout() -> None:
    """The timeout is 0.5 s, and the slots are due after 1, 2 and 3 s."""
    service = Service()
    async with session(service, timeout=0.5) as ws, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ws.get_tasks, 1)
    assert len(service.arrivals) == 3


@virtual_time
async def test_a_retry_without_a_slot_raises_the_first_failure() -> None:
    """The first attempt could not connect, and the next slot is later than the rest of max_wait."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    async with session(fail, retries=3, max_wait=1.5) as ws:
        with pytest.raises(errors.WaitTooLong) as caught:
            await ws.get_tasks(1)
    assert not caught.value.sent
    assert isinstance(caught.value.__cause__, errors.TransportError)
    assert "no route" in str(caught.value.__cause__)


@pytest.mark.anyio
async def test_no_request_is_sent_before_its_slot(
    serve: Callable[..., TcpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals: list[float] = []
    slots: list[float] = []

    def reply(server: TcpServer, connection: Any) -> None:
        while connection.recv(65536):
            arrivals.append(time.monotonic())
            connection.sendall(REPLY)

    async def sent(self: TokenBucket, waiter: Waiter) -> None:
        slots.append(waiter.granted_at)
        await original_sent(self, waiter)

    original_sent = TokenBucket.sent
    monkeypatch.setattr(TokenBucket, "sent", sent)
    server = serve(reply)
    async with Session(server.url, ApiKey("key"), limiter=TokenBucket(50)) as ws, anyio.create_task_group() as tasks:
        for number in range(1, 11):
            tasks.start_soon(ws.get_tasks, number)
    assert len(arrivals) == len(slots) == 10
    assert all(arrival >= slot for arrival, slot in zip(sorted(arrivals), slots, strict=True))


@pytest.mark.anyio
async def test_a_call_that_cannot_connect_returns_its_slot() -> None:
    limiter = TokenBucket()
    async with Session("http://127.0.0.1:1", ApiKey("key"), limiter=limiter, retries=0) as ws:
        with pytest.raises(errors.TransportError):
            await ws.get_tasks(1)
    assert limiter.statistics().granted == 0
    assert limiter.eta() == 0


@pytest.mark.anyio
async def test_a_call_cancelled_while_it_connects_returns_its_slot(unreachable: str) -> None:
    limiter = TokenBucket()
    async with Session(unreachable, ApiKey("key"), limiter=limiter, coalesce=False) as ws:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ws.get_tasks, 1)
            await anyio.wait_all_tasks_blocked()
            assert limiter.statistics().granted == 1
            tasks.cancel_scope.cancel()
        assert limiter.statistics().granted == 0
        assert limiter.eta() == 0


@pytest.mark.anyio
async def test_a_call_whose_connection_took_too_long_was_not_sent(unreachable: str) -> None:
    async with Session(unreachable, ApiKey("key"), limiter=TokenBucket(), retries=0) as ws:
        with pytest.raises(errors.CallTimeout) as caught:
            await ws.with_options(timeout=0.05).add_user("a@example.com")
    assert not caught.value.sent


class SentCallback:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1


@pytest.mark.anyio
async def test_a_partly_written_request_uses_its_slot() -> None:
    """Some services refuse a request and close the connection before they have read all of it."""
    sent = SentCallback()
    trace = RequestTrace(sent, has_events=False)
    await trace("http11.send_request_headers.started", {"request": SimpleNamespace(method=b"GET")})
    await trace("http11.send_request_headers.failed", {"exception": OSError()})
    assert sent.calls == 1
    assert trace.may_have_arrived


@pytest.mark.anyio
async def test_a_proxy_connect_request_does_not_count_as_sent() -> None:
    sent = SentCallback()
    trace = RequestTrace(sent, has_events=False)
    for method, calls in ((b"CONNECT", 0), (b"POST", 1)):
        await trace("http11.send_request_headers.started", {"request": SimpleNamespace(method=method)})
        await trace("http11.send_request_headers.complete", {"return_value": None})
        assert sent.calls == calls


@pytest.mark.anyio
async def test_closing_a_session_ends_its_waiting_calls(serve: Callable[..., TcpServer]) -> None:
    """The next slot is ten seconds away; no request is sent, and the error names the action."""
    server, failures = serve(answer), []
    ws = Session(server.url, ApiKey("key"), limiter=TokenBucket(0.1), coalesce=False)

    async def call() -> None:
        with pytest.raises(errors.SessionClosed, match="get_tasks") as caught:
            await ws.get_tasks(1)
        failures.append(caught.value)

    with anyio.fail_after(5):
        async with ws, anyio.create_task_group() as tasks:
            await ws.get_tasks(1)
            for _ in range(3):
                tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            await ws.aclose()
    assert len(failures) == 3
    assert all(isinstance(error, errors.WorksectionError) and not error.sent for error in failures)
    assert len(server.received) == 1


@virtual_time
async def test_closing_a_session_ends_a_call_between_two_attempts() -> None:
    """The call does not join the queue again, in which five other calls wait."""

    def fail(request: httpx.Request) -> httpx.Response:
        return httpx.Response(502)

    async with session(fail, retries=3) as ws, anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(errors.SessionClosed, match="get_tasks"):
                await ws.get_tasks(1)
            assert trio.current_time() - began < 1

        tasks.start_soon(call)
        await trio.sleep(SECOND_SLOT_SECONDS + 0.01)
        for _ in range(5):
            tasks.start_soon(ws.limiter.acquire)
        began = trio.current_time()
        await ws.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.usefixtures("no_retry_delay")
async def test_a_briefly_locked_file_fails_no_call(
    coalesce: bool, tmp_path: Path, serve: Callable[..., TcpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError("busy")] * 2
    open_ = FileTokenBucket._open

    def fail_at_first(self: FileTokenBucket) -> Any:
        if failures:
            raise failures.pop()
        return open_(self)

    monkeypatch.setattr(FileTokenBucket, "_open", fail_at_first)
    limiter = FileTokenBucket(tmp_path / "bucket")
    async with Session(serve(answer).url, ApiKey("key"), limiter=limiter, coalesce=coalesce) as ws:
        assert await ws.get_tasks(1)
    assert not failures
