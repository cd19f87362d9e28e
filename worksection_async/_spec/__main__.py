"""``python -m worksection_async._spec [--check]``: write what is generated, or say what is stale."""

import argparse
import subprocess
import sys
from pathlib import Path

from ._load import HERE, SpecError, load
from ._render import render
from ._source import MARK

ROOT = HERE.parent.parent
GENERATED_IN = ("worksection_async", "docs")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m worksection_async._spec", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is stale or orphaned")
    check = parser.parse_args(arguments).check
    try:
        files = rendered()
    except SpecError as exc:
        print(exc, file=sys.stderr)
        return 1
    complaints = differences(ROOT, files)
    if check:
        print("\n".join(complaints) or f"{len(files)} generated files are up to date")
        return 1 if complaints else 0
    for path, text in files.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, "utf-8")
    for orphan in orphans(ROOT, files):
        (ROOT / orphan).unlink()
    print("\n".join(complaints) or "nothing to change")
    return 0


def rendered() -> dict[str, str]:
    """The generated files as they should be: path → text."""
    return {path: laid_out(path, text) for path, text in render(load()).items()}


def laid_out(path: str, text: str) -> str:
    """*text* as the pinned ruff writes it, without the imports it has no use for."""
    if not path.endswith(".py"):
        return text
    ruff = [sys.executable, "-m", "ruff"]
    stdin = ["--quiet", f"--stdin-filename={ROOT / path}", "-"]
    checked = _run([*ruff, "check", "--select=I,F401", "--fix-only", *stdin], text)
    return _run([*ruff, "format", *stdin], checked)


def _run(command: list[str], text: str) -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", check=True).stdout


def differences(root: Path, files: dict[str, str]) -> list[str]:
    """A line for each file that is missing, stale or orphaned under *root*."""
    complaints = []
    for path, text in files.items():
        if not (root / path).exists():
            complaints.append(f"missing: {path}")
        elif (root / path).read_text("utf-8") != text:
            complaints.append(f"stale: {path}")
    return complaints + [f"orphaned: {path}" for path in orphans(root, files)]


def orphans(root: Path, files: dict[str, str]) -> list[str]:
    """Files that say they are generated and that nothing generates."""
    found = (path for folder in GENERATED_IN for path in sorted((root / folder).rglob("*")) if path.is_file())
    marked = (path for path in found if path.suffix in {".py", ".md"} and _is_generated(path))
    return [name for path in marked if (name := path.relative_to(root).as_posix()) not in files]


def _is_generated(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# <!-").startswith(MARK)


if __name__ == "__main__":
    sys.exit(main())
