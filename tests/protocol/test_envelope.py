"""Replies: each one becomes a model or raises an error of this package with the action, the path and the reason."""

from __future__ import annotations

import contextlib
import copy
import email.utils
import gzip
import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.constants import KEY
from tests.support.expectations import MESSAGES, SAMPLES, Sample, load
from worksection_async import ApiKey, Session, TokenBucket, errors
from worksection_async._protocol.actions import ACTIONS, GET_TASKS
from worksection_async._protocol.envelope import Reply, open_flat, read_reply
from worksection_async._protocol.structure import Structure
from worksection_async._spec import load as read_spec
from worksection_async.errors import ApiError, AuthError, RateLimited, UnexpectedReply, WorksectionError
from worksection_async.models import Task

pytestmark = pytest.mark.one_row_on_trio

HTML = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<hr>nginx</body></html>"
SAMPLES_ = [load(path) for path in sorted(SAMPLES.glob("*.json"))]
CUT = next(sample for sample in SAMPLES_ if sample.name == "get_all_tasks")
STRUCTURE, STRICT = Structure(), Structure(strict=True)

RECEIVED_AT = 1_780_000_000.0

Make = Callable[..., Session]


def read(
    body: object, action: str = "get_tasks", status: int = 200, structure: Structure = STRUCTURE, **headers: str
) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_reply(ACTIONS[action], Reply(status, named, content, RECEIVED_AT), structure)


def outcome(call: Callable[[], object]) -> object:
    """Return the result of *call*, or the error of this package that it raises; other exceptions are not caught."""
    try:
        return call()
    except WorksectionError as exc:
        return exc


def refused(message: str = "", code: object = None, **more: Any) -> dict[str, Any]:
    return {"status": "error", "status_code": code, "message": message, **more}


def unexpected(body: object, action: str = "get_tasks", status: int = 200) -> UnexpectedReply:
    with pytest.raises(UnexpectedReply) as caught:
        read(body, action, status, STRICT)
    assert (caught.value.action, caught.value.http_status, caught.value.sent) == (action, status, True)
    return caught.value


# Invalid JSON


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, HTML, "a page instead of the API"),
        (500, HTML, "a page instead of the API"),
        (502, HTML, "502 Bad Gateway"),
        (414, b"<h1>414 Request-URI Too Large</h1>", "414 Request-URI Too Large"),
        (200, b"", "an empty body"),
        (204, b"", "an empty body"),
        (200, b" \r\n\t ", "an empty body"),
        (200, b"\xff{}", "UnicodeDecodeError"),
        (200, b'{"status":"ok","data":"\xd0"}', "UnicodeDecodeError"),
        (200, b'{"status":"ok","data":[{"id":1,"name":"\xc3\x28"}]}', "UnicodeDecodeError"),
        (200, b"\xef\xbb\xbf\r\n", "an empty body"),
        (200, b'{\xef\xbb\xbf"status":"ok"}', "not JSON"),
        (200, b'{"status":"ok"}{"status":"ok"}', "not JSON"),
        (200, b'{"status":"ok","data":[' + b"1" * 5000 + b"]}", "not JSON"),
        (200, b"[" * 10_000_000, "RecursionError"),
        (200, b'{"data":' * 1_000_000, "RecursionError"),
        (200, b'{"status":"ok","data":[' + b'{"child":[' * 1_000_000, "RecursionError"),
        (301, b"", "a redirect, which is not followed"),
        (302, HTML, "check the account"),
        (308, b"[]", "a redirect, which is not followed"),
    ],
    ids=lambda value: ascii(value if isinstance(value, int) else value[:40])[:40],
)
def test_invalid_json_is_an_unexpected_reply(status: int, body: bytes, expected: str) -> None:
    error = unexpected(body, status=status)
    assert error.path == "$"
    assert expected in str(error)
    assert len(str(error)) < 300


