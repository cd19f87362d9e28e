"""A store for the position of a watch in Redis or Valkey, for many machines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import redis

from .._transport.fork import reset_now_and_after_fork
from .._transport.redis_client import UNLOCK, Client, checked_key, connect
from .._transport.tasks import in_thread
from ..errors import InvalidCall, StorageError
from .cursor import Cursor
from .cursor_stores import Lease

T = TypeVar("T")

ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return -1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return tonumber(redis.call('GET', KEYS[2]) or 0)
"""

SAVE = """
local version = tonumber(redis.call('GET', KEYS[2]) or 0)
if redis.call('GET', KEYS[1]) ~= ARGV[1] and version ~= tonumber(ARGV[3]) then return -1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('GET', KEYS[3]) == ARGV[4] then return version end
redis.call('SET', KEYS[3], ARGV[4])
return redis.call('INCR', KEYS[2])
"""
"""Of several programs whose leases expired, because their handlers are slow, the first one that saves goes on.

The holder of the lease made the last change, even if it does not know the version: the reply may have been lost.
"""


class RedisCursor:
    """Stores the position of a watch in Redis or Valkey (a cluster works), for all machines that reach the server.

    The lease is a key that expires. A watch whose lease expired goes on if no other one has saved a position since:
    a position is never overwritten by a program that does not know it.

    Args:
        url_or_client: URL of the server (``redis://``, ``rediss://``, ``valkey://``, ``unix://``), or a `redis.Redis`.
            Its calls run in a worker thread, on asyncio and on trio.
        key: Key of the position; the lease and the version have keys that are derived from it.

    Raises:
        InvalidCall: The URL is invalid, or the key contains braces.
    """

    def __init__(self, url_or_client: str | Client, key: str) -> None:
        self._key = checked_key(key, "RedisCursor")
        self._client = client = connect(url_or_client)
        self._lease_key, self._version_key = f"{{{key}}}:lease", f"{{{key}}}:version"
        self._versions: WeakKeyDictionary[Lease, int] = WeakKeyDictionary()
        """The version of the position that each watch knows."""
        self._acquire, self._save, self._unlock = (client.register_script(text) for text in (ACQUIRE, SAVE, UNLOCK))
        reset_now_and_after_fork(self)

    def _reset(self) -> None:
        # The thread of a cancelled save goes on: it must not take the lease again after the end.
        self._threads = threading.Lock()

    def __repr__(self) -> str:
        return f"<RedisCursor {self._key}>"

    async def acquire(self, lease: Lease) -> bool:
        """Take or extend the lease; raises `StorageError`."""
        keys, args = [self._lease_key, self._version_key], _arguments(lease)
        return await self._run(lambda: self._knows(lease, self._acquire(keys=keys, args=args)))

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
        """Store *cursor* and take the lease; return False if another watch saved a position; raises `StorageError`."""
        keys = [self._lease_key, self._version_key, self._key]

        def save() -> bool:
            known = self._versions.get(lease, -1)
            return self._knows(lease, self._save(keys=keys, args=[*_arguments(lease), known, cursor.to_json()]))

        return await self._run(save)

    async def release(self, lease: Lease) -> None:
        """End the lease; raises `StorageError`."""

        def release() -> None:
            self._versions.pop(lease, None)
            self._unlock(keys=[self._lease_key], args=[lease.holder])

        await self._run(release)

    def _knows(self, lease: Lease, version: object) -> bool:
        """Remember the *version* that a script returned; it is negative if the watch may not go on."""
        self._versions[lease] = int(str(version))
        return self._versions[lease] >= 0

    async def _run(self, command: Callable[[], T]) -> T:
        def run() -> T:
            with self._threads:
                return command()

        try:
            return await in_thread(run)
        except (redis.RedisError, OSError) as exc:
            problem = f"the server of the cursor {self._key} cannot be used ({type(exc).__name__})"
        raise StorageError("watch", problem, sent=True)


def _arguments(lease: Lease) -> list[str | int]:
    return [lease.holder, max(1, int(lease.seconds * 1000))]
