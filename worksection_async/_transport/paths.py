"""Paths that users pass as arguments."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..errors import InvalidCall

NO_HOME = "there is no home directory for ~: set HOME, or pass an absolute path"


def resolved(path: str | os.PathLike[str], owner: str) -> Path:
    """Return *path* as an absolute path without ``~`` and symbolic links.

    Args:
        path: The argument.
        owner: Name of the class that got it, for the error.

    Raises:
        InvalidCall: It is no path, there is no home directory for ``~``, or the symbolic links form a loop.
    """
    try:
        expanded = Path(path).expanduser()
    except TypeError:
        raise InvalidCall(owner, f"the path must be text or a pathlib.Path, got {type(path).__name__}") from None
    except RuntimeError:
        problem = NO_HOME
    else:
        try:
            _check_links(expanded)
            return expanded.resolve()
        except (OSError, RuntimeError, ValueError) as exc:
            problem = str(getattr(exc, "strerror", None) or exc)
    raise InvalidCall(owner, f"{os.fspath(path)}: {problem}")


def replace_text(path: Path, text: str) -> None:
    """Write *text* to a file in one step: an interrupted write leaves the old content, even if the machine stops."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _check_links(path: Path) -> None:
    """Raise `OSError` if symbolic links form a loop; since Python 3.13 `Path.resolve` does not."""
    try:
        path.stat()
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise
