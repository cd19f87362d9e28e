"""Filters: their text, errors, types, and the records that they select.

The texts are read by the parser of the simulator, which shares no code with the classes under test.
"""

from __future__ import annotations

import datetime as dt
import operator
import pickle
from collections.abc import Callable
from datetime import date
from functools import reduce
from typing import Any, Literal, assert_type

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.constants import DOCS
from worksection_async import Session
from worksection_async._protocol.filter_fields import FILTER_OPERATORS
from worksection_async._protocol.filter_language import Field, Filter
from worksection_async._spec import load
from worksection_async.errors import InvalidCall
from worksection_async.filters import DateField, F, NumberField, TextField
from worksection_async.testing import Simulator
from worksection_async.testing import _filters as simulated
from worksection_async.testing._actions import costs as simulated_costs
from worksection_async.testing._actions import tasks as simulated_tasks
from worksection_async.testing._records import Project, Task, User

SPEC = load()
DAY = date(2021, 5, 25)


# Text of a filter


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (F.id == 26, "id=26"),
        (F.project.is_in([1, 2]), "project in (1, 2)"),
        (F.project.is_in(iter((7,))), "project in (7)"),
        (F.name == "Task Report", "name='Task Report'"),
        (F.name.has("Звіт"), "name has 'Звіт'"),
        (F.name.has('"a" (b) and c, d'), "name has '\"a\" (b) and c, d'"),
        (F.name == "", "name=''"),
        (F.dateend == DAY, "dateend='25.05.2021'"),
        (F.dateend != DAY, "dateend!='25.05.2021'"),
        (F.dateend < DAY, "dateend<'25.05.2021'"),
        (F.dateend <= DAY, "dateend<='25.05.2021'"),
        (F.dateend > DAY, "dateend>'25.05.2021'"),
        (F.dateend >= date(1, 2, 3), "dateend>='03.02.0001'"),
        (F.name.has("Report") & (F.dateend > DAY), "name has 'Report' and dateend>'25.05.2021'"),
        ((F.id == 1) & (F.id == 2) & ((F.id == 3) & (F.id == 4)), "id=1 and id=2 and id=3 and id=4"),
        ((F.id == 1) | (F.id == 2) | ((F.id == 3) | (F.id == 4)), "id=1 or id=2 or id=3 or id=4"),
        ((F.id == 1) & (F.id == 2) | (F.id == 3), "(id=1 and id=2) or id=3"),
        ((F.id == 1) & ((F.id == 2) | (F.id == 3)), "id=1 and (id=2 or id=3)"),
        (
            (F.name.has("Report") | F.name.has("Approval")) & ((F.dateend > DAY) & (F.dateend < date(2021, 5, 31))),
            "(name has 'Report' or name has 'Approval') and dateend>'25.05.2021' and dateend<'31.05.2021'",
        ),
    ],
)
def test_str_of_a_filter_is_the_text_that_is_sent(condition: Filter[Any], text: str) -> None:
    assert str(condition) == text
    assert repr(condition) == f"<Filter {text}>"
    assert pickle.loads(pickle.dumps(condition)) == condition


def test_equal_filters_are_equal_and_hashable() -> None:
    assert F.name.has("x") & (F.id == 1) == F.name.has("x") & (F.id == 1)
    assert (F.id == 1).__eq__(F.id == 2) is False
    assert len({F.id.is_in([1]), F.id.is_in([1]), F.id.is_in([2])}) == 2


def test_hundreds_of_conditions_are_flat() -> None:
    many = reduce(operator.or_, [F.id == number for number in range(1, 501)])
    assert "(" not in str(many)
    assert simulated.compile_filter(str(many), simulated_tasks._FIELDS)(a_task(id=500))


# Invalid filters

INVALID_VALUES: list[Callable[[], object]] = [
    lambda: F.id == "26",
    lambda: F.id == 0,
    lambda: F.id == -1,
    lambda: F.id == True,  # noqa: E712
    lambda: F.id == None,  # noqa: E711
    lambda: F.id == 1.5,
    lambda: F.id.is_in([]),
    lambda: F.id.is_in([1, "2"]),  # type: ignore[list-item]
    lambda: F.id.is_in("12"),  # type: ignore[arg-type]
    lambda: F.id.is_in(5),  # type: ignore[arg-type]
    lambda: F.name == 5,
    lambda: F.name == None,  # noqa: E711
    lambda: F.name.has(b"x"),  # type: ignore[arg-type]
    lambda: F.name.has(""),
    lambda: F.name.has("  "),
    lambda: F.name.has("\ud800"),
    lambda: F.name.has("it's \ud800"),
    lambda: F.name == "\ud800",
    lambda: F.id.is_in([1.0]),  # type: ignore[list-item]
    lambda: F.id.is_in(["it's"]),  # type: ignore[list-item]
    lambda: F.dateend > "25.05.2021",  # type: ignore[operator]
    lambda: F.dateend == "25.05.2021",
    lambda: F.dateend > 5,  # type: ignore[operator]
    lambda: F.dateend != None,  # noqa: E711
    lambda: F.dateend >= dt.datetime(2021, 5, 25, 15, 0),
]


