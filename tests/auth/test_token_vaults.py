"""Token vaults: a store per key, for any text as key; the vault in a database encrypts."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import redis
from cryptography.fernet import Fernet
from sqlalchemy import MetaData, create_engine, make_url, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.secrecy import Log, texts_of_error, texts_of_frames
from worksection_async import FileTokenVault, OAuth2, SQLTokenVault, Token, TokenStore, TokenVault
from worksection_async.errors import InvalidCall, ReauthorizationRequired, TokenStoreError
from worksection_async.redis import RedisTokenVault
from worksection_async.testing import Simulator, faults

pytestmark = pytest.mark.anyio

asyncio_only = pytest.mark.parametrize("anyio_backend", ["asyncio"])

PAIR = Token(
    access_token="access-1", refresh_token="def502-1", issued_at=1.0, expires_at=2.5, account_url="https://a.b"
)
NEXT = Token(access_token="access-2", refresh_token="def502-2", issued_at=3.0, expires_at=4.0)
SECRETS = ("access-1", "access-2", "def502")

KEY, OTHER_KEY = Fernet.generate_key(), Fernet.generate_key()

KEYS = [
    "7",
    "Ada",
    "ada",
    "ada@example.com",
    "..",
    "../ada",
    "/etc/passwd",
    "a\\b:c*?",
    "CON",
    "ada.json",
    "ada%2F",
    "ada/",
    "ada ",
    "{ada}",
    "ada\x00",
    "ada\n",
    "Їжак",
    "\ud800",
    "'; DROP TABLE worksection_tokens; --",
    "k" * 200,
    "😀" * 200,
]

VaultOf = Callable[[], TokenVault]


LOOPS = {"file": ["asyncio", "trio"], "redis": ["asyncio", "trio"], "sqlite": ["asyncio"], "postgres": ["asyncio"]}
"""By kind of vault: SQLAlchemy works on asyncio only."""

every_vault = pytest.mark.parametrize(
    ("where", "anyio_backend"), [(kind, loop) for kind, loops in LOOPS.items() for loop in loops], indirect=["where"]
)
sql_vaults = pytest.mark.parametrize(
    ("where", "anyio_backend"), [("sqlite", "asyncio"), ("postgres", "asyncio")], indirect=["where"]
)


@pytest.fixture
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL or folder of an empty vault."""
    if request.param == "file":
        return str(tmp_path / "new" / "vault")
    if request.param == "redis":
        url: str = request.getfixturevalue("valkey")
        with redis.Redis.from_url(url) as client:
            client.flushall()
        return url
    return f"sqlite+aiosqlite:///{tmp_path / 'app.db'}" if request.param == "sqlite" else database_in(request)


def database_in(request: pytest.FixtureRequest) -> str:
    """Return the URL of the PostgreSQL database, in which the table is missing."""
    url: str = request.getfixturevalue("postgres")
    anyio.run(drop_table, url)
    return url


async def drop_table(url: str) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS worksection_tokens"))
    await engine.dispose()


@contextlib.asynccontextmanager
async def sql_vault(url: str, key: Any = KEY, **options: Any) -> AsyncIterator[SQLTokenVault]:
    engine = create_async_engine(url, **options)
    vault = SQLTokenVault(engine, key)
    await vault.create_table()
    yield vault
    await engine.dispose()


@pytest.fixture
async def vault_of(where: str) -> AsyncIterator[VaultOf]:
    """Return a factory: each call creates a vault of the same tokens, as another process would do."""
    if "+" not in where:
        yield (lambda: RedisTokenVault(where)) if where.startswith("redis") else (lambda: FileTokenVault(where))
        return
    async with contextlib.AsyncExitStack() as stack:
        vaults = itertools.cycle([await stack.enter_async_context(sql_vault(where)) for _ in range(4)])
        yield lambda: next(vaults)


# All vaults


@every_vault
async def test_it_implements_the_protocols(vault_of: VaultOf) -> None:
    assert isinstance(vault_of(), TokenVault)
    assert isinstance(vault_of().store("ada"), TokenStore)
    assert not isinstance(vault_of().store("ada"), TokenVault)


