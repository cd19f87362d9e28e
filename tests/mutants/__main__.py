"""``python -m tests.mutants FOLDER [GROUP…]``: run the groups of `GROUPS` in FOLDER, and report each module."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.mutants.groups import GROUPS
from tests.mutants.mutmut import run
from tests.mutants.report import report


def main(folder: Path, names: list[str]) -> int:
    if unknown := set(names) - GROUPS.keys():
        print(f"unknown: {', '.join(unknown)}; groups: {', '.join(GROUPS)}")
        return 2
    results = [report(result) for name in names or GROUPS for result in run(GROUPS[name], folder / name)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
