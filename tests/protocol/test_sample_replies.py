"""Samples of all reply formats: each becomes the declared result type, and every value is kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest

from tests.support.expectations import (
    MESSAGES,
    SAMPLES,
    Sample,
    declared_result_type,
    find_lost_values,
    find_type_errors,
    load,
    read,
    returns_data,
)
from worksection_async import models
from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.structure import Structure

ALL = [load(path) for path in sorted(SAMPLES.glob("*.json"))]
BY_NAME = {sample.name: sample for sample in ALL}
OK = [sample for sample in ALL if sample.message is None]
REFUSED = [sample for sample in ALL if sample.message is not None]
WITH_DATA = [sample for sample in OK if returns_data(sample.action)]
MODELS = [
    model
    for name in models.__all__
    if isinstance(model := getattr(models, name), type) and issubclass(model, models.Model)
]


def _name(sample: Sample) -> str:
    return sample.name


@pytest.mark.parametrize("sample", OK, ids=_name)
def test_sample_has_the_declared_result_type(sample: Sample) -> None:
    assert find_type_errors(read(sample), declared_result_type(sample.action)) == []


@pytest.mark.parametrize("sample", WITH_DATA, ids=_name)
def test_no_value_of_a_sample_is_lost(sample: Sample) -> None:
    assert find_lost_values(sample.body, read(sample)) == UNREAD.get(sample.name, [])


UNREAD: dict[str, list[str]] = {}
"""Sample → paths of values that are not read; empty, because every value is read."""


@pytest.mark.parametrize("sample", WITH_DATA, ids=_name)
def test_a_time_zone_changes_date_times_only(sample: Sample) -> None:
    tz = ZoneInfo("Europe/Kyiv")
    aware = read(sample, tz)
    assert find_lost_values(sample.body, aware) == []
    assert all(moment.tzinfo is tz for moment in _moments(aware))
    assert all(moment.tzinfo is None for moment in _moments(read(sample)))


@pytest.mark.parametrize("sample", REFUSED, ids=_name)
def test_refusal_raises_the_class_of_its_message(sample: Sample) -> None:
    assert sample.message is not None
    with pytest.raises(MESSAGES[sample.message]) as caught:
        read(sample)
    assert type(caught.value) is MESSAGES[sample.message]
    assert sample.message in str(caught.value)
    assert vars(caught.value)["details"] == (sample.body.get("message_details") or "")
    assert vars(caught.value)["code"] == sample.body.get("status_code")


def test_every_action_without_a_file_reply_has_a_sample() -> None:
    assert {sample.action for sample in OK} == ACTIONS.keys() - {"download"}


def test_every_field_of_every_model_is_in_a_sample() -> None:
    seen = {
        f"{type(model).__name__}.{field.name}"
        for sample in WITH_DATA
        for model in _models(read(sample))
        for field in attrs.fields(type(model))
        if getattr(model, field.name) != field.default and getattr(model, field.name) not in ((), {}, None)
    }
    declared = {
        f"{model.__name__}.{field.name}"
        for model in MODELS
        if model not in (models.Model, models.Identity)  # no action returns an Identity; the tests of OAuth2 cover it
        for field in attrs.fields(model)
        if field.name != "extra"
    }
    assert declared <= seen


# Single samples


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("get_projects.missing_data", []),
        ("get_projects.empty", []),
        ("get_tasks.null_data", []),
        ("get_my_timer.missing_data", None),
        ("get_my_timer.empty_list", None),
        ("get_my_timer.empty_map", None),
        ("get_users_schedule.empty", {}),
        ("add_costs", 306),
        ("add_costs.text", 307),
        ("add_costs.in_data", 308),
        ("update_users_schedule", "Days added: 2, days updated: 1"),
        ("complete_task.snapshot", None),
    ],
)
def test_reply_without_records_has_the_expected_result(name: str, expected: object) -> None:
    assert read(BY_NAME[name]) == expected


def test_one_record_can_be_an_object_or_a_list_of_one() -> None:
    assert read(BY_NAME["me.object"]).email == read(BY_NAME["me.list_of_one"]).email == "ada@example.com"
    as_object, as_list = read(BY_NAME["get_my_timer.object"]), read(BY_NAME["get_my_timer.list_of_one"])
    assert as_object.time == as_list.time == dt.timedelta(hours=1, minutes=12, seconds=40)
    assert [comment.id for comment in read(BY_NAME["get_comments.one_record"])] == [602]


def test_legacy_replies_identify_tasks_and_projects_by_page() -> None:
    task, subtask = read(BY_NAME["get_all_tasks.older"])
    assert (task.id, subtask.id) == (9100, 9101)
    assert task.extra == {"tags": ["Wet", "Сухо"]}
    assert task.tags == {}
    (cost,) = read(BY_NAME["get_costs.older"]).data
    assert (cost.task.id, cost.project.id, cost.money) == (9100, 703, Decimal("1.50"))


def test_null_is_treated_as_absent() -> None:
    (task,) = read(BY_NAME["get_tasks.nulls"])
    assert task == models.Task(id=9008, name="Nothing")


def test_lists_can_be_objects_with_numeric_keys() -> None:
    first, second = read(BY_NAME["get_tasks.numbered"])
    assert (first.id, second.id) == (9006, 9007)
    assert [file.id for file in second.files] == [501, 502]


def test_misspelt_key_is_used_only_without_the_correct_key() -> None:
    (member,) = read(BY_NAME["get_users.typo"])
    assert member.date_added == dt.datetime(2024, 5, 6, 7, 8)
    (member,) = read(BY_NAME["get_users.both_dates"])
    assert member.date_added == dt.datetime(2024, 5, 6, 7, 8)
    assert member.extra == {"data_added": "2024-05-06 07:09"}


def test_unknown_enum_values_are_kept() -> None:
    _, event, other = read(BY_NAME["get_events"])
    assert (event.action, other.action, other.object.type) == ("post", "archive", "milestone")
    assert other.extra == {"batch": "x1"}
    assert [member.role for member in read(BY_NAME["get_users"])] == ["owner", "team admin", "auditor"]
    assert read(BY_NAME["get_webhooks"])[1].events == ("post_comment", "post_invoice")


def test_costs_include_their_totals() -> None:
    costs = read(BY_NAME["get_costs"])
    assert costs.total == models.CostsSum(time=dt.timedelta(hours=110, minutes=29), money=Decimal("62.67"))
    assert costs.data[2].extra == {"approved": {"by": "bo@example.com"}}
    project = read(BY_NAME["get_costs_total.tasks"]).projects[700]
    assert project.tasks[9010].time == dt.timedelta(hours=9)
    assert project.monthly["2025-12"].money == Decimal(80)
    assert read(BY_NAME["get_costs.numbered"]).extra == {"currency": "EUR"}


# The checks themselves: they must find missing values and wrong types


@pytest.mark.parametrize(
    ("raw", "read_as", "lost"),
    [
        ({"id": "7", "name": "a"}, models.TaskRef(id=7, name="b"), ["$.data.name"]),
        ({"id": "7", "colour": "red"}, models.TaskRef(id=7), ["$.data.colour"]),
        ({"id": "7", "colour": "red"}, models.TaskRef(id=7, extra={"colour": "blue"}), ["$.data.colour"]),
        ({"id": "7", "priority": "0"}, models.TaskRef(id=7), ["$.data.priority"]),
        ({"id": "7", "has_comments": 0}, models.Task(id=7), ["$.data.has_comments"]),
        ({"id": "7", "max_time": 2}, models.Task(id=7, max_time=dt.timedelta(seconds=2)), ["$.data.max_time"]),
        ({"time": 2}, models.MyTimer(time=dt.timedelta(hours=2)), ["$.data.time"]),
        ({"id": 7, "child": [{"id": 8, "name": "a"}]}, models.Task(id=7, child=(models.Task(id=8),)),
         ["$.data.child[0].name"]),
        ({"id": 7, "child": [{"id": 8}, {"id": 9}]}, models.Task(id=7, child=(models.Task(id=8),)), ["$.data.child"]),
        ({"id": 7, "tags": {"1": "a"}}, models.Task(id=7, tags={2: "a"}), ["$.data.tags"]),
        ({"id": 7, "tags": {"1": "a"}}, models.Task(id=7, tags={1: "b"}), ["$.data.tags.1"]),
        ({"id": 7, "date_end": "2026-01-02"}, models.Task(id=7, date_end=dt.date(2026, 2, 1)), ["$.data.date_end"]),
        ({"role": "Owner"}, models.Member(role="user"), ["$.data.role"]),
        ([{"id": 1}, {"id": 2}], models.Member(id=1), ["$.data"]),
        ([{"id": 1}, {"id": 2}], [models.Member(id=1), models.Member(id=3)], ["$.data[1].id"]),
        ({"id": 1}, None, ["$.data"]),
    ],
)  # fmt: skip
def test_lost_values_are_found(raw: object, read_as: object, lost: list[str]) -> None:
    assert find_lost_values({"status": "ok", "data": raw}, read_as) == lost


def test_every_removed_field_is_found() -> None:
    (task, _) = read(BY_NAME["get_all_tasks"])
    body = {"data": BY_NAME["get_all_tasks"].body["data"][0]}
    assert find_lost_values(body, task) == []
    for key in body["data"].keys() - {"id"}:
        default = getattr(models.Task(id=1), key)
        assert find_lost_values(body, attrs.evolve(task, **{key: default})), key


def test_ignored_key_of_the_envelope_is_found() -> None:
    assert find_lost_values({"status": "ok", "data": [], "total": 5}, []) == ["$.total"]


def test_type_check_covers_nested_values() -> None:
    wrong: Any = "2026-01-02"
    assert find_type_errors([models.Task(id=1, files=(models.File(id=2, date_added=wrong),))], list[models.Task]) != []
    assert find_type_errors({"5": 1}, dict[int, int]) != []
    assert find_type_errors(True, int) != []


def test_structuring_has_no_state() -> None:
    """A reply that is read again after other replies gives equal models."""
    structure = Structure()
    first = [read(sample) for sample in WITH_DATA]
    again = [ACTIONS[sample.action].returns.read(sample.body, structure) for sample in reversed(WITH_DATA)]
    assert first == again[::-1]


def _models(value: Any) -> Iterator[models.Model]:
    if isinstance(value, models.Model):
        yield value
        value = [getattr(value, field.name) for field in attrs.fields(type(value)) if field.name != "extra"]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _models(each)


def _moments(value: object) -> Iterator[dt.datetime]:
    for model in _models(value):
        for field in attrs.fields(type(model)):
            if isinstance(moment := getattr(model, field.name), dt.datetime):
                yield moment
