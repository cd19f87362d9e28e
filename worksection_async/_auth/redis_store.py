"""A pair of tokens in Redis or Valkey: all machines share it."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anyio
import redis

from .._protocol.service import OAUTH_REFRESH_TTL_SECONDS
from .._transport.redis_client import SWAP, Client, connect
from .._transport.tasks import in_thread
from ..errors import TokenStoreError
from .token import Token
from .token_stores import LOCK_TIMEOUT, acquired, token_in

T = TypeVar("T")

LOCK_SECONDS = LOCK_TIMEOUT
"""Seconds after which the lock of a holder that died is free again; a refresh takes less."""

UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisTokenStore:
    """A pair of tokens for all machines that reach one Redis or Valkey server (a cluster will do).

    The lock ends by itself when its holder dies. Should it have run out under somebody who was slow, then what he
    saves does not replace what another has saved meanwhile. Whoever can read the server can read the tokens.

    Args:
        url_or_client: URL of the server (``redis://``, ``rediss://``, ``valkey://``, ``unix://``), or a `redis.Redis`.
            Round trips happen in a worker thread, on asyncio and on trio.
        key: Where the pair of this user is kept: a key for each user.

    Raises:
        ValueError: The URL makes no sense, or the key has braces.
    """

    def __init__(self, url_or_client: str | Client, key: str) -> None:
        if not key or "{" in key or "}" in key:
            raise ValueError(f"key must be a name without braces, not {key!r}")
        self._client = connect(url_or_client)
        self._key = key
        self._lock_key = f"{{{key}}}:lock"
        self._swap = self._client.register_script(SWAP)
        self._unlock = self._client.register_script(UNLOCK)
        self._seen: dict[int, bytes] = {}
        """What each task that holds the lock has read last; more than one only if a lock has run out."""

    def __repr__(self) -> str:
        return f"<RedisTokenStore {self._key}>"

    async def load(self) -> Token | None:
        """The pair, or None where there is none."""
        text = await _told(self._read)
        if (task := anyio.get_current_task().id) in self._seen:
            self._seen[task] = text
        return token_in(text, f"the key {self._key}") if text else None

    async def save(self, token: Token) -> None:
        """Keep *token*; the holder of the lock only replaces what he has loaded."""
        text, task = token.to_json().encode(), anyio.get_current_task().id
        if task not in self._seen:
            await _told(lambda: self._client.set(self._key, text, ex=OAUTH_REFRESH_TTL_SECONDS))
            return
        if not await _told(lambda: self._swap(keys=[self._key], args=[self._seen[task], text, OAUTH_REFRESH_TTL_SECONDS])):
            raise TokenStoreError("the lock had run out, and somebody else has saved a pair meanwhile")
        self._seen[task] = text

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Keep all others out who use this key."""
        holder = secrets.token_hex(16)
        lock = functools.partial(self._client.set, self._lock_key, holder, nx=True, px=int(LOCK_SECONDS * 1000))
        await acquired(lambda: _told(lock))
        task = anyio.get_current_task().id
        self._seen[task] = b""
        try:
            yield
        finally:
            del self._seen[task]
            with anyio.CancelScope(shield=True), contextlib.suppress(TokenStoreError):  # it ends by itself
                await _told(lambda: self._unlock(keys=[self._lock_key], args=[holder]))

    def _read(self) -> bytes:
        value: Any = self._client.get(self._key)
        return value.encode() if isinstance(value, str) else value or b""


async def _told(work: Callable[[], T]) -> T:
    try:
        return await in_thread(work)
    except (redis.RedisError, OSError) as exc:
        what = f"the server cannot be used ({type(exc).__name__})"
    raise TokenStoreError(what)
