"""Keys, tokens and signatures are not in logs, errors or representations."""

from __future__ import annotations

import contextlib
import copy
import logging
import pickle
import socket
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx
import pytest

import worksection_async
from tests.support.constants import KEY, TOKEN
from tests.support.secrecy import Log, assert_no_secret, request_bytes, sent_secrets, texts_of_error
from tests.support.tcp import (
    REPLY,
    Behaviour,
    TcpServer,
    answer,
    close_after_reading,
    cut_the_body,
    cut_the_headers,
    echo,
    never_answer,
    reset_after_reading,
    stop_in_the_body,
)
from worksection_async import AccessToken, ApiKey, Session, TokenBucket, errors
from worksection_async._auth.credentials import Auth
from worksection_async._protocol.actions import GET_TASKS, POST_TASK
from worksection_async._protocol.call import prepare
from worksection_async.errors import WorksectionError

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_retry_delay", "one_ssl_context")]


PACKAGE = str(Path(worksection_async.__file__).parent)
CREDENTIALS = [ApiKey(KEY), ApiKey(KEY, scheme="signature"), AccessToken(TOKEN)]
with_each_credential = pytest.mark.parametrize("auth", CREDENTIALS, ids=["hash", "signature", "token"])


# Successful, refused and failed calls


OUTCOMES: list[tuple[str, Callable[[], httpx.Response]]] = [
    ("ok", lambda: httpx.Response(200, json={"status": "ok", "data": [{"id": 1}]})),
    ("refused", lambda: httpx.Response(200, json={"status": "error", "message": "Field is required"})),
    ("hash", lambda: httpx.Response(200, json={"status": "error", "message": "Action hash is missed or invalid"})),
    ("limited", lambda: httpx.Response(429, content=b"<html>")),
    ("unauthorized", lambda: httpx.Response(401)),
    ("html", lambda: httpx.Response(502, content=b"<html>nginx</html>")),
    ("malformed", lambda: httpx.Response(200, json={"status": "ok", "data": [{"id": "x"}]})),
    ("redirect", lambda: httpx.Response(302, headers={"Location": "/login"})),
]  # fmt: skip


@with_each_credential
@pytest.mark.parametrize(("name", "response"), OUTCOMES, ids=[name for name, _ in OUTCOMES])
async def test_logs_and_errors_contain_no_credential(
    session_with: Callable[..., Session], log: Log, auth: Auth, name: str, response: Callable[[], httpx.Response]
) -> None:
    secrets: set[str] = set()

    def handler(request: httpx.Request) -> httpx.Response:
        secrets.update(sent_secrets(request_bytes(request)))
        return response()

    texts: list[str] = []
    async with session_with(handler, auth=auth, retries=1, patience=0) as ws:
        for call in (ws.get_tasks(26), ws.call("post_task", {"id_project": 26, "title": "a"}), ws.download(5, Path())):
            try:
                await call
            except WorksectionError as error:
                texts += texts_of_error(error)
        texts += [repr(ws), str(ws), f"{ws}", repr(ws.limiter), repr(ws.limiter.statistics())]
    assert secrets
    assert log.texts
    assert "httpx" in log.loggers
    assert_no_secret([*texts, *log.texts], secrets)


def send_invalid_header(server: TcpServer, connection: socket.socket) -> None:
    """Send the request back as a header."""
    server.read_request(connection)
    line = server.received[-1].replace(b"\r\n", b" ")
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")
    connection.close()


@with_each_credential
@pytest.mark.parametrize(
    "behaviour",
    [
        answer,
        close_after_reading,
        reset_after_reading,
        cut_the_headers,
        cut_the_body,
        echo,
        send_invalid_header,
        never_answer,
        stop_in_the_body,
    ],
    ids=lambda behaviour: behaviour.__name__,
)
async def test_logs_and_errors_of_real_connections_contain_no_credential(
    serve: Callable[..., TcpServer], log: Log, auth: Auth, behaviour: Behaviour
) -> None:
    server = serve(behaviour)
    texts: list[str] = []
    async with Session(server.url, auth, limiter=TokenBucket(1e6), retries=0, timeout=0.5) as ws:
        try:
            await ws.get_tasks(26)
        except WorksectionError as error:
            texts += texts_of_error(error)
    assert (texts == []) == (behaviour is answer)
    assert {"httpcore.connection", "httpcore.http11"} <= log.loggers
    # httpcore logs the received headers; these two behaviours send the request as headers.
    if behaviour not in (echo, send_invalid_header):
        texts += log.texts
    assert_no_secret(texts, sent_secrets(b"".join(server.received)))


@with_each_credential
async def test_errors_of_refused_connections_contain_no_credential(log: Log, auth: Auth) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with Session(url, auth, limiter=TokenBucket(1e6), retries=0) as ws:
        with pytest.raises(errors.TransportError) as caught:
            await ws.get_tasks(26)
    assert_no_secret([*texts_of_error(caught.value), *log.texts], set())


