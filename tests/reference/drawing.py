"""Boxes, arrows and texts as SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from xml.sax.saxutils import escape

import attrs

Kind = Literal["plain", "start", "wait", "stop"]

LINE_HEIGHT = 18

STYLE = """
  svg { --page: #ffffff; --text: #1f2328; --dim: #59636e; --line: #818b98; --plain: #f6f8fa; --start: #ddf4ff;
        --wait: #fff8c5; --stop: #ffebe9 }
  @media (prefers-color-scheme: dark) {
    svg { --page: #151b23; --text: #f0f6fc; --dim: #9198a1; --line: #656c76; --plain: #212830; --start: #0c2d4b;
          --wait: #3b2f06; --stop: #4b1113 }
  }
  text { font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--text) }
  .dim { fill: var(--dim); font-size: 13px }
  .page { fill: var(--page); stroke: var(--line) } .plain { fill: var(--plain) } .start { fill: var(--start) }
  .wait { fill: var(--wait) } .stop { fill: var(--stop) } rect { stroke: var(--line) }
  .line { fill: none; stroke: var(--line); stroke-width: 1.5 } .head { fill: var(--line) }
"""
"""The media query follows the system, not the page, so the drawing has a background of its own."""


@attrs.define
class Drawing:
    """A drawing of *width* × *height* pixels; *description* is the text for screen readers."""

    width: int
    height: int
    title: str
    description: str
    _parts: list[str] = attrs.field(factory=list, init=False)

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "start") -> None:
        """Write *text*, with its baseline at *y*."""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>')

    def swatch(self, x: float, y: float, width: float, height: float, kind: Kind) -> None:
        """Draw an empty box."""
        self._parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" class="{kind}"/>')

    def box(self, x: float, y: float, width: float, lines: Sequence[str], kind: Kind = "plain") -> float:
        """Draw a box around *lines*, the first of which is the title; return its lower edge."""
        height = LINE_HEIGHT * len(lines) + 14
        self._parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" class="{kind}"/>')
        for number, line in enumerate(lines):
            self.text(x + 12, y + 20 + LINE_HEIGHT * number, line, "dim" if number else "")
        return y + height

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw a line through *points* with a head at its end."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(f'<polyline points="{path}" class="line" marker-end="url(#head)"/>')

    def line(self, *points: tuple[float, float]) -> None:
        """Draw a line through *points*."""
        self._parts.append(f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}" class="line"/>')

    def svg(self, note: str) -> str:
        """Return the file; *note* says how it was made."""
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        head = '<path d="M0,0 L8,4 L0,8 z" class="head"/>'
        marker = f'<marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">{head}</marker>'
        border = f'<rect x="0.5" y="0.5" width="{self.width - 1}" height="{self.height - 1}" rx="8" class="page"/>'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
                f"<!-- {note} -->",
                f"<title>{escape(self.title)}</title>",
                f"<desc>{escape(self.description)}</desc>",
                f"<style>{STYLE}</style>",
                f"<defs>{marker}</defs>",
                border,
                *self._parts,
                "</svg>\n",
            ]
        )
