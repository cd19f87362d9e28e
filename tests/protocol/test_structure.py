"""Models: values, caching, and the structuring of records."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import itertools
import json
import pickle
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import attrs
import litestar
import msgspec
import pytest
from cattrs.gen import make_dict_structure_fn
from hypothesis import given
from hypothesis import strategies as st
from litestar.params import Body
from litestar.testing import TestClient

from tests.support.expectations import SAMPLES, Sample, load, read, returns_data
from worksection_async import models
from worksection_async._protocol.layout import Layout
from worksection_async._protocol.structure import Malformed, Structure
from worksection_async._protocol.tolerance import SecondPass
from worksection_async.models import File, Member, Model, ProjectRef, Task, TaskRef, User

MODELS = [model for name in models.__all__ if attrs.has(model := getattr(models, name)) and model is not Model]
OK = [sample for path in sorted(SAMPLES.glob("*.json")) if (sample := load(path)).message is None]
WITH_DATA = [sample for sample in OK if returns_data(sample.action)]


TASK = Task(id=1, date_end=dt.date(2026, 1, 2), user_to=User(id=5), child=(Task(id=2),), extra={"mood": "good"})


@pytest.fixture
def structure() -> Structure:
    return Structure()


@pytest.fixture
def strict() -> Structure:
    return Structure(strict=True)


def _name(sample: Sample) -> str:
    return sample.name


# Models as values


@pytest.mark.parametrize("model", MODELS)
def test_models_are_frozen_and_slotted(model: Any) -> None:
    value = model(**{field.name: None for field in attrs.fields(model) if field.default is attrs.NOTHING})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(model)[1].name, 5)
    assert not hasattr(value, "__dict__")
    with pytest.raises(AttributeError):
        value.something_new = 5


@pytest.mark.parametrize("sample", WITH_DATA, ids=_name)
def test_pickles_and_copies_of_models_keep_extra(sample: Sample) -> None:
    value = read(sample, ZoneInfo("Europe/Kyiv"))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value
    assert copy.deepcopy(value) == value


def test_extra_is_compared_and_pickled() -> None:
    plain, more = Task(id=1), Task(id=1, extra={"mood": "good"})
    assert plain != more
    assert more == Task(id=1, extra={"mood": "good"})
    assert pickle.loads(pickle.dumps(more)).extra == {"mood": "good"}
    assert pickle.loads(pickle.dumps(plain)).extra == {}


def test_extra_of_a_record_without_unknown_keys_is_an_empty_dict_of_its_own() -> None:
    first, second = Task(id=1), Task(id=1)
    assert (first.extra, type(first.extra)) == ({}, dict)
    assert first.extra is not second.extra
    assert attrs.asdict(first)["extra"] == {}


def test_msgspec_encodes_and_decodes_models() -> None:
    encoded = msgspec.json.encode(TASK)
    assert json.loads(encoded)["child"][0]["extra"] == {}
    assert msgspec.to_builtins(TASK)["extra"] == {"mood": "good"}
    assert msgspec.json.decode(encoded, type=Task) == TASK
    assert msgspec.convert({"id": 1}, User) == User(id=1)


def test_litestar_returns_and_accepts_models() -> None:
    @litestar.get("/", sync_to_thread=False)
    def get() -> list[Task]:
        return [TASK, Task(id=3)]

    @litestar.post("/", sync_to_thread=False)
    def post(data: Annotated[Task, Body()]) -> Task:
        return data

    with TestClient(litestar.Litestar([get, post], logging_config=None)) as client:
        first, second = client.get("/").json()
        assert (first["id"], first["extra"], second["extra"]) == (1, {"mood": "good"}, {})
        assert client.post("/", json=second).json() == second
        assert client.get("/schema/openapi.json").status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        User(id=1, email="a", name="b"),
        Task(id=1, tags={1: "a"}, child=(Task(id=2, extra={"x": []}),)),
        models.CostsTotal(projects={1: models.ProjectCosts(id=1)}),
        models.UserSchedule(id=1, schedule={dt.date(2026, 1, 1): "vacation"}),
        models.Event(action="post", object=models.EventObject(id=1), new={"a": [1]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_models_with_dicts_are_hashable(value: Model) -> None:
    assert hash(value) == hash(copy.deepcopy(value))
    assert {value: 1}[copy.deepcopy(value)] == 1


def test_repr_shows_only_fields_with_a_value() -> None:
    """Absent values are omitted; zero, False and a zero duration are shown."""
    task = Task(id=1, name="One", priority=0, user_to=User(id=2), max_time=dt.timedelta(0), tags={}, files=())
    assert repr(task) == "Task(id=1, name='One', priority=0, user_to=User(id=2), max_time=datetime.timedelta(0))"
    assert repr(User()) == "User()"


def test_models_of_different_classes_are_different() -> None:
    refs: list[object] = [TaskRef(id=1), Task(id=1), ProjectRef(id=1), User(id=1), Member(id=1)]
    assert len({repr(ref) for ref in refs}) == len(refs)
    assert all(one is other or one != other for one in refs for other in refs)


# Users


@pytest.mark.parametrize(
    ("user", "nobody", "anybody"),
    [
        (User(id=1, email="NOONE", name="Executive isn't assigned"), True, False),
        (User(id=0, email="NOONE", name="Manager isn't assigned"), True, False),
        (User(email="noone", name="?"), True, False),
        (User(id=1, email="никто", name="Никто"), True, False),
        (User(id=0), True, False),
        (User(id=2, email="ANY", name="Anyone"), False, True),
        (User(email="any"), False, True),
        (User(id=2, email="Любой сотрудник"), False, True),
        (User(id=41, email="ada@example.com", name="NOONE"), False, False),
        (User(id=42, email="bo@example.com", name="ANY"), False, False),
        (User(id=43, email="anyone@example.com", name="Anyone"), False, False),
        (User(), False, False),
    ],
    ids=repr,
)
def test_placeholder_users_are_recognised_by_address_or_id(user: User, nobody: bool, anybody: bool) -> None:
    assert (user.is_nobody, user.is_anybody) == (nobody, anybody)


NUMBERS = st.sampled_from(["1", "2", "3", 1, 2, 3, "", None])
WORDS = st.sampled_from(["", "a", "b", "1", "2", None])
SMALL = st.fixed_dictionaries(
    {},
    optional={"id": NUMBERS, "email": WORDS, "name": WORDS, "page": WORDS, "colour": st.sampled_from(["red", "blue"])},
)


@given(st.lists(SMALL, min_size=1, max_size=20))
def test_equal_records_share_one_cached_model(records: list[dict[str, Any]]) -> None:
    """The cache returns a model only for an equal record."""
    structure = Structure()
    for record in records:
        user = structure.at("$", record, User)
        assert user.id == (None if record.get("id") in (None, "") else int(record["id"]))
        assert user.email == (record.get("email") or "")
        assert user.name == (record.get("name") or "")
        assert dict(user.extra) == {key: record[key] for key in ("page", "colour") if key in record}


def test_users_that_share_all_but_one_value_are_different(structure: Structure) -> None:
    numbers: list[str | int] = [1, 2, "1", "3"]
    all_users = list(itertools.product(numbers, ["", "a", "b"], ["", "a", "b"]))
    for number, email, name in all_users + all_users[::-1]:
        user = structure.at("$", {"id": number, "email": email, "name": name}, User)
        assert (user.id, user.email, user.name) == (int(number), email, name)


def test_model_cache_is_bounded_and_shared(structure: Structure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worksection_async._protocol.structure.CACHE_SIZE", 3)
    users = [structure.at("$", {"id": n, "email": f"{n}", "name": ""}, User) for n in [*range(10), *range(10)]]
    assert [user.id for user in users] == [*range(10), *range(10)]
    again = [structure.at("$", {"id": 9, "email": "9", "name": "x"}, User) for _ in range(2)]
    assert again[0] is again[1]
    for number in range(4):
        structure.at("$", {"id": number, "email": "", "name": "y"}, User)
    assert structure.at("$", {"id": 9, "email": "9", "name": "x"}, User) is not again[0]


def test_only_small_models_are_cached(structure: Structure) -> None:
    """Large ones are different in each record, so a cache would only cost memory."""
    user = {"id": "1", "email": "a", "name": "b"}
    assert structure.at("$", user, User) is structure.at("$", user, User)
    group = {"id": "1", "title": "a", "type": "b", "access": "c", "id_group": "2"}
    assert structure.at("$", group, models.TagGroup) is not structure.at("$", group, models.TagGroup)


def test_a_full_model_cache_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worksection_async._protocol.structure.CACHE_SIZE", 3)
    structure = Structure(dt.timezone(dt.timedelta(minutes=8)))  # no other test has this zone

    def read(number: int) -> User:
        return structure.at("$", {"id": number, "email": "", "name": ""}, User)

    first, _, third = read(1), read(2), read(3)
    assert (read(1) is first, read(3) is third) == (True, True)
    read(4)
    assert (read(1) is first, read(3) is third) == (False, False)


def test_small_records_with_lists_and_maps_are_read_without_the_cache(structure: Structure) -> None:
    services = structure.at("$", {"chats": {"a": "b"}, "socials": {"c": "d"}}, models.Services)
    assert services == models.Services(chats={"a": "b"}, socials={"c": "d"})
    relation = {"type": "finish-to-start", "task": {"id": "2"}}
    relations = structure.at("$", {"from": [relation], "to": []}, models.Relations)
    assert relations.from_ == (models.Relation(type="finish-to-start", task=TaskRef(id=2)),)


# Formats


@pytest.mark.parametrize("tz", [dt.UTC, ZoneInfo("Europe/Kyiv"), dt.timezone(dt.timedelta(hours=-3))])
def test_a_time_zone_makes_date_times_aware_and_leaves_dates_alone(tz: dt.tzinfo) -> None:
    record = {"id": 1, "date_added": "2026-07-01 10:00", "date_end": "2026-07-02", "time_end": "18:00"}
    task = Structure(tz).at("$", record, Task)
    assert task.date_added == dt.datetime(2026, 7, 1, 10, tzinfo=tz)
    assert task.date_added is not None
    assert task.date_added.tzinfo is tz
    assert task.date_end == dt.date(2026, 7, 2)
    assert task.time_end == dt.time(18)
    assert Structure().at("$", record, Task).date_added == dt.datetime(2026, 7, 1, 10)


@pytest.mark.parametrize(
    ("model", "key", "spelling", "expected"),
    [
        (Member, "role", "Owner", "owner"),
        (Member, "role", "Account admin", "account admin"),
        (Member, "role", "reader", "reader"),
        (Member, "role", "Janitor", "Janitor"),
        (models.Project, "status", "archived", "archive"),
        (models.Project, "status", "archive", "archive"),
        (models.Project, "status", "frozen", "frozen"),
        (models.Task, "status", "archived", "archived"),
        (models.TagGroup, "type", "", ""),
    ],
)
def test_enum_aliases_become_one_value(
    structure: Structure, model: type[Model], key: str, spelling: str, expected: str
) -> None:
    assert getattr(structure.at("$", {"id": 1, key: spelling}, model), key) == expected


@pytest.mark.parametrize(
    ("key", "raw", "expected"),
    [
        ("max_time", 352, dt.timedelta(hours=352)),
        ("max_time", "1.5", dt.timedelta(hours=1.5)),
        ("max_money", "75.17", Decimal("75.17")),
        ("max_money", 75.17, Decimal("75.17")),
        ("priority", "10", 10),
        ("has_comments", "1", True),
        ("has_comments", 0, False),
        ("has_comments", "true", True),
        ("tags", [], {}),
        ("tags", {"5": "a"}, {5: "a"}),
        ("relations", [], models.Relations()),
        ("user_to", "", None),
        ("user_to", None, None),
        ("date_end", "", None),
        ("date_end", "0000-00-00", None),
        ("date_end", "-0001-11-30", None),
        ("date_end", "00.00.0000", None),
        ("date_end", "04.03.2026", dt.date(2026, 3, 4)),
        ("date_closed", "-0001-11-30 00:00:00", None),
        ("date_closed", "30.11.-0001", None),
        ("date_closed", "04.03.2026 05:06", dt.datetime(2026, 3, 4, 5, 6)),
        ("date_closed", "2026-03-04 24:00", dt.datetime(2026, 3, 5)),
        ("time_end", "24:00", dt.time.max),
        ("max_money", "12 345,50", Decimal("12345.50")),
        ("max_time", "1\u00a0000", dt.timedelta(hours=1000)),
        ("date_end", "2026—03—04", dt.date(2026, 3, 4)),
        ("date_end", "2026-03-04 00:00", dt.date(2026, 3, 4)),
        ("date_closed", "0000-00-00 00:00:00", None),
        ("date_closed", "2026—03—04 05:06", dt.datetime(2026, 3, 4, 5, 6)),
        ("time_start", "8:00", dt.time(8)),
        ("text", "", ""),
    ],
)
def test_value_is_read_in_all_known_formats(structure: Structure, key: str, raw: object, expected: object) -> None:
    task = structure.at("$", {"id": 1, key: raw}, Task)
    value = getattr(task, key)
    assert (value, type(value)) == (expected, type(expected))
    assert task.extra == {}


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({}, "$.id"),
        ({"id": None}, "$.id"),
        ({"id": True}, "$.id"),
        ({"id": 1.5}, "$.id"),
        ({"id": "x"}, "$.id"),
        ({"id": 1, "name": {}}, "$.name"),
        ({"id": 1, "date_end": "tomorrow"}, "$.date_end"),
        ({"id": 1, "date_end": 20260101}, "$.date_end"),
        ({"id": 1, "date_end": "2026-02-30"}, "$.date_end"),
        ({"id": 1, "time_start": {}}, "$.time_start"),
        ({"id": 1, "max_time": 10**400}, "$.max_time"),
        ({"id": 1, "max_money": "NaN"}, "$.max_money"),
        ({"id": 1, "max_money": {}}, "$.max_money"),
        ({"id": 1, "has_comments": "maybe"}, "$.has_comments"),
        ({"id": 1, "user_to": "ada"}, "$.user_to"),
        ({"id": 1, "files": "plan"}, "$.files"),
        ({"id": 1, "files": [{"id": 1}, None]}, "$.files[1]"),
        ({"id": 1, "files": {"a": {}}}, "$.files"),
        ({"id": 1, "files": 5}, "$.files"),
        ({"id": 1, "tags": "a"}, "$.tags"),
        ({"id": 1, "tags": {"a": "b"}}, "$.tags['a']"),
        ({"id": 1, "tags": {"5": {}}}, "$.tags['5']"),
        ({"id": 1, "tags": ["a", 5]}, "$.tags"),
        ({"id": 1, "child": [{"id": 2, "child": [{"id": 3}, {"name": "x"}]}]}, "$.child[0].child[1].id"),
        ({"id": 1, "comments": [{"id": 2, "user_from": {"id": []}}]}, "$.comments[0].user_from.id"),
        ({"id": 1, "relations": {"to": [{"task": {"page": "/x/"}}]}}, "$.relations.to[0].task.id"),
        ({"page": "/project/1/2/", "id": "y"}, "$.id"),
        ("text", "$"),
        (["id"], "$"),
        (None, "$"),
    ],
    ids=repr,
)  # fmt: skip
def test_invalid_value_is_reported_with_its_path(strict: Structure, record: object, path: str) -> None:
    with pytest.raises(Malformed) as caught:
        strict.at("$", record, Task)
    assert caught.value.path == path
    assert 0 < len(caught.value.reason) <= 250


@pytest.mark.parametrize(
    ("record", "extra"),
    [
        ({"data_added": "2026-01-02 03:04"}, {}),
        ({"date_added": "2026-01-02 03:04"}, {}),
        ({"date_added": "2026-01-02 03:04", "data_added": "2025-01-01"}, {"data_added": "2025-01-01"}),
        ({"data_added": "2025-01-01", "date_added": "2026-01-02 03:04"}, {"data_added": "2025-01-01"}),
    ],
)
def test_an_alias_of_a_key_is_read_unless_the_key_itself_was_sent(
    structure: Structure, record: dict[str, str], extra: dict[str, str]
) -> None:
    member = structure.at("$", record, Member)
    assert (member.date_added, member.extra) == (dt.datetime(2026, 1, 2, 3, 4), extra)


@pytest.mark.parametrize(
    ("page", "number"),
    [("/project/7/", 7), ("/project/7/8/", 8), ("/project/7/8/9/", 9), ("/project/", None), ("/x/project/7/", None)],
)
def test_the_last_number_of_a_page_is_the_id(structure: Structure, page: str, number: int | None) -> None:
    read = functools.partial(structure.at, "$", {"page": page}, Task)
    if number is None:
        with pytest.raises(Malformed, match=r"\$\.id"):
            read()
    else:
        assert read() == Task(id=number, page=page)


def test_tags_of_the_legacy_api_are_kept_in_extra(structure: Structure) -> None:
    """They have titles, but no ids."""
    assert structure.at("$", {"id": 1, "tags": ["a", "b"]}, Task) == Task(id=1, extra={"tags": ["a", "b"]})


def test_an_invalid_id_in_a_page_is_reported_as_the_id(structure: Structure) -> None:
    """Python refuses to convert so many digits."""
    with pytest.raises(Malformed) as caught:
        structure.at("$", {"page": f"/project/{'9' * 5000}/"}, Task)
    assert caught.value.path == "$.id"


@pytest.mark.parametrize("key", ["max_money", "max_time"])
def test_invalid_value_is_in_the_reason(strict: Structure, key: str) -> None:
    with pytest.raises(Malformed) as caught:
        strict.at("$", {"id": 1, key: "much"}, Task)
    assert caught.value.reason == "must be a number, got 'much'"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([4, "5"], (4, 5)),
        ("4", (4,)),
        (" 4 ,5,, 6 ", (4, 5, 6)),
        ("", ()),
        ({"0": 4, "7": "5"}, (4, 5)),
        ([], ()),
    ],
    ids=repr,
)
def test_a_list_is_read_in_all_known_formats(structure: Structure, raw: object, expected: tuple[int, ...]) -> None:
    webhook = structure.at("$", {"id": 1, "url": "https://example.com", "projects": raw}, models.Webhook)
    assert (webhook.projects, webhook.extra) == (expected, {})


@pytest.mark.parametrize("raw", [[], "", None, {}], ids=repr)
def test_an_empty_object_is_read_in_all_known_formats(structure: Structure, raw: object) -> None:
    assert structure.at("$", raw, dict[int, Task]) == {}


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        (Task, "text", "must be an object, got 'text'"),
        (dict[int, Task], "text", "must be an object, got 'text'"),
        (tuple[Task, ...], "text", "must be a list, got 'text'"),
        (Task, {"name": "One"}, "required key missing"),
    ],
)
def test_the_reason_names_the_expected_form(structure: Structure, type_: Any, value: object, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        structure.at("$", value, type_)
    assert caught.value.reason == reason
    assert caught.value.args == (caught.value.path, reason)  # a traceback shows them


@pytest.mark.parametrize("text", ["2026-07-01T10:00:00+02:00", "2026-07-01T10:00:00-05:00"])
def test_a_date_time_with_an_offset_keeps_it(text: str) -> None:
    task = Structure(dt.UTC).at("$", {"id": 1, "date_added": text}, Task)
    assert task.date_added is not None
    assert task.date_added.isoformat() == text


# The compiled hooks


@pytest.fixture
def one_pass(structure: Structure, monkeypatch: pytest.MonkeyPatch) -> Structure:
    """The second pass is slow; it is made only for a record with an invalid value."""

    def fail(*_: object) -> None:
        raise AssertionError("second pass")

    monkeypatch.setattr(SecondPass, "read", fail)
    return structure


@pytest.mark.parametrize(
    ("record", "task"),
    [
        ({"id": 1, "child": [{"id": 2, "tags": {"5": "a"}}]}, Task(id=1, child=(Task(id=2, tags={5: "a"}),))),
        ({"id": 1, "name": None}, Task(id=1)),
        ({"id": 1, "text": "", "user_to": ""}, Task(id=1, text="")),
        ({"id": 1, "tags": []}, Task(id=1)),
        ({"id": 1, "tags": ["a"]}, Task(id=1, extra={"tags": ["a"]})),
        ({"id": 1, "files": {"0": {"id": 2}}}, Task(id=1, files=(File(id=2),))),
        ({"id": 1, "date_end": "0000-00-00"}, Task(id=1)),
        ({"id": 1, "mood": "good"}, Task(id=1, extra={"mood": "good"})),
        ({"page": "/project/1/3/"}, Task(id=3, page="/project/1/3/")),
    ],
    ids=repr,
)
def test_a_valid_record_is_read_in_one_pass(one_pass: Structure, record: dict[str, Any], task: Task) -> None:
    assert one_pass.at("$", record, Task) == task
    assert one_pass.each("$", [record], Task) == [task]


def test_small_and_mapped_records_are_read_in_one_pass(one_pass: Structure) -> None:
    record = {"id": 1, "email": "a@example.com", "name": "Ada"}
    ada = User(id=1, email="a@example.com", name="Ada")
    assert one_pass.at("$", record, User) == ada
    assert one_pass.at("$", {**record, "mood": "good"}, User) == attrs.evolve(ada, extra={"mood": "good"})
    assert one_pass.at("$", {"id": 1}, User) == User(id=1)
    assert one_pass.at("$", {"id": 1, "mood": "good"}, User) == User(id=1, extra={"mood": "good"})
    assert one_pass.at("$", {"4": record}, dict[int, User]) == {4: ada}
    assert one_pass.at("$", [], dict[int, User]) == {}
    assert one_pass.at("$", {"id": 1, "role": "Owner"}, Member) == Member(id=1, role="owner")
    relation = models.Relation(type="finish-to-start", task=TaskRef(id=2))
    relations = {"from": [{"type": "finish-to-start", "task": {"id": 2}}], "to": []}
    assert one_pass.at("$", relations, models.Relations) == models.Relations(from_=(relation,))


def test_records_in_the_present_format_are_not_normalized(
    structure: Structure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than the rest."""

    def fail(*_: object) -> None:
        raise AssertionError("normalized")

    monkeypatch.setattr(Layout, "normalize", fail)
    record = {"id": 1, "text": "", "tags": {"5": "a"}, "child": [{"id": 2}]}
    assert structure.at("$", record, Task) == Task(id=1, text="", tags={5: "a"}, child=(Task(id=2),))
    assert structure.at("$", {"name": "Ada"}, User) == User(name="Ada")