@pytest.mark.parametrize("part", range(200))
def test_truncated_json_is_an_unexpected_reply(part: int) -> None:
    body = json.dumps(CUT.body).encode()
    assert unexpected(body[: len(body) * part // 200], "get_all_tasks").path == "$"


# Wrong types


@pytest.mark.parametrize("body", [None, True, 0, 7, -1.5, "", "ok", [], [1], [{"status": "ok"}]], ids=repr)
def test_reply_that_is_not_an_object_is_unexpected(body: object) -> None:
    assert unexpected(body).path == "$"


@pytest.mark.parametrize("body", [{}, {"data": []}, {"status": None}, {"status": "OK"}, {"status": ["ok"]}], ids=repr)
def test_a_reply_that_is_neither_ok_nor_an_error_is_unexpected(body: object) -> None:
    assert unexpected(body).path == "$.status"


MANY = [name for name, action in read_spec().actions.items() if action.returns.startswith("list[")]


@pytest.mark.parametrize("action", [*MANY, "get_costs"])
@pytest.mark.parametrize("data", ["text", 7, True, 1.5, [None], ["text"], [7], [[1]], [""]], ids=repr)
def test_a_list_of_records_is_a_list_of_objects(action: str, data: object) -> None:
    assert unexpected({"status": "ok", "data": data}, action).path == (
        "$.data[0]" if isinstance(data, list) else "$.data"
    )


@pytest.mark.parametrize(
    "data", [None, [], {}, "", 0, "text", 7, True, [None], ["text"], [7], {"id": {}}, [{"id": []}]], ids=repr
)
@pytest.mark.parametrize("action", ["get_task", "post_task", "update_project", "add_contact", "add_project_group"])
def test_one_record_is_an_object(action: str, data: object) -> None:
    assert unexpected({"status": "ok", "data": data}, action).path.startswith("$.data")


@pytest.mark.parametrize(
    ("action", "body", "path"),
    [
        ("get_task", {}, "$.data"),
        ("get_my_timer", {"data": "text"}, "$.data"),
        ("get_my_timer", {"data": [[1]]}, "$.data[0]"),
        ("add_costs", {}, "$.id"),
        ("add_costs", {"id": "x"}, "$.id"),
        ("add_costs", {"id": {}}, "$.id"),
        ("add_costs", {"data": [1]}, "$.id"),
        ("add_costs", {"data": "text"}, "$.id"),
        ("add_webhook", {"id": True}, "$.id"),
        ("update_users_schedule", {"message": {"a": 1}}, "$.message"),
        ("update_users_schedule", {"message": [1]}, "$.message"),
        ("get_users_schedule", {"data": "text"}, "$.data"),
        ("get_users_schedule", {"data": [1]}, "$.data[0]"),
        ("get_users_schedule", {"data": [{"id": [1]}]}, "$.data[0].id"),
        ("get_users_schedule", {"data": [{"id": 1}, {"name": "x"}]}, "$.data[1].id"),
        ("get_users_schedule", {"data": {"5": []}}, "$.data['5'].id"),
        ("get_users_schedule", {"data": {"x": {"id": 1}}}, "$.data['x']"),
        ("get_users_schedule", {"data": {"5": {"id": 5, "schedule": {"2026-13-01": "x"}}}},
         "$.data['5'].schedule['2026-13-01']"),
        ("get_costs", {"data": "text"}, "$.data"),
        ("get_costs", {"data": 7}, "$.data"),
        ("get_costs", {"data": [{"id": 1, "time": "x"}]}, "$.data[0].time"),
        ("get_costs", {"data": [], "total": 7}, "$.total"),
        ("get_costs_total", {"projects": "text"}, "$.projects"),
        ("get_costs_total", {"projects": {"7": {"id": 7, "tasks": {"8": {"id": 8, "money": "much"}}}}},
         "$.projects['7'].tasks['8'].money"),
        ("get_costs_total", {"total": {"time": "soon"}}, "$.total.time"),
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_types_are_reported_with_their_path(action: str, body: dict[str, Any], path: str) -> None:
    assert unexpected({"status": "ok", **body}, action).path == path


@pytest.mark.parametrize("action", sorted(ACTIONS))
@pytest.mark.parametrize(
    "data", [None, [], {}, "", "text", 7, True, 1.5, [None], [[]], [{}], {"a": {}}, {"1": 1}], ids=repr
)
def test_any_type_of_data_is_a_value_or_an_unexpected_reply(action: str, data: object) -> None:
    for body in (
        {"status": "ok", "data": data},
        {"status": "ok", **dict.fromkeys(["id", "total", "projects", "message"], data)},
    ):
        result = outcome(lambda body=body: read(body, action))  # type: ignore[misc]
        assert not isinstance(result, WorksectionError) or isinstance(result, UnexpectedReply)


# Paths of invalid values


def test_invalid_record_among_ten_thousand_is_reported_with_its_path() -> None:
    records = [{"id": number, "name": "", "date_end": "2026-01-02"} for number in range(10_000)]
    assert len(read({"status": "ok", "data": records})) == 10_000
    records[37]["date_end"] = "next week"
    error = unexpected({"status": "ok", "data": records})
    assert error.path == "$.data[37].date_end"
    assert str(error).startswith("get_tasks: unexpected reply (HTTP 200) at $.data[37].date_end: ")
    assert "next week" in str(error)


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"name": "x"}, "$.data[0].id"),
        ({"id": 1, "comments": [{"id": 1}, {"id": 2}, {"id": 3, "user_from": {"id": "x"}}]},
         "$.data[0].comments[2].user_from.id"),
        ({"id": 1, "child": [{"id": 2, "files": [{"id": 3, "size": "big"}]}]}, "$.data[0].child[0].files[0].size"),
        ({"id": 1, "tags": {"x": "y"}}, "$.data[0].tags['x']"),
        ({"id": 1, "relations": {"from": [{"task": {"id": 2}}, {"type": "?"}]}}, "$.data[0].relations.from[1].task"),
        ({"id": 1, "project": {"id": None}}, "$.data[0].project.id"),
    ],
    ids=repr,
)  # fmt: skip
def test_invalid_nested_values_are_reported_with_their_path(record: object, path: str) -> None:
    assert unexpected({"status": "ok", "data": [record]}).path == path


