"""``python -m tests.reference.demo_picture``: run the demo, and save its output as the picture in the README.

The picture is not compared with a new run, because each run has other times.
"""

import io
import re
import sys
from unittest import mock

from rich.console import Console
from rich.segment import Segment
from rich.terminal_theme import TerminalTheme

from tests.support.constants import DOCS
from worksection_async._cli import _screen, demo

PICTURE = DOCS / "pictures" / "demo.svg"
WIDTH = 80

THEME = TerminalTheme(
    (21, 27, 35),
    (209, 215, 224),
    [(13, 17, 23), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255), (57, 197, 207),
     (177, 186, 196)],
)  # fmt: skip

FONT = 'ui-monospace, "DejaVu Sans Mono", monospace'


def main() -> int:
    """Run the demo; write the picture if all checks passed."""
    recorder = Console(record=True, file=io.StringIO(), width=WIDTH, highlight=False)
    with mock.patch.object(_screen, "Console", return_value=recorder):
        code = demo.run_simulated()
    if code == 0:
        PICTURE.write_text(as_picture(recorder), "utf-8")
    return code


def as_picture(recorder: Console) -> str:
    """Return the recorded output as SVG: the first line, the step about the rate limit, and the summary."""
    lines = list(Segment.split_lines(recorder._record_buffer))
    texts = ["".join(part.text for part in line) for line in lines]
    first = next(number for number, text in enumerate(texts) if "Rate limit" in text)
    last = next(number for number, text in enumerate(texts) if number > first and not text.strip())
    shown = Console(record=True, file=io.StringIO(), width=WIDTH)
    for line in [lines[0], [Segment("   ⋮")], *lines[first:last], [Segment("   ⋮")], *lines[-2:]]:
        shown._record_buffer += [*line, Segment.line()]
    svg = shown.export_svg(title="python -m worksection_async demo", theme=THEME, unique_id="demo")
    local = re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)  # an image cannot load fonts
    named = local.replace("font-family: Fira Code, monospace", f"font-family: {FONT}")
    return re.sub(r"(<svg [^>]*>)", r"\1<title>The output of the demo</title>", named, count=1)


if __name__ == "__main__":
    sys.exit(main())
