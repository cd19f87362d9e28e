"""The edge: what a failed exchange says about the request, and what the client never does. Sockets are real."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import respx

from tests.support.constants import KEY, TOKEN
from tests.support.tcp import (
    BODY,
    REPLY,
    Behaviour,
    Server,
    answer,
    answer_and_close,
    answer_for_ever,
    answer_slowly,
    close_after_reading,
    close_at_once,
    cut_the_body,
    cut_the_headers,
    echo,
    reset_after_reading,
    say_nothing,
    stop_in_the_body,
)
from worksection_async import AccessToken, ApiKey, Session, TokenBucket, __version__, errors
from worksection_async._limits.bucket_state import BucketState
from worksection_async._protocol.structure import Structure
from worksection_async._transport.http import Http
from worksection_async.errors import CallTimeout, TransportError, UnexpectedReply, WorksectionError
from worksection_async.models import Task

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_retry_delay", "one_ssl_context")]


Make = Callable[..., Session]


def session(server: Server | str, **options: Any) -> Session:
    url = server if isinstance(server, str) else server.url
    auth = options.pop("auth", ApiKey(KEY))
    return Session(url, auth, **{"limiter": TokenBucket(1e6), "retries": 0, "timeout": 5.0, **options})


async def failure(server: Server | str, **options: Any) -> WorksectionError:
    async with session(server, **options) as ws:
        with pytest.raises(WorksectionError) as caught:
            await ws.get_tasks(26)
    return caught.value


# Was it sent?


async def test_a_refused_connection_was_never_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    error = await failure(url)
    assert type(error) is TransportError
    assert error.sent is False
    assert "was never sent" in str(error)


@pytest.mark.parametrize(
    "behaviour",
    [close_after_reading, reset_after_reading, cut_the_headers, cut_the_body, echo],
    ids=lambda b: b.__name__,
)
async def test_what_breaks_after_the_bytes_left_may_have_arrived(
    serve: Callable[..., Server], behaviour: Behaviour
) -> None:
    server = serve(behaviour)
    error = await failure(server)
    assert type(error) is TransportError
    assert error.sent is True
    assert "may have been carried out" in str(error)
    assert len(server.received) == 1


async def test_a_connection_closed_before_anything_was_read_is_in_doubt_or_never_sent(
    serve: Callable[..., Server],
) -> None:
    """The bytes may already have been on their way; what was not sent says so only when it is certain."""
    server = serve(close_at_once)
    error = await failure(server)
    assert isinstance(error, TransportError)
    assert server.received == []
    assert error.sent or "ConnectError" in str(error)


@pytest.mark.parametrize("behaviour", [say_nothing, answer_slowly, stop_in_the_body], ids=lambda b: b.__name__)
async def test_an_answer_that_does_not_come_is_a_timeout(serve: Callable[..., Server], behaviour: Behaviour) -> None:
    error = await failure(serve(behaviour), timeout=0.2)
    assert type(error) is CallTimeout
    assert error.sent is True
    assert "0.2 s" in str(error)


async def test_bytes_that_drip_do_not_prolong_the_time(serve: Callable[..., Server]) -> None:
    """The time is for all of it, not for each read."""

    def drip(server: Server, connection: socket.socket) -> None:
        server.take(connection)
        for byte in REPLY:
            connection.sendall(bytes([byte]))
            if server.done.wait(0.02):
                return

    started = anyio.current_time()
    error = await failure(serve(drip), timeout=0.3)
    assert type(error) is CallTimeout
    assert anyio.current_time() - started < 1


async def test_a_connection_that_never_comes_about_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody accepts, and the queue of the listening socket is full."""
    monkeypatch.setattr("worksection_async._transport.http.CONNECT_TIMEOUT_SECONDS", 0.1)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for timeout in (5.0, 0.05):
            started = anyio.current_time()
            error = await failure(url, timeout=timeout)
            assert type(error) is CallTimeout
            assert error.sent is False
            assert anyio.current_time() - started < 1


async def test_an_unknown_host_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await failure("https://acme.worksection.com")
    assert type(error) is TransportError
    assert error.sent is False