def test_long_value_is_truncated_in_the_message() -> None:
    error = unexpected({"status": "ok", "data": [{"id": 1, "date_end": "x" * 1_000_000}]})
    assert len(str(error)) < 500


def test_unknown_keys_are_kept_in_extra() -> None:
    (task,) = read(
        {"status": "ok", "data": [{"id": 1, "mood": {"deep": [None]}, "user_to": {"id": 5, "team": "blue"}}]}
    )
    assert task.extra == {"mood": {"deep": [None]}}
    assert task.user_to.extra == {"team": "blue"}


# Unusual JSON


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"status":"error","status":"ok","data":[{"id":1,"name":"a","name":"b"}]}', "b"),
        (b'{"status":"ok","data":[{"id":9,"name":"x"}],"data":[{"id":1,"name":"b"}]}', "b"),
        (b'{"data":[{"id":1,"name":"\\ud83d\\ude00"}],"status":"ok"}', "\U0001f600"),
        (b'{"d\\u0061ta":[{"id":1,"name":5}],"status":"ok"}', "5"),
        (b'\r\n { "status" : "ok" , "data" : [ {"id":1,"name":"c"} ] } \n', "c"),
    ],
)  # fmt: skip
def test_unusual_json_is_read(body: bytes, name: str) -> None:
    assert read(body) == [Task(id=1, name=name)]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 400, "-1e-400"])
@pytest.mark.parametrize("key", ["id", "priority", "max_time", "max_money", "date_end", "has_comments", "size", "time"])
def test_unusual_numbers_are_read_or_unexpected(key: str, number: str) -> None:
    for action in ("get_tasks", "get_files", "get_timers", "get_costs"):
        body = f'{{"status":"ok","data":[{{"id":1,"{key}":{number}}}]}}'.encode()
        result = outcome(lambda action=action, body=body: read(body, action))  # type: ignore[misc]
        assert not isinstance(result, WorksectionError) or vars(result)["path"] == f"$.data[0].{key}"


