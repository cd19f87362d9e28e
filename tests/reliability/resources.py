"""The resources that the soak must not leak."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections import Counter
from pathlib import Path

import attrs

OPEN_FILES = Path("/proc/self/fd")

MEASURED_PACKAGES = ("worksection_async", "httpx", "anyio")

NOT_MEASURED = ("*/worksection_async/testing/*", "*/tests/*", "*/fnmatch.py", "*/re/*", tracemalloc.__file__)
"""The account and the log of the simulator grow, and tracemalloc compiles these patterns."""

MEMORY_TOLERANCE_BYTES = 100_000
"""The caches of the interpreter and the memory of the watch vary by half of it. In the second half of 10 000 calls it
is 20 bytes per call: less than any object."""

OBJECT_TOLERANCE = 40
"""Cached models and the headers of HTTP clients vary by less."""


@attrs.frozen
class Resources:
    """What is in use at one moment, while no call is in progress."""

    tasks: int
    threads: int
    files: int
    """Open files and sockets; 0 on a system without `OPEN_FILES`."""
    responses: int
    """Responses that have not been closed: over a network, each of them occupies a connection."""

    def are_no_more_than(self, before: Resources) -> bool:
        """Return whether nothing grew; idle threads end after a while."""
        return all(mine <= earlier for mine, earlier in zip(attrs.astuple(self), attrs.astuple(before), strict=True))

    @classmethod
    def now(cls, responses: int) -> Resources:
        return cls(
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
            files=len(list(OPEN_FILES.iterdir())) if OPEN_FILES.is_dir() else 0,
            responses=responses,
        )


class Memory:
    """The memory and the objects after the first half and at the end, without those of the simulator and the tests."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._objects: list[Counter[str]] = []

    def start(self) -> None:
        """Record allocations from now on. It makes the program slower."""
        tracemalloc.start()

    def stop(self) -> None:
        tracemalloc.stop()

    def measure(self) -> None:
        gc.collect()
        filters = [tracemalloc.Filter(inclusive=False, filename_pattern=pattern) for pattern in NOT_MEASURED]
        snapshot = tracemalloc.take_snapshot().filter_traces(filters)
        self._sizes.append(sum(trace.size for trace in snapshot.traces))
        self._objects.append(Counter(_type_name(each) for each in gc.get_objects()))

    @property
    def growth(self) -> int:
        """Bytes."""
        return self._sizes[-1] - self._sizes[0]

    def leaked(self) -> Counter[str]:
        """Return the types of which there are more objects than caches explain."""
        more = self._objects[-1] - self._objects[0]
        return Counter({name: number for name, number in more.items() if number > OBJECT_TOLERANCE and name})


def _type_name(each: object) -> str:
    """Return the name of the type of *each* if it is measured."""
    package, _, module = type(each).__module__.partition(".")
    is_measured = package in MEASURED_PACKAGES and not module.startswith("testing")
    return f"{type(each).__module__}.{type(each).__qualname__}" if is_measured else ""
