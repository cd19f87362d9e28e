"""Errors: their tree, their sentences, and that they can be sent to another process."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from worksection_async import errors
from worksection_async.errors import WorksectionError

CLASSES: list[type[WorksectionError]] = [getattr(errors, name) for name in errors.__all__]

EXAMPLES: list[WorksectionError] = [
    errors.InvalidCall("get_tasks", "id_project: a positive number expected, not -1"),
    errors.InvalidCall("download", "plan.pdf is there already", sent=True),
    errors.WaitTooLong("get_tasks", 12.34, 5.0),
    errors.TransportError("post_task", "ConnectError: refused", sent=False),
    errors.TransportError("post_task", "ReadError", sent=True),
    errors.CallTimeout("post_task", "no answer within 30 s", sent=True),
    errors.UnexpectedReply("get_tasks", "$.data[37].date_end", "no date", http_status=200, excerpt="<html>"),
    errors.ApiError("get_tasks", "Something new", code=77, details="a field", http_status=500, hint="Try this."),
    errors.AuthError("me", "Access token is expired", http_status=401),
    errors.ReauthorizationRequired("me", "Refresh token is dead", "https://worksection.com/oauth2/authorize"),
    errors.NotFound("get_task", "Task is invalid", code=5, hint="There is no such task."),
    errors.FieldError("subscribe", "Invalid email", code=11, details="ada@example.com"),
    errors.StateError("complete_task", "Task is already closed", code=12),
    errors.RateLimited("get_tasks", "Too many requests", retry_after=1.5, code=None, hint="Share one limiter."),
    errors.TooManyRecords("get_all_tasks", "Too many tasks (10000 max)"),
    errors.QuotaExceeded("post_task", "Quota exceeded", code=20),
    errors.SessionClosed("get_tasks"),
    errors.TokenStoreError("/tokens/ada cannot be used (No space left on device)"),
]


def _id(error: WorksectionError) -> str:
    return f"{type(error).__name__}-{error.sent}"


# The tree


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Each class in the drawing, with the class above it and the builtin beside it."""
    assert errors.__doc__ is not None
    tree: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in re.findall(r"^    ([│├└─ ]*)(\w+)(?: \((\w+)\))?  +\S", errors.__doc__, re.MULTILINE):
        depth = len(line[0]) // 4
        path[depth:] = [line[1]]
        tree[line[1]] = (path[depth - 1] if depth else None, line[2] or None)
    return tree


def test_the_tree_of_the_docstring_is_the_tree_of_the_classes() -> None:
    actual: dict[str, tuple[str | None, str | None]] = {}
    for cls in CLASSES:
        ours = [base.__name__ for base in cls.__bases__ if issubclass(base, WorksectionError)]
        others = [base.__name__ for base in cls.__bases__ if not issubclass(base, WorksectionError)]
        if cls is WorksectionError:
            others.remove("Exception")
        assert len(ours) <= 1
        assert len(others) <= 1
        actual[cls.__name__] = (ours[0] if ours else None, others[0] if others else None)
    assert drawn() == actual


def test_every_error_class_is_exported() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert defined == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)


def test_every_class_that_is_raised_has_an_example() -> None:
    assert {type(error) for error in EXAMPLES} == set(CLASSES) - {WorksectionError}


def test_invalid_calls_are_value_errors_too() -> None:
    assert isinstance(EXAMPLES[0], ValueError)
    assert not any(isinstance(error, ValueError) for error in EXAMPLES if type(error) is not errors.InvalidCall)


# Sentences

IN_DOUBT = "the request may have been carried out"
NO_DATE = "unexpected reply (HTTP 200) at $.data[37].date_end: no date"
LASTS = ". If it lasts, the service has changed"
FAILED = "the service failed with HTTP 500, maybe after carrying it out"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (EXAMPLES[0], "get_tasks: id_project: a positive number expected, not -1 (nothing was sent)"),
        (EXAMPLES[1], "download: plan.pdf is there already"),
        (EXAMPLES[2], "get_tasks: a turn is 12.3 s away and max_wait is 5.0 s (nothing was sent)"),
        (EXAMPLES[3], "post_task: ConnectError: refused; the request was never sent: repeat it"),
        (EXAMPLES[4], "post_task: ReadError; the request may have been carried out: look before repeating a write"),
        (EXAMPLES[5], f"post_task: no answer within 30 s; {IN_DOUBT}: look before repeating a write"),
        (EXAMPLES[6],
         f"get_tasks: {NO_DATE}; it begins '<html>'; {IN_DOUBT}{LASTS}"),
        (EXAMPLES[7],
         f"get_tasks: {FAILED}: Something new (a field). Try this."),
        (EXAMPLES[8], "me: the service refused: Access token is expired. Check the key, or the token and its scopes."),
        (EXAMPLES[9], "me: Refresh token is dead: let the user log in at login_url (nothing was sent)"),
        (EXAMPLES[13], "get_tasks: the service refused: Too many requests. Share one limiter."),
        (errors.FieldError("update_project", "Only one can be set as 1."),
         "update_project: the service refused: Only one can be set as 1. Correct the value and call again."),
    ],
    ids=lambda value: _id(value) if isinstance(value, WorksectionError) else "",
)  # fmt: skip
def test_an_error_says_what_happened_and_what_to_do(error: WorksectionError, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize("error", EXAMPLES, ids=_id)
def test_an_error_names_its_action_and_says_whether_it_was_sent(error: WorksectionError) -> None:
    assert str(error).startswith(f"{error.action}: ")
    said_sent = re.search(r"the service (refused|failed)|may have been carried out|is there already", str(error))
    said_unsent = re.search(r"nothing was sent|was never sent", str(error))
    assert (said_sent is not None, said_unsent is not None) == (error.sent, not error.sent)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_and_every_attribute_is_described(cls: type[WorksectionError]) -> None:
    assert cls.__doc__
    assert cls.__module__ == "worksection_async.errors"
    assert "action" in {name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})}


@pytest.mark.parametrize("error", EXAMPLES, ids=_id)
def test_every_declared_attribute_is_there(error: WorksectionError) -> None:
    declared = {name for base in type(error).__mro__ for name in vars(base).get("__annotations__", {})}
    assert declared - {"advice"} == {name for name in vars(error) if not name.startswith("_")}


# Pickles


@pytest.mark.parametrize("error", EXAMPLES, ids=_id)
@pytest.mark.parametrize(
    "travel",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
def test_errors_travel_with_all_they_know(error: WorksectionError, travel: Any) -> None:
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))


def test_notes_travel_too() -> None:
    error = errors.NotFound("get_task", "Task is invalid")
    error.add_note("while copying the project")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while copying the project"]
