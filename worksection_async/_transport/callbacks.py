"""Callbacks of the user, such as ``progress`` and ``on_wait``: ordinary functions that are called, not awaited."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Generic, ParamSpec

import attrs

from ..errors import InvalidCall

P = ParamSpec("P")


@attrs.frozen
class Callback(Generic[P]):
    """An ordinary function of the user; a call refuses a coroutine as the result."""

    function: Callable[P, object]
    action: str
    name: str
    sent: bool
    """Whether it is called after a request was sent."""

    def __call__(self, *args: P.args, **options: P.kwargs) -> None:
        result = self.function(*args, **options)
        if isinstance(result, Coroutine):
            result.close()  # without it, Python would warn that it was never awaited
            raise _refusal(self.action, self.name, "returned a coroutine", sent=self.sent)


def checked(
    action: str, name: str, function: Callable[P, object] | None, *, sent: bool = False
) -> Callable[P, object] | None:
    """Return *function*, the argument *name* of *action*, as a `Callback`; raises `InvalidCall` if it is ``async``."""
    if function is None or isinstance(function, Callback):
        return function
    if not callable(function):
        raise InvalidCall(action, f"{name} must be a function, got {type(function).__name__}")
    for each in (function, getattr(function, "__call__", None)):  # noqa: B004  # an object with `async def __call__`
        if inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each):
            raise _refusal(action, name, "is async", sent=False)
    return Callback(function, action, name, sent)


def _refusal(action: str, name: str, problem: str, *, sent: bool) -> InvalidCall:
    advice = "pass an ordinary function, which can start a task or put the value into a queue"
    return InvalidCall(action, f"{name} {problem}, but it is called and not awaited: {advice}", sent=sent)
