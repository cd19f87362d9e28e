"""Measure the promises about speed and memory, each as a ratio to a reference: ``python -m tests.bench.run [NAME …]``.

``nox -s bench -- NAME`` does the same in an environment of its own. Without a name all benchmarks run, and the page
`docs/benchmarks.md` is written with its pictures. The exit status is 1 if a promise is not kept.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

from tests.bench.measure import Result

BENCHES = {
    "clients": "Clients of the service",
    "decoding": "Decoding of replies",
    "stalls": "Stalls of the event loop",
    "streams": "Streams of whole accounts",
    "webhooks": "Webhooks",
    "doorbell": "Doorbells",
    "calls": "The cost of a call",
    "blocking": "Calls without await",
    "imports": "Import",
    "limiter": "Rate limiters",
    "lanes": "Lanes of the limiter",
    "files": "Files",
    "virtual_hour": "Jobs on a virtual clock",
}
"""Module → heading. The modules are imported when they run, because they need the libraries that they compare."""


def main(names: list[str]) -> int:
    if unknown := set(names) - BENCHES.keys():
        print(f"unknown: {', '.join(sorted(unknown))}; the benchmarks are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    print(f"{'':66}{'ours':>12}{'reference':>12}{'ratio':>8}{'at most':>9}", flush=True)
    results = {name: list(run(name)) for name in names or BENCHES}
    if not names:
        from tests.bench.report import write_page  # noqa: PLC0415  # it imports the lanes

        write_page(results)
    return 0 if all(result.is_kept() for each in results.values() for result in each) else 1


def run(name: str) -> Iterator[Result]:
    """Run a benchmark and print each result at once."""
    results: Iterator[Result] = importlib.import_module(f"tests.bench.{name}").compare()
    for result in results:
        print(result, flush=True)
        yield result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
