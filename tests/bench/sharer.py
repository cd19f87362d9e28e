"""One of several processes that share a budget by some library: ``python sharer.py LIBRARY WHERE RATE TURNS``.

It says ``ready``, waits for a line, takes its turns one after the other, and prints when it asked for each and got it.
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
    return lambda: limiter.try_acquire_async("turn")


def pyrate_sqlite(where: str, rate: float) -> Acquire:
    from pyrate_limiter import Limiter, Rate, SQLiteBucket  # noqa: PLC0415

    bucket = SQLiteBucket.init_from_file([Rate(1, int(1000 / rate))], db_path=where, use_file_lock=True)
    limiter = Limiter(bucket)
    return lambda: limiter.try_acquire_async("turn")


def throttled_redis(where: str, rate: float) -> Acquire:
    from throttled.asyncio import RateLimiterType, RedisStore, Throttled, per_sec  # noqa: PLC0415

    quota = per_sec(int(rate), burst=1)
    limiter = Throttled(
        key="throttled", using=RateLimiterType.GCRA.value, quota=quota, store=RedisStore(server=where), timeout=60
    )
    return limiter.limit


async def main(acquire: Acquire, turns: int) -> list[tuple[float, float]]:
    times = []
    for _ in range(turns):
        asked = time.monotonic()
        await acquire()
        times.append((asked, time.monotonic()))
    return times


if __name__ == "__main__":
    library, where, rate, turns = sys.argv[1:]
    acquire = globals()[library](where, float(rate))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(main(acquire, int(turns)))))
