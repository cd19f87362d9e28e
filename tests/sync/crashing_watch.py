"""A program that watches and kills itself with SIGKILL, again and again: ``python -m tests.sync.crashing_watch``.

Arguments: the variant (``file``, ``redis`` or ``transaction``), the URL of the account, its key, the URL of a Redis
server, a folder, and the largest number of steps of a run. It imports everything once and forks for each run, which
takes milliseconds. At the last of its steps a run kills itself: at, before or after a save, or while it handles an
event. Between two runs the clock of the machine is set back or forth by minutes. When the file ``stop`` exists, the
next run is the last one.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import event as sql_event
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tests.support.clocks import SkewedClock
from tests.support.constants import DOCS
from tests.support.examples import python_blocks
from worksection_async import ApiKey, CursorStore, Doorbell, FileCursor, Session, TokenBucket
from worksection_async._sync import cursor_stores
from worksection_async.models import Event
from worksection_async.redis import RedisCursor, RedisDoorbell

EVERY = 0.1
RECIPE: dict[str, Any] = {}


class Fuse:
    """Kills this process at the last of *steps*."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def burn(self) -> None:
        self.steps -= 1
        if not self.steps:
            os.kill(os.getpid(), signal.SIGKILL)


class SkewedTransport(httpx.AsyncHTTPTransport):
    """The transport of a machine whose clock is wrong."""

    def __init__(self, skew: float) -> None:
        super().__init__()
        self.clock = SkewedClock(skew)


async def watch(variant: str, url: str, key: str, redis_url: str, *, folder: Path, fuse: Fuse, skew: float) -> None:
    limiter = TokenBucket(1e6)
    async with Session(url, ApiKey(key), limiter=limiter, transport=SkewedTransport(skew)) as ws:
        bell = RedisDoorbell(redis_url, "bell")
        if variant == "file":
            await watch_with_store(ws, bell, FileCursor(folder / "cursor.json"), folder, fuse)
        elif variant == "redis":
            await watch_with_store(ws, bell, RedisCursor(redis_url, "position"), folder, fuse)
        else:
            await watch_in_transactions(ws, folder, fuse)


async def watch_with_store(ws: Session, bell: Doorbell, store: CursorStore, folder: Path, fuse: Fuse) -> None:
    """Append each event to a file: the position is elsewhere."""
    with (folder / "handled").open("a") as handled:
        async with ws.watch(cursor=store, every=EVERY, doorbell=bell) as events:
            async for event in events:
                fuse.burn()
                handled.write(f"{event.new['number']}\n")
                handled.flush()
                fuse.burn()


async def watch_in_transactions(ws: Session, folder: Path, fuse: Fuse) -> None:
    """Insert each event into a table: the position is in the same database, as docs/events.md shows."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'effects.db'}")
    sql_event.listen(engine.sync_engine, "commit", lambda _: fuse.burn())  # before the driver commits
    original = ws.watch

    def impatient(**options: Any) -> Any:
        return original(every=EVERY, **options)

    ws.watch = impatient  # type: ignore[method-assign]
    await RECIPE["mirror"](ws, engine, Effects(engine, fuse).add)


class Effects:
    """What the handled events leave behind."""

    def __init__(self, engine: AsyncEngine, fuse: Fuse) -> None:
        self.engine = engine
        self.fuse = fuse

    async def add(self, connection: AsyncConnection, event: Event) -> None:
        self.fuse.burn()  # after the commit of the event before
        await connection.execute(text("CREATE TABLE IF NOT EXISTS effects (number INTEGER NOT NULL)"))
        await connection.execute(text("INSERT INTO effects VALUES (:number)"), {"number": event.new["number"]})
        self.fuse.burn()


def burn_in_saves(fuse: Fuse) -> None:
    """Let the fuse burn before, in and after each save of a `FileCursor`."""
    names = vars(cursor_stores)
    save, replace = names["replace_text"], Path.replace

    def save_and_burn(path: Path, text: str) -> None:
        fuse.burn()
        save(path, text)
        fuse.burn()

    def burn_and_replace(path: Path, target: Path) -> Path:
        fuse.burn()  # the new content is written, and the file has the old one
        return replace(path, target)

    names["replace_text"] = save_and_burn
    Path.replace = burn_and_replace  # type: ignore[method-assign, assignment]


def main(variant: str, url: str, key: str, redis_url: str, *, folder: Path, steps: int) -> None:
    exec(next(block for block in python_blocks(DOCS / "events.md") if "async def mirror" in block), RECIPE)
    chance = random.Random(1)
    while True:
        is_last = (folder / "stop").exists()
        fuse = Fuse(-1 if is_last else chance.choice([chance.randint(1, 20), chance.randint(1, steps)]))
        skew = chance.choice([0.0, chance.uniform(-600, 600)])
        child = os.fork()
        if not child:
            burn_in_saves(fuse)
            asyncio.run(watch(variant, url, key, redis_url, folder=folder, fuse=fuse, skew=skew))
        (folder / "pid").write_text(str(child))
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), status
        print(os.WTERMSIG(status), flush=True)
        if is_last:
            return


if __name__ == "__main__":
    _, *texts, folder_, steps_ = sys.argv
    main(*texts, folder=Path(folder_), steps=int(steps_))