def test_nan_and_infinity_are_not_money() -> None:
    assert unexpected(b'{"status":"ok","data":[{"id":1,"max_money":NaN}]}').path == "$.data[0].max_money"
    assert unexpected(b'{"status":"ok","data":[{"id":1,"max_time":Infinity}]}').path == "$.data[0].max_time"


@pytest.mark.parametrize("depth", [50, 100, 200, 400])
def test_subtasks_of_subtasks_are_read_or_unexpected(depth: int) -> None:
    body = b'{"status":"ok","data":[' + b'{"id":1,"text":null,"child":[' * depth + b"]}" * depth + b"]}"
    result: Any = outcome(lambda: read(body))
    if isinstance(result, UnexpectedReply):
        assert depth > 100
        assert "too deeply" in str(result)
    else:
        assert result[0].child[0].id == 1


# Refusals

TOKEN_ENDPOINT_MESSAGES = {
    "Authorization code has been revoked",
    "Cannot decrypt the refresh token",
    "Client authentication failed",
    "Malformed UTF-8 characters",
}
"""Messages that are sent without a code."""


@pytest.mark.parametrize("message", sorted(MESSAGES.keys() - TOKEN_ENDPOINT_MESSAGES))
@pytest.mark.parametrize("code", [None, 0, 4, 5, 10, 20, "5", 999])
def test_message_determines_the_error_class(message: str, code: object) -> None:
    with pytest.raises(ApiError) as caught:
        read(refused(message, code))
    assert type(caught.value) is MESSAGES[message]


@pytest.mark.parametrize("message", ["TASK IS INVALID", "Task is invalid: 26", "task is invalid."])
def test_message_matches_without_case_and_with_a_suffix(message: str) -> None:
    with pytest.raises(errors.NotFound):
        read(refused(message, 999))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (2, errors.AuthError), (4, errors.NotFound), (5, errors.NotFound), (9, errors.FieldError),
        (10, errors.FieldError),
        (11, errors.FieldError), (12, errors.StateError), (13, errors.StateError), (14, errors.StateError),
        (15, errors.StateError), (16, errors.FieldError), (20, errors.QuotaExceeded), ("20", errors.QuotaExceeded),
        # codes with several meanings, and invalid codes
        (0, ApiError), (1, ApiError), (3, ApiError), (6, ApiError), (7, ApiError), (8, ApiError), (21, ApiError),
        (None, ApiError), (-4, ApiError), ("x", ApiError), (True, ApiError), ("9" * 5000, ApiError), ([4], ApiError),
        (4.0, ApiError),
    ],
    ids=lambda value: ascii(value)[:20],
)  # fmt: skip
def test_code_determines_the_class_of_an_unknown_message(code: object, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError) as caught:
        read(refused("Das ist neu", code))
    assert type(caught.value) is kind
    assert caught.value.message == "Das ist neu"


def test_unknown_message_has_no_hint_of_another_message() -> None:
    with pytest.raises(errors.NotFound) as caught:
        read(refused("Das ist neu", 4))
    assert str(caught.value) == f"get_tasks: the service refused: Das ist neu. {errors.NotFound.advice}"


def test_error_without_a_message_is_an_api_error() -> None:
    for body in ({"status": "error"}, {"status": "error", "message": None}, {"status_code": 77}):
        with pytest.raises(ApiError, match="unknown error"):
            read(body)


def test_details_and_code_are_kept() -> None:
    with pytest.raises(errors.FieldError) as caught:
        read(refused("Invalid email", 11, message_details="ada@example.com"), "subscribe")
    error = caught.value
    assert (error.code, error.message, error.details, error.http_status) == (
        11,
        "Invalid email",
        "ada@example.com",
        200,
    )
    assert "Invalid email (ada@example.com)." in str(error)
    with pytest.raises(errors.FieldError) as caught:
        read(refused("Invalid email", "11", message_details=["a", 5]), "subscribe")
    assert (caught.value.code, caught.value.details) == (11, "['a', 5]")


