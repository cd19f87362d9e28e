"""`RedisMemory`: the events that several receivers behind one URL accepted, in Redis or Valkey."""

from __future__ import annotations

import functools
import logging
import math
import operator
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import anyio
import attrs
import redis

from .._protocol.values import shown
from .._transport.redis_client import READ, SWAP, Client, connect, value_and_time
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
"""Time after which an event that has not been handled is forgotten: its receiver may have been killed."""

COOLDOWN_SECONDS = 5.0
"""Time after an outage until the server is tried again."""

MAX_OBJECTS_IN_OUTAGE = 10_000

logger: logging.Logger = logging.getLogger("worksection_async")


@attrs.frozen
class _Recorded:
    """The key of an event of an object, which is forgotten at *deadline*: a time of the server, in seconds."""

    key: str
    deadline: float
    is_confirmed: bool = False

    def __str__(self) -> str:
        return f"{self.key},{self.deadline:.6f},{self.is_confirmed:d}"


_STORED = re.compile(r"(\w+),(\d+\.\d+),([01])")
"""One `_Recorded` as a string. Anything else in a stored value is ignored."""

Change = Callable[[Sequence[_Recorded], float], Sequence[_Recorded]]
"""Takes what is recorded about an object and the time of the server, and returns what is to be recorded."""


class RedisMemory:
    """Remembers accepted webhook events in Redis or Valkey (a cluster is supported), for several receivers.

    ::

        WebhookReceiver(handler, remember=RedisMemory("redis://localhost", "hooks:crm"))

    An event that several receivers get, at the same time or later, is handled by one of them. An event whose handler
    has not returned within ten seconds is forgotten until it returns: its receiver may have been killed, so a
    repetition is handled.

    While the server cannot be used, events are handled rather than lost: each receiver remembers only its own, so an
    event can be handled by several receivers. The beginning of an outage is logged as a warning.

    Args:
        url_or_client: URL of the server (``redis://``, ``rediss://``, ``valkey://``, ``unix://``), or a `redis.Redis`.
            Its calls run in a worker thread, on asyncio and on trio.
        key: Beginning of the Redis keys: the same for all receivers of one URL, another one for each URL. There is one
            Redis key per task, comment or project.
        ttl: Seconds for which an event is remembered after it was handled.

    Raises:
        InvalidCall: The URL is invalid, the key is empty, or *ttl* is less than ten seconds.
    """

    def __init__(self, url_or_client: str | Client, key: str, *, ttl: int = 86_400) -> None:
        if not isinstance(key, str) or not key:
            raise InvalidCall("RedisMemory", f"key must be a name, not {shown(key)}")
        if not isinstance(ttl, int) or ttl < UNCONFIRMED_SECONDS:
            raise InvalidCall("RedisMemory", f"ttl must be at least {UNCONFIRMED_SECONDS} seconds, not {shown(ttl)}")
        self._client = connect(url_or_client)
        self._read, self._swap = self._client.register_script(READ), self._client.register_script(SWAP)
        self._key = key
        self._ttl = ttl
        self._own = RecentEvents(MAX_OBJECTS_IN_OUTAGE)
        """The events that this receiver accepted during an outage."""
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
        """Keep *event* for the time to live, because the handler returned; record it again if it was forgotten."""
        await self._visit(lambda: self._keep((event.object.type, event.object.id), event.key))

    async def forget(self, events: Sequence[Event]) -> None:
        """Forget the latest occurrence of each event, so that a repetition is new for every receiver."""
        await self._own.forget(events)
        by_object = keys_by_object(events)
        await self._visit(lambda: self._erase(by_object))

    def _record(self, obj: ObjectKey, keys: Sequence[str]) -> int:
        """Record the new *keys* of an object, and return the number of repeated ones."""

        def change(recorded: Sequence[_Recorded], now: float) -> Sequence[_Recorded]:
            new = keys[count_repeated(_keys(recorded), keys) :]
            return with_keys(recorded, [_Recorded(key, now + UNCONFIRMED_SECONDS) for key in new])

        return count_repeated(_keys(self._change(obj, change)), keys)

    def _keep(self, obj: ObjectKey, key: str) -> None:
        self._change(obj, lambda recorded, now: _with_confirmed(recorded, key, now + self._ttl))

    def _erase(self, by_object: Mapping[ObjectKey, Iterable[str]]) -> None:
        for obj, keys in by_object.items():
            self._change(obj, functools.partial(_without, keys))

    def _change(self, obj: ObjectKey, change: Change) -> Sequence[_Recorded]:
        """Replace what is recorded about an object by compare and swap, and return what was recorded before."""
        redis_keys = [self._redis_key(obj)]
        while True:
            stored, now = value_and_time(self._read(keys=redis_keys))
            recorded = [it for it in _parse(stored) if it.deadline > now]
            changed = list(change(recorded, now))
            seconds = math.ceil(max((it.deadline for it in changed), default=now) - now)
            value = " ".join(map(str, changed))
            if changed == recorded or self._swap(keys=redis_keys, args=[stored, value, max(1, seconds)]):
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


def _keys(recorded: Iterable[_Recorded]) -> list[str]:
    return [it.key for it in recorded]


def _parse(stored: bytes) -> list[_Recorded]:
    found = _STORED.findall(stored.decode("utf-8", "replace"))
    return [_Recorded(key, float(deadline), confirmed == "1") for key, deadline, confirmed in found]


def _with_confirmed(recorded: Sequence[_Recorded], key: str, deadline: float) -> Sequence[_Recorded]:
    """Return *recorded* with *key* confirmed until *deadline*, in the order in which events were accepted.

    A key that expired while its handler ran is put before all unconfirmed keys, because they were recorded after it.
    """
    unconfirmed = [position for position, it in enumerate(recorded) if not it.is_confirmed]
    first = next(iter(unconfirmed), len(recorded))
    position = next((it for it in unconfirmed if recorded[it].key == key), first)
    before, after = recorded[:position], recorded[position:]
    if _keys(after[:1]) == [key]:
        after = after[1:]
    elif _keys(before[-1:]) == [key]:  # expired, and another receiver handled a repetition in the meantime
        before = before[:-1]
    return with_keys([*before, _Recorded(key, deadline, is_confirmed=True)], after)


def _without(keys: Iterable[str], recorded: Sequence[_Recorded], _: float) -> Sequence[_Recorded]:
    return without_keys(recorded, keys, operator.attrgetter("key"))
