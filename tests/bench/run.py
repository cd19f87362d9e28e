"""Measure the promises about speed and memory, each as a ratio to a reference: ``python -m tests.bench.run [NAME …]``.

``nox -s bench -- NAME`` does the same in an environment of its own. The exit status is 1 if a promise is not kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from tests.bench import (
    blocking,
    calls,
    decoding,
    doorbell,
    files,
    imports,
    limiter,
    stalls,
    streams,
    virtual_hour,
    webhooks,
)
from tests.bench.measure import Comparison

BENCHES: dict[str, Callable[[], Iterable[Comparison]]] = {
    "decoding": decoding.compare,
    "stalls": stalls.compare,
    "streams": streams.compare,
    "webhooks": webhooks.compare,
    "doorbell": doorbell.compare,
    "calls": calls.compare,
    "blocking": blocking.compare,
    "imports": imports.compare,
    "limiter": limiter.compare,
    "files": files.compare,
    "virtual_hour": virtual_hour.compare,
}


def main(names: list[str]) -> int:
    if unknown := set(names) - BENCHES.keys():
        print(f"unknown: {', '.join(sorted(unknown))}; the benchmarks are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    print(f"{'':66}{'ours':>12}{'reference':>12}{'ratio':>8}{'at most':>9}", flush=True)
    is_kept = True
    for name in names or BENCHES:
        for comparison in BENCHES[name]():
            print(comparison, flush=True)
            is_kept &= comparison.is_kept()
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
