"""How things are measured: the best of several alternating runs, so that a slow moment affects both sides."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Callable

import attrs


@attrs.frozen
class Comparison:
    """A measured value beside a reference that was measured in the same run, and the largest promised ratio."""

    name: str
    """What is measured / the reference."""
    ours: float
    reference: float
    unit: str
    max_ratio: float | None
    """None: nothing is promised, the reference is shown for orientation."""

    @property
    def ratio(self) -> float:
        return self.ours / self.reference

    def is_kept(self) -> bool:
        return self.max_ratio is None or self.ratio <= self.max_ratio

    def __str__(self) -> str:
        verdict = "" if self.is_kept() else "  MISSED"
        limit = "" if self.max_ratio is None else figure(self.max_ratio)
        values = f"{figure(self.ours):>9} {self.unit:2}{figure(self.reference):>9} {self.unit:2}"
        return f"{self.name:66}{values}{figure(self.ratio):>9}{limit:>9}{verdict}"


@attrs.frozen
class Conduct:
    """Whether a library passed a case in this run, and how it failed if not."""

    case: str
    library: str
    failure: str = ""
    """What was seen; empty if the library passed."""

    def is_kept(self) -> bool:
        return not self.failure or self.library != OURS

    def __str__(self) -> str:
        verdict = "" if self.is_kept() else "  MISSED"
        return f"{self.case}: {self.library}: {self.failure or 'passed'}{verdict}"


def figure(value: float) -> str:
    """Return *value* with three significant digits and without an exponent: 0.00188, 2.1, 10 400."""
    return f"{float(f'{value:.3g}'):,.9f}".rstrip("0").rstrip(".").replace(",", " ")


OURS = "worksection-async"
Result = Comparison | Conduct


def best_of_alternating(
    ours: Callable[[], object], reference: Callable[[], object], *, runs: int
) -> tuple[float, float]:
    """Return the shortest CPU time of each function in seconds, over *runs* alternating runs."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for side, function in zip(times, (ours, reference), strict=True):
            gc.collect()
            start = cpu_seconds()
            result = function()
            side.append(cpu_seconds() - start)
            del result
    return min(times[0]), min(times[1])


def cpu_seconds() -> float:
    """Return the CPU time of this process and its finished children: other programs disturb it less than real time."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_megabytes(function: Callable[[], object]) -> float:
    """Return the peak of the memory that is allocated while *function* runs, including its result."""
    gc.collect()
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
        del result
