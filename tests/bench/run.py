"""The promises about speed, each as a ratio to something measured in the same run: ``nox -s bench``."""

from __future__ import annotations

import sys

from tests.bench import calls, decoding, files, imports, limiter, stalls, streams, webhooks
from tests.bench.measure import Figure

BENCHES = {
    "decoding": decoding.figures,
    "stalls": stalls.figures,
    "streams": streams.figures,
    "webhooks": webhooks.figures,
    "calls": calls.figures,
    "imports": imports.figures,
    "limiter": limiter.figures,
    "files": files.figures,
}


def main(names: list[str]) -> int:
    figures = [figure for name in names or BENCHES for figure in BENCHES[name]()]
    print(f"{'':62}{'ours':>10}{'other':>10}{'ratio':>8}{'promise':>14}")
    for figure in figures:
        print(figure)
    return 0 if all(map(Figure.is_kept, figures)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
