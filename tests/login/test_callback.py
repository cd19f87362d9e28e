"""What a browser comes back with from a login."""

from __future__ import annotations

import hmac
import pickle
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.secrecy import assert_no_secret, everything_about
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
def test_the_code_is_read_from_a_query_or_from_a_pasted_address(text: str) -> None:
    assert read_callback(text, STATE) == CODE


@pytest.mark.parametrize(
    ("query", "state", "complaint"),
    [
        ("", STATE, "no state"),
        ("nonsense", STATE, "no state"),
        (CALLBACK, STATE, "no state"),
        (f"code={CODE}", STATE, "no state"),
        (f"code={CODE}&state=", STATE, "another one"),
        (f"code={CODE}&state={STATE}x", STATE, "another one"),
        (f"code={CODE}&state={STATE.lower()}", STATE, "another one"),
        (f"code={CODE}&state={STATE}&state={STATE}", STATE, "another one"),
        (f"code={CODE}&state=ї", STATE, "another one"),
        (f"code={CODE}&state=", "", "another one"),
        (f"code={CODE}", "", "no state"),
        (f"error=access_denied&state={STATE}x", STATE, "another one"),
        (f"state={STATE}", STATE, "no code"),
        (f"state={STATE}&code=", STATE, "no code"),
        (f"state={STATE}&code={CODE}&code={CODE}", STATE, "no code"),
    ],
)
def test_what_belongs_to_no_login_is_refused(query: str, state: str, complaint: str) -> None:
    with pytest.raises(BadCallback, match=complaint) as caught:
        read_callback(query, state)
    assert isinstance(caught.value, AuthError)
    assert str(caught.value).startswith("oauth2_authorize: ")
    assert not caught.value.sent
    assert_no_secret(everything_about(caught.value, variables=False), {CODE, STATE})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("state", [f"&state={STATE}", ""])
@pytest.mark.parametrize(
    ("query", "message", "details", "advice"),
    [
        ("error=access_denied", "access_denied", "", "allow it"),
        ("error=invalid_scope&error_description=Check+it", "Check it", "invalid_scope", "scopes that are enabled"),
        ("error=invalid_request&errorDescription=No", "No", "invalid_request", "redirect URI"),
        ("errorDescription=No", "No", "", "Begin again"),
        ("error=", "unknown error", "", "Begin again"),
        ("error=a%0A%1B[31m", "a  [31m", "", "Begin again"),
    ],
)
def test_what_the_service_reports_is_told_with_what_to_do(
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
def test_garbage_is_refused_and_breaks_nothing(query: str, state: str) -> None:
    for text in (query, f"code={query}&state={state}", f"state={query}&error={state}"):
        try:
            assert read_callback(text, state)
        except AuthError as error:
            assert str(error).isprintable()  # noqa: PT017


@given(st.text(min_size=1), SECRET_TEXTS, st.sampled_from(["", "?", f"{CALLBACK}?", f"{CALLBACK}?tenant=1&"]))
def test_any_code_is_read(code: str, state: str, before: str) -> None:
    assert read_callback(before + urlencode({"code": code, "state": state}), state) == code


@given(SECRET_TEXTS, SECRET_TEXTS, SECRET_TEXTS, st.sampled_from(["error", "errorDescription", "nothing"]))
def test_neither_code_nor_state_is_shown(code: str, state: str, other: str, name: str) -> None:
    for came in (state, other):
        with pytest.raises(AuthError) as caught:
            read_callback(
                urlencode([("code", code), ("code", code), ("state", came), (name, f"{code} {state}")]), state
            )
        assert_no_secret(everything_about(caught.value, variables=False), {code, state, other})