async def test_on_a_connection_that_was_kept_it_may_have_arrived(serve: Callable[..., Server]) -> None:
    """The second request uses the first one's connection, of which the server has had enough."""

    def answer_then_close(server: Server, connection: socket.socket) -> None:
        answer(server, connection)
        close_after_reading(server, connection)

    async with session(serve(answer_then_close)) as ws:
        await ws.get_tasks(26)
        with pytest.raises(TransportError) as caught:
            await ws.get_tasks(26)
    assert caught.value.sent is True


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
async def test_of_a_transport_that_tells_nothing_the_worst_is_assumed(
    session_with: Make, kind: type[httpx.RequestError], sent: bool
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise kind("a reason")

    async with session_with(fail, retries=0) as ws:
        with pytest.raises(TransportError, match="a reason") as caught:
            await ws.get_tasks(26)
    assert caught.value.sent is sent
    assert isinstance(caught.value, CallTimeout) == issubclass(kind, httpx.TimeoutException)


# Nothing of httpx comes out


@pytest.mark.parametrize(
    "behaviour",
    [close_after_reading, cut_the_headers, cut_the_body, echo, say_nothing, stop_in_the_body],
    ids=lambda b: b.__name__,
)
@pytest.mark.parametrize("auth", [ApiKey(KEY), ApiKey(KEY, scheme="signature"), AccessToken(TOKEN)], ids=repr)
async def test_errors_bring_nothing_of_httpx_along(
    serve: Callable[..., Server], behaviour: Behaviour, auth: Any
) -> None:
    """An httpx error knows its request, and that the credential."""
    error: BaseException | None = await failure(serve(behaviour), auth=auth, timeout=0.1)
    assert isinstance(error, TransportError)
    assert (error.__cause__, error.__context__) == (None, None)
    assert not any("httpx" in type(value).__module__ for value in vars(error).values())


async def test_a_failed_retry_does_not_bring_the_first_failure_along(serve: Callable[..., Server]) -> None:
    async with session(serve(cut_the_body), retries=1) as ws:
        with pytest.raises(TransportError) as caught:
            await ws.get_tasks(26)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


# Before a turn, and after it


async def test_calls_that_begin_at_once_open_one_client(session_with: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    new_client = Http._new_client

    def noticed(http: Http) -> httpx.AsyncClient:
        opened.append(http)
        return new_client(http)

    monkeypatch.setattr(Http, "_new_client", noticed)
    ws = session_with(lambda _: httpx.Response(200, content=BODY), coalesce=False)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ws.get_tasks, 26)
    await ws.aclose()
    assert len(opened) == 1


async def test_what_reading_an_answer_needs_is_made_before_the_turn(
    session_with: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made later, it would hold up the event loop while others have a turn."""
    came: list[object] = []
    monkeypatch.setattr(Structure, "make_ready", lambda _, model: came.append(model))
    enter = TokenBucket.enter

    def noticed(*arguments: Any, **options: Any) -> None:
        came.append("turn")
        enter(*arguments, **options)

    monkeypatch.setattr(TokenBucket, "enter", noticed)
    async with session_with(lambda _: httpx.Response(200, content=BODY)) as ws:
        await ws.get_tasks(26)
        await ws.complete_task(1)
    assert came == [Task, "turn", "turn"]


async def test_a_bucket_that_fails_after_a_write_has_left_does_not_fail_the_write(serve: Callable[..., Server]) -> None:
    """Sent again, it would be carried out twice."""

    class Failing(TokenBucket):
        turns = 0

        def _change(self, change: Callable[[BucketState, float], Any]) -> Any:
            self.turns += 1
            if self.turns > 1:
                raise TransportError("limiter", "unreachable", sent=False)
            return super()._change(change)

    limiter, server = Failing(1e6), serve(answer)
    async with session(server, limiter=limiter, retries=3) as ws:
        await ws.complete_task(1)
    assert len(server.received) == 1
    assert limiter.turns > 1


# One origin, no cookies, no redirects


async def test_no_cookie_is_kept(session_with: Make) -> None:
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


async def test_no_cookie_is_kept_over_a_real_connection(serve: Callable[..., Server]) -> None:
    def set_cookie(server: Server, connection: socket.socket) -> None:
        for _ in range(2):
            server.take(connection)
            connection.sendall(REPLY.replace(b"\r\n\r\n", b"\r\nSet-Cookie: rsid=abc; path=/\r\n\r\n", 1))

    server = serve(set_cookie)
    async with session(server) as ws:
        await ws.get_tasks(26)
        await ws.get_tasks(26)
    assert len(server.received) == 2
    assert b"rsid" not in b"".join(server.received)


async def test_plain_http_goes_to_this_machine_and_to_no_proxy(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = serve(answer), serve(answer)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    async with session(server) as ws:
        await ws.get_tasks(26)
    assert (len(server.received), proxy.received) == (1, [])


async def test_https_goes_through_the_proxy_of_the_environment(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(server: Server, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    proxy = serve(refuse)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    async with Session("acme", ApiKey(KEY), limiter=TokenBucket(1e6), retries=0) as ws:
        with pytest.raises(TransportError, match="403") as caught:
            await ws.get_tasks(26)
    assert not caught.value.sent
    assert proxy.received[0].startswith(b"CONNECT acme.worksection.com:443 ")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(serve: Callable[..., Server], status: int) -> None:
    elsewhere = serve(answer)
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/api/\r\nContent-Length: 0\r\n\r\n".encode()

    def redirect(server: Server, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(head)

    error = await failure(serve(redirect), auth=AccessToken(TOKEN))
    assert isinstance(error, UnexpectedReply)
    assert error.http_status == status
    assert elsewhere.received == []


@pytest.mark.parametrize(
    ("account", "origin"),
    [
        ("acme", "https://acme.worksection.com"),
        ("https://ACME.worksection.com/", "https://acme.worksection.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
@pytest.mark.parametrize("auth", [ApiKey(KEY), ApiKey(KEY, scheme="signature"), AccessToken(TOKEN)], ids=repr)
async def test_requests_go_to_the_configured_origin_and_say_who_they_are_from(
    account: str, origin: str, auth: Any
) -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=BODY)

    async with Session(account, auth, limiter=TokenBucket(1e6), transport=httpx.MockTransport(handler)) as ws:
        await ws.get_tasks(26)
        await ws.call("post_task", {"id_project": 26, "title": "//example.com/?a=b#c"})
    for request in asked:
        assert request.url.copy_with(raw_path=b"/") == httpx.URL(f"{origin}/")
        assert request.headers["Host"] == origin.partition("//")[2]
        assert request.headers["User-Agent"] == f"worksection-async/{__version__}"


async def test_what_is_signed_is_sent_byte_for_byte(serve: Callable[..., Server]) -> None:
    server = serve(answer)
    async with session(server) as ws:
        await ws.call("search_tasks", {"filter": "name has 'Ω + 1,5 %/?&=#~'"})
    line = server.received[0].partition(b"\r\n")[0].decode()
    assert line.startswith("GET /api/admin/v2/?action=search_tasks&filter=name%20has%20%27%CE%A9%20%2B%201%2C5%20%25")
    assert line.endswith(" HTTP/1.1")


async def test_a_connection_is_used_again(serve: Callable[..., Server]) -> None:
    connections = []

    def count(server: Server, connection: socket.socket) -> None:
        connections.append(connection)
        answer_for_ever(server, connection)

    async with session(serve(count)) as ws:
        for _ in range(3):
            await ws.get_tasks(26)
    assert len(connections) == 1


async def test_many_calls_at_once_have_a_connection_each(serve: Callable[..., Server]) -> None:
    """There is no cap on connections: calls that are cancelled in a pool's queue would lose them for good."""
    all_there = threading.Barrier(20)

    def answer_when_all_have_asked(server: Server, connection: socket.socket) -> None:
        server.take(connection)
        all_there.wait(3)
        connection.sendall(REPLY)

    async with session(serve(answer_when_all_have_asked)) as ws, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ws.with_options(coalesce=False).get_tasks, 26)
    assert not all_there.broken


async def test_a_cancelled_call_leaves_the_session_usable(serve: Callable[..., Server]) -> None:
    async with session(serve(say_nothing, answer_for_ever), timeout=5) as ws:
        with anyio.move_on_after(0.1) as scope:
            await ws.get_tasks(26)
        assert scope.cancelled_caught
        assert [task.id for task in await ws.get_tasks(26)] == [1]


# Opening and closing


async def test_a_closed_session_is_closed(session_with: Make) -> None:
    ws = session_with(lambda _: httpx.Response(200, content=BODY))
    view = ws.with_options(lane="bulk")
    async with ws:
        await ws.get_tasks(26)
    for closed in (ws, view):
        with pytest.raises(RuntimeError, match="closed"):
            await closed.get_tasks(26)
    await ws.aclose()  # once more does no harm


async def test_closing_closes_the_transport() -> None:
    class Transport(httpx.MockTransport):
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    transport = Transport(lambda _: httpx.Response(200, content=BODY))
    async with Session("acme", ApiKey(KEY), limiter=TokenBucket(1e6), transport=transport) as ws:
        await ws.get_tasks(26)
    assert transport.closed == 1


def test_one_session_serves_two_event_loops_one_after_the_other(serve: Callable[..., Server]) -> None:
    """Connections belong to the loop they were made in; each loop gets its own."""
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
def test_event_loops_that_were_closed_leave_no_sockets_behind(serve: Callable[..., Server]) -> None:
    """One session, and `asyncio.run` for each call, with connections that the service keeps open."""
    ws, before = session(serve(answer)), _open_sockets()

    async def call() -> None:
        await ws.get_tasks(26)

    for _ in range(200):
        asyncio.run(call())
        assert not ws._caller.connection.http._clients
    gc.collect()
    assert _open_sockets() - before < 300, "the server's 200 ends, and none of ours"
    asyncio.run(ws.aclose())


def _open_sockets() -> int:
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(link.readlink()).startswith("socket:")
    return count


def test_one_session_serves_two_event_loops_at_once(serve: Callable[..., Server]) -> None:
    ws = session(serve(answer_and_close))
    results: list[int] = []
    together = threading.Barrier(2)

    async def main() -> None:
        together.wait(5)
        for _ in range(5):
            results.extend(task.id for task in await ws.get_tasks(26))

    threads = [threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": it}) for it in ("asyncio", "trio")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [1] * 10


# Views and options


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"retries": -1}, {"lane": "slow"},
        {"max_wait": -1}, {"max_wait": float("nan")},
    ],
    ids=repr,
)  # fmt: skip
async def test_options_that_make_no_sense_are_refused(session_with: Make, options: dict[str, Any]) -> None:
    async with session_with(lambda _: httpx.Response(200, content=BODY)) as ws:
        with pytest.raises(errors.InvalidCall):
            ws.with_options(**options)
        if options.keys() <= {"timeout", "retries"}:
            with pytest.raises(errors.InvalidCall):
                session_with(lambda _: httpx.Response(200), **options)


