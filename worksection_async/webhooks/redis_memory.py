"""`RedisMemory`: the events that several receivers behind one URL accepted, in Redis or Valkey."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
import redis

from .._protocol.values import shown
from .._transport.redis_client import SWAP, Client, connect
from .._transport.tasks import in_thread
from ..errors import InvalidCall
from ..models import Event
from .deduplication import (
    ObjectKey,
    RecentEvents,
    count_repeated,
    distinct_events,
    keys_by_object,
    with_keys,
    without_keys,
    without_repeated,
)

T = TypeVar("T")

UNCONFIRMED_SECONDS = 10
"""Expiry of the record of an object whose event has not been handled: its receiver may have been killed."""

COOLDOWN_SECONDS = 5.0
"""Time after an outage until the server is tried again."""

MAX_OBJECTS_IN_OUTAGE = 10_000

logger: logging.Logger = logging.getLogger("worksection_async")


class RedisMemory:
    """Remembers accepted webhook events in Redis or Valkey (a cluster is supported), for several receivers.

    ::

        WebhookReceiver(handler, remember=RedisMemory("redis://localhost", "hooks:crm"))

    An event that several receivers get, at the same time or later, is handled by one of them. An event whose handler
    did not return within ten seconds is forgotten: its receiver may have been killed, so a repetition is handled.

    While the server cannot be used, events are handled rather than lost: each receiver remembers only its own, so an
    event can be handled by several receivers. The beginning of an outage is logged as a warning.

    Args:
        url_or_client: URL of the server (``redis://``, ``rediss://``, ``valkey://``, ``unix://``), or a `redis.Redis`.
            Its calls run in a worker thread, on asyncio and on trio.
        key: Beginning of the Redis keys: the same for all receivers of one URL, another one for each URL. There is one
            Redis key per task, comment or project.
        ttl: Seconds for which the events of an object are remembered after the last one was handled.

    Raises:
        InvalidCall: The URL is invalid, the key is empty, or *ttl* is less than ten seconds.
    """

    def __init__(self, url_or_client: str | Client, key: str, *, ttl: int = 86_400) -> None:
        if not isinstance(key, str) or not key:
            raise InvalidCall("RedisMemory", f"key must be a name, not {shown(key)}")
        if not isinstance(ttl, int) or ttl < UNCONFIRMED_SECONDS:
            raise InvalidCall("RedisMemory", f"ttl must be at least {UNCONFIRMED_SECONDS} seconds, not {shown(ttl)}")
        self._client = connect(url_or_client)
        self._swap = self._client.register_script(SWAP)
        self._key = key
        self._ttl = ttl
        self._own = RecentEvents(MAX_OBJECTS_IN_OUTAGE)
        """What this receiver accepted during an outage."""
        self._retry_at: float | None = None
        """Time of the next try to reach the server; None without an outage."""

    def __repr__(self) -> str:
        return f"<RedisMemory {self._key}>"

    async def reserve(self, events: Sequence[Event]) -> list[Event]:
        """Record the events of one delivery, and return those that are no repetitions."""
        distinct = distinct_events(events)
        by_object = keys_by_object(distinct)
        repeated = await self._visit(lambda: {obj: self._record(obj, keys) for obj, keys in by_object.items()})
        return await self._own.reserve(events) if repeated is None else without_repeated(distinct, repeated)

    async def confirm(self, event: Event) -> None:
        """Keep *event* for the time to live, because the handler returned."""
        key = self._redis_key((event.object.type, event.object.id))
        await self._visit(lambda: self._client.expire(key, self._ttl))

    async def forget(self, events: Sequence[Event]) -> None:
        """Forget the latest occurrence of each event, so that a repetition is new for every receiver."""
        await self._own.forget(events)
        by_object = keys_by_object(events)
        await self._visit(lambda: self._erase(by_object))

    def _record(self, obj: ObjectKey, keys: Sequence[str]) -> int:
        """Record the new *keys* of an object, and return the number of repeated ones."""

        def change(recorded: Sequence[str]) -> Sequence[str]:
            return with_keys(recorded, keys[count_repeated(recorded, keys) :])

        return count_repeated(self._change(obj, change), keys)

    def _erase(self, by_object: Mapping[ObjectKey, Iterable[str]]) -> None:
        for obj, keys in by_object.items():
            self._change(obj, functools.partial(without_keys, keys=keys))

    def _change(self, obj: ObjectKey, change: Callable[[Sequence[str]], Sequence[str]]) -> Sequence[str]:
        """Replace the recorded keys of an object by compare and swap, and return the earlier ones."""
        key = self._redis_key(obj)
        while True:
            value: Any = self._client.get(key)
            stored = value.encode() if isinstance(value, str) else value or b""
            recorded = stored.decode("utf-8", "replace").split()
            changed = list(change(recorded))
            swap = [stored, " ".join(changed), UNCONFIRMED_SECONDS]
            if changed == recorded or self._swap(keys=[key], args=swap):
                return recorded

    def _redis_key(self, obj: ObjectKey) -> str:
        return f"{self._key}:{obj[0] or ''}:{obj[1]}"

    async def _visit(self, work: Callable[[], T]) -> T | None:
        """Return the result of *work*, which runs in a thread, or None while the server cannot be used."""
        if self._retry_at is not None and time.monotonic() < self._retry_at:
            return None
        try:
            with anyio.CancelScope(shield=True):  # also while a receiver is closed: what was handled is confirmed
                result = await in_thread(work)
                self._retry_at = None
                return result
        except (redis.RedisError, OSError) as exc:
            if self._retry_at is None:
                logger.warning(
                    "RedisMemory %s cannot be used (%s): until it can, each webhook receiver remembers only its own "
                    "events, so an event can be handled by several of them",
                    self._key,
                    type(exc).__name__,
                )
            self._retry_at = time.monotonic() + COOLDOWN_SECONDS
        return None
