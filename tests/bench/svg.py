"""Pictures of the benchmark report, as plain SVG: readable on a light and on a dark page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tests.bench.lanes import SECONDS, Call
from tests.bench.measure import Comparison, figure

STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.paper { fill: #ffffff } .grid { stroke: #d0d7de } .axis { stroke: #57606a }
.kept, .interactive { fill: #1a7f5a; stroke: #1a7f5a } .missed { fill: #c4432b; stroke: #c4432b }
.shown, .bulk { fill: #6e7fa3; stroke: #6e7fa3 }
.limit { stroke: #24292f; stroke-width: 2 } .wait { fill: none; stroke-opacity: .45 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .paper { fill: #131416 } .grid { stroke: #30363d } .axis { stroke: #8b949e }
  .kept, .interactive { fill: #3fb98a; stroke: #3fb98a } .missed { fill: #f0765f; stroke: #f0765f }
  .shown, .bulk { fill: #93a4c8; stroke: #93a4c8 }
  .limit { stroke: #e6edf3 }
}
</style>"""

LEFT, WIDTH, ROW = 420, 420, 20
LOWEST, HIGHEST = 0.01, 10.0
"""Ends of the logarithmic axis of ratios; longer bars are cut, their number is not."""


def ratios(comparisons: Sequence[Comparison]) -> str:
    """Draw one bar per comparison, from the reference (1) to the ratio, and a stroke at the largest promised ratio."""
    bottom = 40 + ROW * len(comparisons)
    parts = [_line("grid", x := _position(each), 30, x, bottom) + _text(x, 22, f"{each:g}", "middle")
             for each in (0.01, 0.1, 0.5, 1, 2, 10)]  # fmt: skip
    parts.append(_line("axis", _position(1), 30, _position(1), bottom))
    for number, each in enumerate(comparisons):
        top = 40 + ROW * number
        start, end = sorted((_position(1), _position(each.ratio)))
        kind = "missed" if not each.is_kept() else "shown" if each.max_ratio is None else "kept"
        parts.append(_text(LEFT - 12, top + 11, each.name, "end"))
        parts.append(f'<rect class="{kind}" x="{start:.1f}" y="{top}" width="{max(end - start, 1):.1f}" height="12"/>')
        if each.max_ratio is not None:
            x = _position(each.max_ratio)
            parts.append(_line("limit", x, top - 3, x, top + 15))
        parts.append(_text(LEFT + WIDTH + 12, top + 11, figure(each.ratio)))
    return _picture(
        LEFT + WIDTH + 70, bottom + 10, "Ratios to the references; the vertical line is the reference", parts
    )


def _position(ratio: float) -> float:
    """Return the x of a ratio on the logarithmic axis."""
    share = math.log(min(max(ratio, LOWEST), HIGHEST) / LOWEST) / math.log(HIGHEST / LOWEST)
    return LEFT + WIDTH * share


def lanes(calls: Sequence[Call]) -> str:
    """Draw each call as a line from its start to a dot where it is sent, and all slots in one row below."""
    left, scale, row = 100, 13.0, 9
    lines = sorted(calls, key=lambda call: (call.lane == "bulk", call.asked, call.sent))
    bottom = 40 + row * len(lines)
    parts = []
    for second in range(0, SECONDS + 1, 10):
        x = left + second * scale
        parts.append(_line("grid", x, 30, x, bottom + 30) + _text(x, 22, f"{second} s", "middle"))
    for number, call in enumerate(lines):
        y, start, end = 40 + row * number, left + call.asked * scale, left + call.sent * scale
        parts.append(f'<path class="{call.lane} wait" d="M{start:.1f} {y}H{end:.1f}"/>')
        parts.append(f'<circle class="{call.lane}" cx="{end:.1f}" cy="{y}" r="3"/>')
        parts.append(f'<rect class="{call.lane}" x="{end - 1.5:.1f}" y="{bottom + 8}" width="3" height="16"/>')
    urgent = sum(call.lane == "interactive" for call in calls)
    parts.append(_text(left - 10, 44 + row * urgent / 2, "interactive", "end"))
    parts.append(_text(left - 10, 44 + row * (urgent + len(calls)) / 2, "bulk", "end"))
    parts.append(_text(left - 10, bottom + 21, "slots", "end"))
    title = "Calls of two lanes on one budget of a call per second: from start to request"
    return _picture(left + SECONDS * scale + 30, bottom + 40, title, parts)


def _picture(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">'
    paper = f'<rect class="paper" width="{width:g}" height="{height:g}"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", STYLE, paper, *parts, "</svg>", ""])


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
