"""What is read from a refusal: its message, whether it is about the token, and the wait that it asks for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from worksection_async._protocol.actions import GET_TASKS
from worksection_async._protocol.envelope import Reply, open_envelope, unix_time
from worksection_async._protocol.service import KNOWN_ERRORS
from worksection_async.errors import ApiError, AuthError

RECEIVED_AT = 1_780_000_000.0
NOON_UTC = 1_796_212_800.0
"""Wed, 02 Dec 2026 12:00:00 UTC."""


def refusal(body: dict[str, Any], status: int = 200, **headers: str) -> ApiError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(ApiError) as caught:
        open_envelope(GET_TASKS, Reply(status, named, json.dumps(body).encode(), RECEIVED_AT))
    assert caught.value.action == "get_tasks"
    return caught.value


# The message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"status": "error"}, "unknown error"),
        ({"status_code": 5}, "unknown error"),
        ({"error": "bad_value", "message": "A value is wrong"}, "A value is wrong"),
        ({"message": "Some field is wrong", "error_description": "The token has expired"}, "The token has expired"),
        ({"message": "It did not work", "error": "invalid_token"}, "It did not work"),
    ],
)
def test_the_message_is_a_sentence_about_the_token_or_the_first_one(body: dict[str, Any], message: str) -> None:
    assert refusal(body).message == message


def test_a_known_message_has_a_hint() -> None:
    known = next(each for each in KNOWN_ERRORS if each.hint)
    assert str(known.hint) in str(refusal({"status": "error", "message": known.message}))


# The token


@pytest.mark.parametrize("name", ["message", "error_description", "error", "message_details", "hint"])
def test_a_refused_token_is_recognised_by_any_text_of_the_refusal(name: str) -> None:
    error = refusal({"status": "error", "message": "It did not work", name: "Invalid token"})
    assert isinstance(error, AuthError)
    assert error.refuses_token


# The wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Wed, 02 Dec 2026 12:00:09 GMT", "date": "Wed, 02 Dec 2026 12:00:00 GMT"}, 9.0),
        ({"retry_after": "Wed, 02 Dec 2026 12:00:00 GMT", "date": "Wed, 02 Dec 2026 12:00:00 GMT"}, 0.0),
        ({"retry_after": "Wed, 02 Dec 2026 11:59:59 GMT", "date": "Wed, 02 Dec 2026 12:00:00 GMT"}, None),
        ({"retry_after": "Wed, 02 Dec 2026 12:00:00 GMT"}, NOON_UTC - RECEIVED_AT),
    ],
)
def test_the_wait_is_counted_from_the_date_of_the_reply(headers: dict[str, str], seconds: float | None) -> None:
    assert refusal({"status": "error", "message": "Busy"}, 503, **headers).retry_after == seconds


@pytest.fixture
def _in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_new_york")
@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Wed, 02 Dec 2026 12:00:00 GMT", NOON_UTC),
        ("Wed, 02 Dec 2026 14:00:00 +0200", NOON_UTC),
        ("Wed, 02 Dec 2026 12:00:00 -0000", NOON_UTC),
        ("Wed, 02 Dec 99999999999999999999 12:00:00 GMT", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_a_date_does_not_depend_on_the_time_zone_of_the_machine(date: str, moment: float | None) -> None:
    assert unix_time(date) == moment
