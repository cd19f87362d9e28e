"""The boundary to foreign code below this package: httpx, the libraries it uses, and a user's transport."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import attrs


@attrs.frozen
class ForeignErrors:
    """A context that translates what httpx, the libraries below it, or a user's transport raise.

    It encloses only calls of httpx, so that errors of this package are not hidden. An AssertionError passes: it is
    the way in which a transport of a test reports a failed test.

    It is no generator, because `contextlib` would restore the traceback of an error that is raised again.
    """

    _translate: Callable[[Exception], Exception]

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, exc: BaseException | None, frames: object) -> None:
        if not isinstance(exc, Exception) or isinstance(exc, AssertionError):
            return
        failure = self._translate(exc)
        del exc, frames  # variables are shown with a traceback, and an httpx error can quote the credential
        try:
            raise failure
        finally:
            failure.__context__ = None  # an httpx error holds the signed URL


def place_of(exc: Exception) -> str:
    """Return where *exc* was raised: the error that replaces it has no traceback of the transport."""
    *_, (frame, line) = traceback.walk_tb(exc.__traceback__)
    return f"at {Path(frame.f_code.co_filename).name}:{line}"
