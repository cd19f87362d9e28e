"""Stores for the position of a watch, and the lease that lets one of several programs watch."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from weakref import ReferenceType, ref

import anyio
import attrs

from .._transport.fork import reset_now_and_after_fork
from .._transport.paths import replace_text, resolved
from .._transport.tasks import in_thread
from ..errors import InvalidCall, StorageError
from .cursor import Cursor

if TYPE_CHECKING:
    from filelock import FileLock

logger: logging.Logger = logging.getLogger("worksection_async")


@attrs.frozen
class Lease:
    """The right of one watch to use a position, for a time."""

    seconds: float
    """For how long it is valid after it was acquired, or after a position was saved."""
    holder: str = attrs.field(factory=lambda: secrets.token_hex(8))
    """A random text that identifies the watch."""


@runtime_checkable
class CursorStore(Protocol):
    """The interface of a store for the position of a watch, which several programs may use.

    One of them holds the lease and watches, and the others wait for it. Your own store needs these four methods.
    """

    async def acquire(self, lease: Lease) -> bool:
        """Return True if nothing else holds a lease; then *lease* is held for ``lease.seconds``.

        It must end with the process that holds it: by its time, if not earlier.
        """
        ...

    async def load(self) -> Cursor | None:
        """Return the stored position, or None."""
        ...

    async def save(self, cursor: Cursor, lease: Lease) -> bool:
        """Store *cursor* durably, and extend *lease*.

        Return False, and store nothing, if another watch may have stored a position since `acquire`.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """End *lease*, if it is held."""
        ...


class FileCursor:
    """Stores the position of a watch in a file, for all programs of one machine.

    The file is replaced in one step and synced to the disk. The lease is a `filelock.FileLock`, which the system
    releases as soon as its process dies, so its time does not matter.

    Args:
        path: Path of the file. A missing folder is created. A lock file with the suffix ``.lock`` is created beside it.
            ``~`` is the home directory.

    Raises:
        InvalidCall: The path cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = resolved(path, "FileCursor")
        reset_now_and_after_fork(self)

    def _reset(self) -> None:
        # Weak, because a watch that ended with an error may be gone without having released it.
        self._lease: ReferenceType[Lease] | None = None
        self.__dict__.pop("_lock", None)  # a lock cannot be used by the children of the process that made it
        # The thread of a cancelled save goes on: its watch must not release the lease before the end.
        self._threads = threading.Lock()

    @functools.cached_property
    def _lock(self) -> FileLock:
        from filelock import FileLock  # noqa: PLC0415  # few programs need it

        return FileLock(self._path.with_name(f"{self._path.name}.lock"), thread_local=False)

    def __repr__(self) -> str:
        return f"<FileCursor {self._path}>"

    async def acquire(self, lease: Lease) -> bool:
        """Lock the file; raises `StorageError`."""
        return await in_thread(self._acquire, lease)

    async def load(self) -> Cursor | None:
        """Return the position in the file, or None if there is no file; raises `InvalidCall` and `StorageError`."""
        return await in_thread(self._load)

    async def save(self, cursor: Cursor, lease: Lease) -> bool:
        """Replace the file and sync it to the disk; raises `StorageError`."""
        return await in_thread(self._save, cursor, lease)

    async def release(self, lease: Lease) -> None:
        """Unlock the file."""
        await in_thread(self._release, lease)

    @property
    def _holder(self) -> Lease | None:
        return self._lease() if self._lease else None

    def _acquire(self, lease: Lease) -> bool:
        from filelock import Timeout  # noqa: PLC0415

        with self._threads:
            if self._holder is None:
                with self._translate_errors(), contextlib.suppress(Timeout):
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    if not self._lock.is_locked:
                        self._lock.acquire(timeout=0)
                    self._lease = ref(lease)
            return self._holder == lease

    def _release(self, lease: Lease) -> None:
        with self._threads:
            if self._holder == lease:
                self._lease = None
                self._lock.release()

    def _load(self) -> Cursor | None:
        with self._translate_errors(), contextlib.suppress(FileNotFoundError):
            text = self._path.read_bytes()
            try:
                return Cursor.from_json(text)
            except InvalidCall:
                pass
            raise InvalidCall("watch", f"{self._path} does not contain a cursor. Delete it, and the watch begins now")
        return None

    def _save(self, cursor: Cursor, lease: Lease) -> bool:
        with self._threads, self._translate_errors():
            if self._holder != lease:
                return False
            replace_text(self._path, cursor.to_json())
            return True

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        # NotImplementedError: the file system has no locks.
        except (OSError, NotImplementedError) as exc:
            raise StorageError("watch", f"{self._path}: {getattr(exc, 'strerror', None) or exc}", sent=True) from None


class StoredPosition:
    """The position of one watch in a store, and its lease on it.

    Args:
        store: Where the position is stored.
        seconds: For how long the lease is valid after each look and each event.
    """

    def __init__(self, store: CursorStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        reset_now_and_after_fork(self)

    def _reset(self) -> None:
        self._lease = Lease(self._seconds)  # of its own: the copy of a watch in a forked child is another watch
        self.is_held = False
        """Whether this watch has the lease, as far as it knows."""

    async def begin(self) -> Cursor | None:
        """Wait for the lease, and return the stored position."""
        is_waiting = False
        while not await self._store.acquire(self._lease):
            if not is_waiting:
                is_waiting = True
                logger.info("another program watches with %r: waiting for its end", self._store)
            await anyio.sleep(self._lease.seconds / 6)
        cursor = await self._store.load()
        self.is_held = True
        return cursor

    async def save(self, cursor: Cursor) -> None:
        """Store *cursor*; `is_held` is false afterwards if another program has the lease."""
        self.is_held = await self._store.save(cursor, self._lease)
        if not self.is_held:
            logger.warning(
                "another program watches with %r, because this one saved no position for %g s",
                self._store,
                self._lease.seconds,
            )

    async def end(self) -> None:
        """Release the lease. A failure is logged, because the lease ends by its time."""
        self.is_held = False
        try:
            with anyio.CancelScope(shield=True):
                await self._store.release(self._lease)
        except StorageError as exc:
            logger.warning("the lease of %r was not released, so another program waits longer: %s", self._store, exc)
