"""`models.to_dict`, `to_json` and `from_dict`: JSON, and an exact round trip for every model."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.sample import TASK
from tests.support.strategies import MODELS, model
from worksection_async import models
from worksection_async.errors import InvalidCall
from worksection_async.models import Cost, Costs, CostsSum, Model, Task, UserSchedule


def test_a_model_becomes_values_that_json_has() -> None:
    data = models.to_dict(TASK)
    assert (
        data
        | {
            "id": 26,
            "user_to": {"id": 3, "email": "anna@example.com", "name": "Anna", "extra": {}},
            "date_added": "2026-12-01T09:30:00",
            "date_end": "2026-12-31",
            "time_end": "18:00:00",
            "max_time": 5400.0,
            "max_money": "12.50",
            "tags": {"7": "Review"},
            "extra": {"mood": ["good"]},
            "text": None,
            "files": [],
        }
        == data
    )
    assert data["relations"]["from_"][0]["task"]["id"] == 25  # type: ignore[index]


def test_what_actions_return_becomes_json_too() -> None:
    """Lists, mappings with ids or days as keys, `Costs`, None and plain numbers."""
    costs = Costs(data=(Cost(id=1, money=Decimal("0.10")),), total=CostsSum(time=dt.timedelta(minutes=90)))
    assert json.loads(models.to_json(costs))["total"]["time"] == 5400
    assert json.loads(models.to_json([TASK, TASK]))[1]["id"] == 26
    schedules = {3: UserSchedule(id=3, schedule={dt.date(2026, 12, 24): "vacation"})}
    assert json.loads(models.to_json(schedules))["3"]["schedule"] == {"2026-12-24": "vacation"}
    assert (models.to_json(None), models.to_json(130)) == ("null", "130")


def test_json_can_be_indented_and_is_not_escaped() -> None:
    assert models.to_json({"a": "Київ"}, indent=2) == '{\n  "a": "Київ"\n}'


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_the_round_trip_is_exact(cls: type[Model], data: st.DataObject) -> None:
    value = data.draw(model(cls))
    assert models.from_dict(cls, models.to_dict(value)) == value
    read = models.from_dict(cls, json.loads(models.to_json(value)))
    assert read == value
    assert read.extra == value.extra


def test_a_missing_field_gets_its_default() -> None:
    assert models.from_dict(Task, {"id": 1}) == Task(id=1)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"id": "26"}, "must be an integer, got '26' @ $.id"),
        ({"id": True}, "must be an integer, got True @ $.id"),
        ({"id": 1, "status": 5}, "must be text, got 5 @ $.status"),
        ({"id": 1, "max_time": "90"}, "must be a number of seconds, got '90' @ $.max_time"),
        ({"id": 1, "max_money": 0.1}, "must be an amount as text, got 0.1 @ $.max_money"),
        ({"id": 1, "child": [{"id": 2}, {"id": 3, "date_end": "soon"}]}, "got 'soon' @ $.child[1].date_end"),
        ({"id": 1, "tags": ["Review"]}, r"must be an object, got ['Review'] @ $.tags"),
        ({"id": 1, "files": "plan.pdf"}, "must be a list, got 'plan.pdf' @ $.files"),
        ({"id": 1, "deadline": "2026-12-31"}, "deadline @ $"),
        ({"name": "Owl"}, "id is missing @ $"),
        (None, "Task: "),
    ],
)
def test_other_data_is_refused_with_its_path(data: Any, problem: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        models.from_dict(Task, data)
    assert problem in str(caught.value)


def test_attrs_asdict_works() -> None:
    assert attrs.asdict(TASK)["child"][0]["id"] == 27
