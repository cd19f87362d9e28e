"""The benchmark report in the documentation is complete and well formed. Its figures are those of the last run."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import lanes, measure, svg
from tests.bench.measure import OURS, Comparison, Conduct, figure
from tests.bench.report import PAGE, conduct_row, row, summary
from tests.bench.run import BENCHES
from tests.support.constants import DOCS

COLUMNS = {"measured / reference": 5, "case": 3}


def test_each_module_with_a_benchmark_runs_and_has_a_heading() -> None:
    folder = Path(measure.__file__).parent
    modules = {
        path.stem for path in folder.glob("*.py") if re.search(r"^def compare\(", path.read_text(), re.MULTILINE)
    }
    assert modules == set(BENCHES)


def test_the_page_has_each_benchmark_with_figures_and_pictures() -> None:
    page = PAGE.read_text("utf-8")
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")[1:]}
    assert list(sections) == [*BENCHES.values(), "Conduct"]
    for name, part in sections.items():
        heads = [line for line in part.splitlines() if line.startswith(tuple(f"| {column} |" for column in COLUMNS))]
        rows = [line for line in part.splitlines() if line.startswith("| ") and line not in heads]
        assert len(heads) == 1, name
        assert rows, name
        columns = COLUMNS[heads[0].split(" | ")[0].removeprefix("| ")]
        assert {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in [*heads, *rows]} == {columns}, name
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", page)
    assert pictures == ["benchmarks/ratios.svg", "benchmarks/lanes.svg"]
    for picture in pictures:
        assert ElementTree.parse(DOCS / picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_page_names_the_machine_the_versions_and_each_missed_promise() -> None:
    page = PAGE.read_text("utf-8")
    assert re.search(r"^Measured on \d\d \w+ 20\d\d: .+ cores, .+Python 3", page, re.MULTILINE)
    assert re.search(rf"^Versions: {OURS} \d", page, re.MULTILINE)
    missed = re.findall(r"^\| (.+?) \|.*\*\*missed\*\*", page, re.MULTILINE)
    kept, promised = map(int, re.findall(r"(\d+) of (\d+) promises were kept", page)[0])
    assert promised - kept == len(missed)
    for name in missed:
        assert f"\n- {name}: " in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0018841, "0.00188"), (0.000008, "0.000008"), (0.9996, "1"), (1.305, "1.3"), (19.33, "19.3"), (10363, "10 400"),
     (1_000_000, "1 000 000"), (0, "0")],
)  # fmt: skip
def test_a_figure_has_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert figure(value) == text


MISSED = Comparison("a <b> / c", 3.0, 1.0, "ms", 2.0)
KEPT = Comparison("d / e", 1.0, 2.0, "ms", 1.0)
SHOWN = Comparison("f / g", 5.0, 1.0, "ms", None)


def test_a_missed_promise_and_a_failure_are_shown() -> None:
    assert "2 ms" in row(KEPT)
    assert "missed" not in row(KEPT) + row(SHOWN)
    assert row(MISSED) == "| a <b> / c | 3 ms | 1 ms | 3 | 2, **missed** |"
    assert summary([MISSED, KEPT, SHOWN]) == "1 of 2 promises were kept. Missed:\n\n- a <b> / c: 3 instead of 2"
    assert conduct_row(Conduct("case", "x", "a | `b`\nc")) == "| case | x | **failed**: `a \\| 'b' c` |"
    assert conduct_row(Conduct("case", OURS)) == f"| case | {OURS} | passed |"
    assert not Conduct("case", OURS, "wrong").is_kept()
    assert Conduct("case", "x", "wrong").is_kept()


@pytest.mark.parametrize(("comparison", "kind"), [(MISSED, "missed"), (KEPT, "kept"), (SHOWN, "shown")])
def test_a_bar_starts_at_the_reference_and_shows_the_verdict(comparison: Comparison, kind: str) -> None:
    root = ElementTree.fromstring(svg.ratios([comparison]))
    (bar,) = [each for each in root.iter() if each.get("height") == "12"]
    left, width = float(bar.attrib["x"]), float(bar.attrib["width"])
    assert bar.get("class") == kind
    assert svg._position(1) == pytest.approx(left if comparison.ratio > 1 else left + width, abs=0.1)
    assert any(each.text == figure(comparison.ratio) for each in root.iter())


def test_the_lanes_are_drawn_from_a_run_that_keeps_the_rate() -> None:
    calls = lanes.record()
    times = [call.sent for call in calls]
    assert min(late - early for early, late in itertools.pairwise(times)) >= 0.999
    root = ElementTree.fromstring(svg.lanes(calls))
    dots = [each.get("class") for each in root.iter() if each.tag.endswith("circle")]
    assert sorted(map(str, dots)) == sorted(call.lane for call in calls)
