"""Refused values in errors, and numbers of other libraries."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from worksection_async._protocol.values import as_number, shown, type_of


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
