"""Compares survivors with the list of equivalent mutants."""

from __future__ import annotations

import tomllib
from pathlib import Path

import attrs

from tests.mutants.mutmut import Mutant, Result

LIST = Path(__file__).with_name("equivalent.toml")


@attrs.frozen
class Equivalent:
    """Mutants that behave like the original code, or break no promise.

    *becomes* is the changed code, or a part of it; *function* and *module* may be empty, which means any.
    """

    becomes: str
    reason: str
    module: str = ""
    function: str = ""

    def is_about(self, module: str, mutant: Mutant) -> bool:
        return self.module in ("", module) and self.function in ("", mutant.function) and self.becomes in mutant.becomes


def equivalents() -> list[Equivalent]:
    return [Equivalent(**table) for table in tomllib.loads(LIST.read_text("utf-8"))["mutants"]]


def report(result: Result) -> bool:
    """Print the result of one module; return whether all its survivors are in the list."""
    known = equivalents()
    unexpected = [each for each in result.survivors if not any(one.is_about(result.module, each) for one in known)]
    stale = [
        one
        for one in known
        if one.module == result.module and not any(one.is_about(result.module, each) for each in result.survivors)
    ]
    count = len(result.survivors) - len(unexpected)
    share = 100 * (1 - len(unexpected) / (result.total - count))
    print(
        f"{result.module}: {result.total} mutants, {count} equivalent, {share:.1f} % of the others killed", flush=True
    )
    for mutant in unexpected:
        print(f"  survived in {mutant.function}\n    - {mutant.was}\n    + {mutant.becomes}")
    for one in stale:
        print(f"  in equivalent.toml, but no survivor: {one.becomes}")
    return not unexpected and not stale
