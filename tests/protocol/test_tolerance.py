"""One odd value does not cost the other records: what happens to values that cannot be read."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, get_args, get_origin

import attrs
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.test_recorded_replies import FILES, _action
from tests.support.constants import KEY, SAMPLES, TOKEN
from tests.support.expectations import Sample, declared_result_type, load, returns_data
from worksection_async import ApiKey, Session, TokenBucket, models
from worksection_async._protocol.actions import ACTIONS
from worksection_async._protocol.structure import Malformed, Structure
from worksection_async._protocol.tolerance import SecondPass
from worksection_async.errors import UnexpectedReply
from worksection_async.models import Cost, Costs, CostsTotal, Event, File, Task, User

Keys = tuple[str | int, ...]
"""The place of a value in a reply: keys and indices."""


@pytest.fixture
def structure() -> Structure:
    return Structure()


def read(action: str, data: object, *, strict: bool = False, **members: object) -> Any:
    return ACTIONS[action].returns.read({"status": "ok", "data": data, **members}, Structure(strict=strict))


# The field, and the raw value


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("time_end", "soon"),
        ("time_end", 18),
        ("time_start", {"hour": 8}),
        ("date_end", "tomorrow"),
        ("date_closed", 20260101),
        ("max_time", "a lot"),
        ("max_time", 10**400),
        ("max_money", {"amount": 5}),
        ("priority", "high"),
        ("priority", "0000-00-00"),
        ("has_comments", "maybe"),
        ("name", ["x"]),
        ("status", {"id": 1}),
        ("text", True),
        ("tags", "urgent, later"),
        ("tags", [{"id": 1, "title": "urgent"}]),
        ("tags", {"5": {}}),
        ("files", "plan.pdf"),
        ("files", ","),
        ("files", [{"id": 1}, None]),
        ("files", {"a": {}}),
        ("user_to", "ada@example.com"),
        ("user_to", 5),
        ("user_from", [1]),
        ("project", {"name": "without id"}),
        ("parent", 7),
        ("child", [{"id": 2}, {"name": "x"}]),
        ("relations", "none"),
        ("page", []),
        ("text", [[[[[[[[]]]]]]]]),
    ],
    ids=repr,
)
def test_an_odd_value_leaves_its_field_empty_and_is_kept_in_extra(structure: Structure, key: str, raw: object) -> None:
    record = {"id": "1", "name": "One", "user_to": {"id": "5"}, "mood": "good", key: raw}
    expected: Any = structure.at("$", {name: value for name, value in record.items() if name != key}, Task)
    task = structure.at("$", record, Task)
    assert task.extra == {"mood": "good", key: raw}
    assert task == attrs.evolve(expected, extra=task.extra)


def test_an_odd_value_is_skipped_in_the_innermost_field_that_may_be_absent(structure: Structure) -> None:
    comment = {"id": 2, "date_added": "2026-01-02 03:04", "user_from": {"id": "x", "name": "Ada"}}
    record = {"id": 1, "comments": [comment], "child": [{"id": 3, "files": [{"id": 4, "size": "big"}, {"id": 5}]}]}
    task = structure.at("$", record, Task)
    assert task.extra == {}
    assert task.comments[0].extra == {}
    assert task.comments[0].user_from == User(name="Ada", extra={"id": "x"})
    assert task.child[0].files == (File(id=4, extra={"size": "big"}), File(id=5))


def test_only_the_parts_with_an_odd_value_are_read_twice(structure: Structure, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, read = list[str](), SecondPass.read

    def recording_read(self: SecondPass, path: str, value: object, type_: object) -> object:
        paths.append(path)
        return read(self, path, value, type_)

    monkeypatch.setattr(SecondPass, "read", recording_read)
    record = {"id": 1, "status": "done", "child": [{"id": 2, "tags": {"5": "a"}}, {"id": 3, "time_end": "soon"}]}
    structure.at("$", record, Task)
    assert paths == ["$", "$.child", "$.child[1]", "$.child[1].time_end"]


def test_an_alias_of_a_value_is_read_beside_an_odd_value(structure: Structure) -> None:
    member = structure.at("$", {"id": 1, "role": "Owner", "rate": "much"}, models.Member)
    assert (member.role, member.extra) == ("owner", {"rate": "much"})


def test_an_odd_value_of_a_field_with_aliases_has_its_path() -> None:
    with pytest.raises(Malformed) as caught:
        Structure(strict=True).at("$", {"id": 1, "role": ["user"]}, models.Member)
    assert (caught.value.path, caught.value.reason) == ("$.role", "must be text, got ['user']")


def test_an_odd_essential_value_costs_the_next_field_that_may_be_absent(structure: Structure) -> None:
    relations = {"from": [{"type": "?"}], "to": [{"task": {"id": 2}}]}
    task = structure.at("$", {"id": 1, "relations": relations}, Task)
    assert task.relations is not None
    assert task.relations.extra == {"from": [{"type": "?"}]}
    assert (task.relations.from_, task.relations.to[0].task.id) == ((), 2)


def test_an_odd_value_is_kept_under_the_key_that_was_sent(structure: Structure) -> None:
    assert structure.at("$", {"data_added": "?"}, models.Member).extra == {"data_added": "?"}
    assert structure.at("$", {"date_added": "?"}, models.Member).extra == {"date_added": "?"}
    both = {"data_added": "2026-01-02 03:04", "date_added": "?"}
    assert structure.at("$", both, models.Member).extra == both
    assert structure.at("$", {"role": ["user"]}, models.Member).extra == {"role": ["user"]}


def test_small_shared_records_keep_their_own_odd_values(structure: Structure) -> None:
    first, second = (structure.at("$", {"id": raw, "email": "a", "name": "b"}, User) for raw in ("x", "y"))
    assert (first.extra, second.extra) == ({"id": "x"}, {"id": "y"})
    assert structure.at("$", {"id": "5", "email": "a", "name": "b"}, User).extra == {}


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({}, "$.id"),
        ({"id": "x", "time_end": "soon"}, "$.id"),
        ({"time_end": "soon", "name": []}, "$.id"),
        ({"id": None, "child": [{"id": "y"}]}, "$.id"),
        ("text", "$"),
        ([1], "$"),
    ],
    ids=repr,
)
def test_an_odd_essential_value_is_an_error_with_its_path(structure: Structure, record: object, path: str) -> None:
    """Not the path of an odd value that could be skipped."""
    with pytest.raises(Malformed) as caught:
        structure.at("$", record, Task)
    assert caught.value.path == path


def test_one_odd_value_does_not_cost_the_other_records() -> None:
    records = [{"id": number, "date_end": "2026-01-02"} for number in range(10_000)]
    records[37]["date_end"] = "next week"
    tasks = read("get_tasks", records)
    assert [task.id for task in tasks] == [*range(10_000)]
    assert [task.id for task in tasks if task.date_end is None] == [37]
    assert tasks[37].extra == {"date_end": "next week"}


# All forms of replies


def test_costs_and_their_total_are_read_beside_odd_values() -> None:
    records = [{"id": 1, "time": "soon"}, {"id": 2, "money": "12 345,50"}, {"id": 3, "task": {"name": "?"}}]
    costs = read("get_costs", records, total={"time": "?", "money": "5"})
    first, second, third = costs.data
    assert first == Cost(id=1, extra={"time": "soon"})
    assert second.money == Decimal("12345.50")
    assert (third.task, third.extra) == (None, {"task": {"name": "?"}})
    assert costs.total == models.CostsSum(money=Decimal(5), extra={"time": "?"})
    assert read("get_costs", [], total=7) == Costs(extra={"total": 7})


@pytest.mark.parametrize(
    ("action", "members", "path"),
    [
        ("get_costs", {"data": [{"id": 1, "date": "?"}, {"id": "x"}]}, "$.data[1].id"),
        ("get_costs", {"data": "none"}, "$.data"),
        ("get_costs_total", {"projects": {"7": {"id": 7}, "8": {"id": "x"}}}, "$.projects['8'].id"),
        ("get_costs_total", {"projects": {"x": {"id": 7}}}, "$.projects['x']"),
        ("get_users_schedule", {"data": {"5": {"name": "?"}}}, "$.data['5'].id"),
        ("get_events", {"data": [{"action": "post", "object": {"id": "x"}}]}, "$.data[0].object.id"),
        ("get_events", {"data": [{"object": {"id": 1}}]}, "$.data[0].action"),
        ("get_tasks", {"data": [{"id": 1}, {"id": {}}]}, "$.data[1].id"),
        ("me", {"data": "Ada"}, "$.data"),
    ],
)
def test_an_odd_record_of_the_reply_is_an_error_with_its_path(action: str, members: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed) as caught:
        ACTIONS[action].returns.read({"status": "ok", **copy.deepcopy(members)}, Structure())
    assert caught.value.path == path


def test_maps_of_records_are_read_beside_odd_values() -> None:
    projects = {"7": {"id": 7, "tasks": {"8": {"id": 8, "money": "much"}}}, "9": {"id": 9, "monthly": "?"}}
    total = read("get_costs_total", None, projects=projects, total="?")
    assert total.extra == {"total": "?", "data": None}
    assert total.projects[7].tasks[8] == models.TaskCosts(id=8, extra={"money": "much"})
    assert total.projects[9] == models.ProjectCosts(id=9, extra={"monthly": "?"})
    schedule = {"2026-13-01": "vacation"}
    users = read("get_users_schedule", {"5": {"id": 5, "schedule": schedule}, "6": {"id": 6}})
    assert users == {5: models.UserSchedule(id=5, extra={"schedule": schedule}), 6: models.UserSchedule(id=6)}


def test_events_timers_and_members_are_read_beside_odd_values() -> None:
    odd = {"action": "post", "object": {"id": 1, "type": []}, "date_added": "?", "new": "text", "old": [1]}
    (event,) = read("get_events", [odd])
    kept = {"date_added": "?", "new": "text", "old": [1]}
    assert event == Event(action="post", object=models.EventObject(id=1, extra={"type": []}), extra=kept)
    assert (event.kind, event.id_task) == ("post", None)
    timer = read("get_my_timer", {"time": "?", "date_started": "2026-01-02 03:04", "task": {"id": 1, "name": {}}})
    assert timer.extra == {"time": "?"}
    assert timer.task == Task(id=1, extra={"name": {}})
    assert read("me", {"id": 5, "rate": "much"}) == models.Member(id=5, extra={"rate": "much"})


# Warnings


def test_a_field_is_reported_once_per_session(caplog: pytest.LogCaptureFixture) -> None:
    structure = Structure()
    records: list[dict[str, Any]] = [{"id": number, "time_end": "soon"} for number in range(100)]
    structure.each("$.data", records, Task)
    structure.at("$", {"id": 1, "time_end": 5}, Task)
    (warning,) = caplog.records
    assert (warning.name, warning.levelno) == ("worksection_async", logging.WARNING)
    assert warning.getMessage() == (
        "Task.time_end in a reply cannot be read and is left empty: got str 'soon'; at $.data[0].time_end: "
        "Invalid isoformat string: 'soon'. The value is in .extra['time_end']. This is logged once per field and "
        "session; Session(strict=True) raises an error instead."
    )
    structure.at("$", {"id": 1, "time_start": "soon"}, Task)
    Structure().at("$", {"id": 1, "time_end": "soon"}, Task)
    assert len(caplog.records) == 3


def test_a_warning_names_the_field_that_is_left_empty_and_the_odd_value(caplog: pytest.LogCaptureFixture) -> None:
    Structure().at("$", {"id": 1, "child": [{"id": 2}, {"name": "x"}]}, Task)
    text = caplog.messages[0]
    assert "Task.child" in text
    assert "at $.child[1].id: required key missing" in text


def test_a_warning_is_short_and_contains_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    for raw in (TOKEN, {"token": TOKEN}, [TOKEN] * 1000, "x" * 1_000_000, deep):
        Structure().at("$", {"id": 1, "time_end": raw, "priority": raw, "tags": raw}, Task)
    assert all(len(text) < 700 for text in caplog.messages)
    assert TOKEN[:20] not in caplog.text


def test_a_field_is_reported_once_from_many_threads(caplog: pytest.LogCaptureFixture) -> None:
    structure, barrier = Structure(), threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            structure.at("$", {"id": 1, "time_end": "soon"}, Task)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == 1


def session(data: list[dict[str, object]], *, strict: bool = False) -> Session:
    """Return a session with a service that replies with *data* to every call."""

    def service(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status": "ok", "data": data})

    transport = httpx.MockTransport(service)
    return Session("acme", ApiKey(KEY), limiter=TokenBucket(1e6), strict=strict, transport=transport)


@pytest.mark.anyio
async def test_views_of_a_session_share_its_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Also if replies are large, so that they are read in a worker thread."""
    caplog.set_level(logging.WARNING)
    data: list[dict[str, object]] = [{"id": number, "max_time": "long", "text": "x" * 100} for number in range(1000)]
    async with session(data) as ws:
        for view in (ws, ws.with_options(lane="bulk"), ws.with_options(max_wait=5)):
            tasks = await view.get_tasks(26)
            assert len(tasks) == 1000
            assert tasks[999].extra == {"max_time": "long"}
    assert len(caplog.records) == 1


