"""The HTTP client on real sockets: whether a failed request may have arrived, and what the client never does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import re
import socket
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx
import pytest
import respx

from tests.support.clocks import LoopClock
from tests.support.constants import KEY, TOKEN
from tests.support.login_harness import free_port
from tests.support.tcp import (
    BODY,
    REPLY,
    Behaviour,
    TcpServer,
    answer,
    answer_and_close,
    answer_repeatedly,
    answer_slowly,
    close_after_reading,
    close_at_once,
    cut_the_body,
    cut_the_headers,
    echo,
    never_answer,
    reset_after_reading,
    stop_in_the_body,
)
from worksection_async import AccessToken, ApiKey, Session, TokenBucket, __version__, errors
from worksection_async._limits.bucket_state import BucketState
from worksection_async._protocol.structure import Structure
from worksection_async._transport.http import Http
from worksection_async.errors import CallTimeout, TransportError, UnexpectedReply, WorksectionError
from worksection_async.models import Task

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_retry_delay", "one_ssl_context")]

HANG_SECONDS = 60.0

Make = Callable[..., Session]


def session(server: TcpServer | str, **options: Any) -> Session:
    url = server if isinstance(server, str) else server.url
    auth = options.pop("auth", ApiKey(KEY))
    return Session(url, auth, **{"limiter": TokenBucket(1e6), "retries": 0, "timeout": HANG_SECONDS, **options})


async def failure(server: TcpServer | str, **options: Any) -> WorksectionError:
    """Return the error of a call to *server*."""
    async with session(server, **options) as ws:
        with pytest.raises(WorksectionError) as caught:
            await ws.get_tasks(26)
    return caught.value


def files_of_traceback(error: BaseException) -> list[str]:
    return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]


def wait_for_request(server: TcpServer) -> None:
    """Block until *server* has read a request."""
    while not server.received and not server.done.wait(0.005):
        pass


# Whether the request was sent


async def test_refused_connection_means_never_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    error = await failure(url)
    assert type(error) is TransportError
    assert error.sent is False
    assert "was not sent" in str(error)


@pytest.mark.parametrize(
    "behaviour",
    [close_after_reading, reset_after_reading, cut_the_headers, cut_the_body, echo],
    ids=lambda b: b.__name__,
)
async def test_failure_after_sending_means_may_have_arrived(
    serve: Callable[..., TcpServer], behaviour: Behaviour
) -> None:
    server = serve(behaviour)
    error = await failure(server)
    assert type(error) is TransportError
    assert error.sent is True
    assert str(error).endswith("The request may have arrived. The call only reads: you can repeat it.")
    assert len(server.received) == 1


async def test_failure_of_a_write_after_sending_says_that_it_may_have_been_executed(
    serve: Callable[..., TcpServer],
) -> None:
    async with session(serve(close_after_reading)) as ws:
        with pytest.raises(TransportError, match="may have been executed: check before") as caught:
            await ws.post_task(26, "a")
    assert caught.value.sent is True


async def test_connection_closed_before_reading_is_never_sent_only_if_certain(
    serve: Callable[..., TcpServer],
) -> None:
    """The client may have sent bytes already: `sent` is False only if the connection failed."""
    server = serve(close_at_once)
    error = await failure(server)
    assert isinstance(error, TransportError)
    assert server.received == []
    assert error.sent or "ConnectError" in str(error)


async def test_a_failed_connection_names_the_host() -> None:
    error = await failure(f"http://127.0.0.1:{(port := free_port())}")
    assert re.search(rf"ConnectError: .+ \(to 127\.0\.0\.1:{port}\)\. The request was not sent", str(error))


@pytest.mark.parametrize("behaviour", [never_answer, answer_slowly, stop_in_the_body], ids=lambda b: b.__name__)
def test_missing_answer_is_a_timeout(serve: Callable[..., TcpServer], behaviour: Behaviour, anyio_backend: str) -> None:
    server, clock, caught = serve(behaviour), LoopClock(), []

    async def call() -> None:
        caught.append(await failure(server, timeout=8.0))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await anyio.to_thread.run_sync(wait_for_request, server)
            clock.advance(8.0)

    clock.run(main, anyio_backend)
    (error,) = caught
    assert type(error) is CallTimeout
    assert error.sent is True
    assert "8 s" in str(error)


async def test_timeout_limits_the_whole_exchange(serve: Callable[..., TcpServer]) -> None:
    def drip(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        for byte in REPLY:
            connection.sendall(bytes([byte]))
            if server.done.wait(0.02):
                return

    error = await failure(serve(drip), timeout=0.3)
    assert type(error) is CallTimeout
    assert "no answer within 0.3 s" in str(error), "the timeout of a single read has another text"


@pytest.mark.parametrize(("timeout", "reason"), [(HANG_SECONDS, "ConnectTimeout"), (0.05, "")])
async def test_connect_timeout_means_never_sent(
    unreachable: str, timeout: float, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for connecting is limited by a constant of its own and by the timeout of the call."""
    monkeypatch.setattr("worksection_async._transport.http.CONNECT_TIMEOUT_SECONDS", 0.1)
    error = await failure(unreachable, timeout=timeout)
    assert type(error) is CallTimeout
    assert error.sent is False
    assert reason in str(error)


