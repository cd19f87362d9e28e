"""Token stores: each one stores tokens, has an exclusive lock, and raises `TokenStoreError` without secrets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import keyring
import keyring.backend
import keyring.errors
import pytest
import redis

from tests.support.constants import DOCS
from worksection_async import FileTokenStore, MemoryTokenStore, OAuth2, Token, TokenStore
from worksection_async.errors import InvalidCall, ReauthorizationRequired, TokenStoreError
from worksection_async.keyring import KeyringTokenStore
from worksection_async.redis import RedisTokenStore
from worksection_async.testing import Simulator

pytestmark = pytest.mark.anyio

PAIR = Token(
    access_token="access-1", refresh_token="def502-1", issued_at=1.0, expires_at=2.5, account_url="https://a.b"
)
NEXT = Token(access_token="access-2", refresh_token="def502-2", issued_at=3.0, expires_at=4.0)


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring without a desktop."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.passwords: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.passwords[service, username]


@pytest.fixture(params=["memory", "file", "redis", "keyring"])
def store_of(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], TokenStore]:
    """Return a factory: each call creates a store of the same pair, as another thread or process would do."""
    if request.param == "memory":
        only = MemoryTokenStore()
        return lambda: only
    if request.param == "file":
        return lambda: FileTokenStore(tmp_path / "new" / "pair.json")
    if request.param == "keyring":
        monkeypatch.setattr("keyring.core._keyring_backend", MemoryKeyring())
        monkeypatch.setenv("HOME", str(tmp_path))
        return lambda: KeyringTokenStore("ada")
    url = request.getfixturevalue("valkey")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return lambda: RedisTokenStore(url, "ada")


# All stores


async def test_a_session_with_an_empty_store_is_entered(store_of: Callable[[], TokenStore]) -> None:
    sim = Simulator()
    async with sim.session(OAuth2(sim.oauth_app(), store_of())) as ws:
        with pytest.raises(ReauthorizationRequired, match="the token store is empty"):
            await ws.me()
        await store_of().save(sim.issue_pair())
        assert (await ws.me()).id == sim.owner.id


async def test_it_implements_the_token_store_protocol(store_of: Callable[[], TokenStore]) -> None:
    assert isinstance(store_of(), TokenStore)
    assert not isinstance(object(), TokenStore)


async def test_a_saved_token_is_loaded_by_every_instance(store_of: Callable[[], TokenStore]) -> None:
    assert await store_of().load() is None
    for pair in (PAIR, NEXT):
        await store_of().save(pair)
        assert await store_of().load() == pair


async def test_the_holder_of_the_lock_can_load_and_save(store_of: Callable[[], TokenStore]) -> None:
    store = store_of()
    async with store.lock():
        assert await store.load() is None
        await store.save(PAIR)
        assert await store.load() == PAIR
        await store.save(NEXT)
    assert await store_of().load() == NEXT


async def test_the_lock_is_exclusive(store_of: Callable[[], TokenStore]) -> None:
    holders, most = 0, 0

    async def hold() -> None:
        nonlocal holders, most
        async with store_of().lock():
            holders += 1
            most = max(most, holders)
            await anyio.sleep(0.005)
            holders -= 1

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(hold)
    assert (holders, most) == (0, 1)


async def test_the_lock_excludes_other_threads(store_of: Callable[[], TokenStore], anyio_backend_name: str) -> None:
    inside: list[int] = []
    overlaps: list[int] = []

    async def hold(number: int) -> None:
        for _ in range(3):
            async with store_of().lock():
                inside.append(number)
                await anyio.sleep(0.002)
                overlaps.extend(inside[1:])
                inside.remove(number)

    def run(number: int) -> None:
        anyio.run(hold, number, backend=anyio_backend_name)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    assert overlaps == []


async def test_the_lock_is_released_after_an_error_or_a_cancellation(store_of: Callable[[], TokenStore]) -> None:
    with pytest.raises(KeyError):
        async with store_of().lock():
            raise KeyError
    with anyio.move_on_after(0.02):
        async with store_of().lock():
            await anyio.sleep(60)
    with anyio.fail_after(5):
        async with store_of().lock():
            pass


async def test_waiting_for_the_lock_can_be_cancelled(store_of: Callable[[], TokenStore]) -> None:
    async with store_of().lock():
        with anyio.move_on_after(0.05) as scope:
            async with store_of().lock():
                pass
        assert scope.cancelled_caught
    with anyio.fail_after(5):
        async with store_of().lock():
            pass


async def test_a_lock_that_is_never_released_is_an_error_after_the_timeout(
    store_of: Callable[[], TokenStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worksection_async._auth.token_stores.LOCK_TIMEOUT_SECONDS", 0.05)
    async with store_of().lock():
        with pytest.raises(TokenStoreError, match="its lock was not released"):
            async with store_of().lock():
                pass


async def test_it_shows_no_secret(store_of: Callable[[], TokenStore]) -> None:
    store = store_of()
    await store.save(PAIR)
    await store.load()
    assert not any(secret in f"{store!r} {store}" for secret in ("access-1", "def502"))


# FileTokenStore


async def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "pair.json"
    await FileTokenStore(path).save(PAIR)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["pair.json"]


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o602])
async def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "pair.json"
    await FileTokenStore(path).save(PAIR)
    path.chmod(mode)
    with pytest.raises(TokenStoreError, match="can be read by other users"):
        await FileTokenStore(path).load()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"access_token": "s3cret", "x": 1}', b"s3cret"])
async def test_a_file_without_a_valid_token_is_an_error_that_hides_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pair.json"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(TokenStoreError, match="does not contain a valid token") as caught:
        await FileTokenStore(path).load()
    assert "s3cret" not in f"{caught.value!r}{caught.value.__context__!r}"


async def test_an_error_of_the_file_system_is_a_token_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "pair.json", tmp_path / "folder"):
        store = FileTokenStore(path)
        with pytest.raises(TokenStoreError, match="cannot be used"):
            await store.save(PAIR)
    with pytest.raises(TokenStoreError, match="cannot be used"):
        await FileTokenStore(tmp_path / "folder").load()
    with pytest.raises(TokenStoreError, match="cannot be used"):
        async with FileTokenStore(tmp_path / "file" / "pair.json").lock():
            pass


@pytest.mark.parametrize("step", ["fsync", "write", "replace"])
async def test_a_full_disk_keeps_the_old_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    store = FileTokenStore(tmp_path / "pair.json")
    await store.save(PAIR)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    target = {"fsync": (os, "fsync"), "write": (os, "fdopen"), "replace": (Path, "replace")}[step]
    with monkeypatch.context() as patch:
        patch.setattr(*target, full)
        with pytest.raises(TokenStoreError, match="No space left on device"):
            await store.save(NEXT)
    assert await store.load() == PAIR
    assert names_in(tmp_path) == ["pair.json"]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


HOLDS_THE_LOCK = """
import sys, time, anyio
from worksection_async import FileTokenStore
from worksection_async.redis import RedisTokenStore
store = RedisTokenStore(sys.argv[1], "ada") if sys.argv[1].startswith("redis") else FileTokenStore(sys.argv[1])
async def main():
    async with store.lock():
        print("held", flush=True)
        time.sleep(60)
