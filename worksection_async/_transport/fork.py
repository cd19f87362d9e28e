"""Resets locks in forked children: a thread of the parent that holds a lock does not exist in the child."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Resettable(Protocol):
    """An object whose locks must be created again in a forked child."""

    def _reset(self) -> None:
        """Create new locks, and discard the state of the parent's tasks."""


def after_fork(work: Callable[[], None]) -> None:
    """Call *work* in every forked child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=work)


def reset_now_and_after_fork(owner: Resettable) -> None:
    """Call ``owner._reset`` now, and in every forked child."""
    owner._reset()
    _owners.add(owner)


_owners: weakref.WeakSet[Resettable] = weakref.WeakSet()


def _reset_in_child() -> None:
    for owner in list(_owners):
        owner._reset()


after_fork(_reset_in_child)
