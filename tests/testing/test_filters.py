"""The filter language of the simulator."""

import datetime as dt
from contextlib import suppress

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worksection_async.testing._filters import FilterableField, compile_filter
from worksection_async.testing._reply import ServiceRefusal

from .conftest import Raw

pytestmark = pytest.mark.one_row_on_trio


@attrs.frozen
class Item:
    id: int = 7
    name: str = "Yearly Report"
    date: dt.date | None = dt.date(2021, 5, 25)


FIELDS: dict[str, FilterableField[Item]] = {
    "id": FilterableField("number", lambda item: item.id),
    "name": FilterableField("text", lambda item: item.name),
    "dateend": FilterableField("date", lambda item: item.date),
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", True),
        ("id=7", True),
        ("id = 8", False),
        ("id in (1, 7)", True),
        ("id in(8)", False),
        ("name='yearly report'", True),
        ("name = 'Report'", False),
        ("name has 'report'", True),
        ("dateend='25.05.2021'", True),
        ("dateend!='25.05.2021'", False),
        ("dateend>'24.05.2021' and dateend<'26.05.2021'", True),
        ("dateend>='25.05.2021' and dateend<='25.05.2021'", True),
        ("id=8 or id=7 and name has 'x'", False),
        ("id=7 or id=8 and name has 'x'", True),
        ("(id=7 or id=8) and name has 'x'", False),
        ("((name has 'and') or ((id=7)))", True),
    ],
)
def test_filter_matches_the_expected_records(text: str, found: bool) -> None:
    assert compile_filter(text, FIELDS)(Item()) is found


def test_an_unset_value_never_matches() -> None:
    for sign in ("=", "!=", "<", ">"):
        assert compile_filter(f"dateend{sign}'01.01.2000'", FIELDS)(Item(date=None)) is False


@pytest.mark.parametrize(
    "text",
    [
        "priority=1",
        "id=7 AND id=7",
        "id=7 Or id=7",
        "id>7",
        "id!=7",
        "id='7'",
        "id in ()",
        "id in (1",
        "id in 1",
        "name in (1)",
        "name has report",
        'name has "report"',
        "name>'a'",
        "dateend='2021-05-25'",
        "dateend='31.02.2021'",
        "dateend has '2021'",
        "(id=7",
        "id=7)",
        "id=",
        "id",
        "and",
        "id=7 id=8",
        "id=7 and",
        "id=7 # comment",
        "(" * 1000 + "id=7" + ")" * 1000,
    ],
)
def test_an_invalid_filter_is_refused(text: str) -> None:
    with pytest.raises(ServiceRefusal) as caught:
        compile_filter(text, FIELDS)
    assert caught.value.envelope() == {
        "status": "error",
        "status_code": 10,
        "message": "Field is required",
        "message_details": "filter",
    }


@given(st.text(alphabet="id name has in and or()=<>!,'0123456789. x", max_size=60))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    with suppress(ServiceRefusal):
        assert compile_filter(text, FIELDS)(Item()) in (True, False)


@given(st.lists(st.sampled_from(["id=7", "id=8"]), min_size=1), st.data())
def test_operators_bind_as_in_python(conditions: list[str], data: st.DataObject) -> None:
    """``and``, ``or`` and parentheses have the same precedence as in Python."""
    text = conditions[0]
    for condition in conditions[1:]:
        word = data.draw(st.sampled_from(["and", "or"]))
        text = f"({text}) {word} {condition}" if data.draw(st.booleans()) else f"{text} {word} {condition}"
    expected = eval(text.replace("=", "=="), {"id": 7})
    try:
        assert compile_filter(text, FIELDS)(Item()) is expected
    except ServiceRefusal:
        assert text.count("(") > 50


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("project=8562 and name has 'sprint'", {331910, 331914}),
        ("parent=331894", {331910}),
        ("id in (2601, 2602, 330142)", {2601, 2602}),
        ("dateend='15.01.2021' or datestart>='17.02.2021'", {331902, 331906}),
        ("date_end='15.01.2021' or date_start>='17.02.2021'", {331902, 331906}),
        ("date_added<'02.01.2021' and dateadd>'31.12.2020'", {330090}),
    ],
)
async def test_search_tasks_with_filters(raw: Raw, filter_: str, found: set[int]) -> None:
    """A filter alone is a valid search. Subtasks are found, closed tasks are not."""
    rows = await raw.data("search_tasks", filter=filter_)
    assert {int(row["id"]) for row in rows} == found
    assert not any("parent" in row or "child" in row for row in rows)


@pytest.mark.anyio
async def test_get_costs_with_filters(raw: Raw) -> None:
    for filter_, found in {
        "comment has 'views' and dateadd='04.01.2021'": ["3690"],
        "task=330090 and project in (6622, 26)": ["3690", "3706"],
        "id=330090": ["3690", "3706"],
        "project=26": [],
    }.items():
        assert [row["id"] for row in await raw.data("get_costs", filter=filter_)] == found
    assert (await raw("get_costs", filter="user=1"))["message_details"] == "filter"
    assert (await raw("get_costs_total", filter="task=330090"))["message_details"] == "filter"