anyio.run(main)
"""


@contextmanager
def killed_while_holding(where: str) -> Iterator[None]:
    command = [sys.executable, "-c", HOLDS_THE_LOCK, where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.send_signal(signal.SIGKILL)


async def test_a_killed_process_releases_the_file_lock(tmp_path: Path) -> None:
    path = tmp_path / "pair.json"
    with killed_while_holding(str(path)):
        with anyio.move_on_after(0.1) as scope:
            async with FileTokenStore(path).lock():
                pass
        assert scope.cancelled_caught, "a living process holds its lock"
    with anyio.fail_after(5):
        async with FileTokenStore(path).lock():
            pass


# RedisTokenStore


async def test_the_redis_lock_of_a_killed_process_expires(valkey: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        with killed_while_holding(valkey):
            pass
        left = client.pttl("{ada}:lock")
        assert 60_000 < left <= 90_000
        client.pexpire("{ada}:lock", 50)
    with anyio.fail_after(5):
        async with RedisTokenStore(valkey, "ada").lock():
            pass


async def test_a_lock_whose_reply_was_lost_is_free_at_once(valkey: str) -> None:
    class LossyRedis(redis.Redis):
        def set(self, *args: Any, **options: Any) -> Any:
            super().set(*args, **options)
            raise redis.TimeoutError

    client = LossyRedis.from_url(valkey)
    client.flushall()
    with pytest.raises(TokenStoreError, match=r"the server cannot be used \(TimeoutError\)"):
        async with RedisTokenStore(client, "ada").lock():
            pass
    with anyio.fail_after(5):
        async with RedisTokenStore(valkey, "ada").lock():
            pass


async def test_a_load_by_another_task_does_not_let_an_expired_holder_save(valkey: str) -> None:
    """The lock expired, another process saved a pair, and another task of this process loaded it."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        store, other = RedisTokenStore(valkey, "ada"), RedisTokenStore(valkey, "ada")
        await store.save(PAIR)
        async with store.lock():
            assert await store.load() == PAIR
            await other.save(NEXT)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.load)
            with pytest.raises(TokenStoreError, match="another client saved"):
                await store.save(PAIR)
        assert await store.load() == NEXT


