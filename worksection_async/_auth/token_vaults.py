"""Vaults: the token stores of many users, by a key of each user."""

from __future__ import annotations

import hashlib
import os
from typing import Protocol, runtime_checkable
from urllib.parse import quote

from .._protocol.values import type_of
from .._transport.paths import resolved
from ..errors import InvalidCall
from .token_stores import FileTokenStore, TokenStore

MAX_KEY_CHARACTERS = 200
"""Percent-encoded, such a key is still short enough for an index of PostgreSQL."""


@runtime_checkable
class TokenVault(Protocol):
    """The interface of a store for the tokens of many users.

    Your own vault, for example in a database, needs this one method.
    """

    def store(self, key: str) -> TokenStore:
        """Return the token store of the user *key*. Stores of one key share its pair of tokens and its lock.

        It is called often, and it is not awaited: it must not read the pair yet.
        """
        ...


class FileTokenVault:
    """Stores the tokens of each user in a `FileTokenStore`, for all processes of one machine.

    Each user has a folder, whose name is a hash of the key: any key is allowed.

    Args:
        folder: Path of the folder. It is created if it is missing (mode 0700). ``~`` is the home directory.

    Raises:
        InvalidCall: There is no home directory for ``~``.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = resolved(folder, "FileTokenVault")

    def __repr__(self) -> str:
        return f"<FileTokenVault {self._folder}>"

    def store(self, key: str) -> FileTokenStore:
        """Return the token store of the user *key*: text of 1 to 200 characters."""
        name = hashlib.sha256(encoded_key(key, "FileTokenVault").encode()).hexdigest()
        # A folder per user, because each save searches its folder for the leftovers of killed processes.
        return FileTokenStore(self._folder / name / "token.json")

    async def forget(self, key: str) -> None:
        """Delete the tokens of the user *key* (a logout): the next call raises `ReauthorizationRequired`.

        A refresh in progress ends first: it would store a new pair.

        Raises:
            TokenStoreError: The tokens could not be deleted.
            InvalidCall: The key is invalid.
        """
        store = self.store(key)
        async with store.lock():
            await store._delete()


def encoded_key(key: str, owner: str) -> str:
    """Return *key* as ASCII text in which nothing has a special meaning; different keys have different texts.

    Args:
        key: The key of a user.
        owner: Name of the vault, for the error.

    Raises:
        InvalidCall: It is not text of 1 to `MAX_KEY_CHARACTERS` characters; the error does not show it.
    """
    if not isinstance(key, str):
        raise InvalidCall(owner, f"the key of a user must be text, got {type_of(key)}")
    if not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise InvalidCall(owner, f"the key of a user must have 1 to {MAX_KEY_CHARACTERS} characters, got {len(key)}")
    return quote(key, safe="@", errors="surrogatepass")