@pytest.mark.parametrize("name", ["message", "errorDescription", "error_description", "error"])
def test_message_is_found_under_each_of_its_keys(name: str) -> None:
    with pytest.raises(AuthError, match="expired"):
        read({name: "Access token is expired"}, status=401)


# HTTP status


@pytest.mark.parametrize(
    "body",
    [b"", HTML, b"{}", b"[]", b"null", b'{"status":"odd"}', refused("Slow down"), refused("Field is required", 10)],
)
def test_429_is_a_rate_limit_with_and_without_json(body: object) -> None:
    with pytest.raises(RateLimited) as caught:
        read(body, status=429)
    assert caught.value.http_status == 429


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body", [b"", b"Forbidden", b"{}", b"[]", refused("You shall not pass"), refused("Field is required", 10)]
)
def test_401_and_403_are_auth_errors_with_and_without_json(status: int, body: object) -> None:
    with pytest.raises(AuthError) as caught:
        read(body, status=status)
    assert caught.value.http_status == status


def test_a_text_instead_of_json_is_shown_with_the_refusal() -> None:
    with pytest.raises(AuthError, match=r"HTTP 403 without a message \(error code: 1020\)"):
        read(b"error code: 1020\r\n", status=403)
    with pytest.raises(AuthError) as caught:
        read_flat(b"access_token=9f8e7d6c", status=403)
    assert "9f8e7d6c" not in str(caught.value), "the reply may contain a part of a token"


CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Cloudflare</body></html>"


@pytest.mark.parametrize("status", [200, 401, 403, 404, 407, 451, 503, 511])
@pytest.mark.parametrize(
    "body",
    [HTML, CHALLENGE, b"\r\n  <HTML><BODY>Sign in to the WLAN", b"\xef\xbb\xbf<html>", b"<?xml version='1.0'?><x/>"],
)
def test_a_page_is_no_refusal_of_the_credential(status: int, body: bytes) -> None:
    """Firewalls, content delivery networks, proxies and captive portals answer in place of the service."""
    for read_it in (read, read_flat):
        with pytest.raises(UnexpectedReply, match="a page instead of the API: a proxy or firewall answered") as caught:
            read_it(body, status=status)
        assert caught.value.http_status == status


def read_flat(body: bytes, status: int) -> object:
    return open_flat("oauth2_token", Reply(status, {}, body, 0.0), "access_token")


@pytest.mark.parametrize("body", [b"", b"Proxy Authentication Required"])
def test_a_proxy_that_asks_for_a_login_is_no_refusal_of_the_credential(body: bytes) -> None:
    with pytest.raises(UnexpectedReply, match="a proxy or firewall answered"):
        read(body, status=407)


LEAGUE = "The resource owner or authorization server denied the request."
RFC_SCOPE = "The request requires higher privileges than provided by the access token."

REFUSED_TOKENS: list[tuple[int, object]] = [
    (401, {"status": "error", "message": "Access token is expired"}),
    (200, {"error": "access_denied", "errorDescription": "Access token has been revoked"}),
    (401, {"error": "access_denied", "error_description": LEAGUE, "hint": "Access token could not be verified"}),
    (200, {"error": "access_denied", "error_description": LEAGUE, "hint": "Access token is invalid"}),
    (200, {"status": "error", "message": "Access token is invalid"}),
    (401, {"error": "invalid_token"}),
    (200, {"error": "invalid_token"}),
    (403, {"error": "invalid_token", "error_description": "The access token expired"}),
    (200, {"error": "not_authorized", "errorDescription": "Malformed UTF-8 characters"}),
    (401, {"status": "error", "message": "Who are you?"}),
    (401, b""),
    (401, b"Unauthorized"),
    (401, {}),
]


@pytest.mark.parametrize(("status", "body"), REFUSED_TOKENS, ids=str)
def test_refusals_of_a_token_are_recognised(status: int, body: object) -> None:
    with pytest.raises(AuthError) as caught:
        read(body, status=status)
    assert caught.value.refuses_token


