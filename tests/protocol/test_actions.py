"""Every action against the simulator: with minimal and maximal arguments, and with each credential."""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
import pytest

from worksection_async import AccessToken, ApiKey, Session
from worksection_async._auth.credentials import Auth
from worksection_async._spec import ActionSpec, load
from worksection_async.models import Model, ProjectOptions, UploadedFile
from worksection_async.testing import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

SPEC = load()
ACTIONS = SPEC.actions

AUTHS: dict[str, Callable[[Simulator], Auth]] = {
    "hash": lambda sim: ApiKey(sim.api_key),
    "signature": lambda sim: ApiKey(sim.api_key, scheme="signature"),
    "token": lambda sim: AccessToken(sim.issue_token()),
}


def cases() -> list[Any]:
    return [
        pytest.param(action, size, auth, id=f"{action}-{size}-{auth}")
        for action, spec in ACTIONS.items()
        for size in ("minimal", "maximal")
        for auth in AUTHS
        if spec.credential == "any" or auth == "token"
    ]


@pytest.mark.parametrize(("action", "size", "auth"), cases())
async def test_every_action_works(action: str, size: str, auth: str, tmp_path: Path) -> None:
    """The simulator accepts the call, the result has the declared type, and the models have a field for each key."""
    sim = Simulator(seed="empty")
    values = World(sim, tmp_path)
    async with sim, sim.session(AUTHS[auth](sim)) as ws:
        if action in {"stop_my_timer", "delete_my_timer"}:
            await ws.start_my_timer(values.task)
        arguments = await values.arguments(ws, action, size, is_token=auth == "token")
        result = await getattr(ws, action)(**arguments)
    assert sim.requests[-1].action == action
    expected = get_type_hints(getattr(Session, action))["return"]
    assert conforms(result, expected), f"{result!r} is not {expected}"
    assert unknown_keys(result) == []


class World:
    """An account with the records that the actions need, and valid values for all parameters."""

    def __init__(self, sim: Simulator, folder: Path) -> None:
        self.other = sim.add_member("kate@example.com", "Kate Greenway").email
        sim.add_group("Development")
        project = sim.add_project("Owl brand launch", users=sim.members.values())
        self.project = project.id
        self.archived = sim.add_project("Old", status="archive").id
        task = sim.add_task(project, "Development", text="Logic")
        self.task = task.id
        self.done = sim.add_task(project, "Done", status="done").id
        self.file = sim.add_file(task, "plan.pdf", b"%PDF").id
        self.cost = sim.add_costs(task, dt.timedelta(hours=1)).id
        self.timer = sim.add_timer(task, self.other).id
        self.webhook = sim.add_webhook("https://example.com/hook", ["post_task"]).id
        for of in ("task", "project"):
            group = sim.add_tag_group(f"{of} labels", of)
            for title in ("one", "two"):
                sim.add_tag(group, f"{of} {title}")
        self.folder = folder
        self.attachment = folder / "Кошторис.txt"
        self.attachment.write_bytes("зміст".encode())

    async def arguments(self, ws: Session, action: str, size: str, *, is_token: bool) -> dict[str, Any]:
        spec = ACTIONS[action]
        chosen = maximal(spec) if size == "maximal" else minimal(spec)
        if action in ("add_costs", "post_comment") and not is_token:
            chosen.add("email_user_from")
        given = {name: self.value(action, name, spec.params[name].type) for name in chosen}
        if "files" in given and action == "post_task":
            given["files"] = await ws.upload_files([self.attachment])
            del given["attach"]  # stored files and attachments exclude each other
        if action == "download":
            given["to"] = self.folder / "downloaded.pdf"
        return given

    def value(self, action: str, name: str, type_: str) -> Any:
        special: dict[tuple[str, str], Any] = {
            ("add_user", "email"): "new@example.com",
            ("add_contact", "email"): "contact@example.com",
            ("activate_project", "id_project"): self.archived,
            ("reopen_task", "id_task"): self.done,
            ("add_webhook", "url"): "https://example.com/other",
            ("delete_webhook", "id"): self.webhook,
            ("search_tasks", "filter"): "name has 'Dev' and dateadd>='01.01.2020'",
            ("get_costs", "filter"): "comment has 'x'",
            ("get_costs_total", "filter"): f"project in ({self.project}, 1)",
        }
        if (action, name) in special:
            return special[action, name]
        of = "project" if "project" in action else "task"
        by_name: dict[str, Any] = {
            "id_project": self.project,
            "id_task": self.task,
            "id_parent": self.task,
            "id_file": self.file,
            "id_costs": self.cost,
            "timer": self.timer,
            "group": f"{of} labels",
            "tags": [f"{of} one"],
            "plus": [f"{of} one"],
            "minus": [f"{of} two"],
            "title": ["New one", "New two"] if type_ == "names" else "Новий заголовок",
            "users": [self.other],
        }
        if name in by_name and not (name == "group" and action in ("add_user", "add_contact")):
            return by_name[name]
        return self.by_type(type_)

    def by_type(self, type_: str) -> Any:
        plain: dict[str, Any] = {
            "str": "Text, & more", "text": "Опис + все", "email": self.other, "emails": [self.other], "assignee": "ANY",
            "name": "x", "names": ["x"], "ids": [self.project], "date": dt.date(2026, 12, 31), "priority": 7,
            "hours": dt.timedelta(hours=15), "clock": dt.timedelta(minutes=90), "money": Decimal("75.17"), "flag": True,
            "period": dt.timedelta(days=2), "todo": ["раз", "two"], "attach": [self.attachment],
            "files": [self.attachment], "uploads": [UploadedFile(id="1")],
            "ProjectOptions": ProjectOptions(allow_close=True, timer_only=True),
            "map[date, ScheduleChange]": {self.other: {dt.date(2026, 12, 31): "vacation"}},
        }  # fmt: skip
        if type_ in plain:
            return plain[type_]
        values = SPEC.enums[type_.removeprefix("list[").removesuffix("]")].values
        return list(values) if type_.startswith("list[") else values[0]


def minimal(spec: ActionSpec) -> set[str]:
    """Return the required parameters, and the first of each group of alternatives."""
    return {name for name, param in spec.params.items() if param.required} | {group[0] for group in spec.one_of}


def maximal(spec: ActionSpec) -> set[str]:
    """Return all parameters, but only the first of each exclusive group."""
    return spec.params.keys() - {name for group in spec.exclusive for name in group[1:]}


def conforms(value: object, type_: Any) -> bool:
    origin, arguments = get_origin(type_), get_args(type_)
    if origin in (Union, types.UnionType):
        return any(conforms(value, each) for each in arguments)
    if origin is list:
        return isinstance(value, list) and all(conforms(each, arguments[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            conforms(key, arguments[0]) and conforms(each, arguments[1]) for key, each in value.items()
        )
    return value is None if type_ is type(None) else isinstance(value, type_) and not isinstance(value, bool)


def unknown_keys(value: object) -> list[str]:
    """Return the keys in `extra` of all models in *value*."""
    if isinstance(value, Model):
        inside = [each for field in attrs.fields(type(value)) for each in unknown_keys(getattr(value, field.name))]
        return [f"{type(value).__name__}.{key}" for key in value.extra] + inside
    if isinstance(value, list | tuple):
        return [key for each in value for key in unknown_keys(each)]
    if isinstance(value, dict):
        return [key for each in value.values() for key in unknown_keys(each)]
    return []
