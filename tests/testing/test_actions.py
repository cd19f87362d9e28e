"""All actions: each has a handler and checks its parameters as the spec requires."""

from typing import Any

import pytest

from worksection_async._spec import ActionSpec, load
from worksection_async.testing._actions import HANDLERS

from .conftest import Raw

pytestmark = pytest.mark.one_row_on_trio

ACTIONS = load().actions

VALID_VALUES: dict[str, Any] = {
    "id_project": 26,
    "id_task": 2601,
    "id_file": 17694,
    "id_costs": 3690,
    "id": 122,
    "timer": 2918,
    "email": "new.hand@ws.com",
    "email_user": "frank.harper@ws.com",
    "members": "frank.harper@ws.com",
    "title": "Anything",
    "name": "Ann Bell",
    "text": "Hello",
    "time": "1:30",
    "group": "Finance",
    "type": "label",
    "access": "public",
    "period": "3d",
    "url": "https://example.com/hook",
    "events": "post_task",
    "data": {"frank.harper@ws.com": {"24.12.2026": "vacation"}},
}
"""A valid value for each required parameter."""

PROJECT_OF_ACTION = {"close_project": 26, "activate_project": 8482}


def _required_params(name: str, action: ActionSpec) -> dict[str, Any]:
    needed = [param for param, spec in action.params.items() if spec.required and spec.type != "files"]
    needed += [next(param for param in names if param in VALID_VALUES) for names in action.one_of]
    params = {param: VALID_VALUES[param] for param in needed}
    if name in PROJECT_OF_ACTION:
        params["id_project"] = PROJECT_OF_ACTION[name]
    if name == "reopen_task":
        params["id_task"] = 330142
    if name == "add_task_tags":
        params["group"] = "General labels"
    return params


def test_each_of_the_63_actions_has_a_handler() -> None:
    assert HANDLERS.keys() == ACTIONS.keys()
    assert len(HANDLERS) == 63


@pytest.mark.anyio
@pytest.mark.parametrize("name", ACTIONS)
async def test_each_action_succeeds_with_its_required_parameters(raw: Raw, name: str) -> None:
    user = raw.as_user()
    if name in {"stop_my_timer", "delete_my_timer"}:
        raw.sim.add_timer(2601)
    if name == "upload_files":
        assert (await raw.upload(name, [("files[]", ("a.txt", b"a"))]))["status"] == "ok"
    elif name == "download":
        assert (await user.send(name, id_file=17694)).content == b"requirements"
    else:
        assert (await user(name, **_required_params(name, ACTIONS[name])))["status"] == "ok"
    assert raw.sim.requests[-1].executed


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "param"),
    [
        (name, param)
        for name, action in ACTIONS.items()
        for param, spec in action.params.items()
        if spec.required and spec.type != "files"
    ],
)
@pytest.mark.parametrize("value", [None, "", "  "])
async def test_a_missing_parameter_is_named_in_the_error(raw: Raw, name: str, param: str, value: str | None) -> None:
    params = {**_required_params(name, ACTIONS[name]), param: value}
    body = await raw.as_user()(name, **params)
    details = "group (id or title)" if param == "group" else param
    assert (body["status_code"], body["message_details"]) == (10, details)
    assert not raw.sim.requests[-1].executed


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "details"), [("post_comment", "text or todo"), ("add_costs", "time or money")])
async def test_one_of_two_parameters_is_required(raw: Raw, name: str, details: str) -> None:
    body = await raw.as_user()(name, id_task=2601)
    assert (body["message"], body["message_details"]) == ("Field is required", details)


@pytest.mark.anyio
async def test_one_of_many_parameters_is_required(raw: Raw) -> None:
    body = await raw("search_tasks", status="done")
    assert (body["status_code"], body["message"]) == (10, "At least one of fields required")
    assert set(body["message_details"].split(", ")) == set(ACTIONS["search_tasks"].one_of[0])


UNKNOWN = {
    "id_project": (4, "Project is invalid"),
    "id_task": (5, "Task is invalid"),
    "id_parent": (5, "Task is invalid"),
}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "param"),
    [(name, param) for name, action in ACTIONS.items() for param in UNKNOWN if param in action.params],
)
@pytest.mark.parametrize("value", [999, "0", "x1", "9" * 5000])
async def test_unknown_records_are_refused(raw: Raw, name: str, param: str, value: Any) -> None:
    body = await raw.as_user()(name, **{**_required_params(name, ACTIONS[name]), param: value})
    assert (body["status_code"], body["message"]) == UNKNOWN[param]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "param"),
    [
        (name, param)
        for name, action in ACTIONS.items()
        for param, spec in action.params.items()
        if spec.type in {"email", "emails", "assignee"} and param != "email"
    ],
)
async def test_unknown_email_addresses_are_listed_in_the_error(raw: Raw, name: str, param: str) -> None:
    body = await raw.as_user()(name, **{**_required_params(name, ACTIONS[name]), param: "x@example.com,y@example.com"})
    assert (body["status_code"], body["message"]) == (11, "Invalid email")
    assert body["message_details"] == "x@example.com,y@example.com"


@pytest.mark.anyio
async def test_known_email_addresses_are_not_listed_in_the_error(raw: Raw) -> None:
    body = await raw("add_project_members", id_project=26, members="FRANK.harper@ws.com, x@example.com")
    assert body["message_details"] == "x@example.com"
    assert [user.id for user in raw.sim.projects[26].users] == [raw.sim.owner.id]


@pytest.mark.anyio
async def test_unknown_values_and_parameters_are_ignored(raw: Raw) -> None:
    plain = await raw("get_tasks", id_project=8562)
    assert await raw("get_tasks", id_project=8562, extra="moon,archive", filter="done", id_user=1) == plain


@pytest.mark.anyio
async def test_a_required_enum_needs_a_known_value(raw: Raw) -> None:
    body = await raw("add_webhook", url="https://example.com", events="post_moon,delete_everything")
    assert body["message_details"] == "events"


@pytest.mark.anyio
@pytest.mark.parametrize("params", [{"datestart": "2026-12-01"}, {"dateend": "31.02.2026"}, {"max_time": "soon"}])
async def test_a_malformed_value_changes_nothing(raw: Raw, params: dict[str, str]) -> None:
    body = await raw("update_task", id_task=2601, title="Changed", **params)
    assert (body["message"], body["message_details"]) == ("Field is required", next(iter(params)))
    assert raw.sim.tasks[2601].name == "Read the documentation"
