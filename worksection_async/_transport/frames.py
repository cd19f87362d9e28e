"""Keeps secrets out of error reports: Sentry, loguru, rich and ``pytest -l`` show the local variables of all frames."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


def clears_locals(function: F) -> F:
    """Clear the local variables of *function* and of all functions that it called, if it raises or is cancelled.

    The traceback keeps its lines. Frames of httpx, h11 and json are cleared as well, because they hold signed requests
    and whole replies. An exception that the caller was handling before stays as it is.
    """

    @functools.wraps(function)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        call, handled = function(*args, **kwargs), sys.exception()
        del args, kwargs  # they may be secrets, and this frame is not cleared
        try:
            return await call
        except BaseException as exc:
            _clear(exc, handled)
            raise

    return cast(F, guarded)


def _clear(error: BaseException, handled: BaseException | None) -> None:
    chain = [error]
    for each in chain:
        traceback.clear_frames(each.__traceback__)
        for other in (each.__cause__, each.__context__):
            if other is not None and other is not handled and other not in chain:
                chain.append(other)