@pytest.mark.parametrize(
    ("body", "message", "details"),
    [
        (
            {"error": "not_authorized", "errorDescription": "Malformed UTF-8 characters"},
            "Malformed UTF-8 characters",
            "",
        ),
        ({"error": "invalid_token", "error_description": "Who are you?"}, "Who are you?", ""),
        ({"error": "access_denied", "error_description": LEAGUE, "hint": "It was revoked"}, LEAGUE, "It was revoked"),
        ({"message": "Error", "errorDescription": "Access token is expired"}, "Access token is expired", ""),
    ],
)
def test_the_message_of_a_refused_token_is_the_one_that_explains_most(body: object, message: str, details: str) -> None:
    with pytest.raises(AuthError) as caught:
        read(body)
    assert (caught.value.message, caught.value.details) == (message, details)


OTHER_REFUSALS: list[tuple[int, object]] = [
    (403, {"error": "insufficient_scope"}),
    (401, {"error": "insufficient_scope", "error_description": RFC_SCOPE}),
    (200, {"error": "insufficient_scope", "error_description": RFC_SCOPE}),
    (200, {"error": "insufficient_scope", "error_description": "Ask for tasks_write"}),
    (401, {"status": "error", "message": "Access denied"}),
    (401, {"status": "error", "message": "The access token has no permission for this project"}),
    (403, {"status": "error", "message": "You shall not pass"}),
    (403, b""),
    (401, {"status": "error", "message": "Field is required", "status_code": 10}),
    (200, {"status": "error", "message": "Action hash is missed or invalid", "status_code": 2}),
]


@pytest.mark.parametrize(("status", "body"), OTHER_REFUSALS, ids=str)
def test_refusals_that_a_new_token_would_not_change_are_recognised(status: int, body: object) -> None:
    with pytest.raises(AuthError) as caught:
        read(body, status=status)
    assert not caught.value.refuses_token


@pytest.mark.parametrize(
    ("status", "value", "message", "refuses_token"),
    [
        (401, 'Bearer realm="api", error="invalid_token", error_description="It was revoked"', "It was revoked", True),
        (403, 'Bearer error="invalid_token"', "invalid_token", True),
        (401, 'Bearer error=insufficient_scope, scope="tasks_read"', "insufficient_scope", False),
        (403, 'Bearer realm="api"', "HTTP 403 without a message", False),
        (401, 'Bearer realm="api", scope="tasks_read"', "HTTP 401 without a message", True),
    ],
)
def test_a_challenge_in_the_header_is_read(status: int, value: str, message: str, refuses_token: bool) -> None:
    """RFC 6750: the reply may have no body."""
    with pytest.raises(AuthError) as caught:
        read(b"", status=status, www_authenticate=value)
    assert (caught.value.message, caught.value.refuses_token) == (message, refuses_token)


@pytest.mark.parametrize("status", [200, 201, 400, 404, 500, 503])
def test_body_takes_precedence_over_the_http_status(status: int) -> None:
    assert read({"status": "ok", "data": [{"id": 1}]}, status=status) == [Task(id=1)]
    with pytest.raises(errors.NotFound) as caught:
        read(refused("Task is invalid", 5), status=status)
    assert caught.value.http_status == status


def test_too_many_requests_is_not_too_many_tasks() -> None:
    with pytest.raises(RateLimited) as rate:
        read(refused("Too many requests"))
    with pytest.raises(errors.TooManyRecords) as records:
        read(refused("Too many tasks (10000 max)"))
    assert not isinstance(records.value, RateLimited)
    assert not isinstance(rate.value, errors.TooManyRecords)