@pytest.mark.parametrize("wrong", INVALID_VALUES)
def test_value_of_a_wrong_type_is_an_invalid_call(wrong: Callable[[], object]) -> None:
    with pytest.raises(InvalidCall, match=r"^F\.(id|name|dateend): "):
        wrong()


UNSENDABLE = ["'", "\\", "\n", "\r", "\t", "\0", "\x7f", "\x9f"]
with_each_unsendable = pytest.mark.parametrize("character", UNSENDABLE, ids=ascii)


@with_each_unsendable
@pytest.mark.parametrize("field", [F.name, F.comment], ids=["name", "comment"])
def test_equality_refuses_characters_without_a_known_escape(field: TextField[Any], character: str) -> None:
    with pytest.raises(InvalidCall, match=r"no escape for it is known: use has\(\)") as caught:
        field == f"Rock{character}n roll"  # noqa: B015
    assert str(caught.value).startswith(f"F.{field.name}: {character!r} is not possible")


@with_each_unsendable
def test_has_searches_for_the_parts_around_characters_without_a_known_escape(character: str) -> None:
    both = "comment has 'Rock' and comment has 'n roll'"
    assert str(F.comment.has(f"Rock{character}n roll")) == both
    assert str(F.comment.has(f"{character}Rock{character * 2}n roll{character} {character}")) == both
    assert str(F.comment.has(f"{character}Rock")) == "comment has 'Rock'"


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (F.name.has("it's"), "name has 'it' and name has 's'"),
        (F.name.has("'it'") | (F.id == 1), "name has 'it' or id=1"),
        (F.name.has("it's") | (F.id == 1), "(name has 'it' and name has 's') or id=1"),
        ((F.id == 1) & F.name.has("it's"), "id=1 and name has 'it' and name has 's'"),
        (F.name.has("it’s"), "name has 'it’s'"),
        (F.name.has('12" and "x"'), 'name has \'12" and "x"\''),
    ],
)
def test_parts_of_a_text_with_an_apostrophe_must_all_occur(condition: Filter[Any], text: str) -> None:
    assert str(condition) == text