@pytest.mark.anyio
async def test_a_strict_session_raises_with_the_path() -> None:
    async with session([{"id": 1}, {"id": 2, "max_time": "long"}], strict=True) as ws:
        for view in (ws, ws.with_options(lane="bulk")):
            with pytest.raises(UnexpectedReply) as caught:
                await view.get_tasks(26)
            assert caught.value.path == "$.data[1].max_time"


# Any value in any place


def places(raw: Any, type_: Any, path: Keys = ()) -> Iterator[Keys]:
    """Yield the place of each value of *raw* without which its record is still valid."""
    args = [arg for arg in get_args(type_) if arg not in (type(None), ...)]
    if type(None) in get_args(type_):
        type_, args = args[0], list(get_args(args[0]))
    if isinstance(raw, list) or (isinstance(raw, dict) and (get_origin(type_) is dict or all(map(str.isdecimal, raw)))):
        for key, item in enumerate(raw) if isinstance(raw, list) else raw.items():
            yield from places(item, (args or [type_])[-1], (*path, key))
    elif isinstance(raw, dict) and args:  # one record in the place of a list
        yield from places(raw, args[0], path)
    elif isinstance(raw, dict):
        attrs.resolve_types(type_)
        fields = {field.name.rstrip("_"): field for field in attrs.fields(type_)}
        for key, value in raw.items():
            if key in fields and is_essential(fields[key], raw):
                yield from places(value, fields[key].type, (*path, key))
            else:
                yield from everything(value, (*path, key))


