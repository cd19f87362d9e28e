"""One of several processes that share a rate limit: ``python -m tests.bench.sharer LIBRARY WHERE RATE SLOTS``.

It prints ``ready``, waits for a line, acquires its slots one after the other, and prints the times before and after
each as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

Acquire = Callable[[], Awaitable[object]]


def ours_redis(where: str, rate: float) -> Acquire:
    from worksection_async.redis import RedisTokenBucket  # noqa: PLC0415

    return RedisTokenBucket(where, rate).acquire


def ours_file(where: str, rate: float) -> Acquire:
    from worksection_async import FileTokenBucket  # noqa: PLC0415

    return FileTokenBucket(where, rate).acquire


def pyrate_redis(where: str, rate: float) -> Acquire:
    import redis  # noqa: PLC0415
    from pyrate_limiter import Limiter, Rate, RedisBucket  # noqa: PLC0415

    bucket = RedisBucket.init([Rate(1, int(1000 / rate))], redis.Redis.from_url(where), "pyrate")
    limiter = Limiter(bucket)
    return lambda: limiter.try_acquire_async("slot")


def pyrate_sqlite(where: str, rate: float) -> Acquire:
    from pyrate_limiter import Limiter, Rate, SQLiteBucket  # noqa: PLC0415

    bucket = SQLiteBucket.init_from_file([Rate(1, int(1000 / rate))], db_path=where, use_file_lock=True)
    limiter = Limiter(bucket)
    return lambda: limiter.try_acquire_async("slot")


def aiolimiter_memory(_: str, rate: float) -> Acquire:
    from aiolimiter import AsyncLimiter  # noqa: PLC0415

    return AsyncLimiter(1, 1 / rate).acquire


def throttled_redis(where: str, rate: float) -> Acquire:
    from throttled.asyncio import RateLimiterType, RedisStore, Throttled, per_sec  # noqa: PLC0415

    quota = per_sec(int(rate), burst=1)
    limiter = Throttled(
        key="throttled", using=RateLimiterType.GCRA.value, quota=quota, store=RedisStore(server=where), timeout=60
    )
    return limiter.limit


async def main(acquire: Acquire, slots: int) -> list[tuple[float, float]]:
    times = []
    for _ in range(slots):
        start = time.monotonic()
        await acquire()
        times.append((start, time.monotonic()))
    return times


if __name__ == "__main__":
    library, where, rate, slots = sys.argv[1:]
    acquire = globals()[library](where, float(rate))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(main(acquire, int(slots)))))