REFUSALS = [
    *((429, body) for body in (HTML, refused("Too many requests"))),
    (200, refused("Too many requests")),
    *((503, body) for body in (HTML, b"", b"{}", b"[]", refused("Maintenance"))),
]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0), ("0", 0.0), ("1.5", 1.5), ("999999", 999999.0),
        ("", None), ("-1", None), ("1e9", None), ("99999999", 99999999.0), ("inf", None), ("nan", None), ("soon", None),
        ("-0.5", None), ("+5", None), ("Tue, 20 Oct 2026 07:28:00 GMT", None), ("yesterday", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0), ("Wed, 21 Oct 2026 07:27:00 GMT", None), ("Wed, 99 Oct 2026", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        ("Wed Oct 21 07:28:30 2026", 30.0),
        ("5, 6", None), (" ", None), ("0x10", None), ("1_0", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_and_invalid_values_are_ignored(header: str, seconds: float | None) -> None:
    for status, body in REFUSALS:
        with pytest.raises(errors.WorksectionError) as caught:
            read(body, status=status, retry_after=header, date="Wed, 21 Oct 2026 07:28:00 GMT")
        assert caught.value.retry_after == seconds


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_retry_after_date_without_date_header_counts_from_reception(status: int, body: bytes) -> None:
    soon = email.utils.formatdate(RECEIVED_AT + 50, usegmt=True)
    with pytest.raises(errors.WorksectionError) as caught:
        read(body, status=status, retry_after=soon)
    assert caught.value.retry_after == 50


# Damaged replies


def mutated(sample: Sample, data: st.DataObject) -> bytes:
    """Return the body of *sample* with one to four random changes."""
    body = json.loads(json.dumps(sample.body))
    for _ in range(data.draw(st.integers(1, 4))):
        places = list(_places(body))
        holder, key = data.draw(st.sampled_from(places))
        match data.draw(st.sampled_from(["drop", "replace", "move", "rename", "wrap"])):
            case "drop":
                del holder[key]
            case "replace":
                holder[key] = copy.deepcopy(data.draw(UNUSUAL))
            case "move":
                other, place = data.draw(st.sampled_from(places))
                holder[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else other[place:]))
            case "rename" if isinstance(holder, dict):
                holder[data.draw(st.sampled_from(KEYS))] = holder.pop(key)
            case _:
                holder[key] = data.draw(st.sampled_from([[holder[key]], {"0": holder[key]}, {"id": holder[key]}]))
        if not body:
            break
    raw = json.dumps(body, ensure_ascii=data.draw(st.booleans())).encode(errors="surrogatepass")
    if data.draw(st.integers(0, 3)) == 0:
        start = data.draw(st.integers(0, len(raw)))
        raw = raw[:start] + data.draw(st.binary(max_size=3)) + raw[start + data.draw(st.integers(0, 5)) :]
    return raw


def _places(value: Any) -> Any:
    for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(each, dict | list):
            yield from _places(each)


KEYS = [
    "status",
    "data",
    "message",
    "status_code",
    "id",
    "page",
    "tags",
    "child",
    "time",
    "date_added",
    "data_added",
    "0",
]
UNUSUAL = st.one_of(
    st.sampled_from(
        [None, "", [], {}, True, False, 0, -1, 10**30, 1e308, float("nan"), [[]], [None], {"": 1}, {"1": 1}]
    ),
    st.sampled_from(
        ["0", "x", "2026-01-01", "0000-00-00", "99:99", "-1:00", "1:2:3:4", "ok", "error", "a,b", "٣", "\ud800"]
    ),
    st.sampled_from(["/project/1/", "/project/1/2/", "٣:٣", "1" * 5000, "1e999999", "9999999999:00", "—"]),
    st.text(max_size=5),
    st.integers(),
    st.floats(),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SAMPLES_), st.sampled_from([200, 200, 200, 401, 429, 500]), st.data())
def test_a_damaged_reply_is_a_value_or_an_error_of_this_package(
    sample: Sample, status: int, data: st.DataObject
) -> None:
    reply = Reply(status, {}, mutated(sample, data), 0.0)
    result = outcome(lambda: read_reply(ACTIONS[sample.action], reply, STRUCTURE))
    if isinstance(result, WorksectionError):
        assert result.action == sample.action
        assert result.__context__ is None


