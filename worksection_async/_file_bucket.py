"""A bucket in a file: all processes of one machine share it."""

from __future__ import annotations

import contextlib
import math
import struct
import time
import zlib
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ._bucket import Paced
from ._pace import Pace, Visit
from ._service import REQUESTS_PER_SECOND
from .errors import TransportError

if TYPE_CHECKING:
    import os

T = TypeVar("T")

STATE = struct.Struct("<9d")
CHECKSUM = struct.Struct("<I")
SIZE = STATE.size + CHECKSUM.size

LOCK_TIMEOUT = 10.0
"""Seconds after which a lock that nobody gives back is an error; it is held for microseconds."""

LOCK_POLL = 0.0005

AHEAD = 0.009
"""Seconds before its slot that a call looks at the file: that takes a while, and nobody has to be late for it."""

LOST = b"lost"
"""What stands in for a file that somebody removed."""


class FileTokenBucket(Paced):
    """Turns for all processes of one machine.

    Locking is `filelock`'s (extra ``file``); a process that is killed leaves no lock behind. A file that was removed
    or damaged, or is older than the last start of the machine, counts as that of a bucket just used. Network file
    systems are no place for it: their locks and their clocks belong to different machines.

    Args:
        path: The file; its folder is made if there is none. Beside it a ``.lock`` appears.
        rate: Requests per second, the same in all processes.
        clock: A clock all processes share, in seconds; by default the machine's monotonic one.

    Raises:
        ValueError: The file cannot be written, or somebody does not give its lock back.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: float = REQUESTS_PER_SECOND,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(rate, 1, clock, AHEAD)
        try:
            from filelock import FileLock  # noqa: PLC0415
        except ImportError as exc:
            raise ImportError("FileTokenBucket needs filelock: pip install worksection-async[file]") from exc
        self._path = Path(path).absolute()
        self._name = str(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open("ab").close()
            self._file_lock = FileLock(f"{self._path}.lock", timeout=LOCK_TIMEOUT, thread_local=False)
            with self._file_lock:
                pass
        except TimeoutError:
            raise ValueError(f"{path} cannot be shared: somebody has held its lock for {LOCK_TIMEOUT:g} s") from None
        except OSError as exc:
            raise ValueError(f"{path} cannot be written, so it cannot be shared: {exc.strerror or exc}") from None

    def _take_free(self) -> Visit | None:
        with contextlib.suppress(TransportError):  # the visit that follows says so, if it is still true
            return self._with_pace(Pace.take, timeout=0)
        return None

    def _with_pace(self, change: Callable[[Pace, float], T], timeout: float | None = None) -> T:
        """Read the state, change it and write it, while nobody else can; microseconds, so the event loop may wait."""
        try:
            with self._lock, self._file_lock.acquire(timeout, poll_interval=LOCK_POLL), self._open() as file:
                now = self._clock()
                content = file.read(SIZE + 1)
                pace = self._pace(content, now)
                outcome = change(pace, now)
                file.seek(0)
                file.write(_packed(now, pace))
                if len(content) > SIZE:
                    file.truncate()
                return outcome
        except OSError as exc:
            what = f"the shared bucket {self._path} cannot be used ({exc.strerror or type(exc).__name__})"
        raise TransportError("limiter", what, sent=False)

    def _open(self) -> FileIO:
        """Unbuffered: a process that is killed leaves the old state or the new one."""
        try:
            return open(self._name, "r+b", buffering=0)  # noqa: PTH123  # pathlib takes as long as the system
        except FileNotFoundError:
            self._path.write_bytes(LOST)
            return open(self._name, "r+b", buffering=0)  # noqa: PTH123

    def _pace(self, content: bytes, now: float) -> Pace:
        try:
            written_at, pace = _unpacked(content)
        except ValueError:
            written_at, pace = math.inf, Pace(self._interval)
        if written_at > now:
            # Damaged, or from before the machine was started anew: somebody may have gone just now.
            pace = Pace(self._interval, free=now + self._interval, last=now)
        pace.interval = self._interval
        return pace


def _packed(now: float, pace: Pace) -> bytes:
    numbers = pace.free, pace.last, pace.shift, pace.barrier, pace.margin, pace.floor, pace.quick, pace.slow
    state = STATE.pack(now, *numbers)
    return state + CHECKSUM.pack(zlib.crc32(state))


def _unpacked(content: bytes) -> tuple[float, Pace]:
    """When the state in *content* was written, and the state; an empty file is that of a bucket never used."""
    if not content:
        return -math.inf, Pace(1.0)
    state, checksum = content[: STATE.size], content[STATE.size :]
    if len(content) != SIZE or CHECKSUM.unpack(checksum)[0] != zlib.crc32(state):
        raise ValueError("damaged")
    written_at, *numbers = STATE.unpack(state)
    if any(map(math.isnan, (written_at, *numbers))):
        raise ValueError("damaged")
    return written_at, Pace(1.0, 1, *numbers)
