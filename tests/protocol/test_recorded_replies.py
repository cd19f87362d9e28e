"""Replies recorded from the service: each is read completely.

The recordings are not part of the project. Without them, these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.constants import RECORDED
from tests.support.expectations import (
    MESSAGES,
    Sample,
    declared_result_type,
    find_lost_values,
    find_type_errors,
    load,
    read,
    returns_data,
)
from worksection_async import errors
from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.envelope import open_envelope, read_reply
from worksection_async._protocol.structure import Structure
from worksection_async.models import Project

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"there are no recorded replies in {RECORDED}")

ACTIONS_OF = {
    "legacy.ruby.get_all_tasks": "get_all_tasks",
    "legacy.ruby.get_projects": "get_projects",
    "legacy.ruby.get_timemoney": "get_costs",  # the legacy name of the action, with the same records
    "legacy.zeetabit.get_tasks": "get_tasks",
    "phpsdk.get_projects.autorefresh": "get_projects",
}
"""Replies whose file name does not contain the current name of the action."""

ADDED_BY_THE_SDK = {"phpsdk.get_projects.autorefresh": ["$.access_token", "$.refresh_token"]}
"""Keys that the service did not send: that SDK refreshed a token and added the new pair to the reply."""

OAUTH2_REPLIES = {"oauth2_resource.success", "oauth2_token.success"}
"""Replies of the OAuth2 endpoints, which no action returns; the tests of OAuth2 read them."""

FILES = sorted(path for path in RECORDED.glob("*.json") if path.stem not in OAUTH2_REPLIES)
REFUSED = [path for path in FILES if load(path, "").message is not None] if FILES else []
OK = [path for path in FILES if path not in REFUSED]


def _action(path: Path) -> str:
    name = ACTIONS_OF.get(path.stem) or path.stem.partition(".")[0]
    return "get_tasks" if name in ("error", "oauth2_token", "oauth2_resource") else name


def _stem(path: Path) -> str:
    return path.stem


def _read(path: Path) -> tuple[Sample, object]:
    sample = load(path, _action(path))
    return sample, read(sample)


def test_archive_contains_successes_and_errors() -> None:
    assert len(OK) > 40
    assert len(REFUSED) > 20


@pytest.mark.parametrize("path", OK, ids=_stem)
def test_recorded_reply_has_the_declared_result_type(path: Path) -> None:
    sample, value = _read(path)
    assert find_type_errors(value, declared_result_type(sample.action)) == []


@pytest.mark.parametrize("path", OK, ids=_stem)
def test_no_value_of_a_recorded_reply_is_lost(path: Path) -> None:
    sample, value = _read(path)
    if returns_data(sample.action):
        assert find_lost_values(sample.body, value) == ADDED_BY_THE_SDK.get(path.stem, [])


@pytest.mark.parametrize("path", REFUSED, ids=_stem)
def test_recorded_error_raises_the_class_of_its_message(path: Path) -> None:
    sample = load(path, _action(path))
    assert sample.message is not None
    # The code of the only recorded reply to an invalid access token; its message alone would not say so.
    is_token = sample.body.get("error") == "not_authorized"
    kind = errors.AuthError if is_token else MESSAGES[sample.message]
    with pytest.raises(kind) as caught:
        read(sample)
    assert type(caught.value) is kind
    assert (vars(caught.value)["message"], caught.value.action) == (sample.message, sample.action)
    assert vars(caught.value)["details"] == sample.body.get("message_details", "")


@pytest.mark.parametrize("path", REFUSED, ids=_stem)
def test_recorded_error_is_raised_for_any_action(path: Path) -> None:
    """Includes the errors of the token endpoints."""
    sample = load(path, "")
    for action in ACTIONS.values():
        with pytest.raises(errors.ApiError):
            open_envelope(action, sample.reply)
        with pytest.raises(errors.ApiError):
            read_reply(action, sample.reply, Structure())


def test_tokens_in_recorded_replies_are_ignored() -> None:
    value = read(load(RECORDED / "phpsdk.get_projects.autorefresh.json", "get_projects"))
    assert all(isinstance(project, Project) and project.status == "archive" for project in value)
    assert len(value) == 2
