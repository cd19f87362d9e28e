"""Credentials and paths that the tests share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

DOCS = ROOT / "docs"

SAMPLES = Path(__file__).parent / "samples"
"""Replies written by hand, following the documentation and the captured replies."""

RECORDED = ROOT.parent / "shared" / "api" / "recorded"
"""Replies captured from the real service; they are not part of the project, so tests that need them may be skipped."""

KEY = "7776461cd931e7b1c8e9632ff8e979ce"
TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.test"
