"""The promises about retries, for each fault with each kind of call."""

from __future__ import annotations

import itertools

import pytest

from tests.reliability.page import PAGE, outcomes_of, row
from tests.reliability.situations import KINDS, Kind, Situation, situations_of

COMBINATIONS = [
    pytest.param(situation, kind, id=f"{kind.key}-{situation.key}")
    for kind in KINDS
    for situation in itertools.chain.from_iterable(situations_of(kind).values())
]


@pytest.mark.parametrize(("situation", "kind"), COMBINATIONS)
def test_a_fault_has_the_documented_outcome(situation: Situation, kind: Kind) -> None:
    """Run ``python -m tests.reliability`` after a change that is intended."""
    assert row(situation, kind) in PAGE.read_text("utf-8").splitlines(keepends=True)


@pytest.mark.parametrize(("situation", "kind"), COMBINATIONS)
def test_nothing_is_executed_twice_and_nothing_is_lost_silently(situation: Situation, kind: Kind) -> None:
    for outcome in outcomes_of(situation, kind):
        if not outcome.error:
            assert outcome.is_call_executed
        if outcome.error and not outcome.is_sent:
            assert not outcome.is_call_executed
        if not kind.is_repeatable:
            assert outcome.executions <= 1


def test_the_page_has_no_row_without_a_test() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.endswith("` |")]
    assert len(rows) == len(COMBINATIONS)