@with_each_credential
@pytest.mark.parametrize(
    "page",
    [
        b"%s", b"<html><body>Cannot GET %s</body></html>", b"\n\n  %s", b'{"echo":"%s"}', b'"%s"', b"[%s]",
        b'{"status":"ok","data":"%s"}', b"x" * 70 + b" %s", *(b" " * size + b"%s" for size in (328, 380, 4024)),
    ],
    ids=lambda page: ascii(page)[:20],
)  # fmt: skip
async def test_errors_do_not_quote_a_reply_that_repeats_the_request(
    session_with: Callable[..., Session], log: Log, auth: Auth, page: bytes
) -> None:
    """Login pages and proxies can show the requested URL, and sometimes the headers."""
    secrets: set[str] = set()

    def handler(request: httpx.Request) -> httpx.Response:
        secrets.update(sent_secrets(request_bytes(request)))
        return httpx.Response(200, content=page % request_bytes(request).replace(b"\r\n", b" "))

    async with session_with(handler, auth=auth, retries=0) as ws:
        with pytest.raises(WorksectionError) as caught:
            await ws.get_tasks(26)
    assert isinstance(caught.value, errors.UnexpectedReply)
    assert_no_secret([*texts_of_error(caught.value, variables=False), *log.texts], secrets)


@pytest.mark.parametrize("name", ["Set-Cookie", "set-cookie", "SET-COOKIE"])
async def test_logs_contain_no_cookie_of_the_service(serve: Callable[..., TcpServer], log: Log, name: str) -> None:
    def set_cookies(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        cookies = f"\r\n{name}: PHPSESSID=s3ss10n; path=/\r\n{name}: rsid=s3ss10n".encode()
        connection.sendall(REPLY.replace(b"\r\nContent-Type", cookies + b"\r\nContent-Type", 1))

    async with Session(serve(set_cookies).url, ApiKey(KEY), limiter=TokenBucket(1e6)) as ws:
        await ws.get_tasks(26)
    assert any("receive_response_headers.complete" in text for text in log.texts)
    assert not any("s3ss10n" in text for text in log.texts)


@with_each_credential
async def test_logs_of_cancelled_calls_contain_no_credential(
    serve: Callable[..., TcpServer], log: Log, auth: Auth
) -> None:
    server = serve(never_answer)
    async with Session(server.url, auth, limiter=TokenBucket(1e6)) as ws:
        with anyio.move_on_after(0.1):
            await ws.get_tasks(26)
    assert_no_secret(log.texts, sent_secrets(b"".join(server.received)))


# Representations


@with_each_credential
def test_representations_of_session_parts_contain_no_credential(auth: Auth) -> None:
    ws = Session("acme", auth, limiter=TokenBucket(1e6))
    call = prepare(POST_TASK, {"id_project": 26, "title": "a"})
    request = auth.sign(call, time.time())
    objects = [
        ws,
        ws.with_options(lane="bulk"),
        auth,
        ws.limiter,
        ws._caller.connection,
        ws._caller.options,
        call,
        request,
    ]
    texts = [text for each in objects for text in (repr(each), str(each), f"{each}", f"{each!r:>10}")]
    assert_no_secret(
        texts, sent_secrets(f"{request.target} Authorization: {request.headers.get('Authorization')}".encode())
    )
    assert "acme" in repr(ws)


@with_each_credential
def test_credentials_and_sessions_cannot_be_pickled_or_copied(auth: Auth) -> None:
    ws = Session("acme", auth, limiter=TokenBucket(1e6))
    for each in (auth, ws, ws.with_options(retries=0), [auth], {"auth": auth}):
        for write in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError) as caught:
                write(each)
            assert_no_secret([str(caught.value), repr(caught.value.args)], set())


@pytest.mark.parametrize(
    "make",
    [
        lambda: AccessToken(f"{TOKEN}\n"),
        lambda: AccessToken(f" {TOKEN}"),
        lambda: AccessToken(f"{TOKEN}é"),
        lambda: ApiKey(f"{KEY}\n"),
        lambda: ApiKey("hash", KEY),  # type: ignore[arg-type]
        lambda: Session(f"https://user:{KEY}@acme.worksection.com", ApiKey(KEY)),
        lambda: Session(f"https://acme.worksection.com/?hash={KEY}", ApiKey(KEY)),
    ],
)
def test_errors_for_invalid_credentials_do_not_show_them(make: Callable[[], object]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    assert_no_secret([str(caught.value), repr(caught.value), repr(caught.value.args)], set())


@with_each_credential
def test_errors_for_invalid_headers_do_not_show_the_credential(auth: Auth) -> None:
    """The transport quotes an invalid header in its error."""
    call = prepare(GET_TASKS, {"id_project": 26})
    request = auth.sign(call, 1_700_000_000.0)
    error = errors.TransportError(
        "get_tasks", errors.mask_secrets(f"illegal header {request.headers} {request.target}"), sent=False
    )
    secret = sent_secrets(f"{request.target} Authorization: {request.headers.get('Authorization')}".encode())
    assert_no_secret(texts_of_error(error), secret)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("502 Bad Gateway", "502 Bad Gateway"),
        (f"?hash={KEY}&x=1", "…"),
        ("anna.a-very-long-name.indeed@example.com", "anna.a-very-long-name.indeed@example.com"),
        (f"{KEY}@example.com", "…"),
        (f"Bearer {TOKEN}", "Bearer …"),
        ("GET /api/admin/v2/ HTTP/1.1", "GET /api/admin/v2/ HTTP/1.1"),
        ("", ""),
    ],
)
def test_texts_that_could_be_secrets_are_masked(text: str, shown: str) -> None:
    assert errors.mask_secrets(text) == shown


def test_the_helpers_detect_secrets(log: Log) -> None:
    """Otherwise the tests above would prove nothing."""
    logging.getLogger("example").debug("with %s", {"key": KEY})
    with contextlib.suppress(AssertionError):
        assert_no_secret(log.texts, set())
        pytest.fail("the key was not detected")
    with pytest.raises(AssertionError):
        assert_no_secret(texts_of_error(errors.TransportError("a", KEY, sent=True)), set())