@every_vault
async def test_every_key_has_a_pair_of_its_own(vault_of: VaultOf) -> None:
    """Keys that differ only by case, or contain what is special in a path, a Redis key or SQL."""
    pairs = {key: attrs.evolve(PAIR, access_token=f"access-{number}") for number, key in enumerate(KEYS)}
    for key, pair in pairs.items():
        assert await vault_of().store(key).load() is None
        await vault_of().store(key).save(pair)
    for key, pair in pairs.items():
        assert await vault_of().store(key).load() == pair
        await vault_of().store(key).save(NEXT)
        assert await vault_of().store(key).load() == NEXT


@every_vault
@pytest.mark.parametrize(
    ("key", "problem"),
    [("", "1 to 200 characters, got 0"), ("s3cret" * 34, "got 204"), (7, "must be text, got int"), (b"7", "got bytes")],
    ids=["empty", "long", "int", "bytes"],
)
async def test_another_key_is_refused_and_not_shown(vault_of: VaultOf, key: Any, problem: str) -> None:
    with pytest.raises(InvalidCall, match=problem) as caught:
        vault_of().store(key)
    assert "s3cret" not in str(caught.value)


@every_vault
async def test_the_lock_excludes_other_processes_for_one_user_only(vault_of: VaultOf) -> None:
    inside: list[int] = []

    async def hold(number: int) -> None:
        async with vault_of().store("ada").lock():
            inside.append(number)
            await anyio.sleep(0.005)
            assert inside == [number]
            async with vault_of().store("bob").lock() if number == 2 else contextlib.nullcontext():
                await vault_of().store("ada").load()
            inside.remove(number)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(hold, number)
    assert inside == []


@every_vault
async def test_the_holder_of_the_lock_can_load_and_save(vault_of: VaultOf) -> None:
    store = vault_of().store("ada")
    async with store.lock():
        assert await store.load() is None
        await store.save(PAIR)
        assert await vault_of().store("ada").load() == PAIR
        await store.save(NEXT)
    async with store.lock():
        await store.save(PAIR)  # of a new login: it has not read the pair that it replaces
    assert await vault_of().store("ada").load() == PAIR


@every_vault
async def test_the_lock_is_released_after_an_error_or_a_cancellation(vault_of: VaultOf) -> None:
    with pytest.raises(KeyError):
        async with vault_of().store("ada").lock():
            raise KeyError
    with anyio.move_on_after(0.05):
        async with vault_of().store("ada").lock():
            await anyio.sleep_forever()
    with anyio.fail_after(60):
        async with vault_of().store("ada").lock():
            with anyio.move_on_after(0.05) as waiting:
                async with vault_of().store("ada").lock():
                    pass
            assert waiting.cancelled_caught
        async with vault_of().store("ada").lock():
            pass