@pytest.mark.parametrize("text", ["", "  ", "'", "''", " ' ", "\\", "\n"])
def test_has_refuses_a_text_without_anything_to_search(text: str) -> None:
    with pytest.raises(InvalidCall, match=r"F\.name: a part of a text must not be blank or consist of apostrophes"):
        F.name.has(text)


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: F.id == 1 and F.id == 2, "has no truth value: join conditions with &"),
    (lambda: F.id == 1 or F.name == "x", "has no truth value"),
    (lambda: not F.name.has("x"), "has no truth value"),
    (lambda: DAY < F.dateend < DAY, "has no truth value"),
    (lambda: F.id in [1, 2], "has no truth value"),
    (lambda: ~F.name.has("x"), 'the service has no "not"'),  # type: ignore[operator]
    (lambda: F.name.has("x") & F.dateend > DAY, "each comparison in parentheses"),  # type: ignore[operator]
    (lambda: F.dateend > DAY & F.name.has("x"), "each comparison in parentheses"),  # type: ignore[operator]
    (lambda: F.id == 1 | F.id == 2, "id alone is not a condition"),  # type: ignore[operator]
    (lambda: F.name.has("x") & "id=1", "got str"),  # type: ignore[operator]
    (lambda: True | F.name.has("x"), "got bool"),  # type: ignore[operator]
    (lambda: F.name.has("x") > F.name.has("y"), "filters cannot be compared"),  # type: ignore[operator]
    (lambda: bool(F.name), "name alone is not a condition"),
    (lambda: F.id > 5, r"id supports only == and is_in\(\)"),  # type: ignore[operator]
    (lambda: F.id != 5, r"id supports only == and is_in\(\)"),
    (lambda: F.name != "x", r"name supports only == and has\(\)"),
    (lambda: F.name < "x", "name supports only"),  # type: ignore[operator]
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_unsupported_python_operators_raise_a_helpful_type_error(mistake: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        mistake()


def test_unknown_field_lists_the_known_fields() -> None:
    with pytest.raises(
        AttributeError, match="unknown filter field 'priority'; known fields: id, project, parent, name, dateadd"
    ):
        F.priority  # type: ignore[attr-defined]  # noqa: B018


# Agreement with the spec

METHODS = {"=": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"} | {
    "in": "is_in",
    "has": "has",
}


@pytest.mark.parametrize(("kind", "cls"), {"number": NumberField, "text": TextField, "date": DateField}.items())
def test_field_classes_have_the_operators_of_the_spec(kind: str, cls: type) -> None:
    assert {sign for sign, method in METHODS.items() if method in vars(cls)} == set(SPEC.service.filters[kind])


def test_fields_match_the_spec() -> None:
    fields = {name: it for name, it in vars(type(F)).items() if isinstance(it, Field)}
    kinds = {name: it.kind for asked in SPEC.filters.values() for name, it in asked.items()}
    assert {name: type(it).__name__ for name, it in fields.items()} == {
        name: f"{kind.title()}Field" for name, kind in kinds.items()
    }
    assert FILTER_OPERATORS.keys() == SPEC.filters.keys() == {"search_tasks", "get_costs", "get_costs_total"}


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("search_tasks", simulated_tasks._FIELDS),
        ("get_costs", simulated_costs._FIELDS),
        ("get_costs_total", simulated_costs._TOTAL_FIELDS),
    ],
)
def test_simulator_fields_match_the_spec(action: str, fields: dict[str, Any]) -> None:
    expected = {name: field.kind for first, field in SPEC.filters[action].items() for name in (first, *field.aliases)}
    assert {name: field.kind for name, field in fields.items()} == expected


def test_documentation_matches_the_spec() -> None:
    page = (DOCS / "searching.md").read_text("utf-8")
    written = {"=": "==", "in": "is_in", "has": "has"}
    for name in dict.fromkeys(name for fields in FILTER_OPERATORS.values() for name in fields):
        signs = [fields.get(name, ()) for fields in FILTER_OPERATORS.values()]
        cells = (" ".join(f"`{written.get(sign, sign)}`" for sign in known) or "–" for known in signs)
        assert f"| `{name}` | {' | '.join(cells)} |\n" in page


# Selected records

NAMES = st.text(
    st.one_of(
        st.sampled_from('()=<>!,’"`%_-;#&|? abcABCіїєґЇщß😀'),
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="'\\"),
    ),
    max_size=12,
) | st.sampled_from(
    ["x) or (id=1", "and", "or", "' or '".replace("'", "’"), "Report (2)", "id in (1, 2)", "25.05.2021"]
)
PARTS = NAMES.filter(str.strip)
NUMBERS = st.integers(1, 5) | st.integers(1, 10**18 - 1)
DAYS = st.dates(date(2021, 1, 1), date(2021, 1, 5)) | st.dates()

Test = Callable[[Task], bool]
Expected = tuple[Filter[Any], Test]


def holds(of: Callable[[Task], Any], test: Callable[[Any], bool]) -> Test:
    """Return a test of one value of a task; a value that is not set never matches."""
    return lambda task: (value := of(task)) is not None and test(value)


def number_conditions() -> st.SearchStrategy[Expected]:
    fields = st.sampled_from(
        [
            (F.id, lambda task: task.id),
            (F.project, lambda task: task.project.id),
            (F.parent, lambda task: task.parent and task.parent.id),
        ]
    )
    equal = st.builds(lambda field, n: (field[0] == n, holds(field[1], lambda value: value == n)), fields, NUMBERS)
    among = st.builds(
        lambda field, ns: (field[0].is_in(ns), holds(field[1], lambda value: value in ns)),
        fields,
        st.lists(NUMBERS, min_size=1, max_size=4),
    )
    return equal | among


@given(st.text("'\\\nab ’", min_size=1, max_size=8), st.lists(st.text("'\\\nabAB ’", max_size=12), max_size=8))
@example("it's", ["It's", "it’s", "its", "'s", "s it"])
def test_has_finds_every_name_that_contains_the_text(text: str, names: list[str]) -> None:
    """It may find more: the parts on both sides of an apostrophe occur, but not together."""
    try:
        condition = F.name.has(text)
    except InvalidCall:
        assert not text.strip("'\\\n ")
        return
    accepts = simulated.compile_filter(str(condition), simulated_tasks._FIELDS)
    for name in names:
        assert accepts(a_task(name=name)) or text.casefold() not in name.casefold()


