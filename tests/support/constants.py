"""Credentials and folders that tests share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

DOCS = ROOT / "docs"

SAMPLES = Path(__file__).parent / "samples"
"""Replies written by hand after the documentation and the captured replies."""

RECORDED = ROOT.parent / "shared" / "api" / "recorded"
"""Replies captured from the service; they are not part of the project."""

KEY = "7776461cd931e7b1c8e9632ff8e979ce"
TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.test"