async def test_a_holder_of_an_expired_lock_cannot_save(valkey: str) -> None:
    """The next holder has saved a newer pair: it is not overwritten, and the next holder keeps its lock."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        slow, quick = RedisTokenStore(valkey, "ada"), RedisTokenStore(valkey, "ada")
        await slow.save(PAIR)
        async with slow.lock():
            assert await slow.load() == PAIR
            client.delete("{ada}:lock")
            async with quick.lock():
                assert await quick.load() == PAIR
                await quick.save(NEXT)
                with pytest.raises(TokenStoreError, match="another client saved"):
                    await slow.save(PAIR)
                held = client.get("{ada}:lock")
            async with quick.lock():
                held = client.get("{ada}:lock")
                assert held is not None
        assert await quick.load() == NEXT


async def test_a_stored_token_expires(valkey: str) -> None:
    await RedisTokenStore(valkey, "ada").save(PAIR)
    with redis.Redis.from_url(valkey) as client:
        assert 0 < client.ttl("ada") <= 31 * 86_400


async def test_each_user_has_its_own_key(valkey: str) -> None:
    with redis.Redis.from_url(valkey, decode_responses=True) as client:
        await RedisTokenStore(client, "ada").save(PAIR)
        await RedisTokenStore(valkey, "bob").save(NEXT)
        assert await RedisTokenStore(client, "ada").load() == PAIR
        client.set("ada", "nonsense")
    with pytest.raises(TokenStoreError, match="does not contain a valid token"):
        await RedisTokenStore(valkey, "ada").load()
    for key in ("", "{ada}", "a}"):
        with pytest.raises(InvalidCall, match="without braces"):
            RedisTokenStore(valkey, key)


async def test_a_server_that_cannot_be_reached_is_an_error() -> None:
    store = RedisTokenStore("redis://:s3cret@127.0.0.1:1", "ada")
    for attempt in (store.load, lambda: store.save(PAIR), store.lock().__aenter__):
        with pytest.raises(TokenStoreError, match="the server cannot be used") as caught:
            await attempt()
        assert caught.value.__context__ is None
        assert "s3cret" not in str(caught.value)


# KeyringTokenStore


async def test_a_locked_keyring_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> None:
        raise keyring.errors.KeyringLocked("s3cret")

    monkeypatch.setattr(keyring, "get_password", locked)
    monkeypatch.setattr(keyring, "set_password", locked)
    store = KeyringTokenStore("ada")
    for attempt in (store.load, lambda: store.save(PAIR)):
        with pytest.raises(TokenStoreError, match="KeyringLocked") as caught:
            await attempt()
        assert "s3cret" not in str(caught.value)


async def test_an_invalid_keyring_entry_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_password", lambda *_: "my own password")
    with pytest.raises(TokenStoreError, match="does not contain a valid token") as caught:
        await KeyringTokenStore("ada").load()
    assert "my own" not in str(caught.value)


# The example of the documentation


class Cache:
    """What the example needs of a cache service."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.fails = False

    async def get(self, key: str) -> str | None:
        if self.fails:
            raise ConnectionError("s3cret")
        return self.values.get(key)

    async def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def lock(self, key: str, timeout: float) -> anyio.Lock:
        return anyio.Lock()


async def test_the_store_of_the_documentation() -> None:
    page = (DOCS / "tokens.md").read_text("utf-8")
    names: dict[str, Any] = {}
    exec(next(code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class " in code), names)
    cache = Cache()
    store = names["CacheTokenStore"](cache, "ada")
    assert isinstance(store, TokenStore)
    assert await store.load() is None
    async with store.lock():
        await store.save(PAIR)
        assert await store.load() == PAIR
    cache.fails = True
    with pytest.raises(TokenStoreError, match=r"cannot be used \(ConnectionError\)") as caught:
        await store.load()
    assert caught.value.__context__ is None