async def test_an_admin_key_stands_for_no_user(session_with: Make) -> None:
    """Actions of a user are refused before anything is sent."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"status": "ok", "data": {"id": 1}})

    async with session_with(handler) as ws:
        with pytest.raises(errors.InvalidCall, match="access token"):
            await ws.me()
    async with session_with(handler, auth=AccessToken(TOKEN)) as ws:
        assert (await ws.me()).id == 1
    assert len(asked) == 1


class Counted(httpx.AsyncByteStream):
    """A body that counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def __aiter__(self) -> Any:
        yield BODY

    async def aclose(self) -> None:
        self.closed += 1


class Plain(httpx.AsyncBaseTransport):
    """A transport that takes a request as it comes, and answers with *status*."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.contents: list[bytes] = []
        self.body = Counted()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.contents.append(request.content)
        return httpx.Response(self.status, stream=self.body)


async def test_any_transport_finds_the_content_of_a_request() -> None:
    plain = Plain()
    auth = ApiKey(KEY, scheme="signature")
    async with Session("acme", auth, limiter=TokenBucket(rate=1e6), transport=plain) as ws:
        assert len(await ws.get_tasks(26)) == 1
    assert plain.contents == [b'{"id_project": 26}']


@pytest.mark.parametrize("status", [200, 206])
async def test_an_answer_nobody_reads_to_its_end_is_closed_once(status: int) -> None:
    plain = Plain(status)
    async with Session("acme", ApiKey(KEY), limiter=TokenBucket(rate=1e6), transport=plain, retries=0) as ws:
        with pytest.raises(WorksectionError):
            async with ws.open_download(5):
                pass
    assert plain.body.closed == 1


async def test_a_big_reply_is_read_beside_the_event_loop(session_with: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    read = __import__("worksection_async._protocol.envelope", fromlist=["read_reply"]).read_reply

    def noticing(*arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return read(*arguments)

    monkeypatch.setattr("worksection_async._session.caller.read_reply", noticing)
    bodies = iter([BODY, b'{"status":"ok","data":[' + b",".join([b'{"id":1}'] * 10_000) + b"]}"])
    async with session_with(lambda _: httpx.Response(200, content=next(bodies))) as ws:
        assert len(await ws.get_tasks(26)) == 1
        assert len(await ws.get_tasks(26)) == 10_000
    small, big = threads
    assert small == threading.get_ident() != big
