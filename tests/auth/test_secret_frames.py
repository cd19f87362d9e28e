"""No secret is in a local variable of a frame of an error: Sentry, loguru, rich and ``pytest -l`` show those."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import anyio
import httpx
import pytest

from tests.support.secrecy import error_chain, texts_of_error, texts_of_frames
from tests.support.tcp import TcpServer, close_after_reading, never_answer, stop_in_the_body
from worksection_async import (
    AccessToken,
    ApiKey,
    FileTokenStore,
    MemoryTokenStore,
    OAuth2,
    OAuthApp,
    Session,
    Token,
    TokenBucket,
)
from worksection_async._auth.credentials import Auth
from worksection_async._transport.tasks import in_thread
from worksection_async.errors import TokenStoreError, TransportError, WorksectionError

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_retry_delay", "one_ssl_context")]

CLIENT_SECRET = "client-secret-9d1f44c1e0"
CODE = "code-5f1c2b7d"
ACCESS = "eyJ0eXAi.eyJhdWQi.c2lnbmF0"
REFRESH = "def502009eea5f1c2b7d"
NEW_ACCESS = "eyJuZXci.eyJhdWQi.c2lnbmF1"
NEW_REFRESH = "def50200newnewnew"
KEY = "7776461cd931e7b1c8e9632ff8e979ce"
SECRETS = (CLIENT_SECRET, CODE, ACCESS, REFRESH, NEW_ACCESS, NEW_REFRESH, KEY)

PAIR = {"token_type": "Bearer", "expires_in": 86400, "access_token": NEW_ACCESS, "refresh_token": NEW_REFRESH}
DENIED = {"error": "invalid_request", "errorDescription": "Cannot decrypt the refresh token"}


def token(expires_in: float = -1) -> Token:
    now = time.time()
    return Token(access_token=ACCESS, refresh_token=REFRESH, issued_at=now - 86_400, expires_at=now + expires_in)


def answering(body: object, status: int = 200) -> Callable[[TcpServer, socket.socket], None]:
    """Return a server that sends *body*; ``%s`` in a text is replaced by the request body."""

    def behave(server: TcpServer, connection: socket.socket) -> None:
        server.read_request(connection)
        sent = server.received[-1].partition(b"\r\n\r\n")[2]
        content = json.dumps(body).encode() if isinstance(body, dict) else str(body).encode().replace(b"%s", sent)
        head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % (status, len(content)) + content)
        connection.close()

    return behave


def cut_json(server: TcpServer, connection: socket.socket) -> None:
    answering(json.dumps(PAIR)[:-3])(server, connection)


def cut_reply(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + json.dumps(PAIR).encode())
    connection.close()


FAULTS: dict[str, Callable[[TcpServer, socket.socket], None]] = {
    "refused": answering(DENIED),
    "refused application": answering({"error": "invalid_client"}, 401),
    "no access token": answering({**PAIR, "access_token": ""}),
    "not a bearer token": answering({**PAIR, "token_type": "mac"}),
    "invalid access token": answering({**PAIR, "access_token": f"{NEW_ACCESS}\n"}),
    "echo": answering("<html>You sent %s</html>", 403),
    "echo in JSON": answering('{"error": "invalid_request", "you_sent": "%s"}', 400),
    "invalid identity": answering({**PAIR, "id": "x"}),
    "cut JSON": cut_json,
    "cut reply": cut_reply,
    "server error": answering("<html>502</html>", 502),
    "connection closed": close_after_reading,
    "no answer": never_answer,
    "stopped answer": stop_in_the_body,
}
FILES = {"no access token", "not a bearer token", "invalid access token", "invalid identity"}
"""The JSON of these replies says of no error, so a download takes it for the file."""

with_each_fault = pytest.mark.parametrize("fault", FAULTS)


def assert_hidden(error: BaseException, *more: str) -> None:
    texts = texts_of_frames(error)
    for each in error_chain(error):
        texts += [str(each), repr(each), repr(each.args), repr(vars(each))]
    for secret in (*SECRETS, *more):
        for text in texts:
            assert secret not in text, f"{secret} is in {text[:300]}"
            assert quote_plus(secret) not in text


Ask = Callable[[OAuthApp], Awaitable[object]]
ASKS: dict[str, Ask] = {
    "exchange": lambda app: app.exchange(CODE),
    "refresh": lambda app: app.refresh(token()),
    "identity": lambda app: app.identity(token()),
}
with_each_request = pytest.mark.parametrize("ask", ASKS)


def app_of(url: str, **options: Any) -> OAuthApp:
    return OAuthApp("7", CLIENT_SECRET, "https://localhost/callback", base_url=url, **options)


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worksection_async._auth.oauth_app.TIMEOUT_SECONDS", 0.2)


@with_each_fault
@with_each_request
@pytest.mark.usefixtures("short_timeout")
async def test_errors_of_an_application_show_no_secret(serve: Callable[..., TcpServer], ask: str, fault: str) -> None:
    app = app_of(serve(FAULTS[fault]).url)
    try:
        await ASKS[ask](app)
    except WorksectionError as error:
        assert_hidden(error)
    else:
        assert (ask, fault) in {("identity", "not a bearer token"), ("exchange", "invalid identity"),
                                ("refresh", "invalid identity")}  # fmt: skip


@with_each_request
async def test_errors_of_an_unreachable_login_service_show_no_secret(ask: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(WorksectionError) as caught:
        await ASKS[ask](app_of(url))
    assert_hidden(caught.value)


@with_each_request
async def test_errors_of_the_transport_of_the_user_show_no_secret(ask: str) -> None:
    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise ZeroDivisionError("their transport")

    with pytest.raises(TransportError, match="their transport") as caught:
        await ASKS[ask](app_of("https://worksection.com", transport=Broken()))
    assert_hidden(caught.value)


async def test_a_code_that_cannot_be_encoded_is_not_shown() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=DENIED))
    app = app_of("https://worksection.com", transport=transport)
    with pytest.raises(WorksectionError) as caught:
        await app.exchange(f"{CODE}\udc80")
    assert_hidden(caught.value)


# Cancelled requests

WHILE = {"connecting or waiting": never_answer, "reading": stop_in_the_body}


@pytest.mark.parametrize("behaviour", WHILE)
@with_each_request
async def test_the_exception_of_a_cancelled_request_shows_no_secret(
    serve: Callable[..., TcpServer], ask: str, behaviour: str
) -> None:
    """The `TimeoutError` of `asyncio.timeout` has the cancellation as its cause."""
    app, caught = app_of(serve(WHILE[behaviour]).url), list[BaseException]()
    with anyio.move_on_after(0.2):
        try:
            await ASKS[ask](app)
        except BaseException as exc:
            caught.append(exc)
            raise
    assert_hidden(caught[0])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@with_each_request
async def test_a_timeout_of_asyncio_shows_no_secret(serve: Callable[..., TcpServer], ask: str) -> None:
    app = app_of(serve(never_answer).url)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await ASKS[ask](app)
    assert len(error_chain(caught.value)) > 1
    assert_hidden(caught.value)


def no_reading(server: TcpServer, _: socket.socket) -> None:
    server.done.wait(3)


@pytest.mark.filterwarnings("ignore:Exception ignored .*<async_generator")  # httpx does not close its generator
async def test_an_upload_that_is_cancelled_while_it_is_written_shows_no_secret(
    serve: Callable[..., TcpServer], tmp_path: Path
) -> None:
    (tmp_path / "big").write_bytes(b"x" * 20_000_000)
    ws, caught = Session(serve(no_reading).url, AccessToken(ACCESS), limiter=TokenBucket(1e6)), list[BaseException]()
    async with ws:
        with anyio.move_on_after(0.3):
            try:
                await ws.upload_files([tmp_path / "big"])
            except BaseException as exc:
                caught.append(exc)
                raise
    assert_hidden(caught.pop())
    gc.collect()  # the generator of httpx, which is reported here and not in a later test


# OAuth2


@with_each_fault
@pytest.mark.usefixtures("short_timeout")
async def test_errors_of_a_refresh_show_no_secret(serve: Callable[..., TcpServer], fault: str, tmp_path: Path) -> None:
    app = app_of(serve(FAULTS[fault]).url)
    for store in (MemoryTokenStore(token()), FileTokenStore(tmp_path / "token.json")):
        await store.save(token())
        transport = httpx.MockTransport(lambda _: httpx.Response(401, json={"error": "invalid_token"}))
        ws = Session("acme", OAuth2(app, store), transport=transport, limiter=TokenBucket(1e6))
        with pytest.raises(WorksectionError) as caught:
            await ws.get_projects()
        assert_hidden(caught.value)
        nameless = Session(None, OAuth2(app, store), transport=transport)
        with pytest.raises(WorksectionError) as entered:
            await nameless.__aenter__()
        assert_hidden(entered.value)


@with_each_fault
@pytest.mark.usefixtures("short_timeout")
async def test_errors_of_a_refresh_after_a_refusal_show_no_secret(serve: Callable[..., TcpServer], fault: str) -> None:
    refused = httpx.MockTransport(lambda _: httpx.Response(401, json={"error": "invalid_token"}))
    auth = OAuth2(app_of(serve(FAULTS[fault]).url), MemoryTokenStore(token(86_000)))
    with pytest.raises(WorksectionError) as caught:
        await Session("acme", auth, transport=refused, limiter=TokenBucket(1e6)).get_projects()
    assert_hidden(caught.value)


async def test_a_cancelled_call_that_waits_for_a_refresh_shows_no_secret(serve: Callable[..., TcpServer]) -> None:
    auth, caught = OAuth2(app_of(serve(never_answer).url), MemoryTokenStore(token())), list[BaseException]()
    ws = Session("acme", auth, limiter=TokenBucket(1e6))
    with anyio.move_on_after(0.2):
        try:
            await ws.get_projects()
        except BaseException as exc:
            caught.append(exc)
            raise
    assert_hidden(caught[0])


async def test_the_frames_of_a_thread_show_no_argument() -> None:
    """They are in the traceback of an error of the work, but still execute when it arrives: they cannot be cleared."""

    def variables_of_callers(_: str) -> list[str]:
        frames, frame = [], inspect.currentframe()
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        ours = (__file__, in_thread.__code__.co_filename)  # these are cleared
        return [repr(frame.f_locals) for frame in frames if frame.f_code.co_filename not in ours]

    shown = await in_thread(variables_of_callers, REFRESH)
    assert shown
    assert REFRESH not in "".join(shown)


async def test_errors_of_a_store_show_no_secret(tmp_path: Path) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=PAIR))
    app = app_of("https://worksection.com", transport=transport)
    (tmp_path / "file").write_text("")
    unwritable = FileTokenStore(tmp_path / "file" / "token.json")
    unreadable = FileTokenStore(tmp_path / "token.json")
    (tmp_path / "token.json").write_text(f'{{"access_token": "{ACCESS}", "refresh_token": "{REFRESH}"')
    (tmp_path / "token.json").chmod(0o600)
    full = FileTokenStore(tmp_path / "full.json")
    await full.save(token())

    async def fail(_: Token) -> None:
        await unwritable.save(token())

    full.save = fail  # type: ignore[assignment,method-assign]
    for act in (
        lambda: unwritable.save(token()),
        unreadable.load,
        lambda: Session("acme", OAuth2(app, full), transport=transport).get_projects(),
        lambda: Session("acme", OAuth2(app, unreadable), transport=transport).get_projects(),
    ):
        with pytest.raises(TokenStoreError) as caught:
            await act()
        assert_hidden(caught.value)
    with pytest.raises(ValueError, match="not a token") as invalid:
        Token.from_json((tmp_path / "token.json").read_text())
    assert_hidden(invalid.value)


# Calls


CREDENTIALS: dict[str, Auth] = {
    "hash": ApiKey(KEY),
    "signature": ApiKey(KEY, scheme="signature"),
    "token": AccessToken(ACCESS),
    "OAuth2": OAuth2(app_of("https://worksection.com"), MemoryTokenStore(token(86_000))),
}
with_each_credential = pytest.mark.parametrize("auth", CREDENTIALS.values(), ids=CREDENTIALS)


@pytest.mark.one_row_on_trio("fault")
@with_each_fault
@with_each_credential
async def test_errors_of_calls_show_no_secret(
    serve: Callable[..., TcpServer], auth: Auth, fault: str, tmp_path: Path
) -> None:
    if isinstance(auth, OAuth2):
        auth = OAuth2(app_of("http://127.0.0.1:1"), MemoryTokenStore(token(86_000)))
    server = serve(FAULTS[fault])
    async with Session(server.url, auth, limiter=TokenBucket(1e6), timeout=0.3, retries=1) as ws:
        calls: list[Awaitable[object]] = [ws.get_tasks(26), ws.call("post_task", {"id_project": 26, "title": "a"})]
        if fault not in FILES:
            calls.append(ws.download(5, tmp_path))
        for call in calls:
            with pytest.raises(WorksectionError) as caught:
                await call
            assert_hidden(caught.value, *hashes_of(server))
            assert_hidden_in_package(caught.value)


def hashes_of(server: TcpServer) -> set[str]:
    """Return the signatures that the server has received."""
    received = b"".join(server.received).decode("latin-1")
    return {word for word in received.replace("hash=", " ").replace("_", " ").split() if len(word) in (32, 64)}


def assert_hidden_in_package(error: BaseException) -> None:
    assert not [text for text in texts_of_error(error) if KEY in text or ACCESS in text]


@with_each_credential
async def test_errors_of_parameters_show_no_secret(auth: Auth, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    async with Session("acme", auth, limiter=TokenBucket(1e6)) as ws:
        with pytest.raises(WorksectionError, match="too long for a call with files") as caught:
            await ws.post_task(26, "a" * 9000, attach=[tmp_path / "a"])
    assert_hidden(caught.value)


@with_each_credential
async def test_the_exception_of_a_cancelled_call_shows_no_secret(serve: Callable[..., TcpServer], auth: Auth) -> None:
    server, caught = serve(never_answer), list[BaseException]()
    async with Session(server.url, auth, limiter=TokenBucket(1e6)) as ws:
        with anyio.move_on_after(0.2):
            try:
                await ws.with_options(coalesce=False).get_tasks(26)
            except BaseException as exc:
                caught.append(exc)
                raise
    assert_hidden(caught[0], *hashes_of(server))


def stop_in_a_file(server: TcpServer, connection: socket.socket) -> None:
    server.read_request(connection)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a\r\n"
    connection.sendall(head + b"Content-Length: 100\r\n\r\nabc")
    server.done.wait(3)


@with_each_credential
async def test_the_exception_of_a_cancelled_download_shows_no_secret(
    serve: Callable[..., TcpServer], auth: Auth
) -> None:
    server, caught = serve(stop_in_a_file), list[BaseException]()
    async with Session(server.url, auth, limiter=TokenBucket(1e6)) as ws:
        with anyio.move_on_after(0.2):
            try:
                async with ws.open_download(5) as file:
                    async for _ in file:
                        pass
            except BaseException as exc:
                caught.append(exc)
                raise
    assert_hidden(caught[0], *hashes_of(server))


# What stays visible


async def test_an_exception_that_was_handled_before_keeps_its_variables() -> None:
    def risky() -> None:
        visible = "their variable"
        raise KeyError(len(visible))

    try:
        risky()
    except KeyError:
        app = app_of("https://worksection.com", transport=httpx.MockTransport(lambda _: httpx.Response(500)))
        with pytest.raises(WorksectionError) as caught:
            await app.exchange(CODE)
    context = caught.value.__context__
    assert isinstance(context, KeyError)
    assert context.__traceback__ is not None
    assert context.__traceback__.tb_next is not None
    assert context.__traceback__.tb_next.tb_frame.f_locals == {"visible": "their variable"}


async def test_the_traceback_keeps_its_lines() -> None:
    app = app_of("https://worksection.com", transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    with pytest.raises(WorksectionError) as caught:
        await app.exchange(CODE)
    assert {entry.name for entry in caught.traceback} >= {"exchange", "_post", "open_flat"}


def test_the_helper_detects_secrets() -> None:
    """Otherwise the tests above would prove nothing."""
    with pytest.raises(ValueError, match="x") as caught:
        json.loads(KEY)
    assert any(KEY in text for text in texts_of_frames(caught.value))
