"""A token vault in memory, for tests."""

from __future__ import annotations

from worksection_async import MemoryTokenStore, Token


class MemoryVault:
    """A `TokenVault` in memory."""

    def __init__(self, **tokens: Token) -> None:
        self.stores = {key: MemoryTokenStore(token) for key, token in tokens.items()}

    def store(self, key: str) -> MemoryTokenStore:
        return self.stores.setdefault(key, MemoryTokenStore())
