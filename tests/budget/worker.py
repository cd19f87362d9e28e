"""Calls from many tasks at one time, in a process of their own: ``python worker.py '{"url": …}'``.

It opens its sessions, says ``ready``, waits for a line, makes its calls, and says what became of them.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from typing import Any

import anyio
import anyio.to_thread

from worksection_async import ApiKey, FileTokenBucket, Limiter, Session, TokenBucket
from worksection_async.errors import WorksectionError

PATIENCE = 0.8
"""Seconds after which at the latest a caller who gives up does so."""


class Worker:
    def __init__(self, *, url: str, limiter: str, rate: float, loops: list[str], tasks: int, calls: int, give_up: bool):
        self.loops, self.tasks, self.calls, self.give_up = loops, tasks, calls, give_up
        self.url, self.limiter = url, made(limiter, rate)
        self.opened, self.begun = threading.Barrier(len(loops) + 1), threading.Event()
        self.done = self.given_up = 0
        self.failures: list[str] = []

    def run(self) -> dict[str, Any]:
        threads = [
            threading.Thread(target=anyio.run, args=(self.work,), kwargs={"backend": name}) for name in self.loops
        ]
        for thread in threads:
            thread.start()
        self.opened.wait()
        print("ready", flush=True)
        sys.stdin.readline()
        self.begun.set()
        for thread in threads:
            thread.join()
        return {"done": self.done, "given_up": self.given_up, "failures": self.failures}

    async def work(self) -> None:
        async with Session(self.url, ApiKey("key"), limiter=self.limiter, coalesce=False) as ws:
            self.opened.wait()
            await anyio.to_thread.run_sync(self.begun.wait)
            async with anyio.create_task_group() as tasks:
                for _ in range(self.tasks):
                    tasks.start_soon(self.call_many, ws)

    async def call_many(self, ws: Session) -> None:
        for _ in range(self.calls):
            if self.give_up:
                with anyio.move_on_after(random.uniform(0, PATIENCE)) as scope:
                    await self.call(ws)
                self.given_up += scope.cancelled_caught
            await self.call(ws)
            self.done += 1

    async def call(self, ws: Session) -> None:
        try:
            await ws.get_tasks(1)
        except WorksectionError as error:
            self.failures.append(str(error))


def made(limiter: str, rate: float) -> Limiter:
    if limiter == "memory":
        return TokenBucket(rate)
    if limiter.startswith("redis://"):
        from worksection_async.redis import RedisTokenBucket  # noqa: PLC0415

        return RedisTokenBucket(limiter, rate)
    return FileTokenBucket(limiter, rate)


if __name__ == "__main__":
    print(json.dumps(Worker(**json.loads(sys.argv[1])).run()), flush=True)
