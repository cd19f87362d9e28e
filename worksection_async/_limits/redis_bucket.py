"""A bucket in Redis or Valkey, shared by many machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import redis

from .._protocol.service import REQUESTS_PER_SECOND
from .._transport.redis_client import READ, SWAP, Client, connect, value_and_time
from ..errors import TransportError
from .bucket_state import BucketState
from .limiter import T
from .shared_bucket import SharedTokenBucket, deserialize, serialize

EXPIRY_SECONDS = 3600
"""Expiry of an unused bucket."""


class RedisTokenBucket(SharedTokenBucket):
    """A limiter for all machines that reach one Redis or Valkey server (a cluster works: there is only one key).

    A visit reads the state and the server's time, and stores the new state by compare and swap; it is repeated if
    another visit was faster. Waits are relative to the server's time, so clock skew between machines has no effect.

    Args:
        url_or_client: URL of the server (``redis://``, ``rediss://``, ``valkey://``, ``unix://``), or a `redis.Redis`.
            Its calls run in a worker thread, on asyncio and on trio.
        rate: Requests per second, the same everywhere.
        key: Key of the bucket; the default contains the account of the session.
        on_outage: Behaviour if the server cannot be reached: ``"error"`` raises `TransportError` (nothing was sent);
            ``"local"`` limits this process alone to *rate* / *peers* and retries after a few seconds.
        peers: Number of processes that share the bucket, for ``"local"``.

    Raises:
        InvalidCall: The URL or an option is invalid.
    """

    def __init__(
        self,
        url_or_client: str | Client,
        rate: float = REQUESTS_PER_SECOND,
        key: str | None = None,
        *,
        on_outage: Literal["error", "local"] = "error",
        peers: int = 2,
    ) -> None:
        super().__init__(rate, clock=time.monotonic, on_outage=on_outage, peers=peers)
        client = connect(url_or_client)
        self._read, self._swap = client.register_script(READ), client.register_script(SWAP)
        self._key = key

    def bind(self, account: str) -> None:
        """Derive the key from *account*, unless there is a key: the first session decides."""
        self._key = self._key or f"worksection-async:{account}"

    def _change_shared(self, change: Callable[[BucketState, float], T]) -> T:
        keys = [self._key or "worksection-async"]
        try:
            while True:
                stored, now = value_and_time(self._read(keys=keys))
                state = deserialize(stored, self._interval, now)
                outcome = change(state, now)
                if self._swap(keys=keys, args=[stored, serialize(state), EXPIRY_SECONDS]):
                    return outcome
        except (redis.RedisError, OSError) as exc:
            what = f"the shared bucket cannot be reached ({type(exc).__name__})"
        raise TransportError("limiter", what, sent=False)
