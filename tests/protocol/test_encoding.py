"""Parameters as a query and as a JSON body; the values are those that the formats return."""

from __future__ import annotations

import json

import pytest

from worksection_async._protocol.encoding import as_json, as_query
from worksection_async._protocol.formats import Repeated, Structured, WireValue

ENCODED: list[tuple[WireValue, str, object]] = [
    (26, "name=26", 26),
    ("a/b &=+ї", "name=a%2Fb%20%26%3D%2B%D1%97", "a/b &=+ї"),
    (Repeated(("a", "b")), "name%5B%5D=a&name%5B%5D=b", ["a", "b"]),
    (
        Structured({"ї": [1, 2], "b": None}),
        "name=%7B%22%D1%97%22%3A%5B1%2C2%5D%2C%22b%22%3Anull%7D",
        {"ї": [1, 2], "b": None},
    ),
]


@pytest.mark.parametrize(("value", "query", "_"), ENCODED)
def test_a_query_is_percent_encoded_utf_8(value: WireValue, query: str, _: object) -> None:
    assert as_query("get_tasks", {"name": value}) == f"action=get_tasks&{query}"


@pytest.mark.parametrize(("value", "_", "member"), ENCODED)
def test_a_body_is_a_json_object_in_utf_8(value: WireValue, _: str, member: object) -> None:
    body = as_json({"name": value})
    assert json.loads(body) == {"name": member}
    assert b"\\u" not in body


def test_a_name_is_percent_encoded() -> None:
    assert as_query("get", {"a/b": 1}) == "action=get&a%2Fb=1"


def test_a_body_without_parameters_is_empty() -> None:
    assert as_json({}) == b""
