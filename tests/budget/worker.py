"""One process of callers: ``python worker.py '{"url": …, "limiter": …, "loops": […], "tasks": …, "calls": …}'``.

It opens its sessions, prints ``ready``, waits for a line, makes its calls, and prints their durations in seconds.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import anyio
import anyio.to_thread

from worksection_async import ApiKey, FileTokenBucket, Limiter, Session, TokenBucket
from worksection_async.errors import WorksectionError


class Worker:
    """One thread per event loop in *loops*; each runs *tasks* tasks, which make *calls* calls one after another."""

    def __init__(self, *, url: str, limiter: str, loops: list[str], tasks: int, calls: int) -> None:
        self.url, self.limiter = url, create_limiter(limiter)
        self.loops, self.tasks, self.calls = loops, tasks, calls
        self.all_open, self.has_started = threading.Barrier(len(loops) + 1), threading.Event()
        self.durations: list[float] = []
        self.failures: list[str] = []

    def run(self) -> dict[str, Any]:
        threads = [
            threading.Thread(target=anyio.run, args=(self.work,), kwargs={"backend": name}) for name in self.loops
        ]
        for thread in threads:
            thread.start()
        self.all_open.wait()
        print("ready", flush=True)
        sys.stdin.readline()
        self.has_started.set()
        for thread in threads:
            thread.join()
        return {"durations": self.durations, "failures": self.failures}

    async def work(self) -> None:
        async with Session(self.url, ApiKey("key"), limiter=self.limiter, coalesce=False) as ws:
            self.all_open.wait()
            await anyio.to_thread.run_sync(self.has_started.wait)
            async with anyio.create_task_group() as tasks:
                for _ in range(self.tasks):
                    tasks.start_soon(self.call_many, ws)

    async def call_many(self, ws: Session) -> None:
        for _ in range(self.calls):
            start = time.monotonic()
            try:
                await ws.get_tasks(1)
            except WorksectionError as error:
                self.failures.append(str(error))
            self.durations.append(time.monotonic() - start)


def create_limiter(limiter: str) -> Limiter:
    if limiter == "memory":
        return TokenBucket()
    if limiter.startswith("redis://"):
        from worksection_async.redis import RedisTokenBucket  # noqa: PLC0415

        url, _, key = limiter.partition("#")
        return RedisTokenBucket(url, key=key)
    return FileTokenBucket(limiter)


if __name__ == "__main__":
    print(json.dumps(Worker(**json.loads(sys.argv[1])).run()), flush=True)
