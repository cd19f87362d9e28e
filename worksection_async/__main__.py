"""The command line: ``worksection``, or ``python -m worksection_async``."""

import sys
from collections.abc import Sequence

USAGE_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; `docs/cli.md` lists the codes."""
    try:
        from ._cli.app import run  # noqa: PLC0415  # needs the extra

        return run(arguments)
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package == "worksection_async":
            raise
        advice = 'pip install "worksection-async[cli]"'
        print(f"The command line needs {package}, which is not installed: {advice}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:  # while the modules are imported
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
