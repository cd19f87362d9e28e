"""A bucket in Redis or Valkey: all machines share it."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any, Literal

import anyio.to_thread
import redis

from ._bucket import TokenBucket
from ._limiter import Limiter
from ._offset import Offset
from ._pace import (
    DECAY,
    FIRST_MARGIN,
    FLOOR_DECAY,
    GROWTH,
    LEAST_MARGIN,
    LONGEST_PUSH,
    MOST_MARGIN,
    OBLIVION,
    SAFETY,
    WARY,
    Slot,
    Visit,
)
from ._redis_client import Client, connect
from ._service import REQUESTS_PER_SECOND
from .errors import TransportError

AHEAD = 0.010
"""Seconds before its slot that a call asks the server: nobody has to be late for the round trip."""

REST = 5.0
"""Seconds after an outage until the server is asked again."""

CONSTANTS = (
    FIRST_MARGIN,
    LEAST_MARGIN,
    MOST_MARGIN,
    DECAY,
    FLOOR_DECAY,
    GROWTH,
    WARY,
    SAFETY,
    OBLIVION,
)

KEPT = 3600
"""Seconds after the last call for which the server remembers a bucket."""

SCRIPT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local op, at, till, trip = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local interval, ahead, kept = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local first, least, most = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local decay, floor_decay, growth = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local wary, safety, oblivion = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])

local never = -math.huge
local state = redis.call('HMGET', KEYS[1], 'free', 'last', 'shift', 'barrier', 'margin', 'floor', 'quick', 'slow',
                         'now')
local free, last = tonumber(state[1]) or never, tonumber(state[2]) or never
local shift, barrier = tonumber(state[3]) or 0, tonumber(state[4]) or never
local margin, floor = tonumber(state[5]) or first, tonumber(state[6]) or least
local quick, slow = tonumber(state[7]) or 0, tonumber(state[8]) or 0
if (tonumber(state[9]) or never) > now + 1 then -- the server's clock was set back
  free, last, shift, barrier = now + interval, now, 0, never
end

local function push(pause)
  local soonest = math.max(last + shift + interval, barrier, now)
  shift = shift + math.max(0, now + pause - soonest)
  free = math.max(free, now + pause - shift)
  barrier = math.max(barrier, now + pause)
end

local function needed()
  if floor <= wary then return math.min(most, floor) end
  return math.min(most, math.max(floor, (slow - quick) * safety / interval))
end

if trip > 0 then
  trip = math.min(trip, interval)
  if slow == 0 then quick, slow = trip, trip end
  quick = math.min(trip, quick + (trip - quick) * oblivion)
  slow = math.max(trip, slow + (trip - slow) * oblivion)
end

local wait, used = 0, 0
if op == 'advance' then
  if not at or at <= last or till > free then
    at = math.max(free, now - shift)
    till = at + interval * (1 + margin)
    free = till
  end
  wait = math.max(0, math.max(barrier, math.max(at, last + interval * (1 + margin)) + shift) - now)
  if wait <= ahead + 1e-9 then
    used = 1
    last = math.max(last, at)
    shift = math.max(shift, now + wait - at)
    floor = math.max(least, floor * floor_decay)
    margin = math.max(needed(), margin * decay)
  end
elseif op == 'give_back' then
  if free == till then free, last = at, math.min(last, at - (till - at)) end
elseif op == 'push' then
  push(at)
elseif op == 'refuse' then
  floor = math.min(most, floor * growth)
  margin = math.max(needed(), margin, first)
  push(at or interval)
end

local function text(number)
  if number == never then return '' end
  return string.format('%.17g', number)
end
redis.call('HSET', KEYS[1], 'free', text(free), 'last', text(last), 'shift', text(shift),
           'barrier', text(barrier), 'margin', text(margin), 'floor', text(floor), 'quick', text(quick),
           'slow', text(slow), 'now', text(now))
redis.call('EXPIRE', KEYS[1], kept)
return {text(now), text(at or 0), text(till or 0), text(wait), text(used), text(margin)}
"""
"""`Pace` as the server has to know it, with the server's clock: one key, one round trip."""