def test_hooks_are_compiled_before_the_first_record(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def compile_(cls: Any, *args: Any, **options: Any) -> Any:
        compiled.append(cls)
        return make_dict_structure_fn(cls, *args, **options)

    monkeypatch.setattr("worksection_async._protocol.structure.make_dict_structure_fn", compile_)
    structure = Structure(dt.timezone(dt.timedelta(minutes=7)))  # no other test has this zone
    structure.make_ready(File)
    assert compiled == [File, User]
    structure.at("$", {"id": 1, "user_from": {"id": 2}}, File)
    assert compiled == [File, User]


@pytest.mark.parametrize("model", [models.Comment, models.EventObject, models.File])
def test_only_tasks_and_projects_are_identified_by_page(structure: Structure, model: type[Model]) -> None:
    """The page of a comment is the page of its task, so it does not contain the id of the comment."""
    for record in ({"page": "/project/1/2/"}, {"page": "/project/1/2/", "mood": 1, "name": None}):
        with pytest.raises(Malformed, match=r"\$\.id"):
            structure.at("$", record, model)


@pytest.mark.parametrize(
    "legacy", [{}, {"text": None}, {"custom_fields": None}, {"mood": 1}, {"tags": ["a"]}], ids=repr
)
@pytest.mark.parametrize("leaf", [{"id": 1}, {"id": "x"}])
def test_structuring_time_depends_on_size_and_not_on_depth(
    structure: Structure, strict: Structure, legacy: dict[str, Any], leaf: dict[str, Any]
) -> None:
    """Each level is checked once, also in a legacy or an invalid record; twice per level would take 2**30 steps."""
    record = leaf
    for _ in range(30):
        record = {"id": 1, "child": [record], **legacy}
    assert structure.at("$", record, Task).id == 1
    if leaf == {"id": "x"}:
        with pytest.raises(Malformed) as caught:
            strict.at("$", record, Task)
        assert caught.value.path == "$" + ".child[0]" * 30 + ".id"


def test_a_record_nested_too_deeply_is_malformed(structure: Structure) -> None:
    record: dict[str, Any] = {"id": 1}
    for _ in range(5000):
        record = {"id": 1, "child": [record]}
    with pytest.raises(Malformed) as one:
        structure.at("$.data", record, Task)
    with pytest.raises(Malformed) as many:
        structure.each("$.data", [{"id": 1}, record], Task)
    assert (one.value.path, many.value.path) == ("$.data", "$.data[1]")
    assert one.value.reason == many.value.reason == "nested too deeply"
