"""Reading JSON record by record is reading JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worksection_async._json import decode

SPACES = st.text(" \t\n\r", max_size=3)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
ENVELOPES: st.SearchStrategy[object] = st.dictionaries(
    st.sampled_from(["data", "status", "total", "", "d"]), VALUES
) | st.builds(dict, data=st.lists(VALUES, max_size=5), status=st.just("ok"))
NOT_JSON = [
    "", " ", "{", "}", "{]", "[}", '{"data"', '{"data"}', '{"data":', '{"data":}', '{"data":[', '{"data":[1',
    '{"data":[1,',
    '{"data":[1,]}', '{"data":[,1]}', '{"data":[1 2]}', '{"data":[1]', '{"data":[1]]', '{"data":[1]}}',
    '{"data":[1]} x',
    '{"data":[{},{]}', '{"data":[{}{}]}', '{"data":[]', '{"data":[]],}', '{"data" [1]}', '{"data":[1],}',
    '{,"data":[1]}',
    "{1:2}", '{data:[1]}', "{'data':[1]}", '{"data":[tru]}', '{"data":[01]}', '{"data":["\n"]}', '{"data":["\\x"]}',
    '\ufeff{"data":[1]}', '{"data":[1]}\x00', '{"data":[1]}\xa0', '{"data"::[1]}', '{"data":[1],,"a":2}', '{[1]:2}',
    '{"data":[' + "1" * 5000 + "]}",
]  # fmt: skip


def untouched(value: object) -> object:
    return value


def written(value: Any, space: Any) -> str:
    """*value* as JSON, with white space wherever it may stand."""
    match value:
        case dict():
            pairs = (f"{space()}{written(key, space)}:{written(each, space)}" for key, each in value.items())
            return f"{space()}{{{','.join(pairs)}{space()}}}{space()}"
        case list():
            return f"{space()}[{','.join(written(each, space) for each in value)}{space()}]{space()}"
    return f"{space()}{json.dumps(value)}{space()}"


@given(ENVELOPES | VALUES, st.data())
def test_it_reads_what_the_standard_library_reads(value: object, data: st.DataObject) -> None:
    text = written(value, lambda: data.draw(SPACES))
    assert repr(decode(text, untouched)) == repr(json.loads(text))


@given(ENVELOPES | VALUES, st.booleans(), st.sampled_from([None, 1, 4]))
def test_it_reads_all_common_styles_of_writing(value: object, ascii_only: bool, indent: int | None) -> None:
    for separators in (None, (",", ":"), (" , ", " : ")):
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)
        assert repr(decode(text, untouched)) == repr(json.loads(text)) == repr(decode(text))


@given(st.text('{}[],:" \\datu01.-eE\n', max_size=40) | st.text(max_size=20))
@example('{"data":[1],"data":[2]}')
@example('{"d\\u0061ta":[1]}')
@example('{"data":NaN}')
@example('{"data":[-Infinity]}')
def test_it_refuses_what_the_standard_library_refuses(text: str) -> None:
    try:
        expected: object = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011  # any: it says that this is no JSON
            decode(text, untouched)
    else:
        assert repr(decode(text, untouched)) == repr(expected)


@pytest.mark.parametrize("text", NOT_JSON, ids=lambda text: ascii(text)[:30])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    for record in (untouched, None):
        with pytest.raises(ValueError):  # noqa: PT011
            decode(text, record)


@given(st.text(max_size=6).filter(lambda text: "{" not in text), ENVELOPES, st.integers(0, 200))
def test_a_text_that_is_cut_or_continued_is_no_json(garbage: str, value: object, at: int) -> None:
    text = json.dumps(value)
    with pytest.raises(ValueError):  # noqa: PT011
        decode(text[: at % len(text)], untouched)
    if garbage.strip(" \t\n\r"):
        with pytest.raises(ValueError):  # noqa: PT011
            decode(text + garbage, untouched)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"data":' * 100_000, '{"data":[' + "[" * 100_000, '{"a":' + "[" * 100_000]
)
def test_what_is_nested_too_deeply_is_a_recursion_error(text: str) -> None:
    with pytest.raises(RecursionError):
        decode(text, untouched)


@given(st.lists(VALUES, max_size=20), st.data())
def test_the_record_function_sees_each_element_once_and_in_order(records: list[object], data: st.DataObject) -> None:
    seen: list[object] = []

    def record(value: object) -> int:
        seen.append(value)
        return len(seen)

    text = written(
        {"before": [1], "data": records, "after": {"data": [2]}}, lambda: data.draw(st.sampled_from(["", " "]))
    )
    decoded = decode(text, record)
    assert repr(seen) == repr(json.loads(json.dumps(records)))
    assert decoded == {"before": [1], "data": list(range(1, len(records) + 1)), "after": {"data": [2]}}


def test_the_elements_of_thousands_pass_through_it_too() -> None:
    """Between them other threads are let run, and nothing gets lost there."""
    text = json.dumps({"status": "ok", "data": [{"id": number} for number in range(1000)]}, separators=(",", ":"))
    assert decode(text, lambda value: value["id"]) == {"status": "ok", "data": list(range(1000))}  # type: ignore[index]


@pytest.mark.parametrize(
    "text",
    ['{"data":{"data":[1]}}', '{"DATA":[1]}', '{"data":"[1]"}', '[{"data":[1]}]', '{"a":{"data":[1]}}', '{"data":[]}'],
)
def test_nothing_else_passes_through_it(text: str) -> None:
    def record(_: object) -> object:
        raise AssertionError("no record")

    assert decode(text, record) == json.loads(text)


def test_what_the_record_function_raises_is_raised() -> None:
    def record(value: object) -> object:
        raise KeyError(value)

    with pytest.raises(KeyError, match="7"):
        decode('{"data":[7]}', record)
