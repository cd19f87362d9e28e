"""A pair of tokens in the keyring of the desktop. Needs the extra ``keyring``."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

try:
    import keyring
    from keyring.errors import KeyringError
except ImportError as exc:
    raise ImportError("KeyringTokenStore needs keyring: pip install worksection-async[keyring]") from exc

from ._auth.token import Token
from ._auth.token_stores import file_lock, token_in
from ._transport.tasks import in_thread
from .errors import TokenStoreError

__all__ = ["KeyringTokenStore"]

T = TypeVar("T")

SERVICE = "worksection-async"


class KeyringTokenStore:
    """A pair of tokens where the desktop keeps passwords, for all processes of one user.

    A keyring has no lock, so a lock file under ``~/.cache`` stands in for it.

    Args:
        username: Whose pair it is, in the words of the keyring: a name for each Worksection user.
        service: Under which name the keyring shows it.
    """

    def __init__(self, username: str, service: str = SERVICE) -> None:
        self._service = service
        self._username = username
        folder = Path.home() / ".cache" / SERVICE
        self._lock_path = folder / f"{hashlib.sha256(repr((service, username)).encode()).hexdigest()[:32]}.lock"

    def __repr__(self) -> str:
        return f"<KeyringTokenStore {self._service} {self._username}>"

    async def load(self) -> Token | None:
        """The pair, or None where the keyring has none."""
        text = await _told(lambda: keyring.get_password(self._service, self._username))
        return None if text is None else token_in(text, f"{self._username} of {self._service}")

    async def save(self, token: Token) -> None:
        """Keep *token*."""
        await _told(lambda: keyring.set_password(self._service, self._username, token.to_json()))

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Keep the other tasks, threads and processes of this user out."""
        async with file_lock(self._lock_path):
            yield


async def _told(work: Callable[[], T]) -> T:
    try:
        return await in_thread(work)
    except KeyringError as exc:
        what = f"the keyring cannot be used ({type(exc).__name__})"
    raise TokenStoreError(what)
