"""A token store and a token vault in Redis or Valkey, for many machines."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anyio
import redis

from .._protocol.service import OAUTH_REFRESH_TTL_SECONDS
from .._transport.frames import clears_locals
from .._transport.redis_client import SWAP, UNLOCK, Client, checked_key, connect
from .._transport.tasks import in_thread
from ..errors import TokenStoreError
from .token import Token
from .token_stores import LOCK_TIMEOUT_SECONDS, acquire_lock, token_in, translate_errors
from .token_vaults import encoded_key

T = TypeVar("T")


class RedisTokenStore:
    """Stores a token in Redis or Valkey (a cluster is supported), for all machines that reach the server.

    The lock expires when its holder dies. If it expires while a slow holder still works, that holder cannot overwrite
    a pair that another one saved in the meantime. Every client of the server can read the tokens.

    Args:
        url_or_client: URL of the server (``redis://``, ``rediss://``, ``valkey://``, ``unix://``), or a `redis.Redis`.
            Its calls run in a worker thread, on asyncio and on trio.
        key: Key of this user's token: one key per user.

    Raises:
        InvalidCall: The URL is invalid, or the key contains braces.
    """

    def __init__(self, url_or_client: str | Client, key: str) -> None:
        self._key = checked_key(key, "RedisTokenStore")
        self._client = connect(url_or_client)
        self._lock_key = f"{{{key}}}:lock"
        self._swap = self._client.register_script(SWAP)
        self._unlock = self._client.register_script(UNLOCK)
        self._seen: dict[int, bytes | None] = {}
        """The last value that each holder of the lock (a task) read or wrote; several hold it only if it expired."""

    def __repr__(self) -> str:
        return f"<RedisTokenStore {self._key}>"

    @clears_locals
    async def load(self) -> Token | None:
        """Return the token, or None if the key does not exist."""
        text = await self._run(self._read)
        if (task := anyio.get_current_task().id) in self._seen:
            self._seen[task] = text
        return token_in(text, f"the key {self._key}") if text else None

    @clears_locals
    async def save(self, token: Token) -> None:
        """Store *token*; the holder of the lock replaces only the value that it read (compare and swap)."""
        text, task = token.to_json().encode(), anyio.get_current_task().id
        seen = self._seen.get(task)
        if seen is None:
            await self._run(lambda: self._client.set(self._key, text, ex=OAUTH_REFRESH_TTL_SECONDS))
        elif not await self._run(lambda: self._swap(keys=[self._key], args=[seen, text, OAUTH_REFRESH_TTL_SECONDS])):
            raise TokenStoreError("the lock expired, and another client saved a new pair in the meantime")
        if task in self._seen:
            self._seen[task] = text

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Exclude all other clients of this key."""
        holder = secrets.token_hex(16)
        lock = functools.partial(self._client.set, self._lock_key, holder, nx=True, px=int(LOCK_TIMEOUT_SECONDS * 1000))
        task = anyio.get_current_task().id
        try:
            await acquire_lock(lambda: self._run(lock))
            self._seen[task] = None
            yield
        finally:  # after a failure to acquire it, too: the server may have given the lock, and its reply was lost
            self._seen.pop(task, None)
            with anyio.CancelScope(shield=True), contextlib.suppress(TokenStoreError):  # the lock expires anyway
                await self._run(lambda: self._unlock(keys=[self._lock_key], args=[holder]))

    async def _delete(self) -> None:
        await self._run(lambda: self._client.delete(self._key))

    def _read(self) -> bytes:
        value: Any = self._client.get(self._key)
        return value.encode() if isinstance(value, str) else value or b""

    async def _run(self, command: Callable[[], T]) -> T:
        with translate_errors((redis.RedisError, OSError), "the server cannot be used"):
            return await in_thread(command)


class RedisTokenVault:
    """Stores the tokens of each user in a `RedisTokenStore`, for all machines that reach the server.

    All users share one client. A pair expires after a month without a refresh, like its refresh token. Every client of
    the server can read the tokens.

    Args:
        url_or_client: As for `RedisTokenStore`.
        prefix: Beginning of the Redis keys: one per application. The key of the user follows, percent-encoded.

    Raises:
        InvalidCall: The URL is invalid, or the prefix contains braces.
    """

    def __init__(self, url_or_client: str | Client, prefix: str = "worksection-token:") -> None:
        self._client = connect(url_or_client)
        self._prefix = prefix
        self.store("any")  # raises InvalidCall for an invalid prefix now, not at the first login

    def __repr__(self) -> str:
        return f"<RedisTokenVault {self._prefix}>"

    def store(self, key: str) -> RedisTokenStore:
        """Return the token store of the user *key*: text of 1 to 200 characters."""
        return RedisTokenStore(self._client, f"{self._prefix}{encoded_key(key, 'RedisTokenVault')}")

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
