"""Optional dependencies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needs_extra(extra: str, classes: str) -> Iterator[None]:
    """Name *classes* and the *extra* that they need if an import fails because a package is not installed."""
    try:
        yield
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package == "worksection_async":
            raise
        advice = f'pip install "worksection-async[{extra}]"'
        raise ModuleNotFoundError(f"{classes} needs {package}, which is not installed: {advice}", name=package) from exc
