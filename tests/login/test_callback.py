"""`read_callback`: the query or URL of a login callback."""

from __future__ import annotations

import hmac
import pickle
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.secrecy import assert_no_secret, texts_of_error
from worksection_async.errors import AuthError
from worksection_async.login import BadCallback, read_callback

CALLBACK = "https://app.example/auth/callback"
STATE = "c3RhdGUgb2YgYSBsb2dpbiB0aGF0IG5vYm9keSBrbm93cw"
CODE = "def502009f3cC0DE" * 8

SECRET_TEXTS = st.text("0123456789abcdef-_", min_size=24, max_size=80)


@pytest.mark.parametrize(
    "text",
    [
        f"code={CODE}&state={STATE}",
        f"?state={STATE}&code={CODE}&session_state=x",
        f"{CALLBACK}?code={CODE}&state={STATE}",
        f"{CALLBACK}?tenant=1&code={CODE}&state={STATE}#_=_",
        f"  <{CALLBACK}?code={CODE}&state={STATE}>\n",
        f'"{CALLBACK}?code={CODE[:50]}\r\n{CODE[50:]}&state={STATE}"',
        f"localhost:33443/callback?code={CODE}&state={STATE}",
        f"code=%64{CODE[1:]}&state={STATE}",
        f"code={CODE}&state={STATE}&x=a?b",
    ],
)
def test_the_code_is_read_from_a_query_or_a_pasted_url(text: str) -> None:
    assert read_callback(text, STATE) == CODE


@pytest.mark.parametrize(
    ("query", "state", "complaint"),
    [
        ("", STATE, "has no state"),
        ("nonsense", STATE, "has no state"),
        (CALLBACK, STATE, "has no state"),
        (f"code={CODE}", STATE, "has no state"),
        (f"code={CODE}&state=", STATE, "does not match"),
        (f"code={CODE}&state={STATE}x", STATE, "does not match"),
        (f"code={CODE}&state={STATE.lower()}", STATE, "does not match"),
        (f"code={CODE}&state={STATE}&state={STATE}", STATE, "does not match"),
        (f"code={CODE}&state=ї", STATE, "does not match"),
        (f"code={CODE}&state=", "", "does not match"),
        (f"code={CODE}", "", "has no state"),
        (f"error=access_denied&state={STATE}x", STATE, "does not match"),
        (f"state={STATE}", STATE, "has no code"),
        (f"state={STATE}&code=", STATE, "has no code"),
        (f"state={STATE}&code={CODE}&code={CODE}", STATE, "has no code"),
    ],
)
def test_a_callback_of_another_login_is_refused(query: str, state: str, complaint: str) -> None:
    with pytest.raises(BadCallback, match=complaint) as caught:
        read_callback(query, state)
    assert isinstance(caught.value, AuthError)
    assert str(caught.value).startswith("oauth2_authorize: ")
    assert not caught.value.sent
    assert_no_secret(texts_of_error(caught.value, variables=False), {CODE, STATE})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("state", [f"&state={STATE}", ""])
@pytest.mark.parametrize(
    ("query", "message", "details", "advice"),
    [
        ("error=access_denied", "access_denied", "", "allow it"),
        ("error=invalid_scope&error_description=Check+it", "Check it", "invalid_scope", "scopes that are enabled"),
        ("error=invalid_request&errorDescription=No", "No", "invalid_request", "redirect URI"),
        ("errorDescription=No", "No", "", "Start the login again"),
        ("error=", "unknown error", "", "Start the login again"),
        ("error=a%0A%1B[31m", "a  [31m", "", "Start the login again"),
    ],
)
def test_a_reported_error_is_raised_with_a_hint(
    query: str, message: str, details: str, advice: str, state: str
) -> None:
    with pytest.raises(AuthError) as caught:
        read_callback(query + state, STATE)
    error = caught.value
    assert not isinstance(error, BadCallback)
    assert (error.action, error.message, error.details) == ("oauth2_authorize", message, details)
    assert advice in str(error)
    assert str(error).isprintable()


def test_the_state_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    read_callback(f"code={CODE}&state={STATE}", STATE)
    assert compared == [(STATE.encode(), STATE.encode())]


@given(st.text(), st.text())
def test_an_arbitrary_query_returns_a_code_or_raises_auth_error(query: str, state: str) -> None:
    for text in (query, f"code={query}&state={state}", f"state={query}&error={state}"):
        try:
            assert read_callback(text, state)
        except AuthError as error:
            assert str(error).isprintable()  # noqa: PT017


@given(st.text(min_size=1), SECRET_TEXTS, st.sampled_from(["", "?", f"{CALLBACK}?", f"{CALLBACK}?tenant=1&"]))
def test_every_code_is_read(code: str, state: str, before: str) -> None:
    assert read_callback(before + urlencode({"code": code, "state": state}), state) == code


@given(SECRET_TEXTS, SECRET_TEXTS, SECRET_TEXTS, st.sampled_from(["error", "errorDescription", "nothing"]))
def test_errors_show_neither_code_nor_state(code: str, state: str, other: str, name: str) -> None:
    for received in (state, other):
        with pytest.raises(AuthError) as caught:
            read_callback(
                urlencode([("code", code), ("code", code), ("state", received), (name, f"{code} {state}")]), state
            )
        assert_no_secret(texts_of_error(caught.value, variables=False), {code, state, other})
