"""Signatures of calls: each test computes the expected signature from the bytes on the wire, without client code."""

import copy
import hashlib
import hmac
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote_to_bytes

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.support.secrecy import assert_no_secret, texts_of_error
from worksection_async import AccessToken, ApiKey, OAuthApp, Session, Token, TokenBucket, legacy_page_hash
from worksection_async._auth.credentials import Auth
from worksection_async._protocol.call import Action, Call
from worksection_async._protocol.formats import Repeated, WireValue
from worksection_async._protocol.named_call import named_action
from worksection_async._protocol.request import Request
from worksection_async._transport.clock import Clock
from worksection_async.errors import InvalidCall
from worksection_async.models import ProjectOptions, UploadedFile

pytestmark = pytest.mark.one_row_on_trio

KEY = "7776461cd931e7b1c8e9632ff8e979ce"
TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.test"
NOW = 1_800_000_000.75
STORED = UploadedFile(id="k1", ext="pdf", name="план.pdf")
LINE = 8192

SessionWith = Callable[..., Session]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "time", lambda _: NOW)


class Recorder:
    """A transport handler that returns a successful reply and records the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        data: object = {"id": "1"} if request.method == "POST" else []
        return httpx.Response(200, json={"status": "ok", "data": data})

    @property
    def only(self) -> httpx.Request:
        (request,) = self.requests
        return request


@pytest.fixture
def service() -> Recorder:
    return Recorder()


def md5_of(query: bytes) -> bytes:
    """Return the signature that the service computes from the raw query, without the hash, and the key."""
    return hashlib.md5(query + KEY.encode()).hexdigest().encode()


def assert_hashed(request: httpx.Request) -> dict[bytes, bytes]:
    """Check the signature of *request* and return its decoded parameters."""
    query, mark, signature = request.url.raw_path.partition(b"?")[2].rpartition(b"&hash=")
    assert mark, "the hash is the last parameter"
    assert signature == md5_of(query)
    pairs = [pair.partition(b"=") for pair in query.split(b"&")]
    return {unquote_to_bytes(name): unquote_to_bytes(value) for name, _, value in pairs}


def assert_header_signed(request: httpx.Request, action: str) -> None:
    signature = hmac.new(KEY.encode(), f"{action}:1800000000".encode(), hashlib.sha256).hexdigest()
    assert request.headers["Authorization"] == f"Admin 1800000000_{signature}"
    assert request.method == "POST"
    assert b"hash" not in request.url.query


# The documented scheme


@pytest.mark.anyio
async def test_the_documented_example_has_the_documented_signature(
    session_with: SessionWith, service: Recorder
) -> None:
    await session_with(service).get_tasks(26)
    expected = b"/api/admin/v2/?action=get_tasks&id_project=26&hash=ec3ab2c28f21b4a07424f8ed688d6644"
    assert service.only.url.raw_path == expected
    assert str(service.only.headers["host"]) == "acme.worksection.com"
    assert "authorization" not in service.only.headers


TEXTS = {
    "Cyrillic": ("Звіт", b"%D0%97%D0%B2%D1%96%D1%82"),
    "space": ("a b", b"a%20b"),
    "comma": ("a,b", b"a%2Cb"),
    "plus": ("a+b", b"a%2Bb"),
    "ampersand": ("a&hash=b", b"a%26hash%3Db"),
    "fragment": ("a#b", b"a%23b"),
    "percent": ("100%25 %", b"100%2525%20%25"),
    "question": ("a?b/c:d@e", b"a%3Fb%2Fc%3Ad%40e"),
    "quotes": ("""'a' "b" `c` {d} [e] |f|""", b"%27a%27%20%22b%22%20%60c%60%20%7Bd%7D%20%5Be%5D%20%7Cf%7C"),
    "line breaks": ("a\r\nb\tc", b"a%0D%0Ab%09c"),
    "unreserved": ("aZ09-._~", b"aZ09-._~"),
    "emoji": ("👍", b"%F0%9F%91%8D"),
    "backslash": ("a\\b", b"a%5Cb"),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("text", "encoded"), TEXTS.values(), ids=TEXTS.keys())
async def test_text_is_encoded_once_and_the_encoded_bytes_are_signed(
    session_with: SessionWith, service: Recorder, text: str, encoded: bytes
) -> None:
    await session_with(service).search_tasks(filter=text)
    assert service.only.url.raw_path.startswith(b"/api/admin/v2/?action=search_tasks&filter=" + encoded + b"&hash=")
    assert assert_hashed(service.only)[b"filter"] == text.encode()


@pytest.mark.anyio
async def test_lists_checklists_and_options_are_signed_under_their_wire_names(
    session_with: SessionWith, service: Recorder
) -> None:
    ws = session_with(service)
    await ws.post_task(26, "T", todo=["перше", "друге"], subscribe=["a@b.c", "d@e.f"])
    await ws.update_project(26, options=ProjectOptions(allow_close=True, time_today=False))
    task, project = service.requests
    assert task.url.query.startswith(
        b"action=post_task&id_project=26&title=T&todo%5B%5D=%D0%BF%D0%B5%D1%80%D1%88%D0%B5"
        b"&todo%5B%5D=%D0%B4%D1%80%D1%83%D0%B3%D0%B5&subscribe=a%40b.c%2Cd%40e.f&hash="
    )
    assert_hashed(task)
    assert b"&options.allow_close=1&options.time_today=0&hash=" in project.url.query
    assert_hashed(project)


@pytest.mark.anyio
async def test_reads_are_gets_and_writes_are_posts(session_with: SessionWith, service: Recorder) -> None:
    ws = session_with(service)
    await ws.get_users()
    await ws.complete_task(1)
    assert [request.method for request in service.requests] == ["GET", "POST"]
    assert [request.content for request in service.requests] == [b"", b""]
    for request in service.requests:
        assert_hashed(request)


@given(
    st.dictionaries(
        st.text("abcdefghijklmnopqrstuvwxyz_.", min_size=1, max_size=9),
        st.text(st.characters(codec="utf-8")),
        max_size=4,
    ),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=3),
)
def test_the_sent_bytes_are_the_signed_bytes_for_any_text(texts: dict[str, str], items: list[str]) -> None:
    params: dict[str, WireValue] = {**texts, "todo": Repeated(tuple(items))}
    signed = ApiKey(KEY).sign(Call(named_action("newest", {}, unchecked=True), params), NOW)
    sent = httpx.Request(signed.method, f"https://acme.worksection.com{signed.target}")  # as the web server receives it
    assert sent.url.raw_path.decode() == signed.target
    got = assert_hashed(sent)
    for name in texts.keys() - {"todo", "action"}:
        assert got[name.encode()] == texts[name].encode()


# The signed header


@pytest.mark.anyio
async def test_the_header_scheme_signs_action_and_time_and_sends_json(
    session_with: SessionWith, service: Recorder
) -> None:
    ws = session_with(service, auth=ApiKey(KEY, scheme="signature"))
    await ws.call("search_tasks", {"filter": "name has 'Звіт'", "extra": ["text", "files"]})
    assert service.only.url.raw_path == b"/api/admin/v2/?action=search_tasks"
    assert_header_signed(service.only, "search_tasks")
    assert service.only.headers["Content-Type"] == "application/json; charset=utf-8"
    assert service.only.headers["Accept"] == "application/json"
    assert "Звіт".encode() in service.only.content  # UTF-8 without \\u escapes
    assert json.loads(service.only.content) == {"filter": "name has 'Звіт'", "extra": "text,files"}


@pytest.mark.anyio
async def test_the_header_scheme_sends_no_body_without_parameters(session_with: SessionWith, service: Recorder) -> None:
    await session_with(service, auth=ApiKey(KEY, "signature")).call("get_users")
    assert service.only.content == b""
    assert_header_signed(service.only, "get_users")


@pytest.mark.anyio
async def test_json_keeps_the_types_of_lists_numbers_and_maps(session_with: SessionWith, service: Recorder) -> None:
    ws = session_with(service, auth=ApiKey(KEY, "signature"))
    await ws.post_task(26, "T", todo=["a", "b"], tags=["x", 3], files=[STORED])
    body = json.loads(service.only.content)
    stored = {"id": "k1", "ext": "pdf", "name": "план.pdf", "icon": None, "error": None}
    assert body == {"id_project": 26, "title": "T", "todo": ["a", "b"], "tags": "x,3", "files": [stored]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("surplus", "is_hashed"), [(0, True), (1, False), (2000, False)], ids=["at-the-limit", "one-byte-over", "far-over"]
)
async def test_a_query_over_8_kb_uses_the_signed_header(
    session_with: SessionWith, service: Recorder, surplus: int, *, is_hashed: bool
) -> None:
    envelope = f"GET /api/admin/v2/?action=search_tasks&filter=&hash={'0' * 32} HTTP/1.1\r\n"
    text = "x" * (LINE - len(envelope) + surplus)
    await session_with(service).search_tasks(filter=text)
    if is_hashed:
        assert len(b"GET " + service.only.url.raw_path + b" HTTP/1.1\r\n") == LINE
        assert_hashed(service.only)
    else:
        assert service.only.url.raw_path == b"/api/admin/v2/?action=search_tasks"
        assert_header_signed(service.only, "search_tasks")
        assert json.loads(service.only.content) == {"filter": text}


@pytest.mark.anyio
async def test_the_limit_applies_to_the_encoded_length(session_with: SessionWith, service: Recorder) -> None:
    await session_with(service).post_task(26, "T", text="я" * 2000)  # 2,000 characters become 12,000 bytes of a query
    assert_header_signed(service.only, "post_task")


@pytest.mark.anyio
async def test_stored_files_always_use_the_signed_header(session_with: SessionWith, service: Recorder) -> None:
    await session_with(service).post_task(26, "T", files=[STORED])
    assert_header_signed(service.only, "post_task")
    assert json.loads(service.only.content)["files"][0]["id"] == "k1"


# Files in the body


def disposition(request: httpx.Request) -> bytes:
    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    return request.content


@pytest.mark.anyio
async def test_with_files_parameters_and_hash_stay_in_the_query(session_with: SessionWith, service: Recorder) -> None:
    await session_with(service).post_comment(1, text="Ось", attach=[("a.txt", b"one"), ("b.txt", b"two")])
    assert service.only.method == "POST"
    assert assert_hashed(service.only) == {b"action": b"post_comment", b"id_task": b"1", b"text": "Ось".encode()}
    assert b'name="attach[0]"; filename="a.txt"' in disposition(service.only)
    assert b'name="attach[1]"; filename="b.txt"' in service.only.content
    assert b"hash" not in service.only.content


@pytest.mark.anyio
async def test_with_files_and_the_header_scheme_parameters_stay_in_the_query(
    session_with: SessionWith, service: Recorder
) -> None:
    await session_with(service, auth=ApiKey(KEY, "signature")).post_task(26, "T", attach=[b"x"])
    assert service.only.url.raw_path == b"/api/admin/v2/?action=post_task&id_project=26&title=T"
    assert_header_signed(service.only, "post_task")
    assert b'name="attach[0]"' in disposition(service.only)


@pytest.mark.anyio
@pytest.mark.parametrize("auth", [ApiKey(KEY), AccessToken(TOKEN)], ids=["key", "token"])
async def test_upload_files_is_header_signed_and_multipart(session_with: SessionWith, auth: Auth) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"status": "ok", "data": [{"id": "k1", "name": "a.txt", "ext": "txt"}]})

    stored = await session_with(handler, auth=auth).upload_files([("a.txt", b"one"), ("b.txt", b"two")])
    assert [file.id for file in stored] == ["k1"]
    assert seen[0].url.query == b"action=upload_files"
    assert seen[0].headers["Authorization"].startswith("Bearer " if auth.is_token else "Admin 1800000000_")
    assert disposition(seen[0]).count(b'name="files[]"; filename=') == 2


@pytest.mark.anyio
@pytest.mark.parametrize("auth", [ApiKey(KEY), ApiKey(KEY, "signature"), AccessToken(TOKEN)], ids=str)
@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"text": "x" * LINE, "attach": [b"x"]}, "the parameters are too long for a call with files"),
        ({"files": [STORED], "attach": [b"x"]}, "a call cannot have both stored and new files"),
    ],
    ids=["too-long", "both-kinds"],
)
async def test_parameters_too_long_for_a_call_with_files_are_an_invalid_call(
    session_with: SessionWith, service: Recorder, auth: Auth, params: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidCall, match=complaint):
        await session_with(service, auth=auth).post_task(26, "T", **params)
    assert service.requests == []


# The access token


@pytest.mark.anyio
async def test_a_token_reads_with_get_and_without_a_hash(session_with: SessionWith, service: Recorder) -> None:
    await session_with(service, auth=AccessToken(TOKEN)).get_tasks(26, extra=["text", "files"])
    assert service.only.method == "GET"
    assert service.only.url.raw_path == b"/api/oauth2?action=get_tasks&id_project=26&extra=text%2Cfiles"
    assert service.only.headers["Authorization"] == f"Bearer {TOKEN}"
    assert service.only.content == b""


@pytest.mark.anyio
async def test_a_token_writes_json_and_never_a_form(session_with: SessionWith, service: Recorder) -> None:
    await session_with(service, auth=AccessToken(TOKEN)).update_task(1, title="Назва")
    assert service.only.method == "POST"
    assert service.only.url.raw_path == b"/api/oauth2?action=update_task"
    assert service.only.headers["Authorization"] == f"Bearer {TOKEN}"
    assert service.only.headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(service.only.content) == {"id_task": 1, "title": "Назва"}


@pytest.mark.anyio
@pytest.mark.parametrize(("surplus", "method"), [(0, "GET"), (1, "POST")], ids=["at-the-limit", "one-byte-over"])
async def test_a_read_too_long_for_a_query_uses_json(
    session_with: SessionWith, service: Recorder, surplus: int, method: str
) -> None:
    text = "x" * (LINE - len("GET /api/oauth2?action=search_tasks&filter= HTTP/1.1\r\n") + surplus)
    await session_with(service, auth=AccessToken(TOKEN)).call("search_tasks", {"filter": text})
    assert service.only.method == method
    if method == "POST":
        assert service.only.url.query == b"action=search_tasks"
        assert json.loads(service.only.content) == {"filter": text}


# The scheme of the older API


@pytest.mark.parametrize(
    ("page", "action"), [("/project/26/123/", "get_task"), ("", "get_projects"), ("/project/26/", "post_task")]
)
def test_the_legacy_hash_is_over_page_action_and_key(page: str, action: str) -> None:
    assert legacy_page_hash(page, action, KEY) == hashlib.md5((page + action + KEY).encode()).hexdigest()


# Credentials

SECRETS = [ApiKey(KEY), ApiKey(KEY, "signature"), AccessToken(TOKEN)]

TOKENS = Token(access_token=TOKEN, refresh_token=TOKEN, expires_at=0.0)
UNSENDABLE = "must contain only visible ASCII characters, without spaces and line breaks"

BAD: dict[str, tuple[Callable[[], object], str]] = {
    "empty key": (lambda: ApiKey(""), "ApiKey: key is empty"),
    "empty token": (lambda: AccessToken(""), "AccessToken: token is empty"),
    "key with the line break of its file": (lambda: ApiKey(f"{KEY}\n"), f"ApiKey: key {UNSENDABLE}"),
    "token with the line break of its file": (lambda: AccessToken(f"{TOKEN}\r\n"), f"AccessToken: token {UNSENDABLE}"),
    "token with a space": (lambda: AccessToken(f"Bearer {TOKEN}"), f"AccessToken: token {UNSENDABLE}"),
    "token with non-ASCII characters": (lambda: AccessToken(f"{TOKEN}є"), f"AccessToken: token {UNSENDABLE}"),
    "None as key": (lambda: ApiKey(cast(Any, None)), "got None: is the environment variable set?"),
    "bytes as key": (lambda: ApiKey(cast(Any, KEY.encode())), "key must be text, got bytes: pass its .decode()"),
    "SecretStr as key": (
        lambda: ApiKey(cast(Any, SecretStr(KEY))),
        "key must be text, got SecretStr: pass its .get_secret_value()",
    ),
    "SecretStr as token": (
        lambda: AccessToken(cast(Any, SecretStr(TOKEN))),
        "token must be text, got SecretStr: pass its .get_secret_value()",
    ),
    "Token as token": (lambda: AccessToken(cast(Any, TOKENS)), "AccessToken: token must be text, got Token"),
    "ApiKey as key": (lambda: ApiKey(cast(Any, ApiKey(KEY))), "ApiKey: key must be text, got ApiKey"),
    "class as key": (lambda: ApiKey(cast(Any, str)), "ApiKey: key must be text, got the class str"),
    "number as key": (lambda: ApiKey(cast(Any, 26)), "ApiKey: key must be text, got int"),
    "unknown scheme": (lambda: ApiKey(KEY, scheme=cast(Any, "md5")), "ApiKey: scheme must be 'hash' or 'signature'"),
    "key and scheme swapped": (lambda: ApiKey("signature", cast(Any, KEY)), "ApiKey: scheme must be"),
    "access token of a pair": (
        lambda: Token(access_token=f"{TOKEN}\n", expires_at=0.0),
        f"Token: access_token {UNSENDABLE}",
    ),
    "refresh token of a pair": (
        lambda: Token(access_token=TOKEN, refresh_token=cast(Any, TOKEN.encode()), expires_at=0.0),
        "Token: refresh_token must be text, got bytes",
    ),
    "time of a pair": (
        lambda: Token(access_token=TOKEN, expires_at=cast(Any, "0")),
        "Token: expires_at must be Unix seconds, got '0'",
    ),
    "account of a pair": (
        lambda: Token(access_token=TOKEN, expires_at=0.0, account_url=cast(Any, None)),
        "Token: account_url must be text, got None",
    ),
    "account of a pair as a number": (
        lambda: Token(access_token=TOKEN, expires_at=0.0, account_url=cast(Any, 7)),
        "Token: account_url must be text, got int",
    ),
    "client secret": (
        lambda: OAuthApp("7", f"{TOKEN}\n", "https://localhost/"),
        f"OAuthApp: client_secret {UNSENDABLE}",
    ),
    "redirect URI beside a client secret": (lambda: OAuthApp("7", TOKEN, "http://x"), "OAuthApp: redirect_uri must be"),
}


@pytest.mark.parametrize(("make", "problem"), BAD.values(), ids=BAD.keys())
def test_an_invalid_credential_is_refused_and_not_shown(make: Callable[[], object], problem: str) -> None:
    """Neither in the error nor in the local variables of any frame, which error reports contain."""
    with pytest.raises(InvalidCall) as caught:
        make()
    assert problem in str(caught.value)
    frames = [frame.f_locals for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    texts = [*texts_of_error(caught.value), repr(frames[1:]), *(str(value) for each in frames[1:] for value in each)]
    assert_no_secret(texts, set())


@pytest.mark.parametrize("auth", SECRETS, ids=["hash", "signature", "token"])
def test_the_repr_of_a_credential_shows_no_secret(auth: Auth) -> None:
    for shown in (repr(auth), str(auth), f"{auth}", f"{[auth]}"):
        assert KEY not in shown
        assert TOKEN not in shown


@pytest.mark.parametrize("auth", SECRETS, ids=["hash", "signature", "token"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_credential_cannot_be_pickled(auth: Auth, protocol: int) -> None:
    with pytest.raises(TypeError, match="is a secret and cannot be pickled"):
        pickle.dumps(auth, protocol)


@pytest.mark.parametrize("auth", SECRETS, ids=["hash", "signature", "token"])
def test_a_session_shows_its_account_and_hides_its_credential(auth: Auth, fast_limiter: TokenBucket) -> None:
    session = Session("acme", auth, limiter=fast_limiter)
    assert repr(session) == f"<Session https://acme.worksection.com {type(auth).__name__}>"
    assert str(copy.copy(session)) == repr(session)


@pytest.mark.parametrize("auth", SECRETS, ids=["hash", "signature", "token"])
def test_a_request_shows_its_action_and_hides_the_rest(auth: Auth) -> None:
    request: Request = auth.sign(
        Call(Action("get_users", kind="read", returns=named_action("get_users", {}).returns), {}), NOW
    )
    assert repr(request) == f"Request(action='get_users', method='{request.method}')"


@pytest.mark.anyio
@pytest.mark.parametrize("auth", SECRETS, ids=["hash", "signature", "token"])
async def test_no_log_record_contains_a_key_token_or_signature(
    session_with: SessionWith, service: Recorder, auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await session_with(service, auth=auth).search_tasks(filter="x")
    assert "HTTP Request" in caplog.text  # httpx logs the request
    sent = service.only.headers.get("Authorization", "").rpartition("_")[2] or service.only.url.query[-32:].decode()
    for secret in (KEY, TOKEN, sent.removeprefix("Bearer ")):
        assert secret not in caplog.text
