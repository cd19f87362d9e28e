"""OAuthApp: the authorization URL, the exchange and refresh requests, and the replies of the service."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.constants import RECORDED
from worksection_async import OAuthApp, Token
from worksection_async._auth.oauth_app import SCOPES
from worksection_async._transport.clock import Clock
from worksection_async.errors import (
    AuthError,
    CallTimeout,
    InvalidCall,
    TransportError,
    UnexpectedReply,
    WorksectionError,
)

SECRET = "client-secret-9d1f44c1e0"
ACCESS = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiI5In0.c2lnbmF0dXJl"
REFRESH = "def502009eea5f1c2b7d"
PAIR = {
    "token_type": "Bearer",
    "expires_in": 86400,
    "access_token": ACCESS,
    "refresh_token": REFRESH,
    "account_url": "https://acme.worksection.com",
}
IDENTITY = {
    "id": "3993",
    "first_name": "Ada",
    "last_name": "L",
    "email": "ada@example.com",
    "account_url": "https://a.com",
}
OLD = Token(access_token="old", refresh_token="spent", expires_at=0.0, account_url="https://acme.worksection.com")

Handler = Callable[[httpx.Request], httpx.Response]


def app_with(handler: Handler | None = None, **options: Any) -> OAuthApp:
    transport = httpx.MockTransport(handler) if handler else None
    return OAuthApp("7", SECRET, "https://localhost:33443/callback", transport=transport, **options)


def answering(body: object, status: int = 200) -> Handler:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: httpx.Response(status, content=content)


# The login URL


def test_the_authorization_url_has_all_parameters_and_no_secret() -> None:
    url, state = app_with(scopes=("projects_read", "tasks_write")).authorization_url()
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "client_id": "7",
        "response_type": "code",
        "redirect_uri": "https://localhost:33443/callback",
        "state": state,
        "scope": "projects_read,tasks_write",
    }
    assert url.startswith("https://worksection.com/oauth2/authorize?")
    assert SECRET not in url


def test_each_login_has_a_new_state_unless_one_is_given() -> None:
    app = app_with()
    states = {app.authorization_url()[1] for _ in range(20)}
    assert len(states) == 20
    assert min(map(len, states)) >= 40
    url, state = app.authorization_url(state="my own & only")
    assert state == "my own & only"
    assert parse_qs(urlsplit(url).query)["state"] == [state]


def test_scopes_can_be_chosen_for_one_login() -> None:
    url, _ = app_with(scopes=SCOPES).authorization_url(scopes=["files_read"])
    assert parse_qs(urlsplit(url).query)["scope"] == ["files_read"]
    assert len(SCOPES) == 17


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"redirect_uri": "http://localhost/callback"}, "redirect_uri must be the registered https URL"),
        ({"redirect_uri": "/callback"}, "redirect_uri"),
        ({"redirect_uri": "https://localhost/#x"}, "redirect_uri"),
        ({"scopes": ("timers_read",)}, "scopes must be among projects_read"),
        ({"base_url": "http://worksection.com"}, "base_url must be an https URL"),
        ({"base_url": "https://worksection.com/oauth2"}, "base_url"),
        ({"redirect_uri": "https://[::1/"}, "redirect_uri"),
        ({"redirect_uri": None}, "redirect_uri must be the registered https URL, not None"),
        ({"scopes": "tasks_read"}, "scopes must be among projects_read"),
        ({"scopes": 5}, "scopes must be among projects_read"),
        ({"scopes": [["tasks_read"]]}, "scopes must be among projects_read"),
        ({"base_url": None}, "base_url must be an https URL"),
        ({"client_id": None}, "client_id must be the id of the application as text, got None"),
        ({"client_id": 7}, "client_id must be the id of the application as text, got 7"),
        ({"client_id": ""}, "client_id must be"),
        ({"login_url": "http://localhost/login"}, "login_url must be an https URL or a path"),
        ({"login_url": "javascript:alert(1)"}, "login_url"),
        ({"login_url": "HTTP://x"}, "login_url"),
        ({"login_url": "https://[::1/login"}, "login_url must be an https URL or a path, not 'https://"),
        ({"login_url": 5}, "login_url must be an https URL or a path, not 5"),
        ({"login_url": b"/login"}, "login_url must be an https URL or a path, not b'/login'"),
        ({"redirect_uri": "https://localhost/\udcff"}, "redirect_uri must be the registered https URL"),
        ({"client_id": "7\udcff"}, "client_id must be the id of the application as text"),
        ({"client_secret": "se cret"}, "client_secret"),
        ({"client_secret": ""}, "client_secret is empty"),
        ({"client_secret": None}, "client_secret must be text, got None"),
    ],
)
def test_an_invalid_application_is_refused(options: dict[str, Any], complaint: str) -> None:
    given = {"client_id": "7", "client_secret": SECRET, "redirect_uri": "https://localhost/", **options}
    with pytest.raises(InvalidCall, match=complaint) as caught:
        OAuthApp(given.pop("client_id"), given.pop("client_secret"), given.pop("redirect_uri"), **given)
    assert "se cret" not in str(caught.value)


def test_unknown_scopes_of_one_login_are_refused() -> None:
    for scopes in (["everything"], "projects_read"):
        with pytest.raises(InvalidCall, match="scopes must be among"):
            app_with().authorization_url(scopes=scopes)  # type: ignore[arg-type]


# Codes and tokens


@pytest.mark.anyio
async def test_every_request_is_a_form_without_query_parameters() -> None:
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=IDENTITY if request.url.path.endswith("resource") else PAIR)

    app = app_with(handler)
    token = await app.exchange("the code")
    await app.refresh(token)
    await app.identity(token)
    credentials = {"client_id": "7", "client_secret": SECRET}
    assert [(request.method, request.url.path, dict(parse_qsl(request.content.decode()))) for request in requests] == [
        (
            "POST",
            "/oauth2/token",
            credentials
            | {
                "grant_type": "authorization_code",
                "code": "the code",
                "redirect_uri": "https://localhost:33443/callback",
            },
        ),
        ("POST", "/oauth2/refresh", credentials | {"grant_type": "refresh_token", "refresh_token": REFRESH}),
        ("POST", "/oauth2/resource", credentials | {"access_token": ACCESS}),
    ]
    assert all(request.headers["Content-Type"] == "application/x-www-form-urlencoded" for request in requests)
    assert all(not request.url.query for request in requests)


@pytest.mark.anyio
async def test_a_code_is_exchanged_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "time", lambda _: 1000.0)
    token = await app_with(answering(PAIR)).exchange("code")
    assert (token.access_token, token.refresh_token) == (ACCESS, REFRESH)
    assert (token.issued_at, token.expires_at) == (1000.0, 87_400.0)
    assert token.account_url == "https://acme.worksection.com"


@pytest.mark.anyio
async def test_a_refresh_keeps_values_that_its_reply_omits() -> None:
    """The captured reply has no account; another reply may omit the refresh token."""
    bare = {"access_token": ACCESS, "expires_in": 60}
    token = await app_with(answering(bare)).refresh(OLD)
    assert (token.access_token, token.refresh_token, token.account_url) == (ACCESS, "spent", OLD.account_url)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(60, 60), ("60", 60), ("60.5", 60.5), (0, 86_400), (None, 86_400), (-1, 86_400), ("soon", 86_400), ([], 86_400)],
)
async def test_an_invalid_lifetime_counts_as_a_day(expires_in: object, seconds: float) -> None:
    token = await app_with(answering({**PAIR, "expires_in": expires_in})).exchange("code")
    assert token.expires_at - token.issued_at == seconds
    without = {key: value for key, value in PAIR.items() if key != "expires_in"}
    token = await app_with(answering(without)).exchange("code")
    assert token.expires_at - token.issued_at == 86_400


@pytest.mark.anyio
async def test_an_unknown_token_type_is_an_unexpected_reply() -> None:
    for kind in ("bearer", "BEARER", None):
        assert await app_with(answering({**PAIR, "token_type": kind})).exchange("code")
    with pytest.raises(UnexpectedReply, match="token_type"):
        await app_with(answering({**PAIR, "token_type": "mac"})).exchange("code")


@pytest.mark.anyio
async def test_identity_returns_the_user_of_a_token() -> None:
    user = await app_with(answering(IDENTITY)).identity(OLD)
    assert (user.id, user.first_name, user.last_name, user.email, user.account_url) == (
        3993, "Ada", "L", "ada@example.com", "https://a.com",
    )  # fmt: skip
    with pytest.raises(UnexpectedReply, match="oauth2_resource"):
        await app_with(answering({**IDENTITY, "id": "x"})).identity(OLD)


# Refusals and failures


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["errorDescription", "error_description"])
@pytest.mark.parametrize("status", [200, 400, 401])
async def test_a_refusal_is_an_auth_error_with_any_http_status(key: str, status: int) -> None:
    body = {"error": "invalid_request", key: "Cannot decrypt the refresh token"}
    with pytest.raises(AuthError, match="Cannot decrypt the refresh token") as caught:
        await app_with(answering(body, status)).refresh(OLD)
    assert (caught.value.action, caught.value.details) == ("oauth2_refresh", "invalid_request")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [{"error": "invalid_scope"}, {"errorDescription": "no"}, {"message": "no"}, {"error": "e", "access_token": ""}],
)
async def test_any_error_message_is_a_refusal(body: object) -> None:
    with pytest.raises(AuthError):
        await app_with(answering(body)).exchange("code")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [b"<html>nginx</html>", b"", b"[]", b"null", b'{"access_token":', b'{"token_type":"Bearer"}', b"\xff\xfe",
     b'{"access_token":"two\\nlines"}', b'{"access_token":["x"]}'],
)  # fmt: skip
async def test_an_unknown_form_is_an_unexpected_reply(body: bytes) -> None:
    for status in (200, 502):
        with pytest.raises(WorksectionError) as caught:
            await app_with(answering(body, status)).exchange("code")
        assert isinstance(caught.value, UnexpectedReply)
        assert caught.value.sent


@pytest.mark.anyio
async def test_a_network_failure_is_a_transport_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    with pytest.raises(TransportError) as caught:
        await app_with(unreachable).exchange("code")
    assert not caught.value.sent
    monkeypatch.setattr("worksection_async._auth.oauth_app.TIMEOUT_SECONDS", 0.01)

    async def silent(_: httpx.Request) -> httpx.Response:
        import anyio  # noqa: PLC0415

        await anyio.sleep(60)
        raise AssertionError

    app = OAuthApp("7", SECRET, "https://localhost/", transport=httpx.MockTransport(silent))
    with pytest.raises(CallTimeout):
        await app.exchange("code")


@pytest.mark.anyio
async def test_a_token_without_a_refresh_token_cannot_be_refreshed() -> None:
    with pytest.raises(AuthError, match="no refresh token"):
        await app_with(answering(PAIR)).refresh(Token(access_token="a", expires_at=0.0))


@pytest.mark.anyio
async def test_the_transport_of_the_user_stays_open() -> None:
    class Transport(httpx.MockTransport):
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    transport = Transport(lambda _: httpx.Response(200, json=IDENTITY | PAIR))
    app = OAuthApp("7", SECRET, "https://localhost/", transport=transport)
    token = await app.exchange("code")
    await app.refresh(token)
    await app.identity(token)
    assert transport.closed == 0


# Captured replies


@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"there are no captured replies in {RECORDED}")
@pytest.mark.anyio
async def test_captured_replies_are_read() -> None:
    def recorded(name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))["body"]
        return body

    pair = recorded("oauth2_token.success")
    token = await app_with(answering(pair)).exchange("code")
    assert (token.access_token, token.refresh_token, token.account_url) == (
        pair["access_token"], pair["refresh_token"], pair["account_url"],
    )  # fmt: skip
    assert token.expires_at - token.issued_at == pair["expires_in"]
    user = recorded("oauth2_resource.success")
    identity = await app_with(answering(user)).identity(token)
    assert {name: getattr(identity, name) for name in user} == {**user, "id": int(user["id"])}
    for name in ("oauth2_token.invalid_client", "oauth2_token.invalid_request"):
        with pytest.raises(AuthError, match=recorded(name)["errorDescription"]):
            await app_with(answering(recorded(name))).exchange("code")
    with pytest.raises(AuthError, match="Malformed UTF-8"):
        await app_with(answering(recorded("oauth2_resource.not_authorized"))).identity(token)


# Token as a value


TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
TOKENS = st.builds(
    Token,
    access_token=TEXTS,
    refresh_token=st.none() | TEXTS,
    issued_at=st.floats(0, 1e10),
    expires_at=st.floats(0, 1e10),
    account_url=st.text(max_size=20),
)


@given(TOKENS)
def test_a_token_survives_json(token: Token) -> None:
    assert Token.from_json(token.to_json()) == token
    assert Token.from_json(token.to_json().encode()) == token


@given(st.text(max_size=30) | st.builds(json.dumps, st.dictionaries(st.text(max_size=5), st.integers())))
def test_invalid_json_of_a_token_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidCall, match="not a token") as caught:
        Token.from_json(text)
    assert caught.value.__context__ is None


@given(st.floats(1, 1e6), st.floats(0, 1))
def test_a_token_is_due_shortly_before_it_expires(lifetime: float, jitter: float) -> None:
    token = Token(access_token="a", issued_at=1e9, expires_at=1e9 + lifetime)
    assert token.is_due(1e9 + lifetime, jitter)
    assert not token.is_due(1e9 + lifetime * 0.79, jitter)
    assert not token.is_due(1e9 + lifetime - 601, jitter) or lifetime < 3100


def test_an_application_and_a_token_show_no_secrets() -> None:
    for thing in (app_with(), OLD, Token(access_token=ACCESS, refresh_token=REFRESH, expires_at=1.0)):
        shown = f"{thing} {thing!r}"
        assert not any(secret in shown for secret in (SECRET, ACCESS, REFRESH, "spent", "'old'"))
        with pytest.raises(TypeError, match="is a secret"):
            pickle.dumps(thing)
    assert copy.deepcopy(IDENTITY) == IDENTITY
