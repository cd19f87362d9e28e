"""What a forked child starts anew: threads of the parent that held a lock do not exist there."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Renewable(Protocol):
    """An object with locks."""

    def _begin(self) -> None:
        """Make new locks."""


def after_fork(work: Callable[[], None]) -> None:
    """Call *work* in every forked child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=work)


def begin_here_and_after_forks(owner: Renewable) -> None:
    """Let *owner* begin now, and again in every forked child."""
    owner._begin()
    _owners.add(owner)


_owners: weakref.WeakSet[Renewable] = weakref.WeakSet()


def _begin_in_child() -> None:
    for owner in list(_owners):
        owner._begin()


after_fork(_begin_in_child)
