"""Replies without an envelope, as OAuth2 sends them: a member, or an error that quotes nothing."""

from __future__ import annotations

import json

import pytest

from worksection_async._protocol.envelope import Reply, open_flat
from worksection_async.errors import AuthError, RateLimited, UnexpectedReply, WorksectionError

PART = "part-of-a-new-pair"


def failure(body: object, status: int = 200, **headers: str) -> WorksectionError:
    """Return the error of a reply without the member "access_token"."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(WorksectionError) as caught:
        open_flat("oauth2_refresh", Reply(status, named, content, 0.0), "access_token")
    assert caught.value.action == "oauth2_refresh"
    return caught.value


@pytest.mark.parametrize("status", [200, 299])
def test_a_reply_with_the_member_is_returned(status: int) -> None:
    body = {"access_token": "a", "expires_in": 5}
    assert open_flat("oauth2_token", Reply(status, {}, json.dumps(body).encode(), 0.0), "access_token") == body


@pytest.mark.parametrize("status", [300, 302, 500])
def test_the_member_counts_only_with_a_status_of_success(status: int) -> None:
    assert isinstance(failure({"access_token": PART}, status), UnexpectedReply)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"access_token": "' + PART.encode(), "not JSON"),
        ({"refresh_token": PART}, "neither access_token nor an error"),
        ({"access_token": "", "refresh_token": PART}, "neither access_token nor an error"),
        ([PART], "neither access_token nor an error"),
    ],
)
def test_an_unexpected_reply_is_described_but_not_quoted(body: object, problem: str) -> None:
    error = failure(body)
    assert isinstance(error, UnexpectedReply)
    assert str(error).startswith(f"oauth2_refresh: unexpected reply (HTTP 200) at $: {problem}. ")


@pytest.mark.parametrize(
    ("body", "message", "details"),
    [
        ({"error": "invalid_client", "message": "Client authentication failed"}, "Client authentication failed",
         "invalid_client"),
        ({"error": "invalid_request", "message": "A value is missing.", "hint": "Check the code"},
         "A value is missing: Check the code", "invalid_request"),
        ({"message": "Client authentication failed."}, "Client authentication failed.", ""),
    ],
)  # fmt: skip
def test_an_error_has_the_message_with_its_hint_and_the_code(body: dict[str, str], message: str, details: str) -> None:
    error = failure(body, 401)
    assert isinstance(error, AuthError)
    assert (error.message, error.details, error.http_status) == (message, details, 401)


def test_an_error_has_the_wait_that_the_service_asks_for() -> None:
    assert failure({"error": "server_error", "message": "Busy"}, 503, retry_after="7").retry_after == 7.0


def test_a_refusal_as_too_early_keeps_its_class() -> None:
    assert isinstance(failure({"error": "slow", "message": "Too many requests"}), RateLimited)
