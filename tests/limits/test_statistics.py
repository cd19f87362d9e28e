"""The counters of a limiter, on a clock that the tests set."""

from __future__ import annotations

import pytest

from worksection_async._limits.statistics import PERIOD_SECONDS, Statistics, Usage


def statistics(usage: Usage, now: float) -> Statistics:
    return usage.statistics(now, waiting={"interactive": 0, "normal": 0, "bulk": 0}, next_slot=0.0, margin=0.0)


def used(interval: float, *grants: float) -> Usage:
    usage = Usage(interval)
    usage.start(0.0)
    for now in grants:
        usage.grant(now, is_busy=True)
    return usage


@pytest.mark.parametrize("interval", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_utilisation_is_the_share_of_used_slots(interval: float, share: float) -> None:
    slots = int(PERIOD_SECONDS / interval)
    usage = used(interval, *(interval / share * number for number in range(1, int(slots * share) + 1)))
    assert statistics(usage, PERIOD_SECONDS).utilisation == pytest.approx(share, abs=0.05)


def test_the_utilisation_is_one_at_most() -> None:
    usage = used(1.0, *(0.9 * number for number in range(60)))
    assert statistics(usage, 55.0).utilisation == 1.0


def test_a_refused_request_is_a_share_of_one() -> None:
    usage = used(1.0, 0.0)
    usage.refuse(0.5)
    assert statistics(usage, 1.0).refused_share == 1.0


def test_the_share_of_refusals_is_one_at_most() -> None:
    """The last grants are older than a minute, their refusals are not."""
    usage = used(1.0, 0.0, 1.0, 2.0)
    for now in (59.0, 60.5, 62.0):
        usage.refuse(now)
    assert statistics(usage, 61.5).refused_share == 1.0


def test_the_pace_follows_the_intervals_between_the_grants_of_waiting_calls() -> None:
    usage = used(1.0, *(3.0 * number for number in range(40)))
    assert usage.pace == pytest.approx(3.0, rel=0.01)
    usage.grant(1_000.0, is_busy=False)  # no call was waiting: the interval says nothing
    assert usage.pace == pytest.approx(3.0, rel=0.01)


def test_avoided_requests_are_counted() -> None:
    usage = used(1.0)
    usage.saved += 2
    assert statistics(usage, 1.0).saved == 2
