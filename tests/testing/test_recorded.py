"""Replies captured from the real service: the simulator answers the same requests in the same format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.support.constants import RECORDED
from worksection_async.testing import Simulator

from .conftest import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

EXCLUDED = ("legacy.", "oauth2_", "phpsdk.", "error.")  # older API, token endpoint, other clients

CAPTURES = sorted(path for path in RECORDED.glob("*.json") if not path.name.startswith(EXCLUDED))

OPTIONAL_KEYS = {
    *("rate", "phone", "phone2", "phone3", "phone4", "address", "address2", "email", "client", "projects", "tags"),
    *("files", "comments", "relations", "from", "to", "child", "max_time", "max_money"),
    *("date_start", "date_end", "date_closed", "time_start", "time_end"),
}
"""Keys that a record omits if they have no value."""

PREPARE: dict[str, Callable[[Simulator], Any]] = {
    "activate_project.error": lambda sim: sim.update(sim.projects[8482], status="active"),
    "close_project.success": lambda sim: sim.update(sim.projects[8482], status="active"),
    "complete_task.error": lambda sim: sim.update(sim.tasks[331430], status="done"),
    "reopen_task.success": lambda sim: sim.update(sim.tasks[331430], status="done"),
    "add_task_tags.success": lambda sim: sim.add_tag_group("Development"),
    "add_user.success": lambda sim: sim.update(sim.members[5686], active=False),
    "get_files.success": lambda sim: sim.add_file(sim.add_project("Files", id=6724), "Text file.docx"),
    "get_my_timer.success": lambda sim: sim.add_timer(330090),
    "start_my_timer.error": lambda sim: sim.add_timer(330090),
    "stop_my_timer.success": lambda sim: sim.add_timer(330090),
    "post_task.success": lambda sim: sim.add_member("bill.jones@example.com"),
    "update_project.success": lambda sim: sim.add_project("Owls", id=8526),
}
"""Changes of the demo account that a request requires."""


def _capture(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def _params(request: str) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for pair in request.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        if name.endswith("[]"):
            params.setdefault(name, []).append(value)
        else:
            params[name] = unquote(value)
    return params


def _differences(captured: Any, answered: Any, path: str = "$") -> list[str]:
    """Return the JSON paths where keys or types differ."""
    if type(captured) is not type(answered):
        return [f"{path}: {type(captured).__name__} captured, {type(answered).__name__} simulated"]
    if isinstance(captured, list):
        union = _union(captured)
        return [line for index, one in enumerate(answered) for line in _differences(union, one, f"{path}[{index}]")]
    if not isinstance(captured, dict):
        return []
    if all(key.isdecimal() for key in captured):
        return []  # a map of ids: the keys differ between accounts
    wrong = sorted((captured.keys() ^ answered.keys()) - OPTIONAL_KEYS)
    both = captured.keys() & answered.keys()
    return [f"{path}.{key}: on one side only" for key in wrong] + [
        line for key in sorted(both) for line in _differences(captured[key], answered[key], f"{path}.{key}")
    ]


def _union(rows: list[Any]) -> Any:
    merged: dict[str, Any] = {}
    for row in rows:
        merged |= {key: value for key, value in row.items() if key not in merged or value}
    return merged


@pytest.mark.skipif(not CAPTURES, reason=f"no captured replies in {RECORDED}")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
async def test_a_captured_request_gets_a_reply_of_the_captured_format(raw: Raw, path: Path) -> None:
    """The reply has the same keys and JSON types at every level; a refusal has the same text."""
    capture = _capture(path.stem)
    if path.stem in PREPARE:
        PREPARE[path.stem](raw.sim)
    params = _params(capture["request"])
    body = await raw.as_user()(params.pop("action"), **params)

    if ".error" in path.name:
        assert body == capture["body"]
    else:
        assert body["status"] == "ok"
        assert not _differences(capture["body"], body)


@pytest.mark.skipif(not CAPTURES, reason=f"no captured replies in {RECORDED}")
async def test_the_comparison_detects_a_difference() -> None:
    captured = _capture("get_task_tags.success")["body"]
    damaged = json.loads(json.dumps(captured))
    damaged["data"][0]["group"]["id"] = "100"
    del damaged["data"][1]["title"]
    assert _differences(captured, damaged) == [
        "$.data[0].group.id: int captured, str simulated",
        "$.data[1].title: on one side only",
    ]


@pytest.mark.skipif(not CAPTURES, reason=f"no captured replies in {RECORDED}")
async def test_texts_are_composed_as_in_the_captures(raw: Raw) -> None:
    """Text, checklist and mentions are joined as by the service."""
    for name in ("post_comment.success", "post_task.success"):
        if name in PREPARE:
            PREPARE[name](raw.sim)
        capture = _capture(name)
        params = _params(capture["request"])
        data = await raw.as_user().data(params.pop("action"), **params)
        assert data["text"] == capture["body"]["data"]["text"]