@every_vault
async def test_a_lock_that_is_never_released_is_an_error_after_the_timeout(
    vault_of: VaultOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worksection_async._auth.token_stores.LOCK_TIMEOUT_SECONDS", 0.05)
    async with vault_of().store("ada").lock():
        with pytest.raises(TokenStoreError, match="its lock was not released"):
            async with vault_of().store("ada").lock():
                pass


@every_vault
async def test_a_forgotten_user_has_no_tokens_and_can_log_in_again(vault_of: Callable[[], Any]) -> None:
    vault = vault_of()
    for key in ("ada", "bob"):
        await vault.store(key).save(PAIR)
    await vault_of().forget("ada")
    await vault_of().forget("ada")
    await vault_of().forget("a user without tokens")
    assert [await vault.store(key).load() for key in ("ada", "bob")] == [None, PAIR]
    await vault.store("ada").save(NEXT)
    assert await vault.store("ada").load() == NEXT


@every_vault
async def test_a_forgotten_user_has_to_log_in_again(vault_of: Callable[[], Any]) -> None:
    sim = Simulator()
    ws = sim.session(OAuth2(sim.oauth_app(), vault=vault_of()))
    await vault_of().store("ada").save(sim.issue_pair())
    await ws.as_user("ada").get_project_groups()
    await vault_of().forget("ada")
    with pytest.raises(ReauthorizationRequired, match="the token store is empty"):
        await ws.as_user("ada").get_project_groups()


@every_vault
async def test_a_user_is_forgotten_after_a_refresh_in_progress(vault_of: Callable[[], Any]) -> None:
    """It would store the new pair afterwards."""
    await vault_of().store("ada").save(PAIR)
    async with vault_of().store("ada").lock():
        with anyio.move_on_after(0.1) as waiting:
            await vault_of().forget("ada")
        assert waiting.cancelled_caught
        assert await vault_of().store("ada").load() == PAIR


@every_vault
async def test_it_shows_no_secret(vault_of: VaultOf, log: Log) -> None:
    vault = vault_of()
    store = vault.store("ada")
    await store.save(PAIR)
    assert await store.load() == PAIR
    shown = [repr(vault), repr(store), *log.texts]
    assert not [secret for secret in (*SECRETS, KEY.decode()) if secret in "\n".join(shown)]


@every_vault
async def test_two_credentials_of_one_user_refresh_once(vault_of: VaultOf) -> None:
    sim = Simulator()
    expired = attrs.evolve(sim.issue_pair(), issued_at=time.time() - 86_400, expires_at=time.time() - 1)
    await vault_of().store("ada").save(expired)
    sim.fail("oauth2_refresh", faults.delay(0.05))
    processes = [sim.session(OAuth2(sim.oauth_app(), vault=vault_of()), coalesce=False) for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for ws in processes * 5:
            tasks.start_soon(ws.as_user("ada").get_project_groups)
    kept = await vault_of().store("ada").load()
    assert kept is not None
    assert (sim.oauth.refreshes, kept.access_token) == (1, sim.oauth.live_pair().access_token)


HOLDS_THE_LEASE = """
import sys, time, anyio
from sqlalchemy.ext.asyncio import create_async_engine
from worksection_async import SQLTokenVault
where, key = sys.argv[1:]
vault = SQLTokenVault(create_async_engine(where), key)
async def main():
    store = vault.store("ada")
    async with store.lock():
        print((await store.load()).access_token, flush=True)
        time.sleep(60)
anyio.run(main)
"""


@contextlib.contextmanager
def killed_while_holding(where: str) -> Iterator[None]:
    """Run a process that has the lock of ada; kill it at the end."""
    command = [sys.executable, "-c", HOLDS_THE_LEASE, where, KEY.decode()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "access-1\n"
        yield
        process.send_signal(signal.SIGKILL)


@sql_vaults
async def test_the_lock_of_another_process_excludes_this_one_and_ends_after_its_death(
    where: str, vault_of: VaultOf
) -> None:
    await vault_of().store("ada").save(PAIR)
    with killed_while_holding(where):
        with anyio.move_on_after(0.1) as waiting:
            async with vault_of().store("ada").lock():
                pass
        assert waiting.cancelled_caught
        async with vault_of().store("bob").lock():
            pass
    seconds = await seconds_of_lease(where)
    assert 60 < seconds <= 90
    await move_lease(where, seconds)  # the test shortens the time
    with anyio.fail_after(60):
        async with vault_of().store("ada").lock():
            pass


async def seconds_of_lease(where: str) -> float:
    engine = create_async_engine(where)
    now = "strftime('%s', 'now')" if "sqlite" in where else "extract(epoch from now())"
    async with engine.begin() as connection:
        query = text(f"SELECT held_until - {now} FROM worksection_tokens WHERE user_key = 'ada'")
        seconds = float((await connection.execute(query)).scalar_one())
    await engine.dispose()
    return seconds


async def move_lease(where: str, seconds: float) -> None:
    engine = create_async_engine(where)
    table = SQLTokenVault.table_in(MetaData())
    async with engine.begin() as connection:
        await connection.execute(update(table).values(held_until=table.c.held_until - seconds))
    await engine.dispose()


# FileTokenVault


async def test_only_its_owner_can_read_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "vault"
    await FileTokenVault(folder).store("Ada").save(PAIR)
    (user,) = folder.iterdir()
    modes = [path.stat().st_mode & 0o777 for path in (folder.parent, folder, user, user / "token.json")]
    assert modes == [0o700, 0o700, 0o700, 0o600]
    assert "ada" not in user.name.lower()


def test_forgetting_a_user_deletes_what_a_killed_process_left_behind(tmp_path: Path) -> None:
    vault = FileTokenVault(tmp_path)
    anyio.run(vault.store("ada").save, PAIR)
    (folder,) = tmp_path.iterdir()
    leftover = folder / ".token.json.k1ll3d"
    leftover.write_text(PAIR.to_json())
    os.utime(leftover, (0, 0))
    anyio.run(vault.forget, "ada")
    assert [path.name for path in folder.iterdir()] == ["token.json.lock"]


async def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = FileTokenVault(tmp_path / "file" / "vault").store("ada")
    with pytest.raises(TokenStoreError, match="cannot be used"):
        await store.save(PAIR)
    with pytest.raises(TokenStoreError, match="cannot be used"):
        async with store.lock():
            pass


# RedisTokenVault


async def test_the_stores_share_one_client_and_a_prefix_separates_applications(valkey: str) -> None:
    with redis.Redis.from_url(valkey, decode_responses=True) as client:
        client.flushall()
        vault = RedisTokenVault(client, prefix="shop:")
        await vault.store("ada@example.com").save(PAIR)
        assert client.exists("shop:ada@example.com")
        assert await RedisTokenVault(client).store("ada@example.com").load() is None
    with pytest.raises(InvalidCall, match="without braces"):
        RedisTokenVault(valkey, prefix="{shop}")
    own = RedisTokenVault(valkey)
    assert own.store("ada")._client is own.store("bob")._client


# SQLTokenVault


async def rows_in(url: str) -> list[dict[str, Any]]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        rows = (await connection.execute(select(SQLTokenVault.table_in(MetaData())))).mappings().all()
    await engine.dispose()
    return [dict(row) for row in rows]


@sql_vaults
async def test_no_token_is_stored_as_plain_text(where: str, tmp_path: Path) -> None:
    async with sql_vault(where) as vault:
        await vault.store("ada@example.com").save(PAIR)
        await vault.store("ada@example.com").save(NEXT)
    (row,) = await rows_in(where)
    assert row["user_key"] == "ada@example.com"
    assert row["saved_at"] is not None
    stored = [str(row), *texts_of_files(tmp_path)]
    assert not [secret for secret in (*SECRETS, "https://a.b", KEY.decode()) if secret in "\n".join(stored)]


def texts_of_files(folder: Path) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in folder.iterdir()]


@sql_vaults
@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("nonsense", "was encrypted with another key, or changed"),
        ("ünïcode", "was encrypted with another key, or changed"),
        ("", "was encrypted with another key, or changed"),
        (Fernet(KEY).encrypt(b"ada\nnonsense").decode(), "does not contain a valid token"),
        (Fernet(KEY).encrypt(b"").decode(), "contains the tokens of another user"),
        (Fernet(OTHER_KEY).encrypt(f"ada\n{PAIR.to_json()}".encode()).decode(), "was encrypted with another key"),
    ],
    ids=["text", "unicode", "empty", "no token", "no user", "another key"],
)
async def test_a_row_that_cannot_be_decrypted_is_an_error_and_the_next_login_replaces_it(
    where: str, column: str, problem: str
) -> None:
    async with sql_vault(where) as vault:
        store = vault.store("ada")
        await store.save(PAIR)
        await set_token(where, column)
        with pytest.raises(TokenStoreError, match=problem) as caught:
            await store.load()
        shown = "\n".join([*texts_of_error(caught.value), *texts_of_frames(caught.value)])
        assert not [secret for secret in (*SECRETS, KEY.decode()) if secret in shown]
        async with store.lock():
            await store.save(NEXT)
        assert await store.load() == NEXT


