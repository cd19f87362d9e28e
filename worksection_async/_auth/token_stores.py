"""Stores for tokens, in memory or in a file, and the lock that makes a refresh exclusive."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

import anyio

from .._transport.fork import reset_now_and_after_fork
from .._transport.frames import clears_locals
from .._transport.paths import resolved
from .._transport.tasks import in_thread
from ..errors import TokenStoreError
from .token import Token

LOCK_POLL_SECONDS = 0.02
"""Interval between two attempts to acquire a lock."""

LOCK_TIMEOUT_SECONDS = 90.0
"""Waiting time for a lock, and lifetime of a lock that can expire. A refresh with its retries takes less."""


@runtime_checkable
class TokenStore(Protocol):
    """The interface of a store for the tokens of one user.

    Every refresh rotates the pair of tokens and invalidates the previous pair. Processes that share a pair must
    therefore share its store. A refresh holds `lock` while it loads the pair, requests the new pair and saves it.
    Your own store, for example in a database, needs these three methods.
    """

    async def load(self) -> Token | None:
        """Return the stored token, or None; raises `TokenStoreError` if it cannot be read."""
        ...

    async def save(self, token: Token) -> None:
        """Store *token* durably: a crash after this method returns must not lose it; raises `TokenStoreError`."""
        ...

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a lock that excludes all other refreshes of this pair, in this process and in others.

        The lock must be released when the process that holds it dies.
        """
        ...


class MemoryTokenStore:
    """Stores a token in memory, for all threads of this process."""

    def __init__(self, token: Token | None = None) -> None:
        self._token = token
        reset_now_and_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()

    async def load(self) -> Token | None:
        """Return the token."""
        return self._token

    async def save(self, token: Token) -> None:
        """Store *token*."""
        self._token = token

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Exclude the other tasks and threads of this process."""
        await acquire_lock(self._try_acquire)
        try:
            yield
        finally:
            self._lock.release()

    async def _try_acquire(self) -> bool:
        return self._lock.acquire(blocking=False)


class FileTokenStore:
    """Stores a token in a file, for all processes of one machine.

    The file has mode 0600; a file that other users can read is refused. It is replaced atomically and synced to the
    disk before `save` returns. The lock is a `filelock.FileLock`; the system releases it when a process dies.

    Args:
        path: Path of the file. A missing folder is created (mode 0700). A lock file with the suffix ``.lock`` is
            created beside it. ``~`` is the home directory.

    Raises:
        InvalidCall: There is no home directory for ``~``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = resolved(path, "FileTokenStore")

    def __repr__(self) -> str:
        return f"<FileTokenStore {self._path}>"

    @clears_locals
    async def load(self) -> Token | None:
        """Return the token, or None if the file does not exist."""
        text = await in_thread(self._read)
        return None if text is None else token_in(text, self._path)

    @clears_locals
    async def save(self, token: Token) -> None:
        """Replace the file and sync it to the disk."""
        await in_thread(self._write, token.to_json().encode())

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Exclude the other tasks, threads and processes of this machine."""
        async with file_lock(self._path.with_name(f"{self._path.name}.lock")):
            yield

    async def _delete(self) -> None:
        await in_thread(self._remove)

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors(OSError, f"{self._path} cannot be used")

    def _read(self) -> bytes | None:
        with self._translate_errors(), contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise TokenStoreError(
                    f"{self._path} can be read by other users: restrict its mode to 0600 and log in again"
                )
            return file.read()
        return None

    def _write(self, content: bytes) -> None:
        with self._translate_errors():
            self._replace(content)

    def _remove(self) -> None:
        with self._translate_errors():
            self._path.unlink(missing_ok=True)
            _remove_leftovers(self._path)
            _sync_folder(self._path.parent)

    def _replace(self, content: bytes) -> None:
        folder = self._path.parent
        _create_folder(folder)
        _remove_leftovers(self._path)
        prefix = f".{self._path.name}."
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=prefix)  # mkstemp creates it with mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(folder)


def token_in(text: str | bytes, where: object) -> Token:
    """Return the token from its JSON *text*; raises `TokenStoreError`, which names *where* but not the text."""
    with contextlib.suppress(ValueError):
        return Token.from_json(text)
    del text  # error reports show local variables
    raise TokenStoreError(f"{where} does not contain a valid token")


def _remove_leftovers(path: Path) -> None:
    """Delete the temporary files of processes that were killed while they replaced *path*: they contain tokens."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(FileNotFoundError):
            if leftover.stat().st_mtime < time.time() - LOCK_TIMEOUT_SECONDS:
                leftover.unlink()


def _create_folder(folder: Path) -> None:
    """Create *folder* and its missing parents durably, for this user only."""
    if not folder.is_dir():
        if folder.parent != folder:
            _create_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(PermissionError):  # syncing needs the permission to read
            _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Sync the entries of the folder: without it, a crash of the machine could restore the old file."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.asynccontextmanager
async def file_lock(path: Path) -> AsyncIterator[None]:
    """Hold the lock file *path*, which excludes other tasks, threads and processes of this machine."""
    from filelock import FileLock, Timeout  # noqa: PLC0415

    async def try_acquire() -> bool:
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            return True
        return False

    # NotImplementedError: the file system has no locks.
    with translate_errors((OSError, NotImplementedError), f"{path} cannot be used"):
        _create_folder(path.parent)
        lock = FileLock(path, mode=0o600, thread_local=False)
        await acquire_lock(try_acquire)
    try:
        yield
    finally:
        lock.release()


async def acquire_lock(try_acquire: Callable[[], Awaitable[object]]) -> None:
    """Call *try_acquire* until it returns a true value; raises `TokenStoreError` after `LOCK_TIMEOUT_SECONDS`."""
    deadline = anyio.current_time() + LOCK_TIMEOUT_SECONDS
    while not await try_acquire():
        if anyio.current_time() > deadline:
            raise TokenStoreError(f"its lock was not released for {LOCK_TIMEOUT_SECONDS:g} s")
        await anyio.sleep(LOCK_POLL_SECONDS)


@contextlib.contextmanager
def translate_errors(errors: type[Exception] | tuple[type[Exception], ...], problem: str) -> Iterator[None]:
    """Raise `TokenStoreError` with *problem* instead of *errors*."""
    try:
        yield
    except errors as exc:
        failure = TokenStoreError(f"{problem} ({getattr(exc, 'strerror', None) or type(exc).__name__})")
    else:
        return
    try:
        raise failure
    finally:
        failure.__context__ = None  # the error of a driver may contain the token
