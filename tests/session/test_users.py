"""Many users of one session: the views of `Session.as_user` with the keys of a vault."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import anyio
import attrs
import pytest

from tests.support.clocks import SetClock
from tests.support.vaults import MemoryVault
from worksection_async import FileTokenVault, MemoryTokenStore, OAuth2, OAuthApp, Session, Token, TokenBucket
from worksection_async._auth import vault_users
from worksection_async.errors import InvalidCall, ReauthorizationRequired, TokenStoreError
from worksection_async.models import Member
from worksection_async.testing import Simulator

pytestmark = pytest.mark.anyio


@pytest.fixture
def sim() -> Simulator:
    return Simulator()


def due(token: Token) -> Token:
    """Return *token* with times that make it expired by the client's clock."""
    return attrs.evolve(token, issued_at=time.time() - 86_400, expires_at=time.time() - 1)


def session(sim: Simulator, vault: Any, **options: Any) -> Session:
    return sim.session(OAuth2(sim.oauth_app(), vault=vault), **options)


def count(sim: Simulator, action: str) -> int:
    return sum(request.action == action for request in sim.requests)


def two_users(sim: Simulator) -> MemoryVault:
    """Return a vault with the tokens of Ada and Bob, the first two users of the simulator."""
    ada, bob = list(sim.members.values())[:2]
    return MemoryVault(ada=sim.issue_pair(ada), bob=sim.issue_pair(bob))


# A session without a user of its own


async def test_the_session_has_no_user_and_its_views_have(sim: Simulator) -> None:
    async with session(sim, two_users(sim)) as ws:
        with pytest.raises(
            InvalidCall, match=r"no user of its own: call an action of a user's view, ws.as_user\(key\)"
        ):
            await ws.me()
        assert sim.requests == []
        found = [(await ws.as_user(key).me()).id for key in ("ada", "bob")]
    assert found == list(sim.members)[:2]


async def test_it_can_have_a_user_as_well(sim: Simulator) -> None:
    ada, bob = list(sim.members.values())[:2]
    auth = OAuth2(sim.oauth_app(), MemoryTokenStore(sim.issue_pair(ada)), vault=MemoryVault(bob=sim.issue_pair(bob)))
    async with sim.session(auth) as ws:
        assert [(await view.me()).id for view in (ws, ws.as_user("bob"))] == [ada.id, bob.id]


async def test_a_user_without_tokens_has_to_log_in(sim: Simulator) -> None:
    with pytest.raises(ReauthorizationRequired, match="the token store is empty"):
        await session(sim, MemoryVault()).as_user("ada").me()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "store must have the methods load, save and lock, got None"),
        ({"vault": MemoryTokenStore()}, "^OAuth2: vault must have the method store, got MemoryTokenStore"),
        ({"vault": FileTokenVault}, "^OAuth2: vault must have the method store, got the class FileTokenVault"),
        ({"store": MemoryVault()}, "store must have the methods load, save and lock, got MemoryVault"),
    ],
    ids=["nothing", "store", "class", "vault"],
)
async def test_a_credential_without_a_store_and_a_vault_is_refused(
    sim: Simulator, arguments: Any, problem: str
) -> None:
    with pytest.raises(InvalidCall, match=problem):
        OAuth2(sim.oauth_app(), **arguments)


async def test_the_account_of_a_session_without_a_user_must_be_named(sim: Simulator) -> None:
    with pytest.raises(InvalidCall, match="account: pass its name; the users of a vault can belong to different acc"):
        Session(None, OAuth2(sim.oauth_app(), vault=MemoryVault()))


async def test_a_key_needs_a_vault(sim: Simulator) -> None:
    ws = sim.session(OAuth2(sim.oauth_app(), MemoryTokenStore()))
    with pytest.raises(InvalidCall, match=r"^Session: as_user\(key\) needs a vault: OAuth2\(app, vault=…\)\. "):
        ws.as_user("ada")


async def test_a_user_of_another_account_is_refused(sim: Simulator) -> None:
    vault = MemoryVault(eve=sim.issue_pair(account_url="https://other.worksection.com"))
    with pytest.raises(InvalidCall, match=r"the token is for https://other\.worksection\.com"):
        await session(sim, vault).as_user("eve").me()
    assert sim.requests == []


# One view per key


async def test_the_same_key_gives_the_same_view(sim: Simulator) -> None:
    ws = session(sim, two_users(sim))
    ada = ws.as_user("ada")
    assert ws.as_user("ada") is ada
    assert ws.as_user("bob") is not ada
    assert ada.as_user("ada")._caller.auth is ada._caller.auth
    assert ws.as_user("bob").as_user("ada")._caller.auth is ada._caller.auth


async def test_views_with_other_options_share_the_credential_but_not_the_options(sim: Simulator) -> None:
    ws = session(sim, two_users(sim))
    bulk = ws.with_options(lane="bulk")
    views = [ws.as_user("ada"), bulk.as_user("ada"), ws.as_user("ada").with_options(lane="bulk")]
    assert [view._caller.options.lane for view in views] == ["normal", "bulk", "bulk"]
    assert len({id(view._caller.auth) for view in views}) == 1
    assert bulk.as_user("ada") is views[1]