async def set_token(url: str, value: str) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(update(SQLTokenVault.table_in(MetaData())).values(token=value))
    await engine.dispose()


@sql_vaults
async def test_a_row_that_was_copied_to_another_user_is_refused(where: str) -> None:
    """Write access to the database without the encryption key gives no access to another user."""
    async with sql_vault(where) as vault:
        await vault.store("ada").save(PAIR)
        await vault.store("eve").save(NEXT)
        (adas,) = [row["token"] for row in await rows_in(where) if row["user_key"] == "ada"]
        await set_token(where, adas)
        with pytest.raises(TokenStoreError, match="another user"):
            await vault.store("eve").load()


@sql_vaults
async def test_the_encryption_key_can_be_changed(where: str) -> None:
    """Old rows are decrypted with the old key; each save encrypts with the new one, so that the old one can go."""
    async with sql_vault(where, KEY) as before, sql_vault(where, [OTHER_KEY.decode(), KEY]) as during:
        await before.store("ada").save(PAIR)
        assert await during.store("ada").load() == PAIR
        await during.store("ada").save(NEXT)
        async with sql_vault(where, [OTHER_KEY]) as after:
            assert await after.store("ada").load() == NEXT
        with pytest.raises(TokenStoreError, match="another key"):
            await before.store("ada").load()


