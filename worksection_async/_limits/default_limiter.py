"""The limiter that sessions use by default: one per account, shared by all processes of this user on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
import warnings
from pathlib import Path

from .._transport.clock import SYSTEM_CLOCK, Clock
from .._transport.fork import after_fork
from .file_bucket import FileTokenBucket
from .limiter import Limiter
from .token_bucket import TokenBucket

logger = logging.getLogger("worksection_async")

UNUSED_SECONDS = 24 * 3600.0
"""Age after which the file of an unused account is removed."""

NOT_SHARED = (
    "the processes of this machine do not share the limit of one request per second (%s). Give the sessions of all of "
    "them the same limiter=FileTokenBucket(path), or RedisTokenBucket(url) in containers and on several machines."
)

_limiters: dict[str, Limiter] = {}
_lock = threading.Lock()


def default_limiter(origin: str, clock: Clock = SYSTEM_CLOCK) -> Limiter:
    """Return the limiter of the account at *origin*; all sessions of this process on this machine's clock share it."""
    if clock is not SYSTEM_CLOCK:
        return TokenBucket(clock=clock.monotonic)
    with _lock:
        if origin not in _limiters:
            _limiters[origin] = _machine_limiter(origin)
        return _limiters[origin]


def _machine_limiter(origin: str) -> Limiter:
    from platformdirs import user_runtime_path  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns if it has to use another folder
            folder = user_runtime_path("worksection-async", appauthor=False)
        _remove_unused(folder)
        name = hashlib.sha256(origin.encode()).hexdigest()[:32]
        return FileTokenBucket(folder / f"{name}.bucket", on_outage="local", peers=1)
    except (ValueError, OSError, RuntimeError) as exc:  # RuntimeError: there is no home directory
        logger.warning(NOT_SHARED, exc)
    return TokenBucket()


def _remove_unused(folder: Path) -> None:
    """Remove the files of accounts that were unused for a day; a locked file (`Timeout` is an `OSError`) is in use."""
    from filelock import FileLock  # noqa: PLC0415

    for path in folder.glob("*.bucket"):
        with contextlib.suppress(OSError), FileLock(f"{path}.lock", timeout=0):
            if path.stat().st_mtime < time.time() - UNUSED_SECONDS:
                path.unlink()
                Path(f"{path}.lock").unlink()


def _reset_in_child() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


after_fork(_reset_in_child)
