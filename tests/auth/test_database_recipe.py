"""The recipe in docs/tokens.md: a token store in a database behaves like the stores of this package."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import pytest_asyncio
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.support.constants import DOCS
from worksection_async import OAuth2, Token, TokenStore
from worksection_async.errors import TokenStoreError
from worksection_async.testing import Simulator, faults

PAGE = DOCS / "tokens.md"

pytestmark = pytest.mark.asyncio


def recipe() -> dict[str, Any]:
    code = next(
        code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "class " in code
    )
    names: dict[str, Any] = {}
    exec(code, names)
    return names


NAMES = recipe()


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(NAMES["tokens"].metadata.create_all)
    yield engine
    await engine.dispose()


def store_in(engine: AsyncEngine, user: str = "ada") -> Any:
    return NAMES["DatabaseTokenStore"](engine, user)


async def test_it_stores_one_token_per_user(engine: AsyncEngine) -> None:
    pair = Token(access_token="a", refresh_token="b", expires_at=1.0)
    assert isinstance(store_in(engine), TokenStore)
    assert await store_in(engine).load() is None
    for token in (pair, attrs.evolve(pair, access_token="c")):
        await store_in(engine).save(token)
        assert await store_in(engine).load() == token
    assert await store_in(engine, "bob").load() is None


async def test_the_lease_is_exclusive_and_expires(engine: AsyncEngine) -> None:
    inside: list[int] = []

    async def hold(number: int) -> None:
        async with store_in(engine).lock():
            inside.append(number)
            assert inside == [number]
            await asyncio.sleep(0.02)
            inside.remove(number)

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(hold, number)
    slow = store_in(engine)
    async with slow.lock():
        async with engine.begin() as connection:
            await connection.execute(update(NAMES["tokens"]).values(held_until=time.time() - 1))
        async with store_in(engine).lock():
            with pytest.raises(TokenStoreError, match="lease expired"):
                await slow.save(Token(access_token="a", expires_at=1.0))


async def test_workers_that_share_the_store_refresh_once(engine: AsyncEngine) -> None:
    sim = Simulator()
    pair = attrs.evolve(sim.issue_pair(), issued_at=time.time() - 86_400, expires_at=time.time() - 1)
    await store_in(engine).save(pair)
    sim.fail("oauth2_refresh", faults.delay(0.1))
    workers = [sim.session(OAuth2(sim.oauth_app(), store_in(engine)), coalesce=False) for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for ws in workers * 10:
            tasks.start_soon(ws.get_project_groups)
    assert sim.oauth.refreshes == 1
    kept = await store_in(engine).load()
    assert kept.access_token == sim.oauth.live_pair().access_token


async def test_an_error_of_the_database_shows_no_token(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(NAMES["tokens"].metadata.drop_all)
    store = store_in(engine)
    for attempt in (
        store.load,
        lambda: store.save(Token(access_token="s3cret", expires_at=1.0)),
        store.lock().__aenter__,
    ):
        with pytest.raises(TokenStoreError, match="the database cannot be used") as caught:
            await attempt()
        assert "s3cret" not in f"{caught.value!r}{caught.value.__context__!r}{caught.value.__cause__!r}"
