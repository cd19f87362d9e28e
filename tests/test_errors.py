"""Errors: the class tree, the messages, and pickling."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import re
from typing import Any

import pytest

from worksection_async import errors
from worksection_async.errors import WorksectionError

CLASSES: list[type[WorksectionError]] = [getattr(errors, name) for name in errors.__all__]

EXAMPLES: list[WorksectionError] = [
    errors.InvalidCall("get_tasks", "id_project: must be a positive integer, got -1"),
    errors.InvalidCall("download", "plan.pdf already exists", sent=True),
    errors.WaitTooLong("get_tasks", 12.34, 5.0),
    errors.TransportError("post_task", "ConnectError: refused", sent=False),
    errors.TransportError("post_task", "ReadError", sent=True),
    errors.CallTimeout("post_task", "no answer within 30 s", sent=True),
    errors.UnexpectedReply("get_tasks", "$.data[37].date_end", "not a date", http_status=200, excerpt="<html>"),
    errors.ApiError("get_tasks", "Something new", code=77, details="a field", http_status=500, hint="Try this."),
    errors.AuthError("me", "Access token is expired", http_status=401),
    errors.ReauthorizationRequired("me", "Refresh token is invalid", "https://worksection.com/oauth2/authorize"),
    errors.NotFound("get_task", "Task is invalid", code=5, hint="There is no such task."),
    errors.FieldError("subscribe", "Invalid email", code=11, details="ada@example.com"),
    errors.StateError("complete_task", "Task is already closed", code=12),
    errors.RateLimited("get_tasks", "Too many requests", retry_after=1.5, code=None, hint="Share one limiter."),
    errors.TooManyRecords("get_all_tasks", "Too many tasks (10000 max)"),
    errors.QuotaExceeded("post_task", "Quota exceeded", code=20),
    errors.TransportError("get_tasks", "the certificate", sent=False, is_permanent=True),
    errors.StorageError("download", "the disk is full", sent=True, kept="/tmp/a"),
    errors.StorageError("upload_files", "the disk is full", sent=False),
    errors.EventsLost(dt.datetime(2026, 10, 1), dt.datetime(2026, 10, 2), "the service stores events for 30 days"),
    errors.SessionClosed("get_tasks"),
    errors.TokenStoreError("/tokens/ada cannot be used (No space left on device)"),
]


def _id(error: WorksectionError) -> str:
    return f"{type(error).__name__}-{error.sent}"


# The tree


def documented_tree() -> dict[str, tuple[str | None, str | None]]:
    """Return for each class in the tree of the docstring its parent and its builtin base class."""
    assert errors.__doc__ is not None
    tree: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in re.findall(r"^    ([│├└─ ]*)(\w+)(?: \((\w+)\))?  +\S", errors.__doc__, re.MULTILINE):
        depth = len(line[0]) // 4
        path[depth:] = [line[1]]
        tree[line[1]] = (path[depth - 1] if depth else None, line[2] or None)
    return tree


def test_tree_in_the_docstring_matches_the_classes() -> None:
    actual: dict[str, tuple[str | None, str | None]] = {}
    for cls in CLASSES:
        ours = [base.__name__ for base in cls.__bases__ if issubclass(base, WorksectionError)]
        others = [base.__name__ for base in cls.__bases__ if not issubclass(base, WorksectionError)]
        if cls is WorksectionError:
            others.remove("Exception")
        assert len(ours) <= 1
        assert len(others) <= 1
        actual[cls.__name__] = (ours[0] if ours else None, others[0] if others else None)
    assert documented_tree() == actual


def test_every_error_class_is_exported() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert defined == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)


def test_every_error_class_has_an_example() -> None:
    assert {type(error) for error in EXAMPLES} == set(CLASSES) - {WorksectionError}


def test_only_invalid_call_is_a_value_error() -> None:
    assert isinstance(EXAMPLES[0], ValueError)
    assert not any(isinstance(error, ValueError) for error in EXAMPLES if type(error) is not errors.InvalidCall)


# Messages

MAY_BE_EXECUTED = "The request may have been executed: check before you repeat a write."
NOT_A_DATE = "unexpected reply (HTTP 200) at $.data[37].date_end: not a date; the body starts with '<html>'"
IF_IT_PERSISTS = "If this error persists, the service has changed the format."
FAILED = "the service failed with HTTP 500, maybe after executing the request"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (EXAMPLES[0], "get_tasks: id_project: must be a positive integer, got -1. No request was sent."),
        (EXAMPLES[1], "download: plan.pdf already exists"),
        (EXAMPLES[2], "get_tasks: the forecast wait of 12.3 s exceeds max_wait (5.0 s). No request was sent."),
        (EXAMPLES[3], "post_task: ConnectError: refused. The request was not sent: you can repeat it."),
        (EXAMPLES[4], f"post_task: ReadError. {MAY_BE_EXECUTED}"),
        (EXAMPLES[5], f"post_task: no answer within 30 s. {MAY_BE_EXECUTED}"),
        (EXAMPLES[6],
         f"get_tasks: {NOT_A_DATE}. The request may have been executed. {IF_IT_PERSISTS}"),
        (EXAMPLES[7],
         f"get_tasks: {FAILED}: Something new (a field). Try this."),
        (EXAMPLES[8], "me: the service refused: Access token is expired. Check the key, or the token and its scopes."),
        (EXAMPLES[9], "me: Refresh token is invalid: the user must log in at login_url. No request was sent."),
        (EXAMPLES[13], "get_tasks: the service refused: Too many requests. Share one limiter."),
        (errors.FieldError("update_project", "Only one can be set as 1."),
         "update_project: the service refused: Only one can be set as 1. Correct the value and call again."),
    ],
    ids=lambda value: _id(value) if isinstance(value, WorksectionError) else "",
)  # fmt: skip
def test_message_states_the_problem_and_what_to_do(error: WorksectionError, sentence: str) -> None:
    assert str(error) == sentence


READ = "The call only reads: you can repeat it."


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.TransportError("get_tasks", "ReadError", sent=True),
         f"get_tasks: ReadError. The request may have arrived. {READ}"),
        (errors.TransportError("get_tasks", "ReadError", sent=False),
         "get_tasks: ReadError. The request was not sent: you can repeat it."),
        (errors.TransportError("get_tasks", "KeyError", sent=True, is_permanent=True),
         "get_tasks: KeyError. The request may have arrived. The call only reads."),
        (errors.CallTimeout("get_tasks", "no answer within 30 s", sent=True),
         f"get_tasks: no answer within 30 s. The request may have arrived. {READ}"),
        (errors.UnexpectedReply("get_tasks", "$", "not JSON", http_status=502),
         f"get_tasks: unexpected reply (HTTP 502) at $: not JSON. {READ} {IF_IT_PERSISTS}"),
        (errors.ApiError("get_tasks", "Something new", http_status=500, hint="Try this."),
         "get_tasks: the service failed with HTTP 500: Something new. Try this."),
        (errors.SessionClosed("get_tasks").of_read().in_doubt(),
         f"get_tasks: the session is closed. An earlier attempt may have arrived. {READ}"),
        (errors.ReauthorizationRequired("me", "Refresh token is invalid", ""),
         "me: Refresh token is invalid: the user must log in at login_url. No request was sent."),
    ],
    ids=lambda value: _id(value) if isinstance(value, WorksectionError) else "",
)  # fmt: skip
def test_message_of_a_read_says_that_it_can_be_repeated(error: WorksectionError, sentence: str) -> None:
    text = str(error) if str(error) == sentence else str(error.of_read())
    assert text == sentence
    assert (str(error.of_read()) == sentence) or "An earlier attempt" in sentence


@pytest.mark.parametrize("error", EXAMPLES, ids=_id)
def test_message_names_the_action_and_tells_if_the_request_was_sent(error: WorksectionError) -> None:
    assert str(error).startswith(f"{error.action}: ")
    says_sent = re.search(
        r"the service (refused|failed)|may have been executed|may be lost|already exists|only reads", str(error)
    )
    says_unsent = re.search(r"No request was sent|was not sent", str(error))
    assert (says_sent is not None, says_unsent is not None) == (error.sent, not error.sent)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_has_a_docstring_and_declares_its_action(cls: type[WorksectionError]) -> None:
    assert cls.__doc__
    assert cls.__module__ == "worksection_async.errors"
    assert "action" in {name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})}


@pytest.mark.parametrize("error", EXAMPLES, ids=_id)
def test_every_declared_attribute_is_set(error: WorksectionError) -> None:
    declared = {name for base in type(error).__mro__ for name in vars(base).get("__annotations__", {})}
    assert declared - {"advice", "args"} == {name for name in vars(error) if not name.startswith("_")}


# Pickles


@pytest.mark.parametrize("error", EXAMPLES, ids=_id)
@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
def test_copies_and_pickles_keep_all_attributes(error: WorksectionError, duplicate: Any) -> None:
    duplicated = duplicate(error)
    assert type(duplicated) is type(error)
    assert (str(duplicated), duplicated.args, vars(duplicated)) == (str(error), error.args, vars(error))


def test_pickles_keep_notes() -> None:
    error = errors.NotFound("get_task", "Task is invalid")
    error.add_note("while copying the project")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while copying the project"]
