"""The origin of an account, and the options of a session."""

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.numbers import Int64
from worksection_async import ApiKey, MemoryTokenStore, OAuthApp, Session, Token, TokenBucket
from worksection_async._protocol.account import is_loopback, origin_of
from worksection_async.errors import InvalidCall

KEY = ApiKey("7776461cd931e7b1c8e9632ff8e979ce")

ORIGINS = {
    "acme": "https://acme.worksection.com",
    "ACME": "https://acme.worksection.com",
    "my-company-2": "https://my-company-2.worksection.com",
    "7": "https://7.worksection.com",
    "https://acme.worksection.com": "https://acme.worksection.com",
    "https://acme.worksection.com/": "https://acme.worksection.com",
    "HTTPS://Acme.Worksection.COM": "https://acme.worksection.com",
    "acme.worksection.com": "https://acme.worksection.com",
    "ACME.Worksection.com": "https://acme.worksection.com",
    "acme.worksection.com/": "https://acme.worksection.com",
    "acme.worksection.com:443": "https://acme.worksection.com",
    "tasks.example.com": "https://tasks.example.com",
    "tasks.example.com:8443/": "https://tasks.example.com:8443",
    "приклад.укр": "https://приклад.укр",
    "https://tasks.example.com:8443": "https://tasks.example.com:8443",
    "https://acme.worksection.com:443": "https://acme.worksection.com",  # the same origin, so the same limiter
    "https://приклад.укр": "https://приклад.укр",
    "https://10.0.0.1": "https://10.0.0.1",
    "https://[2001:DB8::1]:8443": "https://[2001:db8::1]:8443",
    "http://localhost": "http://localhost",
    "http://localhost:80": "http://localhost",
    "http://localhost:8000/": "http://localhost:8000",
    "http://LOCALHOST:8000": "http://localhost:8000",
    "http://127.0.0.1:8000": "http://127.0.0.1:8000",
    "http://127.1.2.3": "http://127.1.2.3",
    "http://[::1]": "http://[::1]",
    "http://[::1]:8000": "http://[::1]:8000",
}


@pytest.mark.parametrize(("account", "origin"), ORIGINS.items(), ids=ORIGINS.keys())
def test_origin_of_an_account_name_or_url(account: str, origin: str) -> None:
    assert origin_of(account) == origin
    assert origin_of(origin) == origin


REFUSED = {
    "": "must be a name such as",
    "acme corp": "must be a name such as",
    "acme\n": "must be a name such as",
    "-acme": "must be a name such as",
    "Акме": "must be a name such as",
    "acme.": "must be a name such as",
    ".worksection.com": "must be a name such as",
    "acme worksection.com": "must be a name such as",
    "acme.worksection.com ": "must be a name such as",
    "acme.worksection.com/project/26/": "without path, query and user",
    "acme.worksection.com?hash=1": "without path, query and user",
    "ann@acme.worksection.com": "must be a name such as",
    "ann.lee@acme.worksection.com": "without path, query and user",
    "acme.worksection.com:port": "must be a valid URL",
    "localhost:8000": "must be a name such as",
    "//acme.worksection.com": "must be a name such as",
    "ftp://acme.worksection.com": "must be a name such as",
    "file:///etc/passwd": "must be a name such as",
    "https://": "must be a name such as",
    "https://acme corp.com": "must be a name such as",
    "https://acme.com\\@evil.example": "without path, query and user",
    "https://acme.com\\evil": "must be a name such as",
    "https://acme.com%2eevil": "must be a name such as",
    "https://acme\x00.com": "must be a name such as",
    "https://acme.worksection.com/api": "without path, query and user",
    "https://acme.worksection.com/?a=b": "without path, query and user",
    "https://acme.worksection.com#a": "without path, query and user",
    "https://ann:pass@acme.worksection.com": "without path, query and user",
    "https://ann@acme.worksection.com": "without path, query and user",
    "https://acme.worksection.com:port": "must be a valid URL",
    "https://acme.worksection.com:99999": "must be a valid URL",
    "https://[::1": "must be a valid URL",
    "http://acme.worksection.com": "https is required",
    "http://10.0.0.1": "https is required",
    "http://127.0.0.1.evil.example": "https is required",
    "http://localhost.evil.example": "https is required",
    "http://[2001:db8::1]": "https is required",
    "http://0.0.0.0:8000": "https is required",
}


@pytest.mark.parametrize(("account", "problem"), REFUSED.items(), ids=map(ascii, REFUSED))
def test_invalid_account_is_refused(account: str, problem: str) -> None:
    with pytest.raises(InvalidCall, match=problem):
        origin_of(account)
    with pytest.raises(InvalidCall, match=problem):
        Session(account, KEY)


@pytest.mark.parametrize("account", ["https://999.1.1.1", "https://\ufb01.com"])
def test_host_that_httpx_rejects_is_refused(account: str) -> None:
    with pytest.raises(InvalidCall, match=r"https://.* is not a valid URL"):
        Session(account, KEY)


@pytest.mark.parametrize("account", ["https://ann:hunter2@acme.worksection.com", "https://ann:hunter2"])
def test_password_in_the_url_is_not_in_the_error(account: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        origin_of(account)
    assert "hunter2" not in str(caught.value)


@given(st.one_of(st.text(), st.text("htps:/.[]@#?%01aя-_ \\").map("http".__add__)))
def test_any_text_is_an_origin_or_an_invalid_call(account: str) -> None:
    try:
        origin = origin_of(account)
    except InvalidCall:
        return
    assert origin.startswith("https://") or is_loopback(origin.removeprefix("http://").split(":")[0].strip("[]"))
    assert not set(origin.partition("://")[2]) & set("/?#@\\ ")


# Arguments of another type

TOKENS = Token(access_token="eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9", expires_at=0.0)
APP = OAuthApp("7", "client-secret-9d1f44c1e0", "https://localhost/")
EXPECTED = r"auth must be ApiKey\(key\), AccessToken\(token\) or OAuth2\(app, store\), got "

NO_CREDENTIALS: dict[str, tuple[Any, str]] = {
    "text": ("7776461cd931e7b1c8e9632ff8e979ce", EXPECTED + "str"),
    "bytes": (b"7776461cd931e7b1c8e9632ff8e979ce", EXPECTED + "bytes"),
    "None": (None, EXPECTED + "None"),
    "class": (ApiKey, EXPECTED + "the class ApiKey"),
    "store": (MemoryTokenStore(TOKENS), EXPECTED + "MemoryTokenStore"),
    "application": (
        APP,
        r"auth must be OAuth2\(app, store\), with the token store of a user, or OAuth2\(app, vault=vault\), got OAuthA",
    ),
    "token": (
        TOKENS,
        r"auth must be OAuth2\(app, MemoryTokenStore\(token\)\) or AccessToken\(token.access_token\), got Token",
    ),
}


@pytest.mark.parametrize(("auth", "problem"), NO_CREDENTIALS.values(), ids=NO_CREDENTIALS.keys())
@pytest.mark.parametrize("account", ["acme", None])
def test_an_object_that_is_no_credential_is_refused_and_not_shown(account: str | None, auth: Any, problem: str) -> None:
    with pytest.raises(InvalidCall, match=problem) as caught:
        Session(account, auth)
    assert not re.search("7776461c|client-secret|eyJ0", str(caught.value))


@pytest.mark.parametrize(
    ("account", "given"),
    [(26, "int"), (b"acme", "bytes"), (KEY, "ApiKey"), (str, "the class str")],
)
def test_an_account_that_is_no_text_is_refused(account: Any, given: str) -> None:
    with pytest.raises(InvalidCall, match=f"account: must be text, got {given}"):
        Session(account, KEY)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"limiter": 1.0}, r"limiter must be a limiter such as TokenBucket\(\), got float"),
        ({"limiter": TokenBucket}, "got the class TokenBucket"),
        ({"transport": httpx.HTTPTransport()}, "transport must be an httpx.AsyncBaseTransport, got HTTPTransport"),
        ({"transport": httpx.AsyncHTTPTransport}, "got the class AsyncHTTPTransport"),
        ({"transport": "socks5://localhost"}, "got str"),
    ],
)
def test_a_limiter_or_transport_of_another_type_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidCall, match=problem):
        Session("acme", KEY, **options)


