"""``python -m worksection_async._spec [--check]``: write the generated files, or list those that are out of date."""

import argparse
import subprocess
import sys
from pathlib import Path

from ._load import SpecError, load
from ._render import render
from ._source import MARK

ROOT = Path(__file__).parents[2]
GENERATED_IN = ("worksection_async", "docs")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m worksection_async._spec", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check = parser.parse_args(arguments).check
    try:
        files = render_all()
    except SpecError as exc:
        print(exc, file=sys.stderr)
        return 1
    differences = find_differences(ROOT, files)
    if check:
        print("\n".join(differences) or f"{len(files)} generated files are up to date")
        return 1 if differences else 0
    for path, text in files.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, "utf-8")
    for orphan in find_orphans(ROOT, files):
        (ROOT / orphan).unlink()
    print("\n".join(differences) or "nothing to change")
    return 0


def render_all() -> dict[str, str]:
    """Return all generated files: path → formatted text."""
    return {path: format_source(path, text) for path, text in render(load()).items()}


def format_source(path: str, text: str) -> str:
    """Format *text* with ruff and remove unused imports."""
    if not path.endswith(".py"):
        return text
    ruff = [sys.executable, "-m", "ruff"]
    stdin = ["--quiet", f"--stdin-filename={ROOT / path}", "-"]
    checked = _run([*ruff, "check", "--select=I,F401", "--fix-only", *stdin], text)
    return _run([*ruff, "format", *stdin], checked)


def _run(command: list[str], text: str) -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", check=True).stdout


def find_differences(root: Path, files: dict[str, str]) -> list[str]:
    """Return a line for each file that is missing, stale or orphaned under *root*."""
    differences = []
    for path, text in files.items():
        if not (root / path).exists():
            differences.append(f"missing: {path}")
        elif (root / path).read_text("utf-8") != text:
            differences.append(f"stale: {path}")
    return differences + [f"orphaned: {path}" for path in find_orphans(root, files)]


def find_orphans(root: Path, files: dict[str, str]) -> list[str]:
    """Return the files that have the mark of the generator but are not in *files*."""
    found = (path for folder in GENERATED_IN for path in sorted((root / folder).rglob("*")) if path.is_file())
    marked = (path for path in found if path.suffix in {".py", ".md"} and _is_generated(path))
    return [name for path in marked if (name := path.relative_to(root).as_posix()) not in files]


def _is_generated(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# <!-").startswith(MARK)


if __name__ == "__main__":
    sys.exit(main())
