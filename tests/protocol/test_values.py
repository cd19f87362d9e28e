"""Refused values in errors, and numbers of other libraries."""

from __future__ import annotations

import http
import math
from decimal import Decimal

import pytest

from tests.support.numbers import Int64
from worksection_async._protocol.values import as_number, plain_number, shown, type_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (26.0, "26.0"),
        ("x" * 200, "'" + "x" * 79),
        (Decimal(26), "Decimal('26') (type Decimal)"),
    ],
)
def test_a_refused_value_is_shown_with_a_type_that_is_not_built_in(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "None"), (Decimal, "the class Decimal"), ("secret", "str")])
def test_a_secret_value_is_shown_by_its_type(value: object, text: str) -> None:
    assert type_of(value) == text


def test_no_comparison_accepts_what_is_not_a_number() -> None:
    assert as_number(1.5) == 1.5
    assert math.isnan(as_number("2"))


def test_an_integer_of_another_type_becomes_an_int() -> None:
    number: object = plain_number(Int64(2))
    assert (number, type(number)) == (2, int)


@pytest.mark.parametrize(
    "value", [2, 2.5, True, "2", None, http.HTTPStatus.OK, 10**5000], ids=lambda value: type(value).__name__
)
def test_another_value_than_an_integer_of_another_type_stays_the_same(value: object) -> None:
    assert plain_number(value) is value
