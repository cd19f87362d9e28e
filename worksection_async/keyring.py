"""A token store in the keyring of the desktop. Needs the extra ``keyring``."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from ._auth.token import Token
from ._auth.token_stores import file_lock, token_in, translate_errors
from ._transport.frames import clears_locals
from ._transport.paths import resolved
from ._transport.tasks import in_thread
from .models._extras import needs_extra

with needs_extra("keyring", "KeyringTokenStore"):
    import keyring
    from keyring.errors import KeyringError

__all__ = ["KeyringTokenStore"]

T = TypeVar("T")

SERVICE = "worksection-async"


class KeyringTokenStore:
    """Stores a token in the desktop's keyring, for all processes of one user.

    A keyring has no lock, so the lock is a file under ``~/.cache``.

    Args:
        username: The user name of the keyring entry: one per Worksection user.
        service: The service name of the keyring entry.
    """

    def __init__(self, username: str, service: str = SERVICE) -> None:
        self._service = service
        self._username = username
        folder = resolved(Path("~", ".cache", SERVICE), "KeyringTokenStore")
        self._lock_path = folder / f"{hashlib.sha256(repr((service, username)).encode()).hexdigest()[:32]}.lock"

    def __repr__(self) -> str:
        return f"<KeyringTokenStore {self._service} {self._username}>"

    @clears_locals
    async def load(self) -> Token | None:
        """Return the token, or None if the keyring has no such entry."""
        text = await self._run(lambda: keyring.get_password(self._service, self._username))
        return None if text is None else token_in(text, f"{self._username} of {self._service}")

    @clears_locals
    async def save(self, token: Token) -> None:
        """Store *token*."""
        await self._run(lambda: keyring.set_password(self._service, self._username, token.to_json()))

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Exclude the other tasks, threads and processes of this user."""
        async with file_lock(self._lock_path):
            yield

    async def _run(self, command: Callable[[], T]) -> T:
        with translate_errors(KeyringError, "the keyring cannot be used"):
            return await in_thread(command)