@pytest.mark.parametrize(
    "key",
    ["s3cret", b"s3cret", "", [], [KEY, "s3cret"], None, 7, [None], KEY[:-4]],
    ids=["text", "bytes", "empty", "none", "second", "None", "int", "list of None", "short"],
)
async def test_an_invalid_encryption_key_is_refused_and_not_shown(key: Any, tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
    with pytest.raises(InvalidCall, match="encryption_key must be a Fernet key") as caught:
        SQLTokenVault(engine, key)
    shown = "\n".join([*texts_of_error(caught.value), *texts_of_frames(caught.value)])
    assert "s3cret" not in shown
    assert KEY.decode()[:-4] not in shown


async def test_other_engines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="engine must be an AsyncEngine, which create_async_engine returns, got Eng"):
        SQLTokenVault(create_engine(f"sqlite:///{tmp_path / 'app.db'}"), KEY)  # type: ignore[arg-type]
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
    engine.dialect.name = "mysql"
    with pytest.raises(InvalidCall, match="PostgreSQL or SQLite expected, not mysql"):
        SQLTokenVault(engine, KEY)


@sql_vaults
async def test_processes_can_create_the_table_at_once(where: str) -> None:
    async with contextlib.AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        for _ in range(6):
            engine = create_async_engine(where)
            stack.push_async_callback(engine.dispose)
            tasks.start_soon(SQLTokenVault(engine, KEY).create_table)
    assert await rows_in(where) == []


@sql_vaults
async def test_the_table_of_create_table_is_the_one_for_alembic(where: str) -> None:
    """Alembic creates the table from the metadata of the application; the vault works with it."""
    metadata = MetaData()
    table = SQLTokenVault.table_in(metadata)
    assert list(metadata.tables) == ["worksection_tokens"]
    assert SQLTokenVault.table_in(metadata) is table
    engine = create_async_engine(where)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    vault = SQLTokenVault(engine, KEY)
    await vault.create_table()
    await vault.store("ada").save(PAIR)
    assert await vault.store("ada").load() == PAIR
    await engine.dispose()


@sql_vaults
async def test_a_holder_whose_lease_expired_cannot_replace_the_pair_of_the_next_one(where: str) -> None:
    async with sql_vault(where) as vault:
        slow, quick = vault.store("ada"), vault.store("ada")
        async with slow.lock():
            await slow.save(PAIR)
            await move_lease(where, 91)
            await slow.save(PAIR)  # no other client has the lease
            async with quick.lock():
                await quick.save(NEXT)
                with pytest.raises(TokenStoreError, match="the lock expired, and another client has it"):
                    await slow.save(PAIR)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(slow.load)  # of another task
        assert await vault.store("ada").load() == NEXT
        assert [row["holder"] for row in await rows_in(where)] == [None]


