"""The report: the page `docs/benchmarks.md` and its pictures, from the results of one run."""

from __future__ import annotations

import datetime as dt
import importlib
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.bench import lanes, svg
from tests.bench.measure import OURS, Comparison, Conduct, Result, figure
from tests.bench.run import BENCHES
from tests.support.constants import DOCS

PAGE = DOCS / "benchmarks.md"
PICTURES = DOCS / "benchmarks"

LIBRARIES = (
    OURS, "worksection-api-client", "httpx", "pydantic", "msgspec", "aiolimiter", "pyrate-limiter", "throttled-py",
    "attrs", "cattrs", "anyio",
)  # fmt: skip

INTRODUCTION = """# Benchmarks

<!-- Written by `nox -s bench`. -->

Each figure is a ratio to a reference that was measured in the same run, because a ratio depends less on the machine:
below 1, this package needs less than the reference. Most references do less: bare httpx knows neither a rate limit nor
types. The column *at most* is a promise of this package; **missed** means that this run did not keep it. Without a
number in that column nothing is promised.

{machine}

{summary}

![One bar per comparison, from the reference to the ratio](benchmarks/ratios.svg)

The vertical line is the reference, the short stroke is the promised limit; the axis is logarithmic and cut at its ends.
"""

CONDUCT = """## Conduct

Speed is worth little if the result is wrong. In this run, each library got the same situation, on a simulated service
or at the same limit, with its defaults. The table shows what happened.

| case | library | seen |
|---|---|---|
"""

LANES = """The picture shows {bulk} calls of a job, which starts them all at once in the lane *bulk*, and {urgent} calls
of a user in the lane *interactive*. Both use one budget of a call per second. A line begins when a call starts and ends
when its request is sent. The job uses every slot that the user leaves.

![The calls of two lanes over 60 seconds](benchmarks/lanes.svg)
"""


def write_page(results: Mapping[str, Sequence[Result]]) -> None:
    """Write the page and the pictures."""
    PICTURES.mkdir(exist_ok=True)
    comparisons = [each for found in results.values() for each in found if isinstance(each, Comparison)]
    calls = lanes.record()
    (PICTURES / "ratios.svg").write_text(svg.ratios(comparisons), "utf-8")
    (PICTURES / "lanes.svg").write_text(svg.lanes(calls), "utf-8")
    parts = [INTRODUCTION.format(machine=machine(), summary=summary(comparisons))]
    for name, found in results.items():
        parts.append(section(name, [each for each in found if isinstance(each, Comparison)]))
        if name == "lanes":
            bulk = sum(call.lane == "bulk" for call in calls)
            parts.append(LANES.format(bulk=bulk, urgent=len(calls) - bulk))
    conduct = [each for found in results.values() for each in found if isinstance(each, Conduct)]
    parts.append(CONDUCT + "\n".join(map(conduct_row, conduct)) + "\n")
    PAGE.write_text("\n".join(parts), "utf-8")


def machine() -> str:
    """Describe where and when the run took place. The load average tells how busy the machine was with other work."""
    load = os.getloadavg()[1]
    cpus = os.cpu_count() or 1
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    busy = f" The machine was busy with other work: the load average was {load:.1f}." if load > cpus else ""
    return (
        f"Measured on {dt.datetime.now(dt.UTC):%d %B %Y}: {processor()}, {cpus} cores, {platform.system()} "
        f"{platform.release()}, {platform.python_implementation()} {platform.python_version()}.{busy}\n\n"
        f"Versions: {versions}."
    )


def processor() -> str:
    """Return the name of the processor, or its architecture."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(": ")[2] if names else platform.machine()


def summary(comparisons: Sequence[Comparison]) -> str:
    promised = [(each, each.max_ratio) for each in comparisons if each.max_ratio is not None]
    missed = [(each, limit) for each, limit in promised if not each.is_kept()]
    names = "".join(f"\n- {each.name}: {figure(each.ratio)} instead of {figure(limit)}" for each, limit in missed)
    return f"{len(promised) - len(missed)} of {len(promised)} promises were kept." + (
        f" Missed:\n{names}" if names else ""
    )


def section(name: str, comparisons: Sequence[Comparison]) -> str:
    """Return the heading of a benchmark, the docstring of its module, and a table of its comparisons."""
    what = (importlib.import_module(f"tests.bench.{name}").__doc__ or "").partition("\n\n")[0].strip()
    lines = [f"## {BENCHES[name]}", "", what, "", "| measured / reference | ours | reference | ratio | at most |"]
    return "\n".join([*lines, "|---|--:|--:|--:|--:|", *map(row, comparisons), ""])


def row(each: Comparison) -> str:
    limit = "" if each.max_ratio is None else figure(each.max_ratio)
    verdict = "" if each.is_kept() else ", **missed**"
    values = " | ".join(f"{figure(value)} {each.unit}".strip() for value in (each.ours, each.reference))
    return f"| {each.name} | {values} | {figure(each.ratio)} | {limit}{verdict} |"


def conduct_row(each: Conduct) -> str:
    seen = f"**failed**: {cell(each.failure)}" if each.failure else "passed"
    return f"| {each.case} | {each.library} | {seen} |"


def cell(text: str) -> str:
    """Return *text* as code in a cell of a table."""
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "\\|") + "`"
