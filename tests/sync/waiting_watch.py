"""A program that watches, or waits until it can: ``python -m tests.sync.waiting_watch URL KEY STORE``.

The store is a path or the URL of a Redis server. Each event is printed with the id of this process.
"""

from __future__ import annotations

import asyncio
import os
import sys

from worksection_async import ApiKey, FileCursor, Session, TokenBucket
from worksection_async.redis import RedisCursor

EVERY = 1.0


async def main(url: str, key: str, place: str) -> None:
    store = RedisCursor(place, "lease-test") if "://" in place else FileCursor(place)
    async with Session(url, ApiKey(key), limiter=TokenBucket(1e6)) as ws:
        async for event in ws.watch(cursor=store, every=EVERY):
            print(event.new["number"], os.getpid(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
