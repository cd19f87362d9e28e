"""Where tokens are kept between calls, processes and restarts."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

import anyio

from .._transport.fork import begin_here_and_after_forks
from .._transport.tasks import in_thread
from ..errors import TokenStoreError
from .token import Token

LOCK_POLL = 0.02
"""Seconds between two looks at a lock that somebody else holds."""

LOCK_TIMEOUT = 90.0
"""Seconds after which a lock that nobody gives back is an error; a refresh takes less."""


@runtime_checkable
class TokenStore(Protocol):
    """Keeps the pair of tokens of one user.

    The service rotates the pair at every refresh and voids the one before, so all who share a pair have to share its
    store: whoever refreshes holds `lock` while he reads the pair again, refreshes it and saves the new one. A store
    of your own, in the database of a web app for instance, needs these three methods and nothing else.
    """

    async def load(self) -> Token | None:
        """The pair as it is now, or None; raises `TokenStoreError` where that cannot be said."""
        ...

    async def save(self, token: Token) -> None:
        """Keep *token* from now on. When this returns, a crash must not lose it; raises `TokenStoreError`."""
        ...

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Keep all others out who would refresh the same pair, in this process and elsewhere.

        A holder that dies must not hold it for ever.
        """
        ...


class MemoryTokenStore:
    """A pair of tokens in the memory of this process, for all its threads; it is gone with the process."""

    def __init__(self, token: Token | None = None) -> None:
        self._token = token
        begin_here_and_after_forks(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()

    async def load(self) -> Token | None:
        """The pair."""
        return self._token

    async def save(self, token: Token) -> None:
        """Keep *token*."""
        self._token = token

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Keep the other threads and tasks out."""
        await acquired(self._try)
        try:
            yield
        finally:
            self._lock.release()

    async def _try(self) -> bool:
        return self._lock.acquire(blocking=False)


class FileTokenStore:
    """A pair of tokens in a file, for all processes of one machine.

    Only its owner can read the file (mode 0600); one that others can read is refused. It is replaced as a whole, and
    on the disk before `save` returns. The lock is `filelock`'s; a process that is killed leaves none behind.

    Args:
        path: The file; its folder is made if there is none (mode 0700). Beside it a ``.lock`` appears.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).expanduser().resolve()

    def __repr__(self) -> str:
        return f"<FileTokenStore {self._path}>"

    async def load(self) -> Token | None:
        """The pair, or None where there is no file."""
        text = await in_thread(self._read)
        return None if text is None else token_in(text, self._path)

    async def save(self, token: Token) -> None:
        """Replace the file, and see it to the disk."""
        await in_thread(self._write, token.to_json().encode())

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Keep the other tasks, threads and processes of this machine out."""
        async with file_lock(self._path.with_name(f"{self._path.name}.lock")):
            yield

    def _read(self) -> bytes | None:
        with _told(self._path), contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise TokenStoreError(f"{self._path} can be read by others than its owner: let users log in again")
            return file.read()
        return None

    def _write(self, content: bytes) -> None:
        with _told(self._path):
            self._replace(content)

    def _replace(self, content: bytes) -> None:
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        prefix = f".{self._path.name}."
        _remove_left(folder, prefix)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=prefix)  # nobody else can read it
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
    """The token that was kept as *text*; raises `TokenStoreError`, which names *where* and shows nothing."""
    with contextlib.suppress(ValueError):
        return Token.from_json(text)
    raise TokenStoreError(f"{where} holds no token")


def _remove_left(folder: Path, prefix: str) -> None:
    """What a process that was killed has left behind holds secrets."""
    for path in folder.glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - LOCK_TIMEOUT:
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Without it, a crash of the machine could bring the old file back."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.asynccontextmanager
async def file_lock(path: Path) -> AsyncIterator[None]:
    """Hold the lock of *path*: no other task, thread or process of this machine does."""
    from filelock import FileLock, Timeout  # noqa: PLC0415

    async def is_acquired() -> bool:
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            return True
        return False

    with _told(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(path, mode=0o600, thread_local=False)
        await acquired(is_acquired)
    try:
        yield
    finally:
        lock.release()


async def acquired(attempt: Callable[[], Awaitable[object]]) -> None:
    """Look every few milliseconds whether *attempt* gets a lock; raises `TokenStoreError` where it never does."""
    until = anyio.current_time() + LOCK_TIMEOUT
    while not await attempt():
        if anyio.current_time() > until:
            raise TokenStoreError(f"somebody has held its lock for {LOCK_TIMEOUT:g} s")
        await anyio.sleep(LOCK_POLL)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    failure = None
    try:
        yield
    except OSError as exc:
        failure = TokenStoreError(f"{path} cannot be used ({exc.strerror or type(exc).__name__})")
    if failure is not None:
        raise failure
