"""The credentials of the users of a vault."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from .._transport.fork import reset_now_and_after_fork
from ..errors import InvalidCall
from .token import Token
from .token_stores import MemoryTokenStore, TokenStore
from .token_vaults import TokenVault

MAX_IDLE_USERS = 1_000
"""Number of users whose credentials and cached replies stay in memory while no view or call needs them."""

NO_USER = "OAuth2(app, vault=…) has no user of its own: call an action of a user's view, ws.as_user(key)"


class NoUser(MemoryTokenStore):
    """The store of a credential that has only a vault: it belongs to no user."""

    async def load(self) -> Token | None:
        """Raise `InvalidCall`."""
        raise InvalidCall("Session", NO_USER)


class Credential(Protocol):
    """The part of a credential that `VaultUsers` needs."""

    @property
    def has_unsaved_pair(self) -> bool:
        """Whether it holds the only copy of a pair of tokens."""
        ...


C = TypeVar("C", bound=Credential)


class VaultUsers(Generic[C]):
    """Gives the same credential for the same key, so that one user never has two refreshes at a time.

    A credential exists as long as a view or a call refers to it. The most recently used ones exist longer.

    Args:
        vault: The token stores of the users.
        credential_for: Makes the credential of a user from the user's store.
    """

    def __init__(self, vault: TokenVault, credential_for: Callable[[TokenStore], C]) -> None:
        self._vault = vault
        self._credential_for = credential_for
        self._in_use: WeakValueDictionary[str, C] = WeakValueDictionary()
        self._recent: OrderedDict[str, C] = OrderedDict()
        reset_now_and_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()

    def credential(self, key: str) -> C:
        """Return the credential of the user *key*."""
        with self._lock:
            credential = self._in_use.get(key)
            if credential is None:
                credential = self._in_use[key] = self._credential_for(self._vault.store(key))
            self._recent[key] = credential
            self._recent.move_to_end(key)
            self._evict()
            return credential

    def _evict(self) -> None:
        for _ in range(len(self._recent) - MAX_IDLE_USERS):
            key, credential = self._recent.popitem(last=False)
            if credential.has_unsaved_pair:  # until the store can be written again
                self._recent[key] = credential