@given(st.binary(max_size=60), st.integers(100, 599))
@example(b"", 200)
@example(b"\x00", 204)
def test_any_bytes_are_a_value_or_an_error_of_this_package(body: bytes, status: int) -> None:
    result = outcome(lambda: read_reply(GET_TASKS, Reply(status, {}, body, 0.0), STRUCTURE))
    assert not isinstance(result, WorksectionError) or str(result).startswith("get_tasks: ")


@pytest.mark.parametrize("body", [HTML, b"", b"{}", refused("Request Entity Too Large"), b"413 Payload Too Large"])
def test_status_413_says_that_the_request_is_too_large(body: bytes) -> None:
    with pytest.raises(errors.FieldError, match="The file or the request is too large") as caught:
        read(body, "upload_files", 413)
    assert caught.value.http_status == 413
    assert "may have been executed" not in str(caught.value)


# Errors of a session

ZIPPED = {"Content-Encoding": "gzip"}


@pytest.mark.anyio
@pytest.mark.filterwarnings(
    "ignore:Exception ignored .*<async_generator"
)  # httpx does not close its async generator if decoding fails
@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (lambda: httpx.Response(200, content=HTML), UnexpectedReply),
        (lambda: httpx.Response(502, content=HTML), UnexpectedReply),
        (lambda: httpx.Response(414, content=HTML), UnexpectedReply),
        (lambda: httpx.Response(200), UnexpectedReply),
        (lambda: httpx.Response(200, content=b"[" * 10_000_000), UnexpectedReply),
        (lambda: httpx.Response(301, headers={"Location": "https://example.com/login"}), UnexpectedReply),
        (lambda: httpx.Response(302, headers={"Location": "::::"}), errors.TransportError),
        (lambda: httpx.Response(200, stream=_Stream([gzip.compress(b"[5]")[:-9]]), headers=ZIPPED), UnexpectedReply),
        (lambda: httpx.Response(200, stream=_Stream([b"no gzip"]), headers=ZIPPED), errors.TransportError),
        (lambda: httpx.Response(200, stream=_Stream([b'{"status":', httpx.ReadError("")])), errors.TransportError),
        (lambda: httpx.Response(429, content=HTML), RateLimited),
        (lambda: httpx.Response(403, content=HTML), UnexpectedReply),
        (lambda: httpx.Response(403), AuthError),
    ],
)  # fmt: skip
async def test_session_raises_the_same_errors(
    session_with: Make, response: Callable[[], httpx.Response], kind: type
) -> None:
    async with session_with(lambda _: response(), retries=0, patience=0) as ws:
        with pytest.raises(kind) as caught:
            await ws.get_tasks(26)
    assert isinstance(caught.value, WorksectionError)
    assert (caught.value.action, caught.value.sent) == ("get_tasks", True)


@pytest.mark.anyio
async def test_a_redirect_is_not_followed(session_with: Make) -> None:
    asked: list[httpx.URL] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(301, headers={"Location": "https://acme.worksection.com/elsewhere"})

    async with session_with(handler) as ws:
        with pytest.raises(UnexpectedReply, match="redirect"):
            await ws.get_tasks(26)
    assert len(asked) == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SAMPLES_), st.sampled_from([200, 200, 401, 500]), st.data())
def test_a_call_raises_errors_of_this_package_only(sample: Sample, status: int, data: st.DataObject) -> None:
    body = mutated(sample, data)

    async def main() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
        options: dict[str, Any] = {"retries": 0, "patience": 0, "transport": transport}
        async with Session("acme", ApiKey(KEY), limiter=TokenBucket(1e6), **options) as ws:
            with contextlib.suppress(WorksectionError):
                await ws.get_tasks(26)
            with contextlib.suppress(WorksectionError):
                await ws.call("get_tasks", {"id_project": 26})

    anyio.run(main)


class _Stream(httpx.AsyncByteStream):
    """A body in several pieces; an exception in *pieces* is raised."""

    def __init__(self, pieces: list[bytes | Exception]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> Any:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece
