"""The recipe of docs/events.md: the position is saved in the transaction of the effect."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tests.support.constants import DOCS
from tests.support.examples import python_blocks
from tests.support.postgres import postgres as postgres  # noqa: PLC0414  # a fixture
from worksection_async import Cursor, Session, TokenBucket
from worksection_async.errors import EventsLost
from worksection_async.models import Event
from worksection_async.testing import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

EVENTS, PROGRAMS = 20, 4

RECIPE: dict[str, Any] = {}
exec(next(block for block in python_blocks(DOCS / "events.md") if "async def mirror" in block), RECIPE)


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite+aiosqlite:///{tmp_path / 'effects.db'}" if is_sqlite else request.getfixturevalue("postgres")
    engine = create_async_engine(url, connect_args={"timeout": 60} if is_sqlite else {})
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS positions"))
        await connection.execute(text("DROP TABLE IF EXISTS effects"))
        await connection.execute(text("CREATE TABLE effects (number INTEGER NOT NULL)"))
    yield engine
    await engine.dispose()


async def insert(connection: AsyncConnection, event: Event) -> None:
    await connection.execute(text("INSERT INTO effects VALUES (:number)"), {"number": event.new["number"]})


async def effects(engine: AsyncEngine) -> list[int]:
    async with engine.begin() as connection:
        return list((await connection.execute(text("SELECT number FROM effects"))).scalars())


async def wait_for_effects(engine: AsyncEngine, count: int) -> None:
    while len(await effects(engine)) < count:  # noqa: ASYNC110  # a database has no event
        await anyio.sleep(0.05)


async def run_again_and_again(ws: Session, engine: AsyncEngine) -> None:
    """Start the recipe again after each failure, as a supervisor does."""
    while True:
        with contextlib.suppress(RuntimeError, DBAPIError):
            await RECIPE["mirror"](ws, engine, insert)


async def test_programs_that_watch_at_once_handle_each_event_once(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = Simulator()
    task = next(iter(sim.tasks.values()))
    async with sim.session(limiter=TokenBucket(1e6)) as ws:
        watch = ws.watch
        monkeypatch.setattr(ws, "watch", lambda **options: watch(every=0.05, **options))
        await RECIPE["position"](ws, engine)
        programs = [asyncio.create_task(run_again_and_again(ws, engine)) for _ in range(PROGRAMS)]
        for number in range(EVENTS):
            await sim.emit("update", task, new={"number": number})
            await anyio.sleep(0.01)
        await wait_for_effects(engine, EVENTS)
        for program in programs:
            program.cancel()
        await asyncio.gather(*programs, return_exceptions=True)
    assert await effects(engine) == list(range(EVENTS))


async def test_lost_events_are_raised_once(engine: AsyncEngine) -> None:
    sim = Simulator()
    task = next(iter(sim.tasks.values()))
    async with sim.session(limiter=TokenBucket(1e6)) as ws:
        await RECIPE["position"](ws, engine)
        old = Cursor(looked_at=sim.clock.time() - 31 * 86_400)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE positions SET cursor = :cursor"), {"cursor": old.to_json()})
        sim.clear_events()
        await sim.emit("update", task, new={"number": 7})
        with pytest.raises(EventsLost):
            await RECIPE["mirror"](ws, engine, insert)
        program = asyncio.create_task(RECIPE["mirror"](ws, engine, insert))
        await wait_for_effects(engine, 1)
        program.cancel()
        await asyncio.gather(program, return_exceptions=True)
    assert await effects(engine) == [7]