@sql_vaults
async def test_a_holder_whose_lease_expired_does_not_delete_a_newer_login(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sql_vault(where) as vault, sql_vault(where) as other:
        await vault.store("ada").save(PAIR)
        rows = vars(vault)["_rows"]
        delete = rows.delete

        async def slowly(user: str, holder: str) -> bool:
            await move_lease(where, 90)
            async with other.store("ada").lock():
                await other.store("ada").save(NEXT)
                return await delete(user, holder)  # type: ignore[no-any-return]

        monkeypatch.setattr(rows, "delete", slowly)
        with pytest.raises(TokenStoreError, match="the lock expired, and another client has it"):
            await vault.forget("ada")
        assert await vault.store("ada").load() == NEXT


@sql_vaults
async def test_a_deleted_row_is_a_user_without_tokens(where: str) -> None:
    async with sql_vault(where) as vault:
        store = vault.store("ada")
        async with store.lock():
            assert await store.load() is None
        await store.save(PAIR)
        engine = create_async_engine(where)
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM worksection_tokens WHERE user_key = 'ada'"))
        await engine.dispose()
        assert await store.load() is None


def server_that_is_down(_: Path) -> str:
    return "postgresql+asyncpg://ada:s3cret@127.0.0.1:1/app"


def database_without_the_table(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'app.db'}"


@asyncio_only
@pytest.mark.parametrize("url_in", [server_that_is_down, database_without_the_table])
async def test_an_error_of_the_database_is_a_token_store_error_without_secrets(
    tmp_path: Path, url_in: Callable[[Path], str]
) -> None:
    engine = create_async_engine(url_in(tmp_path))
    store = SQLTokenVault(engine, KEY).store("ada")
    for attempt in (store.load, lambda: store.save(PAIR), store.lock().__aenter__):
        with pytest.raises(TokenStoreError, match="the table worksection_tokens cannot be used; is the") as caught:
            await attempt()
        assert (caught.value.__context__, caught.value.__cause__) == (None, None)
        shown = "\n".join([*texts_of_error(caught.value), *texts_of_frames(caught.value)])
        assert not [secret for secret in (*SECRETS, "s3cret", KEY.decode()) if secret in shown]
    await engine.dispose()


@asyncio_only
async def test_an_unknown_database_or_a_wrong_password_is_a_token_store_error(postgres: str) -> None:
    """asyncpg raises its own errors while it connects, which are no errors of SQLAlchemy."""
    engine = create_async_engine(make_url(postgres).set(database="nothing"))
    with pytest.raises(TokenStoreError, match="cannot be used"):
        await SQLTokenVault(engine, KEY).store("ada").load()
    await engine.dispose()


@sql_vaults
async def test_neither_an_echoing_engine_nor_its_driver_logs_a_token(where: str, log: Log) -> None:
    async with sql_vault(where, echo=True) as vault:
        async with vault.store("ada").lock():
            await vault.store("ada").save(PAIR)
        await vault.store("ada").load()
    assert "sqlalchemy.engine.Engine" in log.loggers
    assert not [secret for secret in (*SECRETS, KEY.decode()) if secret in "\n".join(log.texts)]
    logging.getLogger("sqlalchemy.engine.Engine").setLevel(logging.NOTSET)


@sql_vaults
async def test_cancelled_calls_cost_no_connection(where: str) -> None:
    async with sql_vault(where, pool_size=1, max_overflow=0, pool_timeout=30) as vault:
        await vault.store("ada").save(PAIR)
        for milliseconds in range(20):
            with anyio.move_on_after(milliseconds / 5_000):
                async with vault.store("ada").lock():
                    await vault.store("ada").load()
        with anyio.fail_after(60):
            async with vault.store("ada").lock():
                assert await vault.store("ada").load() == PAIR


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_on_trio_the_error_says_what_is_needed(tmp_path: Path) -> None:
    store = SQLTokenVault(create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"), KEY).store("ada")
    with pytest.raises(TokenStoreError, match="SQLAlchemy works on asyncio only"):
        await store.load()
