"""A store for the position of a watch in Redis or Valkey, for many machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import redis

from .._transport.redis_client import UNLOCK, Client, checked_key, connect
from .._transport.tasks import in_thread
from ..errors import InvalidCall, StorageError
from .cursor import Cursor
from .cursor_stores import Lease

T = TypeVar("T")

ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

SAVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1
"""


class RedisCursor:
    """Stores the position of a watch in Redis or Valkey (a cluster works), for all machines that reach the server.

    The lease is a key that expires. Only its holder can save: a watch that was stopped for longer than the lease cannot
    overwrite the position of the one that took over.

    Args:
        url_or_client: URL of the server (``redis://``, ``rediss://``, ``valkey://``, ``unix://``), or a `redis.Redis`.
            Its calls run in a worker thread, on asyncio and on trio.
        key: Key of the position; the lease has a key that is derived from it.

    Raises:
        InvalidCall: The URL is invalid, or the key contains braces.
    """

    def __init__(self, url_or_client: str | Client, key: str) -> None:
        self._key = checked_key(key, "RedisCursor")
        self._client = client = connect(url_or_client)
        self._lease_key = f"{{{key}}}:lease"
        self._acquire, self._save, self._unlock = (client.register_script(text) for text in (ACQUIRE, SAVE, UNLOCK))

    def __repr__(self) -> str:
        return f"<RedisCursor {self._key}>"

    async def acquire(self, lease: Lease) -> bool:
        """Take or extend the lease; raises `StorageError`."""
        args: list[str | int] = [lease.holder, _milliseconds(lease)]
        return bool(await self._run(lambda: self._acquire(keys=[self._lease_key], args=args)))

    async def load(self) -> Cursor | None:
        """Return the position, or None if the key does not exist; raises `InvalidCall` and `StorageError`."""
        text: Any = await self._run(lambda: self._client.get(self._key))
        try:
            return Cursor.from_json(text) if text else None
        except InvalidCall:
            pass
        raise InvalidCall(
            "watch", f"the key {self._key} does not contain a cursor. Delete it, and the watch begins now"
        )

    async def save(self, cursor: Cursor, lease: Lease) -> bool:
        """Store *cursor* and extend the lease; return False if another watch has it; raises `StorageError`."""
        keys = [self._lease_key, self._key]
        args: list[str | int] = [lease.holder, _milliseconds(lease), cursor.to_json()]
        return bool(await self._run(lambda: self._save(keys=keys, args=args)))

    async def release(self, lease: Lease) -> None:
        """End the lease; raises `StorageError`."""
        await self._run(lambda: self._unlock(keys=[self._lease_key], args=[lease.holder]))

    async def _run(self, command: Callable[[], T]) -> T:
        try:
            return await in_thread(command)
        except (redis.RedisError, OSError) as exc:
            problem = f"the server of the cursor {self._key} cannot be used ({type(exc).__name__})"
        raise StorageError("watch", problem, sent=True)


def _milliseconds(lease: Lease) -> int:
    return max(1, int(lease.seconds * 1000))