# Options

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "zero timeout": ({"timeout": 0}, "timeout must be a positive number"),
    "negative timeout": ({"timeout": -1.0}, "timeout must be a positive number"),
    "timeout is not a number": ({"timeout": float("nan")}, "timeout must be a positive number"),
    "negative retries": ({"retries": -1}, "retries must be a number, 0 or more, got -1"),
    "text for timeout": ({"timeout": "30"}, "timeout must be a positive number"),
    "None for timeout": ({"timeout": None}, "timeout must be a positive number"),
    "timedelta for timeout": ({"timeout": dt.timedelta(seconds=30)}, "timeout must be a positive number"),
    "Decimal for patience": (
        {"patience": Decimal(60)},
        "patience must be a number of seconds, 0 or more, got Decimal",
    ),
    "text for retries": ({"retries": "3"}, "retries must be a number, 0 or more, got '3'"),
    "text for max_wait": ({"max_wait": "5"}, "max_wait must be a number of seconds, 0 or more, got '5'"),
}
INVALID_IN_VIEWS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown lane": ({"lane": "express"}, "lane must be one of interactive, normal, bulk"),
    "lane is None": ({"lane": None}, "lane must be one of"),
    "negative wait": ({"max_wait": -0.1}, "max_wait must be a number of seconds, 0 or more, got -0.1"),
    "max_wait is not a number": (
        {"max_wait": float("nan")},
        "max_wait must be a number of seconds, 0 or more",
    ),
}


@pytest.mark.parametrize(("options", "problem"), INVALID.values(), ids=INVALID.keys())
def test_session_refuses_invalid_options(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidCall, match=problem) as caught:
        Session("acme", KEY, **options)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("options", "problem"), (INVALID | INVALID_IN_VIEWS).values(), ids=(INVALID | INVALID_IN_VIEWS).keys()
)
def test_with_options_refuses_invalid_options(fast_limiter: TokenBucket, options: dict[str, Any], problem: str) -> None:
    session = Session("acme", KEY, limiter=fast_limiter)
    with pytest.raises(InvalidCall, match=problem):
        session.with_options(**options)


def test_limits_of_the_valid_ranges_are_accepted(fast_limiter: TokenBucket) -> None:
    session = Session("acme", KEY, limiter=fast_limiter, timeout=0.001, retries=0)
    view = session.with_options(lane="bulk", max_wait=0, retries=99).with_options(max_wait=None)
    assert isinstance(view, Session)
    assert view.limiter is session.limiter


def test_integers_of_other_types_are_accepted(fast_limiter: TokenBucket) -> None:
    numbers: Any = {"timeout": Int64(5), "retries": Int64(0), "patience": Int64(1), "max_wait": Int64(0)}
    session = Session("acme", KEY, limiter=fast_limiter, **numbers).with_options(max_age=cast(Any, Int64(2)))
    options = session._caller.options
    given = [options.timeout, options.retries, options.patience, options.max_wait, options.max_age]
    assert [(type(each), each) for each in given] == [(int, number) for number in (5, 0, 1, 0, 2)]
    with pytest.raises(InvalidCall, match=r"retries must be a number, 0 or more, got -1"):
        Session("acme", KEY, retries=cast(Any, Int64(-1)))


def test_all_spellings_of_an_account_share_one_limiter() -> None:
    spellings = ["limits-2", "LIMITS-2", "https://limits-2.worksection.com/", "https://limits-2.worksection.com:443"]
    limiters = {id(Session(account, KEY).limiter) for account in spellings}
    assert len(limiters) == 1
    assert Session("limits-3", KEY).limiter is not Session("limits-2", KEY).limiter


def test_repr_of_a_session_shows_the_origin(session_with: Callable[..., Session]) -> None:
    assert repr(session_with(lambda _: None)) == "<Session https://acme.worksection.com ApiKey>"