def text_conditions() -> st.SearchStrategy[Expected]:
    equal = st.builds(lambda text: (F.name == text, lambda task: task.name.casefold() == text.casefold()), NAMES)
    part = st.builds(lambda text: (F.name.has(text), lambda task: text.casefold() in task.name.casefold()), PARTS)
    return equal | part


def date_conditions() -> st.SearchStrategy[Expected]:
    fields = st.sampled_from(
        [
            (F.dateadd, lambda task: task.date_added.date()),
            (F.datestart, lambda task: task.date_start),
            (F.dateend, lambda task: task.date_end),
            (F.dateclose, lambda task: task.date_closed and task.date_closed.date()),
        ]
    )
    signs = st.sampled_from([operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
    return st.builds(
        lambda field, sign, day: (sign(field[0], day), holds(field[1], lambda value: bool(sign(value, day)))),
        fields,
        signs,
        DAYS,
    )


def both(one: Expected, other: Expected) -> Expected:
    return one[0] & other[0], lambda task: one[1](task) and other[1](task)


def either(one: Expected, other: Expected) -> Expected:
    return one[0] | other[0], lambda task: one[1](task) or other[1](task)


EXPECTED = st.recursive(
    number_conditions() | text_conditions() | date_conditions(),
    lambda inner: st.builds(both, inner, inner) | st.builds(either, inner, inner),
    max_leaves=12,
)


def a_task(**given: Any) -> Task:
    given = {"id": 1, "name": "Report", "date_added": dt.datetime(2021, 1, 2, 10, 30), "project": 1, **given}
    author = User(id=1, email="a@example.com")
    project = Project(id=given.pop("project"), name="P", author=author, date_added=given["date_added"])
    if parent := given.pop("parent", None):
        given["parent"] = a_task(id=parent)
    if closed := given.pop("date_closed", None):
        given["date_closed"] = dt.datetime.combine(closed, dt.time(9))
    return Task(project=project, author=author, **given)


TASKS = st.builds(
    a_task,
    id=NUMBERS,
    project=NUMBERS,
    parent=st.none() | NUMBERS,
    name=NAMES,
    date_added=st.datetimes(dt.datetime(2021, 1, 1), dt.datetime(2021, 1, 6)),
    date_start=st.none() | DAYS,
    date_end=st.none() | DAYS,
    date_closed=st.none() | DAYS,
)


@given(EXPECTED, st.lists(TASKS, min_size=1, max_size=8))
def test_simulator_selects_the_same_records_as_python(expected_pair: Expected, tasks: list[Task]) -> None:
    condition, test = expected_pair
    reads = simulated.compile_filter(str(condition), simulated_tasks._FIELDS)
    assert [reads(task) for task in tasks] == [test(task) for task in tasks]


@given(st.text(max_size=20) | st.text("'\\\"() andorxі=,\n\0", max_size=20))
@example("x' or name has 'y")
@example("x\\")
@example("\\' or id=1 or name='")
@example("x') or (id=1")
@example("Об'єкт")
@example("a\nb")
def test_text_cannot_change_the_structure_of_a_filter(name: str) -> None:
    """A text is the operand of one comparison, or it is refused."""
    try:
        condition = (F.id == 1) & (F.name == name)
    except ValueError:
        assert any(character in "'\\" or not character.isprintable() for character in name)
        return
    assert simulated._tokens(str(condition)) == ["id", "=", "1", "and", "name", "=", f"'{name}'"]
    assert not {"'", "\\", "\n"} & set(name)
    assert simulated.compile_filter(str(condition), simulated_tasks._FIELDS)(a_task(id=1, name=name))


# Types: checked by mypy, which also reports a ``type: ignore`` in this file that suppresses no error


def test_type_of_a_filter_names_the_actions_that_accept_it() -> None:
    assert_type(F.project == 1, Filter[Literal["search_tasks", "get_costs", "get_costs_total"]])
    assert_type((F.project == 1) & (F.id == 2), Filter[Literal["search_tasks", "get_costs"]])
    assert_type((F.id == 2) | (F.project == 1), Filter[Literal["search_tasks", "get_costs"]])
    assert_type((F.project == 1) & (F.id == 2) & F.name.has("x"), Filter[Literal["search_tasks"]])
    assert_type(F.comment.has("x") | (F.project == 1), Filter[Literal["get_costs"]])
    assert_type(F.dateend > DAY, Filter[Literal["search_tasks"]])
    F.comment.has("x") & F.name.has("x")  # type: ignore[operator]  # no action supports both


# Calls


@attrs.define
class FailIfSent:
    """A request handler that fails the test."""

    def __call__(self, request: object) -> Any:
        raise AssertionError("a request was sent")


WRONG_CALLS: list[tuple[Callable[[Session], Any], str]] = [
    (
        lambda ws: ws.search_tasks(filter=F.comment.has("x")),  # type: ignore[arg-type]
        "search_tasks: filter: unknown field 'comment'; known fields: id, project, parent, name",
    ),
    (
        lambda ws: ws.get_costs(filter=(F.project == 1) & F.name.has("x")),  # type: ignore[arg-type]
        "get_costs: filter: unknown field 'name'; known fields: id, task, project, comment, dateadd",
    ),
    (
        lambda ws: ws.get_costs_total(filter=F.id == 1),  # type: ignore[arg-type]
        "get_costs_total: filter: unknown field 'id'; known fields: project",
    ),
    (lambda ws: ws.get_costs(filter=F.dateadd > DAY), "filter: operator > is not available for dateadd, only ="),
    (lambda ws: ws.search_tasks(filter=F.name), "must be an expression of F or text, got TextField"),  # type: ignore[arg-type]
    (lambda ws: ws.search_tasks(filter=5), "must be an expression of F or text, got int"),  # type: ignore[arg-type]
    (lambda ws: ws.search_tasks(filter=""), "at least one of"),
    (lambda ws: ws.call("get_costs", {"filter": F.name.has("x")}), "unknown field 'name'"),
    (lambda ws: ws.get_tasks(26, filter=F.id == 1), "filter: must be one of active"),  # type: ignore[arg-type]
]


@pytest.mark.anyio
@pytest.mark.parametrize(("call", "message"), WRONG_CALLS)
async def test_filter_of_another_action_is_refused_before_sending(
    session_with: Callable[..., Session], call: Callable[[Session], Any], message: str
) -> None:
    async with session_with(FailIfSent()) as ws:
        with pytest.raises(InvalidCall) as caught:
            await call(ws)
    assert message in str(caught.value)
    assert not caught.value.sent


@pytest.mark.anyio
async def test_search_by_filter() -> None:
    async with Simulator() as sim, sim.session() as ws:
        project = sim.add_project("Moon")
        tasks = [
            sim.add_task(project, name, date_end=day)
            for name, day in [("Звіт (1)", DAY), ("Звіт (2)", date(2021, 6, 1)), ("and or", None), ("Rock’n’roll", DAY)]
        ]

        async def found(condition: Filter[Any]) -> list[int]:
            by_method = await ws.search_tasks(filter=condition, id_project=project.id)
            envelope = await ws.call("search_tasks", {"filter": condition, "id_project": project.id})
            as_text = await ws.search_tasks(filter=str(condition), id_project=project.id)
            assert [int(row["id"]) for row in envelope["data"]] == [task.id for task in by_method]
            assert as_text == by_method
            return [[each.id for each in tasks].index(task.id) for task in by_method]

        assert await found(F.name.has("звіт (")) == [0, 1]
        assert await found(F.name.has("Звіт") & (F.dateend > DAY)) == [1]
        assert await found(F.name.has("and or") | (F.dateend == DAY)) == [0, 2, 3]
        assert await found(F.name == "Rock’n’roll") == [3]
        assert await found(F.id.is_in([tasks[1].id, tasks[2].id]) & ((F.dateend != DAY) | F.name.has("or"))) == [1, 2]
        assert await found(F.project == 1) == []


@pytest.mark.anyio
async def test_costs_by_filter() -> None:
    async with Simulator() as sim, sim.session() as ws:
        project = sim.add_project("Moon")
        task = sim.add_task(project, "Launch")
        cost = sim.add_costs(task, dt.timedelta(hours=2), comment="Fuel", date=DAY)
        sim.add_costs(task, dt.timedelta(hours=1), comment="Food", date=date(2021, 6, 1))
        costs = await ws.get_costs(filter=F.comment.has("fuel") & (F.dateadd == DAY) & (F.task == task.id))
        assert [each.id for each in costs.data] == [cost.id]
        assert len((await ws.get_costs(filter=(F.id == task.id) | F.project.is_in([project.id]))).data) == 2
        total = (await ws.get_costs_total(filter=(F.project == project.id) | (F.project == 26))).total
        assert total is not None
        assert total.time == dt.timedelta(hours=3)