async def test_views_share_connections_and_budget_and_no_replies(sim: Simulator) -> None:
    async with session(sim, two_users(sim)) as ws:
        ada, bob = (ws.as_user(key).with_options(max_age=60) for key in ("ada", "bob"))
        assert ada.limiter is bob.limiter is ws.limiter
        assert ada._caller.connection is ws._caller.connection
        for _ in range(2):
            assert [(await view.me()).id for view in (ada, bob)] == list(sim.members)[:2]
    assert count(sim, "me") == 2


async def test_requests_of_one_user_that_come_together_refresh_once(sim: Simulator) -> None:
    """Each request of a web app calls as_user, and keeps no view."""
    vault = MemoryVault(ada=due(sim.issue_pair()))
    async with session(sim, vault, coalesce=False) as ws, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ws.as_user("ada").me)
    assert sim.oauth.refreshes == 1


async def test_threads_get_the_same_credential(sim: Simulator) -> None:
    class SlowVault(MemoryVault):
        def store(self, key: str) -> MemoryTokenStore:
            time.sleep(0.01)  # lets the other threads run
            return super().store(key)

    ws, views = session(sim, SlowVault()), list[Session]()
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        views.append(ws.as_user("ada"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    assert (len(views), len({id(view._caller.auth) for view in views})) == (8, 1)


# Bounded memory


@pytest.fixture
def two_idle_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_users, "MAX_IDLE_USERS", 2)


@pytest.mark.usefixtures("two_idle_users")
async def test_only_the_most_recent_users_stay_in_memory(sim: Simulator) -> None:
    async with session(sim, MemoryVault(**{key: sim.issue_pair() for key in "abc"})) as ws:
        credentials = {}
        for key in "abac":
            view = ws.as_user(key)
            await view.with_options(max_age=60).me()
            credentials[key] = weakref.ref(view._caller.auth)
            del view
        gc.collect()
        assert [key for key, credential in credentials.items() if credential() is not None] == ["a", "c"]
        assert len(ws._caller.connection._reads) == 2, "cached replies go with the credential"


@pytest.mark.usefixtures("two_idle_users")
async def test_a_user_whose_view_is_in_use_is_not_evicted(sim: Simulator) -> None:
    ws = session(sim, MemoryVault())
    view = ws.as_user("ada")
    for number in range(10):
        ws.as_user(str(number))
    assert ws.as_user("ada") is view


@pytest.mark.usefixtures("two_idle_users")
async def test_a_refresh_in_progress_is_not_evicted(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others come while the only request of a user waits for the refresh, then the user's next request comes."""
    vault = MemoryVault(ada=due(sim.issue_pair()))
    is_asked, answer = anyio.Event(), anyio.Event()
    refresh = OAuthApp.refresh

    async def slow_refresh(app: OAuthApp, token: Token) -> Token:
        is_asked.set()
        await answer.wait()
        return await refresh(app, token)

    monkeypatch.setattr(OAuthApp, "refresh", slow_refresh)
    async with session(sim, vault) as ws, anyio.create_task_group() as tasks:
        tasks.start_soon(ws.as_user("ada").me)
        await is_asked.wait()
        refreshing = weakref.ref(ws.as_user("ada")._caller.auth)
        for number in range(10):
            ws.as_user(str(number))
        gc.collect()
        assert ws.as_user("ada")._caller.auth is refreshing()
        tasks.start_soon(ws.as_user("ada").get_projects)
        await anyio.wait_all_tasks_blocked()
        answer.set()
    assert (sim.oauth.refreshes, count(sim, "oauth2_refresh")) == (1, 1)


@pytest.mark.usefixtures("two_idle_users")
async def test_a_pair_that_could_not_be_saved_is_not_evicted(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only copy of the new pair is in memory, until the store can be written again."""
    first = due(sim.issue_pair())
    vault = MemoryVault(ada=first)
    save = MemoryTokenStore.save

    async def fail_for_new_pairs(store: MemoryTokenStore, token: Token) -> None:
        if token != first:
            raise TokenStoreError("the disk is full")
        await save(store, token)

    async with session(sim, vault) as ws:
        with monkeypatch.context() as patch:
            patch.setattr(MemoryTokenStore, "save", fail_for_new_pairs)
            with pytest.raises(TokenStoreError, match="disk is full"):
                await ws.as_user("ada").me()
            for number in range(10):
                ws.as_user(str(number))
            gc.collect()
        assert (await ws.as_user("ada").me()).id == sim.owner.id
        assert sim.oauth.refreshes == 1
        credential = weakref.ref(ws.as_user("ada")._caller.auth)
        for number in range(10):
            ws.as_user(str(number))
        gc.collect()
        assert credential() is None, "it could be evicted"


@pytest.mark.usefixtures("two_idle_users")
async def test_an_evicted_user_starts_with_an_empty_cache(sim: Simulator) -> None:
    """A new credential at the memory address of an old one does not get its cached reply."""
    users = list(sim.members.values())
    vault = MemoryVault(**{str(user.id): sim.issue_pair(user) for user in users})
    async with session(sim, vault) as ws:
        for _ in range(10):
            for user in users:
                assert (await ws.as_user(str(user.id)).with_options(max_age=60).me()).id == user.id


# The store is the truth


async def test_a_login_in_another_process_takes_effect_with_the_next_call(sim: Simulator) -> None:
    """Even if the present token is still valid, and cached replies of the user before are not used."""
    ada, bob = list(sim.members.values())[:2]
    vault = MemoryVault(visitor=sim.issue_pair(ada))
    async with session(sim, vault) as ws:
        view = ws.as_user("visitor").with_options(max_age=60)
        assert (await view.me()).id == ada.id
        await vault.store("visitor").save(sim.issue_pair(bob))
        assert (await view.me()).id == bob.id


async def test_a_logout_in_another_process_takes_effect_with_the_next_call(sim: Simulator) -> None:
    vault = MemoryVault(ada=sim.issue_pair())
    async with session(sim, vault) as ws:
        view = ws.as_user("ada").with_options(max_age=60)
        await view.me()
        vault.stores["ada"]._token = None
        with pytest.raises(ReauthorizationRequired, match="the token store is empty"):
            await view.me()


async def test_a_slow_read_of_the_store_does_not_bring_back_an_old_pair(sim: Simulator) -> None:
    """One call reads the pair of a new login, and gets it only after another call has refreshed that pair."""
    vault = MemoryVault(ada=sim.issue_pair())
    store, is_read, is_refreshed = vault.store("ada"), anyio.Event(), anyio.Event()
    load = store.load

    async def slow_load() -> Token | None:
        token = await load()
        store.load = load  # type: ignore[method-assign]
        is_read.set()
        await is_refreshed.wait()
        return token

    async with session(sim, vault, coalesce=False) as ws:
        view = ws.as_user("ada")
        await view.me()
        second = sim.issue_pair()
        await store.save(second)
        store.load = slow_load  # type: ignore[method-assign]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(view.me)
            await is_read.wait()
            await store.save(due(second))
            await view.get_projects()
            is_refreshed.set()
    assert [request.error for request in sim.requests] == [None] * 4


async def test_closing_the_session_waits_for_the_refresh_of_a_first_call(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new pair would be lost with the event loop, and the user would have to log in again."""
    vault, is_asked, refresh = MemoryVault(ada=due(sim.issue_pair())), anyio.Event(), OAuthApp.refresh

    async def slow_refresh(app: OAuthApp, token: Token) -> Token:
        is_asked.set()
        await anyio.sleep(0.05)
        return await refresh(app, token)

    monkeypatch.setattr(OAuthApp, "refresh", slow_refresh)
    async with session(sim, vault) as ws, anyio.create_task_group() as tasks:
        tasks.start_soon(ws.as_user("ada").me)
        await is_asked.wait()
        tasks.cancel_scope.cancel()
    kept = await vault.store("ada").load()
    assert kept is not None
    assert (sim.oauth.refreshes, kept.access_token) == (1, sim.oauth.live_pair().access_token)


# A web app


USERS = 1_000
AT_ONCE = 50


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_thousand_users_refresh_once_each_and_few_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each user makes three calls, the last two at the same time; the tokens expire after the first one."""
    clock = SetClock(time.time())
    monkeypatch.setattr(vault_users, "MAX_IDLE_USERS", 100)
    sim, vault = Simulator(seed="empty", clock=clock), MemoryVault()
    users = [sim.add_member(f"{number}@example.com") for number in range(USERS)]

    async def visit(user: Member, calls: int) -> None:
        async with places, anyio.create_task_group() as tasks:
            for _ in range(calls):
                tasks.start_soon(call, user)

    async def call(user: Member) -> None:
        assert (await ws.as_user(user.email).me()).id == user.id

    async with session(sim, vault, limiter=TokenBucket(1e6)) as ws:
        for user in users:
            await vault.store(user.email).save(sim.issue_pair(user))
        for calls in (1, 2):
            places = anyio.CapacityLimiter(AT_ONCE)
            async with anyio.create_task_group() as tasks:
                for user in users:
                    tasks.start_soon(visit, user, calls)
            clock.advance(86_400)
        gc.collect()
        auth: Any = ws._caller.auth
        credentials = [it for it in gc.get_objects() if isinstance(it, OAuth2) and it._users is auth._users]
        assert len(credentials) == 100 + 1
        assert len(ws._caller.connection._reads) == 100
    assert (sim.oauth.refreshes, count(sim, "oauth2_refresh")) == (USERS, USERS)
    assert {request.error for request in sim.requests} == {None}
