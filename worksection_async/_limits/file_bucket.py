"""A bucket in a file, shared by all processes of one machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import FileIO
from typing import TYPE_CHECKING, Literal

from .._protocol.service import REQUESTS_PER_SECOND
from .._transport.paths import resolved
from ..errors import InvalidCall, TransportError
from .bucket_state import BucketState
from .limiter import T
from .shared_bucket import SharedTokenBucket, deserialize, serialize

if TYPE_CHECKING:
    import os

SIZE_BYTES = 512
"""The state is padded to this size: a single write replaces it, so a killed process leaves the old or the new one."""

LOCK_TIMEOUT_SECONDS = 10.0
"""Maximum waiting time for the lock; a visit holds it for microseconds."""

LOCK_POLL_SECONDS = 0.005


class FileTokenBucket(SharedTokenBucket):
    """A limiter for all processes of one machine; in containers and on several machines use `RedisTokenBucket`.

    The lock is a `filelock.FileLock`; the system releases it when a process dies. A file that is missing, damaged, or
    older than the last start of the machine is treated as a bucket that was just used. Network file systems are not
    supported, because their locks and clocks belong to different machines.

    Args:
        path: Path of the file. A missing folder is created. A lock file with the suffix ``.lock`` is created beside it.
            ``~`` is the home directory.
        rate: Requests per second, the same in all processes.
        clock: A clock that all processes share, in seconds; by default the monotonic clock of the machine.
        on_outage: Behaviour if the file cannot be used: ``"error"`` raises `TransportError` (nothing was sent);
            ``"local"`` limits this process alone to *rate* / *peers* and retries after a few seconds.
        peers: Number of processes that share the file, for ``"local"``.

    Raises:
        InvalidCall: The file cannot be written, there is no home directory for ``~``, or an argument is invalid.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: float = REQUESTS_PER_SECOND,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_outage: Literal["error", "local"] = "error",
        peers: int = 2,
    ) -> None:
        super().__init__(rate, clock=clock, on_outage=on_outage, peers=peers)
        self._path = resolved(path, "FileTokenBucket")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.open("ab").close()
        except (OSError, TypeError, ValueError) as exc:  # no path, or a path with a null character
            problem = f"{path} cannot be written, so it cannot be shared: {getattr(exc, 'strerror', None) or exc}"
            raise InvalidCall(type(self).__name__, problem) from None

    def _change_shared(self, change: Callable[[BucketState, float], T]) -> T:
        from filelock import FileLock  # noqa: PLC0415

        # A lock object for each visit: a forked child must not inherit one that is held.
        lock = FileLock(f"{self._path}.lock", timeout=LOCK_TIMEOUT_SECONDS, poll_interval=LOCK_POLL_SECONDS)
        try:
            with lock, self._open() as file:
                now = self._clock()
                state = deserialize(file.read(SIZE_BYTES), self._interval, now)
                outcome = change(state, now)
                file.seek(0)
                file.write(serialize(state).ljust(SIZE_BYTES))
                return outcome
        except (OSError, NotImplementedError) as exc:  # NotImplementedError: the file system has no locks
            reason = getattr(exc, "strerror", None) or type(exc).__name__
            what = f"the shared bucket {self._path} cannot be used ({reason})"
        raise TransportError("limiter", what, sent=False)

    def _open(self) -> FileIO:
        """Open the file unbuffered; replace a missing file by a placeholder that counts as damaged."""
        if not self._path.exists():
            self._path.write_bytes(b"removed")
        return self._path.open("r+b", buffering=0)
