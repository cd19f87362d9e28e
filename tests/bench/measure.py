"""How things are measured: the best of several runs, taken in turns, so that a slow moment hits both sides."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable

import attrs


@attrs.frozen
class Figure:
    """What was measured, beside what it is compared to, and the promise about it."""

    what: str
    ours: float
    other: float
    unit: str
    most: float
    """What the promise allows: a ratio, or a number of units where `absolute`."""
    absolute: bool = False

    def is_kept(self) -> bool:
        return (self.ours - self.other if self.absolute else self.ours / self.other) <= self.most

    def __str__(self) -> str:
        promise = f"+{self.most:g} {self.unit}" if self.absolute else f"{self.most:g} x"
        verdict = "" if self.is_kept() else "  MISSED"
        ratio = f"{self.ours / self.other:.2f}" if self.other else ""
        figures = f"{self.ours:>7.1f} {self.unit:2}{self.other:>7.1f} {self.unit:2}"
        return f"{self.what:62}{figures}{ratio:>8}{promise:>14}{verdict}"


def best_in_turns(ours: Callable[[], object], other: Callable[[], object], *, runs: int) -> tuple[float, float]:
    """Least seconds of each, over *runs* in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for side, function in zip(times, (ours, other), strict=True):
            gc.collect()
            start = time.perf_counter()
            result = function()
            side.append(time.perf_counter() - start)
            del result
    return min(times[0]), min(times[1])


def peak(function: Callable[[], object]) -> float:
    """Most megabytes allocated at once while *function* runs, its result included."""
    gc.collect()
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
        del result