class RedisTokenBucket(Limiter):
    """Turns for all machines that reach one Redis or Valkey server (a cluster will do: one key is all there is).

    Args:
        url_or_client: URL of the server (``redis://``, ``rediss://``, ``valkey://``, ``unix://``), or a `redis.Redis`.
            Round trips happen in a worker thread, on asyncio and on trio.
        rate: Requests per second, the same everywhere.
        key: Name of the bucket; by default that of the account whose session uses it.
        on_outage: What happens when the server cannot be reached: ``"error"`` raises `TransportError` (nothing was
            sent), ``"local"`` goes on with *rate* / *peers* in this process and asks the server again soon.
        peers: How many processes share the bucket, for ``"local"``.

    Raises:
        ValueError: The URL or an option makes no sense.
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
        super().__init__(rate, 1, time.monotonic, AHEAD)
        if on_outage not in ("error", "local"):
            raise ValueError(f'on_outage must be "error" or "local", not {on_outage!r}')
        if peers < 1:
            raise ValueError(f"peers must be at least 1, not {peers!r}")
        self._script = connect(url_or_client).register_script(SCRIPT)
        self._key = key
        self._substitute = TokenBucket(rate / peers) if on_outage == "local" else None
        if self._substitute is not None:
            self._substitute._ahead = self._ahead
        self._offset = Offset()
        self._out_until = -math.inf
        self._is_here = False

    def bind(self, account: str) -> None:
        """The first account whose session uses this limiter names the bucket, if nobody else has."""
        self._key = self._key or f"worksection-async:{account}"

    async def _advance(self, held: Slot | None, trip: float) -> Visit:
        if self._substitute is None:
            return await self._advance_there(held, trip)
        if self._clock() >= self._out_until:
            try:
                return await self._advance_there(held, trip)
            except TransportError:
                pass
        if not self._is_here:
            self._is_here, held = True, None
            await self._substitute._push(self._interval)  # somebody may have gone just now
        return await self._substitute._advance(held, trip)

    async def _advance_there(self, held: Slot | None, trip: float) -> Visit:
        if self._is_here:
            await self._run("push", self._clock() + self._interval, "")  # this process may have gone just now
            self._is_here, held = False, None
        begin, end = (held.at, held.end) if held else ("", "")
        now, at, till, wait, used, margin = await self._run("advance", begin, end, trip)
        return Visit(Slot(at, till), self._offset.ours(now + wait) - self._clock(), bool(used), margin)

    async def _give_back(self, held: Slot) -> None:
        if self._is_here and self._substitute is not None:
            await self._substitute._give_back(held)
        else:
            await self._told("give_back", held.at, held.end)  # if it fails, a slot is lost, no more

    async def _push(self, pause: float) -> None:
        if self._is_here and self._substitute is not None:
            await self._substitute._push(pause)
        else:
            await self._told("push", self._clock() + pause, "")

    async def _refuse(self, retry_after: float | None, trip: float) -> None:
        if self._is_here and self._substitute is not None:
            await self._substitute._refuse(retry_after, trip)
        else:
            pause = "" if retry_after is None else min(retry_after, LONGEST_PUSH)
            await self._told("refuse", pause, "", trip)

    def _arguments(self, op: str, at: float | str, till: float | str, trip: float = 0.0) -> list[str]:
        return [op, *map(_exact, [at, till, trip, self._interval, self._ahead, KEPT, *CONSTANTS])]

    async def _told(self, op: str, at: float | str, till: float | str, trip: float = 0.0) -> None:
        with contextlib.suppress(TransportError):  # the next visit will say so
            await self._run(op, at, till, trip)

    async def _run(self, op: str, at: float | str, till: float | str, trip: float = 0.0) -> tuple[float, ...]:
        try:
            return await anyio.to_thread.run_sync(self._ask, op, at, till, trip)
        except (redis.RedisError, OSError) as exc:
            what = f"the shared bucket cannot be reached ({type(exc).__name__})"
        self._out_until = self._clock() + REST
        raise TransportError("limiter", what, sent=False)

    def _ask(self, op: str, at: float | str, till: float | str, trip: float) -> tuple[float, ...]:
        """In a worker thread: getting there and back to the event loop takes a time that must not count."""
        asked_at = self._clock()
        if op == "push":
            at = float(at) - asked_at
        arguments = self._arguments(op, at, till, trip)
        answer: Any = self._script(keys=[self._key or "worksection-async"], args=arguments)
        numbers = tuple(float(number or "-inf") for number in answer)
        self._offset.learn(asked_at, numbers[0], self._clock())
        return numbers


def _exact(number: float | str) -> str:
    return number if isinstance(number, str) else f"{number:.17g}"
