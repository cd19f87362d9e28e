"""A doorbell in Redis or Valkey: web workers receive the webhooks, and another program watches."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import redis

from .._transport.redis_client import REPLY_TIMEOUT_SECONDS, Client, checked_key, connect
from .._transport.tasks import in_thread
from ..errors import StorageError
from ..models import Event

BLOCK_SECONDS = REPLY_TIMEOUT_SECONDS / 2
"""How long one command waits for a call; the client expects a reply within its timeout."""

RETRY_SECONDS = 5.0
"""Pause before the next attempt if the server cannot be used."""

EXPIRY_SECONDS = 86_400
"""Expiry of the key of an unused doorbell."""

logger: logging.Logger = logging.getLogger("worksection_async")


class RedisDoorbell:
    """A `Doorbell` that any number of programs ring, through Redis or Valkey.

    ::

        receiver = WebhookReceiver(RedisDoorbell(url, "acme:bell").ring)        # in each web worker
        ws.watch(cursor=RedisCursor(url, "acme:events"), doorbell=RedisDoorbell(url, "acme:bell"), every=600)

    It is a stream of one entry. Each watch has its own object, and several hear each call. While the server cannot be
    used, watches look every ``every`` seconds, and a warning is logged.

    Args:
        url_or_client: As for `RedisCursor`.
        key: Key of the stream.

    Raises:
        InvalidCall: The URL is invalid, or the key contains braces.
    """

    def __init__(self, url_or_client: str | Client, key: str) -> None:
        self._key = checked_key(key, "RedisDoorbell")
        self._client = connect(url_or_client)
        # A call before the first wait counts: the watch may have looked before it.
        self._last_call: Any = "0"
        self._has_warned = False

    def __repr__(self) -> str:
        return f"<RedisDoorbell {self._key}>"

    async def ring(self, event: Event | None = None) -> None:  # noqa: ARG002  # a handler gets an event
        """Let the watches look now; *event* is ignored, so that this method can be the handler of a receiver.

        Raises:
            StorageError: The server cannot be used.
        """
        try:
            await in_thread(self._ring)
        except (redis.RedisError, OSError) as exc:
            problem = f"the server of the doorbell {self._key} cannot be used ({type(exc).__name__})"
        else:
            return
        raise StorageError("doorbell", problem, sent=True)

    async def wait(self) -> None:
        """Wait until a program rings, or has rung since the last call."""
        while True:
            try:
                # Cancelled at once: the thread ends a second later, and has changed nothing.
                call = await anyio.to_thread.run_sync(
                    self._read, limiter=anyio.CapacityLimiter(1), abandon_on_cancel=True
                )
            except (redis.RedisError, OSError) as exc:
                problem = type(exc).__name__
            else:
                self._has_warned = False
                if call is not None:
                    self._last_call = call
                    return
                continue
            await self._wait_for_server(problem)

    def _ring(self) -> None:
        self._client.xadd(self._key, {"rung": 1}, maxlen=1, approximate=False)
        self._client.expire(self._key, EXPIRY_SECONDS)

    def _read(self) -> Any:
        """Return the id of a newer call, or None."""
        reply: Any = self._client.xread({self._key: self._last_call}, block=int(BLOCK_SECONDS * 1000))
        if not reply:
            return None
        [[_, entries]] = reply.items() if isinstance(reply, dict) else reply
        return (entries[0] if isinstance(reply, dict) else entries)[-1][0]

    async def _wait_for_server(self, problem: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("%r cannot be used (%s): watches look at their interval", self, problem)
        await anyio.sleep(RETRY_SECONDS)