async def test_unknown_host_means_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await failure("https://acme.worksection.com")
    assert type(error) is TransportError
    assert error.sent is False


async def test_failure_on_a_reused_connection_means_may_have_arrived(serve: Callable[..., TcpServer]) -> None:
    """The server closes the connection after the second request."""

    def answer_then_close(server: TcpServer, connection: socket.socket) -> None:
        answer(server, connection)
        close_after_reading(server, connection)

    async with session(serve(answer_then_close)) as ws:
        await ws.get_tasks(26)
        with pytest.raises(TransportError) as caught:
            await ws.get_tasks(26)
    assert caught.value.sent is True


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (httpx.ConnectError, False), (httpx.ConnectTimeout, False), (httpx.PoolTimeout, False),
        (httpx.ProxyError, False), (httpx.UnsupportedProtocol, False),
        (httpx.ReadError, True), (httpx.WriteError, True), (httpx.CloseError, True), (httpx.ReadTimeout, True),
        (httpx.WriteTimeout, True), (httpx.RemoteProtocolError, True), (httpx.LocalProtocolError, True),
        (httpx.DecodingError, True), (httpx.TooManyRedirects, True),
    ],
)  # fmt: skip
async def test_transport_without_events_is_assumed_to_have_sent(
    session_with: Make, kind: type[httpx.RequestError], sent: bool
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise kind("a reason")

    async with session_with(fail, retries=0) as ws:
        with pytest.raises(TransportError, match="a reason") as caught:
            await ws.get_tasks(26)
    assert caught.value.sent is sent
    assert isinstance(caught.value, CallTimeout) == issubclass(kind, httpx.TimeoutException)


# Errors hold no httpx objects


@pytest.mark.one_row_on_trio("behaviour")
@pytest.mark.parametrize(
    "behaviour",
    [close_after_reading, cut_the_headers, cut_the_body, echo, never_answer, stop_in_the_body],
    ids=lambda b: b.__name__,
)
@pytest.mark.parametrize("auth", [ApiKey(KEY), ApiKey(KEY, scheme="signature"), AccessToken(TOKEN)], ids=repr)
async def test_errors_hold_no_httpx_objects(serve: Callable[..., TcpServer], behaviour: Behaviour, auth: Any) -> None:
    """An httpx error holds its request, and the request holds the credential."""
    error: BaseException | None = await failure(serve(behaviour), auth=auth, timeout=0.1)
    assert isinstance(error, TransportError)
    assert (error.__cause__, error.__context__) == (None, None)
    assert not any("httpx" in type(value).__module__ for value in vars(error).values())
    assert not any("/http" in Path(file).parent.as_posix() for file in files_of_traceback(error))


async def test_error_of_a_retry_does_not_hold_the_first_error(serve: Callable[..., TcpServer]) -> None:
    async with session(serve(cut_the_body), retries=1) as ws:
        with pytest.raises(TransportError) as caught:
            await ws.get_tasks(26)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


# Before and after the slot


async def test_concurrent_calls_open_one_client(session_with: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    new_client = Http._new_client

    def recording(http: Http, action: str) -> httpx.AsyncClient:
        opened.append(http)
        return new_client(http, action)

    monkeypatch.setattr(Http, "_new_client", recording)
    ws = session_with(lambda _: httpx.Response(200, content=BODY), coalesce=False)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ws.get_tasks, 26)
    await ws.aclose()
    assert len(opened) == 1


async def test_models_are_compiled_before_the_slot_starts(session_with: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes milliseconds of the event loop and would delay the request after its slot has started."""
    steps: list[object] = []
    monkeypatch.setattr(Structure, "make_ready", lambda _, model: steps.append(model))
    enter = TokenBucket.enter

    def recording(*arguments: Any, **options: Any) -> None:
        steps.append("queue")
        enter(*arguments, **options)

    monkeypatch.setattr(TokenBucket, "enter", recording)
    async with session_with(lambda _: httpx.Response(200, content=BODY)) as ws:
        await ws.get_tasks(26)
        await ws.complete_task(1)
    assert steps == [Task, "queue", "queue"]


async def test_limiter_failure_after_sending_does_not_fail_the_write(serve: Callable[..., TcpServer]) -> None:
    """A failed write would be retried, and executed twice."""

    class FailingBucket(TokenBucket):
        changes = 0

        def _change(self, change: Callable[[BucketState, float], Any]) -> Any:
            self.changes += 1
            if self.changes > 1:
                raise TransportError("limiter", "unreachable", sent=False)
            return super()._change(change)

    limiter, server = FailingBucket(1e6), serve(answer)
    async with session(server, limiter=limiter, retries=3) as ws:
        await ws.complete_task(1)
    assert len(server.received) == 1
    assert limiter.changes > 1


# One origin, no cookies, no redirects


async def test_cookies_are_ignored(session_with: Make) -> None:
    router = respx.Router()
    route = router.get("https://acme.worksection.com/api/admin/v2/").mock(
        return_value=httpx.Response(200, content=BODY, headers={"Set-Cookie": "rsid=abc; path=/"})
    )
    async with session_with(router.handler) as ws:
        await ws.get_tasks(26)
        await ws.get_tasks(26)
        assert not ws._caller.connection.http._client("get_tasks")._cookies
    assert route.call_count == 2
    assert all("cookie" not in call.request.headers for call in route.calls)


async def test_cookies_are_ignored_on_a_real_connection(serve: Callable[..., TcpServer]) -> None:
    def set_cookie(server: TcpServer, connection: socket.socket) -> None:
        for _ in range(2):
            server.read_request(connection)
            connection.sendall(REPLY.replace(b"\r\n\r\n", b"\r\nSet-Cookie: rsid=abc; path=/\r\n\r\n", 1))

    server = serve(set_cookie)
    async with session(server) as ws:
        await ws.get_tasks(26)
        await ws.get_tasks(26)
    assert len(server.received) == 2
    assert b"rsid" not in b"".join(server.received)


async def test_plain_http_uses_no_proxy(serve: Callable[..., TcpServer], monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = serve(answer), serve(answer)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    async with session(server) as ws:
        await ws.get_tasks(26)
    assert (len(server.received), proxy.received) == (1, [])


async def test_https_uses_the_proxy_of_the_environment(
    serve: Callable[..., TcpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    proxy = serve(refuse)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    async with Session("acme", ApiKey(KEY), limiter=TokenBucket(1e6), retries=0) as ws:
        with pytest.raises(TransportError, match="403") as caught:
            await ws.get_tasks(26)
    assert not caught.value.sent
    assert proxy.received[0].startswith(b"CONNECT acme.worksection.com:443 ")


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(serve: Callable[..., TcpServer], status: int) -> None:
    elsewhere = serve(answer)
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/api/\r\nContent-Length: 0\r\n\r\n".encode()

    def redirect(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(head)

    error = await failure(serve(redirect), auth=AccessToken(TOKEN))
    assert isinstance(error, UnexpectedReply)
    assert error.http_status == status
    assert elsewhere.received == []


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize(
    ("account", "origin"),
    [
        ("acme", "https://acme.worksection.com"),
        ("https://ACME.worksection.com/", "https://acme.worksection.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
@pytest.mark.parametrize("auth", [ApiKey(KEY), ApiKey(KEY, scheme="signature"), AccessToken(TOKEN)], ids=repr)
async def test_requests_go_to_the_configured_origin_with_a_user_agent(account: str, origin: str, auth: Any) -> None:
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, content=BODY)

    async with Session(account, auth, limiter=TokenBucket(1e6), transport=httpx.MockTransport(handler)) as ws:
        await ws.get_tasks(26)
        await ws.call("post_task", {"id_project": 26, "title": "//example.com/?a=b#c"})
    for request in requests:
        assert request.url.copy_with(raw_path=b"/") == httpx.URL(f"{origin}/")
        assert request.headers["Host"] == origin.partition("//")[2]
        assert request.headers["User-Agent"] == f"worksection-async/{__version__}"


async def test_signed_query_is_sent_byte_for_byte(serve: Callable[..., TcpServer]) -> None:
    server = serve(answer)
    async with session(server) as ws:
        await ws.call("search_tasks", {"filter": "name has 'Ω + 1,5 %/?&=#~'"})
    line = server.received[0].partition(b"\r\n")[0].decode()
    assert line.startswith("GET /api/admin/v2/?action=search_tasks&filter=name%20has%20%27%CE%A9%20%2B%201%2C5%20%25")
    assert line.endswith(" HTTP/1.1")


async def test_connection_is_reused(serve: Callable[..., TcpServer]) -> None:
    connections = []

    def count(server: TcpServer, connection: socket.socket) -> None:
        connections.append(connection)
        answer_repeatedly(server, connection)

    async with session(serve(count)) as ws:
        for _ in range(3):
            await ws.get_tasks(26)
    assert len(connections) == 1


async def test_number_of_connections_is_not_limited(serve: Callable[..., TcpServer]) -> None:
    """With a limit, the pool of httpx could lose connections when calls are cancelled while they wait for one."""
    barrier = threading.Barrier(20)

    def answer_when_all_have_asked(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        barrier.wait(HANG_SECONDS)
        connection.sendall(REPLY)

    async with session(serve(answer_when_all_have_asked)) as ws, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ws.with_options(coalesce=False).get_tasks, 26)
    assert not barrier.broken


async def test_session_works_after_a_cancelled_call(serve: Callable[..., TcpServer]) -> None:
    server = serve(never_answer, answer_repeatedly)
    async with session(server) as ws:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ws.get_tasks, 26)
            await anyio.to_thread.run_sync(wait_for_request, server)
            tasks.cancel_scope.cancel()
        assert [task.id for task in await ws.get_tasks(26)] == [1]


# Opening and closing


async def test_closed_session_refuses_calls(session_with: Make) -> None:
    ws = session_with(lambda _: httpx.Response(200, content=BODY))
    view = ws.with_options(lane="bulk")
    async with ws:
        await ws.get_tasks(26)
    for closed in (ws, view):
        with pytest.raises(RuntimeError, match="closed"):
            await closed.get_tasks(26)
    await ws.aclose()  # idempotent


class CountingTransport(httpx.MockTransport):
    """Counts how often it is closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_session_does_not_close_the_transport_of_its_user() -> None:
    transport = CountingTransport(lambda _: httpx.Response(200, content=BODY))
    for _ in range(2):
        async with Session("acme", ApiKey(KEY), limiter=TokenBucket(1e6), transport=transport) as ws:
            assert await ws.get_tasks(26)
    assert transport.closed == 0


async def test_closing_one_session_does_not_cut_off_another_that_shares_its_transport(
    serve: Callable[..., TcpServer],
) -> None:
    may_answer = threading.Event()

    def answer_late(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        may_answer.wait(HANG_SECONDS)
        connection.sendall(REPLY)

    server = serve(answer_late, answer)
    async with (
        httpx.AsyncHTTPTransport() as transport,
        session(server, transport=transport) as ws,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ws.call, "post_task", {"id_project": 26, "title": "a"})
        await anyio.to_thread.run_sync(wait_for_request, server)
        async with session(server, transport=transport) as other:
            assert await other.get_tasks(26)
        may_answer.set()
    assert len(server.received) == 2


def test_one_session_serves_successive_event_loops(serve: Callable[..., TcpServer]) -> None:
    """A connection can be used only in the event loop that opened it, so each loop opens its own."""
    ws = session(serve(answer_and_close))

    async def call() -> list[int]:
        return [task.id for task in await ws.get_tasks(26)]

    assert asyncio.run(call()) == [1]
    assert anyio.run(call, backend="trio") == [1]
    assert asyncio.run(call()) == [1]
    asyncio.run(ws.aclose())
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(call())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux")
def test_closed_event_loops_leave_no_open_sockets(serve: Callable[..., TcpServer]) -> None:
    """One session, with one `asyncio.run` per call; the server keeps the connections open."""
    ws, before = session(serve(answer)), _open_sockets()

    async def call() -> None:
        await ws.get_tasks(26)

    for _ in range(200):
        asyncio.run(call())
        assert not ws._caller.connection.http._clients
    gc.collect()
    assert _open_sockets() - before < 300, "only the server's ends of 200 connections may be open"
    asyncio.run(ws.aclose())


def test_an_event_loop_that_was_closed_without_a_shutdown_is_released(serve: Callable[..., TcpServer]) -> None:
    """Two siblings: the session is used in another loop, and the session is closed in another loop."""
    ws = session(serve(answer_and_close))
    http = ws._caller.connection.http
    released = []
    for last in (ws.get_tasks(26), ws.aclose()):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(ws.get_tasks(26))
        released.append(weakref.ref(loop))
        loop.close()
        del loop
        asyncio.run(last)
        assert (http._clients, http._opening) == ({}, {})
        gc.collect()
    assert [loop() for loop in released] == [None, None]


def _open_sockets() -> int:
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(link.readlink()).startswith("socket:")
    return count


def test_one_session_serves_concurrent_event_loops(serve: Callable[..., TcpServer]) -> None:
    ws = session(serve(answer_and_close))
    results: list[int] = []
    barrier = threading.Barrier(2)

    async def main() -> None:
        barrier.wait(HANG_SECONDS)
        for _ in range(5):
            results.extend(task.id for task in await ws.get_tasks(26))

    threads = [
        threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": name}) for name in ("asyncio", "trio")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)
    assert results == [1] * 10


@pytest.mark.filterwarnings("ignore:Exception ignored")  # the first loop leaves a connection
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_a_transport_that_was_used_in_another_event_loop_is_a_transport_error(
    serve: Callable[..., TcpServer], anyio_backend: str
) -> None:
    server = serve(answer_repeatedly)
    error = _error_in_the_second_loop(server, anyio_backend)
    gc.collect()
    assert "a transport belongs to one event loop" in str(error)
    assert (error.sent, error.is_permanent) == (True, True)
    assert len(server.received) <= 2, "it was not retried"


def _error_in_the_second_loop(server: TcpServer, backend: str) -> TransportError:
    """Use a transport that keeps its connection when the first loop is closed."""

    class Transport(httpx.AsyncHTTPTransport):
        async def aclose(self) -> None:
            pass

    ws = session(server, transport=Transport(), retries=3)
    anyio.run(ws.get_tasks, 26, backend=backend)
    with pytest.raises(TransportError) as caught:
        anyio.run(ws.get_tasks, 26, backend=backend)
    return caught.value.with_traceback(None)


@pytest.mark.parametrize(
    "error", [RuntimeError("Lock is bound to a different event loop"), RuntimeError("no running event loop")], ids=repr
)
async def test_other_words_for_another_event_loop_get_the_same_advice(session_with: Make, error: Exception) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    async with session_with(fail) as ws:
        with pytest.raises(TransportError, match="give the session of each event loop a transport of its own"):
            await ws.get_tasks(26)


async def test_error_of_the_limiter_inside_the_transport_is_raised_unchanged(
    serve: Callable[..., TcpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of this package is not blamed on the transport through which it passes."""

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with session(serve(answer)) as ws:
        monkeypatch.setattr(type(ws.limiter), "sent", fail)
        with pytest.raises(ZeroDivisionError) as caught:
            await ws.get_tasks(26)
    files = files_of_traceback(caught.value)
    assert files[-1] == __file__, "the place of the error is known"
    assert not any("httpcore" in file for file in files)


# Views and options


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"retries": -1}, {"lane": "slow"},
        {"max_wait": -1}, {"max_wait": float("nan")},
    ],
    ids=repr,
)  # fmt: skip
async def test_invalid_options_are_refused(session_with: Make, options: dict[str, Any]) -> None:
    async with session_with(lambda _: httpx.Response(200, content=BODY)) as ws:
        with pytest.raises(errors.InvalidCall):
            ws.with_options(**options)
        if options.keys() <= {"timeout", "retries"}:
            with pytest.raises(errors.InvalidCall):
                session_with(lambda _: httpx.Response(200), **options)


async def test_user_actions_need_an_access_token(session_with: Make) -> None:
    """The admin key belongs to no user: such a call is refused before anything is sent."""
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"status": "ok", "data": {"id": 1}})

    async with session_with(handler) as ws:
        with pytest.raises(errors.InvalidCall, match="access token"):
            await ws.me()
    async with session_with(handler, auth=AccessToken(TOKEN)) as ws:
        assert (await ws.me()).id == 1
    assert len(requests) == 1


class CountingBody(httpx.AsyncByteStream):
    """A body that counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def __aiter__(self) -> Any:
        yield BODY

    async def aclose(self) -> None:
        self.closed += 1


class PlainTransport(httpx.AsyncBaseTransport):
    """A transport that reads `request.content` and answers with *status*."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.contents: list[bytes] = []
        self.body = CountingBody()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.contents.append(request.content)
        return httpx.Response(self.status, stream=self.body)


async def test_request_content_is_readable_for_any_transport() -> None:
    transport = PlainTransport()
    auth = ApiKey(KEY, scheme="signature")
    async with Session("acme", auth, limiter=TokenBucket(rate=1e6), transport=transport) as ws:
        assert len(await ws.get_tasks(26)) == 1
    assert transport.contents == [b'{"id_project": 26}']


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize("status", [200, 206])
async def test_unread_response_is_closed_exactly_once(status: int) -> None:
    transport = PlainTransport(status)
    async with Session("acme", ApiKey(KEY), limiter=TokenBucket(rate=1e6), transport=transport, retries=0) as ws:
        with pytest.raises(WorksectionError):
            async with ws.open_download(5):
                pass
    assert transport.body.closed == 1


LARGE_BODY = b'{"status":"ok","data":[' + b",".join([b'{"id":1}'] * 10_000) + b"]}"


async def test_large_reply_is_decoded_in_a_worker_thread(session_with: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    read = __import__("worksection_async._protocol.envelope", fromlist=["read_reply"]).read_reply

    def recording(*arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return read(*arguments)

    monkeypatch.setattr("worksection_async._session.caller.read_reply", recording)
    bodies = iter([BODY, LARGE_BODY])
    async with session_with(lambda _: httpx.Response(200, content=next(bodies))) as ws:
        assert len(await ws.get_tasks(26)) == 1
        assert len(await ws.get_tasks(26)) == 10_000
    small_reply, large_reply = threads
    assert small_reply == threading.get_ident() != large_reply


async def test_call_needs_no_thread_of_the_default_limiter(session_with: Make) -> None:
    """All of them may be waiting for the call: synchronous endpoints call a session by `anyio.from_thread.run`."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    async def call() -> int:
        with anyio.fail_after(HANG_SECONDS):
            await ws.post_task(26, "a", attach=[Pipe(b"abc")])
            return len(await ws.get_tasks(26))

    bodies = iter([b'{"status":"ok","data":{"id":1}}', LARGE_BODY])
    threads = anyio.to_thread.current_default_thread_limiter()
    usual, threads.total_tokens = threads.total_tokens, 1
    try:
        async with session_with(lambda _: httpx.Response(200, content=next(bodies))) as ws:
            assert await anyio.to_thread.run_sync(anyio.from_thread.run, call) == 10_000
    finally:
        threads.total_tokens = usual