def is_essential(field: attrs.Attribute[Any], record: dict[str, Any]) -> bool:
    is_id = field.name == "page" and "id" not in record  # the legacy API identifies tasks and projects by their page
    return (
        field.default is attrs.NOTHING
        or is_id
        or field in (attrs.fields(Costs).data, attrs.fields(CostsTotal).projects)
    )


def everything(raw: Any, path: Keys) -> Iterator[Keys]:
    yield path
    if isinstance(raw, dict | list):
        for key, item in raw.items() if isinstance(raw, dict) else enumerate(raw):
            yield from everything(item, (*path, key))


def places_of(sample: Sample) -> list[Keys]:
    result = declared_result_type(sample.action)
    if result in (Costs, CostsTotal):
        members = {key: value for key, value in sample.body.items() if key != "status"}
        return list(places(members, result))
    return list(places(sample.body.get("data"), result, ("data",)))


SAMPLES_ = [load(path) for path in sorted(SAMPLES.glob("*.json"))] + [load(path, _action(path)) for path in FILES]
ROWS = [
    (sample, found)
    for sample in SAMPLES_
    if sample.message is None and returns_data(sample.action) and (found := places_of(sample))
]

odd_text = st.sampled_from(
    [
        "",
        "0000-00-00",
        "-0001-11-30",
        "31.12.2026",
        "24:00",
        "1 000",
        "1:30",
        "a, b",
        "/project/1/2/",
        "NOONE",
        "ё" * 30,
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | odd_text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "page", "task", "1", "", "2026-01-02", "x"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def changed(body: Any, place: Keys, value: object) -> Any:
    """Return a copy of *body* with *value* in *place*."""
    parent = body = copy.deepcopy(body)
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return body


def records_of(result: Any) -> list[Any]:
    if isinstance(result, Costs):
        return [*result.data, attrs.evolve(result, data=())]
    if isinstance(result, CostsTotal):
        return [*result.projects.values(), attrs.evolve(result, projects={})]
    if isinstance(result, dict):
        return list(result.values())
    return result if isinstance(result, list) else [result]


@settings(max_examples=500)
@given(st.data())
def test_any_value_in_any_place_costs_no_more_than_its_field(data: st.DataObject) -> None:
    sample, known_places = data.draw(st.sampled_from(ROWS))
    place, value = data.draw(st.sampled_from(known_places)), data.draw(json_values)
    body, returns = changed(sample.body, place, value), ACTIONS[sample.action].returns
    before = records_of(returns.read(copy.deepcopy(sample.body), Structure()))
    after = records_of(returns.read(copy.deepcopy(body), Structure()))
    assert len(after) == len(before)
    different = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(different) <= 1
    for old, new in different:
        fields = [it.name for it in attrs.fields(type(old)) if getattr(old, it.name) != getattr(new, it.name)]
        assert len({*fields} - {"extra"}) <= 1
    path = strict_failure(sample.action, body)
    assert path is None or any(f".{key}" in path for key in place if key != "data")


def strict_failure(action: str, body: Any) -> str | None:
    """Return the path of the error that a strict session raises, if any."""
    try:
        ACTIONS[action].returns.read(body, Structure(strict=True))
    except Malformed as exc:
        return exc.path
    return None
