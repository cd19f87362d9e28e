"""``python -m tests.reference [--check]``: write the reference pages, or list those that are out of date."""

import sys

from tests.reference.render import find_differences, render_all
from tests.support.constants import ROOT

files = render_all()
differences = find_differences(files)
if "--check" not in sys.argv:
    for path, text in files.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, "utf-8")
print("\n".join(differences) or f"{len(files)} reference pages are up to date")
sys.exit(bool(differences) and "--check" in sys.argv)
