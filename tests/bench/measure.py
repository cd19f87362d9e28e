"""How things are measured: the best of several alternating runs, so that a slow moment affects both sides."""

from __future__ import annotations

import gc
import time
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
    max_ratio: float

    @property
    def ratio(self) -> float:
        return self.ours / self.reference

    def is_kept(self) -> bool:
        return self.ratio <= self.max_ratio

    def __str__(self) -> str:
        verdict = "" if self.is_kept() else "  MISSED"
        values = f"{self.ours:>9.1f} {self.unit:2}{self.reference:>9.1f} {self.unit:2}"
        return f"{self.name:66}{values}{self.ratio:>8.2f}{self.max_ratio:>9.4g}{verdict}"


def best_of_alternating(
    ours: Callable[[], object], reference: Callable[[], object], *, runs: int
) -> tuple[float, float]:
    """Return the shortest time of each function in seconds, over *runs* alternating runs."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for side, function in zip(times, (ours, reference), strict=True):
            gc.collect()
            start = time.perf_counter()
            result = function()
            side.append(time.perf_counter() - start)
            del result
    return min(times[0]), min(times[1])


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
