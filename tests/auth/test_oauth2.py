"""OAuth2: token refresh is single-flight, and no failure loses a pair of tokens that could have been kept."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from tests.support.clocks import SetClock, SkewedClock
from worksection_async import (
    AccessToken,
    ApiKey,
    FileTokenStore,
    MemoryTokenStore,
    OAuth2,
    OAuthApp,
    Session,
    Token,
    TokenBucket,
    TokenStore,
)
from worksection_async._transport.call_events import Observer
from worksection_async.errors import (
    AuthError,
    InvalidCall,
    ReauthorizationRequired,
    TokenStoreError,
    TransportError,
    UnexpectedReply,
    WorksectionError,
)
from worksection_async.testing import Simulator, VirtualClock, faults
from worksection_async.testing._reply import SimulatedReply, html_reply, json_reply
from worksection_async.testing._transport import SimulatorTransport

pytestmark = pytest.mark.anyio

HOUR = 3600.0


@pytest.fixture
def sim() -> Simulator:
    return Simulator()


def due(token: Token) -> Token:
    """Return *token* with times that make it expired by the client's clock."""
    return attrs.evolve(token, issued_at=time.time() - 86_400, expires_at=time.time() - 1)


def refresh_requests(sim: Simulator) -> int:
    return sum(request.action == "oauth2_refresh" for request in sim.requests)


def reply(status: int, body: Mapping[str, object]) -> SimulatedReply:
    return attrs.evolve(json_reply(dict(body)), status=status)


class Store(MemoryTokenStore):
    """A store that records what it saved, and can be made to fail."""

    def __init__(self, token: Token | None = None) -> None:
        super().__init__(token)
        self.saved: list[Token] = []
        self.fails_to_load = self.fails_to_save = False
        self.before_save: Callable[[Token], None] = lambda _: None

    async def load(self) -> Token | None:
        if self.fails_to_load:
            raise TokenStoreError("it cannot be read")
        return await super().load()

    async def save(self, token: Token) -> None:
        self.before_save(token)
        if self.fails_to_save:
            raise TokenStoreError("the disk is full")
        self.saved.append(token)
        await super().save(token)


def session(sim: Simulator, store: MemoryTokenStore, **options: Any) -> Session:
    return sim.session(OAuth2(sim.oauth_app(), store), **options)


async def has_live_pair(sim: Simulator, store: MemoryTokenStore) -> bool:
    """Return whether the stored pair is the one that the service accepts."""
    token = await store.load()
    pair = sim.oauth.live_pair()
    return token is not None and (token.access_token, token.refresh_token) == (pair.access_token, pair.refresh_token)


# Refresh without failures


async def test_a_valid_token_is_used_without_a_refresh(sim: Simulator) -> None:
    store = Store(sim.issue_pair())
    async with session(sim, store) as ws:
        assert (await ws.me()).id == sim.owner.id
        await ws.get_projects()
    assert (refresh_requests(sim), store.saved) == (0, [])


async def test_a_due_token_is_refreshed_before_the_call_and_stored_before_its_use(sim: Simulator) -> None:
    store = Store(due(sim.issue_pair()))
    calls: list[list[str]] = []
    store.before_save = lambda _: calls.append([request.action for request in sim.requests])
    async with session(sim, store) as ws:
        await ws.get_projects()
        await ws.get_projects()
    assert calls == [[], ["oauth2_refresh"]], "the store is tested before the old pair is used up"
    assert [request.action for request in sim.requests] == ["oauth2_refresh", "get_projects", "get_projects"]
    assert await has_live_pair(sim, store)


async def test_the_account_comes_from_the_token(sim: Simulator) -> None:
    app, store = sim.oauth_app(), Store(due(sim.issue_pair(account_url="http://127.0.0.1")))
    ws = Session(None, OAuth2(app, store), transport=sim.transport(), limiter=TokenBucket(1e6))
    assert "account of the token" in repr(ws)
    with pytest.raises(RuntimeError, match="open the session"):
        Session(None, OAuth2(app, store)).limiter.statistics()
    async with ws:
        assert repr(ws) == "<Session http://127.0.0.1 OAuth2>"
        assert await ws.get_projects()
        assert await ws.with_options(lane="bulk").get_projects()
    fresh = Session(None, OAuth2(app, store), transport=sim.transport())
    assert await fresh.get_projects(), "also without a context manager"
    await fresh.aclose()


# A session whose own user has not logged in


EMPTY_STORES: list[Callable[[Path], TokenStore]] = [
    lambda _: MemoryTokenStore(),
    lambda folder: FileTokenStore(folder / "token.json"),
]
with_each_empty_store = pytest.mark.parametrize("make", EMPTY_STORES, ids=["memory", "file"])


@with_each_empty_store
async def test_a_session_of_a_named_account_is_entered_without_a_token(
    sim: Simulator, tmp_path: Path, make: Callable[[Path], TokenStore]
) -> None:
    """A web app in which only visitors log in: the session's own user has no token."""
    ada = next(iter(sim.members.values()))
    store = make(tmp_path)
    async with sim.session(OAuth2(sim.oauth_app(), store)) as ws:
        with pytest.raises(ReauthorizationRequired, match="the token store is empty"):
            await ws.me()
        assert (await ws.as_user(sim.issue_pair(ada)).me()).id == ada.id
        await store.save(sim.issue_pair())
        assert (await ws.me()).id == sim.owner.id, "after a login the same session works"


async def test_the_url_of_the_account_is_known_from_the_account_or_the_first_token(sim: Simulator) -> None:
    assert Session("Acme", ApiKey("k")).account_url == "https://acme.worksection.com"
    store = MemoryTokenStore(sim.issue_pair())
    ws = Session(None, OAuth2(sim.oauth_app(), store), transport=sim.transport())
    with pytest.raises(RuntimeError, match="the account is not known before the first call"):
        _ = ws.account_url
    async with ws:
        assert ws.account_url == "http://127.0.0.1"


async def test_a_view_is_entered_without_a_token(sim: Simulator) -> None:
    async with session(sim, Store()).as_user(Store()) as view:
        with pytest.raises(ReauthorizationRequired):
            await view.get_projects()


async def test_a_session_of_a_named_account_is_entered_while_the_store_or_the_login_service_fails(
    sim: Simulator,
) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", "unreachable", times=None)
    async with session(sim, store) as ws:
        with pytest.raises(TransportError, match="could not be refreshed"):
            await ws.get_projects()
    store.fails_to_load = True
    async with session(sim, store) as ws:
        with pytest.raises(TokenStoreError):
            await ws.get_projects()


@with_each_empty_store
async def test_without_a_named_account_entering_needs_the_token(
    sim: Simulator, tmp_path: Path, make: Callable[[Path], TokenStore]
) -> None:
    with pytest.raises(ReauthorizationRequired, match="the token store is empty"):
        async with Session(None, OAuth2(sim.oauth_app(), make(tmp_path)), transport=sim.transport()):
            raise AssertionError


async def test_a_token_without_an_account_is_an_error(sim: Simulator) -> None:
    with pytest.raises(InvalidCall, match="only with OAuth2"):
        Session(None, ApiKey("key"))
    nameless = OAuth2(sim.oauth_app(), Store(sim.issue_pair(account_url="")))
    with pytest.raises(InvalidCall, match="does not name its account"):
        await Session(None, nameless, transport=sim.transport()).get_projects()
    assert await sim.session(nameless).get_projects(), "the session names the account"


async def test_a_token_goes_to_its_own_account_only(sim: Simulator) -> None:
    ws = session(sim, Store(sim.issue_pair(account_url="https://other.worksection.com")))
    with pytest.raises(InvalidCall, match=r"for https://other\.worksection\.com"):
        await ws.get_projects()
    assert sim.requests == []


# Concurrent calls


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize("known", [True, False], ids=["the client knows", "only the service knows"])
async def test_500_calls_with_an_expired_token_cause_one_refresh(known: bool) -> None:
    clock = VirtualClock()
    sim = Simulator(clock=clock)
    pair = sim.issue_pair(expires_in=100)
    store = Store(due(pair) if known else attrs.evolve(pair, expires_at=clock.time() + 1e6))
    clock.advance(200)
    done = []
    async with session(sim, store, coalesce=False) as ws:

        async def call() -> None:
            await ws.get_projects()
            done.append(1)

        async with anyio.create_task_group() as tasks:
            for _ in range(500):
                tasks.start_soon(call)
    assert len(done) == 500
    assert (sim.oauth.refreshes, refresh_requests(sim)) == (1, 1)
    assert await has_live_pair(sim, store)


async def test_a_write_with_an_expired_token_is_executed_once() -> None:
    clock = VirtualClock()
    sim = Simulator(clock=clock)
    store = Store(attrs.evolve(sim.issue_pair(expires_in=100), expires_at=clock.time() + 1e6))
    clock.advance(200)
    project = next(iter(sim._world.projects))
    before = len(sim._world.tasks)
    async with session(sim, store, retries=0) as ws:
        await ws.post_task(project, "Once")
    assert len(sim.tasks) == before + 1
    assert [request.action for request in sim.requests] == ["post_task", "oauth2_refresh", "post_task"]


async def test_a_call_is_reauthorized_at_most_once() -> None:
    """A service that reports every token as expired does not cause repeated refreshes."""
    sim = Simulator()
    store = Store(attrs.evolve(sim.issue_pair(), expires_at=time.time() + 1e6))
    sim.oauth.access_seconds = 0
    sim.tokens.clock = lambda: time.time() + 20 * 86_400
    async with session(sim, store) as ws:
        with pytest.raises(ReauthorizationRequired, match="expired"):
            await ws.get_projects()
    assert [request.action for request in sim.requests] == ["get_projects", "oauth2_refresh", "get_projects"]


async def test_cancelling_one_caller_does_not_cancel_the_refresh(sim: Simulator) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", faults.delay(0.1))
    ws = session(sim, store)
    with anyio.move_on_after(0.05) as scope:
        await ws.get_projects()
    assert scope.cancelled_caught
    assert await ws.get_projects()
    assert sim.oauth.refreshes == 1
    assert await has_live_pair(sim, store)


# Clock skew


@pytest.mark.parametrize("off", [-HOUR, HOUR], ids=["behind", "ahead"])
async def test_a_clock_skew_of_an_hour_causes_at_most_one_refresh(off: float) -> None:
    """A machine with a correct clock stored the pair; it expires in half an hour, or expired half an hour ago."""
    sim = Simulator()
    token = sim.issue_pair(expires_in=HOUR / 2 if off > 0 else -HOUR / 2)
    store = Store(token)
    transport = SimulatorTransport(sim.app, SkewedClock(off))
    app = sim.oauth_app(transport=transport)
    async with sim.session(OAuth2(app, store), transport=transport) as ws:
        for _ in range(3):
            assert await ws.get_projects()
    assert sim.oauth.refreshes == 1
    assert await has_live_pair(sim, store)


# Failures that need a login, and refusals that do not


async def test_an_empty_store_raises_reauthorization_required_with_the_login_url(sim: Simulator) -> None:
    with pytest.raises(ReauthorizationRequired, match="the token store is empty") as caught:
        await session(sim, Store()).get_projects()
    assert caught.value.login_url.startswith("http://127.0.0.1/oauth2/authorize?client_id=")
    assert not caught.value.sent
    assert sim.requests == []


async def test_an_invalid_refresh_token_fails_all_waiting_calls_after_one_request(sim: Simulator) -> None:
    store = Store(attrs.evolve(due(sim.issue_pair()), refresh_token="def502void"))
    errors: list[WorksectionError] = []
    ws = session(sim, store, coalesce=False)

    async def call() -> None:
        try:
            await ws.get_projects()
        except ReauthorizationRequired as error:
            errors.append(error)

    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(call)
    assert len(errors) == 300
    assert refresh_requests(sim) == 1
    assert len({id(error) for error in errors}) == 300, "each caller gets its own error object"
    await store.save(sim.issue_pair())
    assert await ws.get_projects(), "calls work again after a new login"


async def test_a_wrong_client_secret_does_not_require_a_login(sim: Simulator) -> None:
    app = sim.oauth_app()
    wrong = OAuthApp(app.client_id, "wrong", app.redirect_uri, base_url=app.base_url, transport=app.transport)
    store = Store(due(sim.issue_pair()))
    with pytest.raises(AuthError, match="Client authentication failed") as caught:
        await sim.session(OAuth2(wrong, store)).get_projects()
    assert not isinstance(caught.value, ReauthorizationRequired)
    assert await session(sim, store).get_projects(), "the pair was not used up"


# Refused access tokens

DENIED = "The resource owner or authorization server denied the request."

REFUSALS: list[tuple[int, dict[str, object]]] = [
    (401, {"error": "access_denied", "error_description": DENIED, "hint": "Access token has been revoked"}),
    (200, {"error": "access_denied", "errorDescription": "Access token could not be verified"}),
    (200, {"status": "error", "message": "Access token is invalid"}),
    (401, {"error": "invalid_token"}),
    (401, {"status": "error", "message": "Unauthorized"}),
    (401, {}),
]
with_each_refusal = pytest.mark.parametrize(("status", "body"), REFUSALS, ids=str)


@with_each_refusal
@pytest.mark.one_row_on_trio
async def test_a_refused_token_is_refreshed_once(sim: Simulator, status: int, body: dict[str, object]) -> None:
    store = Store(sim.issue_pair())
    sim.fail("get_projects", faults.answer(reply(status, body)))
    assert await session(sim, store, retries=0).get_projects()
    assert [request.action for request in sim.requests] == ["get_projects", "oauth2_refresh", "get_projects"]
    assert await has_live_pair(sim, store)


@with_each_refusal
@pytest.mark.one_row_on_trio
async def test_a_refused_refreshed_token_requires_a_login(sim: Simulator, status: int, body: dict[str, object]) -> None:
    store = Store(sim.issue_pair())
    ws = session(sim, store)
    sim.fail("get_projects", faults.answer(reply(status, body)), times=None)
    for _ in range(3):
        with pytest.raises(ReauthorizationRequired, match="refuses a refreshed token, too: ") as caught:
            await ws.get_projects()
        assert (caught.value.action, caught.value.sent) == ("get_projects", True)
        assert caught.value.login_url.startswith("http://127.0.0.1/oauth2/authorize?client_id=")
    assert refresh_requests(sim) == 1, "later calls do not refresh again"
    sim.clear_faults()
    await store.save(sim.issue_pair())
    assert await ws.get_projects(), "calls work again after a new login"


async def test_a_login_ends_the_refusals_of_its_predecessor(sim: Simulator) -> None:
    store, body = Store(sim.issue_pair()), {"error": "invalid_token"}
    ws = session(sim, store)
    sim.fail("get_projects", faults.answer(reply(401, body)), times=2)
    with pytest.raises(ReauthorizationRequired):
        await ws.get_projects()
    await store.save(sim.issue_pair())
    sim.fail("get_projects", faults.answer(reply(401, body)), times=2)
    assert await ws.get_projects(), "the new token is found in the store, and refreshed once"
    assert refresh_requests(sim) == 2


async def test_a_newer_token_of_another_client_that_is_refused_is_refreshed(sim: Simulator) -> None:
    """All access tokens were revoked; the refresh tokens are still valid."""
    store = Store(sim.issue_pair())
    async with session(sim, store) as ws:
        await ws.get_projects()
        newer = sim.issue_pair()
        store._token = newer
        for pair in sim.oauth.live_pairs():
            sim.tokens.void(pair.access_token)
        assert await ws.get_projects()
    assert refresh_requests(sim) == 1
    assert await has_live_pair(sim, store)


async def test_calls_with_one_refused_token_cause_one_refresh(sim: Simulator) -> None:
    store, ids = Store(sim.issue_pair()), []
    sim.fail("get_projects", faults.answer(reply(401, {"error": "invalid_token"})), times=None)
    ws = session(sim, store, coalesce=False)

    async def call() -> None:
        with pytest.raises(ReauthorizationRequired) as caught:
            await ws.get_projects()
        ids.append(id(caught.value))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(call)
    assert len(ids) == 50
    assert refresh_requests(sim) == 1


NO_PERMISSION: list[tuple[int, dict[str, object]]] = [
    (403, {"error": "insufficient_scope"}),
    (401, {"error": "insufficient_scope", "error_description": "The request requires higher privileges"}),
    (200, {"error": "insufficient_scope"}),
    (401, {"status": "error", "message": "Access denied"}),
    (403, {"status": "error", "message": "Forbidden"}),
    (403, {}),
]


@pytest.mark.parametrize(("status", "body"), NO_PERMISSION, ids=str)
async def test_a_missing_permission_is_an_auth_error_without_a_refresh(
    sim: Simulator, status: int, body: dict[str, object]
) -> None:
    sim.fail("get_projects", faults.answer(reply(status, body)))
    with pytest.raises(AuthError) as caught:
        await session(sim, Store(sim.issue_pair())).get_projects()
    assert not isinstance(caught.value, ReauthorizationRequired)
    assert [request.action for request in sim.requests] == ["get_projects"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_page_of_a_firewall_causes_no_refresh(sim: Simulator, status: int) -> None:
    sim.fail("get_projects", faults.answer(html_reply(status, "Attention Required")))
    with pytest.raises(UnexpectedReply, match="a page instead of the API: a proxy or firewall answered"):
        await session(sim, Store(sim.issue_pair())).get_projects()
    assert [request.action for request in sim.requests] == ["get_projects"]


@pytest.mark.parametrize(("status", "body"), [*REFUSALS, *NO_PERMISSION], ids=str)
async def test_a_refused_static_token_is_an_auth_error(sim: Simulator, status: int, body: dict[str, object]) -> None:
    sim.fail("get_projects", faults.answer(reply(status, body)))
    with pytest.raises(AuthError) as caught:
        await sim.session(AccessToken(sim.issue_pair().access_token)).get_projects()
    assert not isinstance(caught.value, ReauthorizationRequired)
    assert len(sim.requests) == 1


async def test_a_missing_scope_causes_no_refresh(sim: Simulator) -> None:
    with pytest.raises(WorksectionError, match="Access denied"):
        await session(sim, Store(sim.issue_pair(scopes=["tags_read"]))).get_projects()
    assert refresh_requests(sim) == 0


# Refusals of the token endpoint

INVALID = "The refresh token is invalid."
MALFORMED = "The request is missing a required parameter, or is otherwise malformed."

REFUSED_REFRESHES: list[tuple[int, dict[str, object]]] = [
    (200, {"error": "invalid_request", "errorDescription": "Token has been revoked"}),
    (401, {"error": "invalid_request", "message": INVALID, "hint": "Token has been revoked"}),
    (400, {"error": "invalid_grant", "error_description": INVALID, "hint": "Token is not linked to client"}),
    (200, {"errorDescription": "Token is not linked to client"}),
    (200, {"status": "error", "message": "Token has expired"}),
    (200, {"message": "Cannot decrypt the refresh token"}),
    (400, {"error": "invalid_grant"}),
    (400, {"error": "invalid_request", "error_description": MALFORMED, "hint": "Check the `refresh_token` parameter"}),
]


@pytest.mark.parametrize(("status", "body"), REFUSED_REFRESHES, ids=str)
@pytest.mark.one_row_on_trio
async def test_a_refused_refresh_token_requires_a_login(sim: Simulator, status: int, body: dict[str, object]) -> None:
    sim.fail("oauth2_refresh", faults.answer(reply(status, body)), times=None)
    ws = session(sim, Store(due(sim.issue_pair())))
    for _ in range(2):
        with pytest.raises(ReauthorizationRequired) as caught:
            await ws.get_projects()
        assert not caught.value.sent
    assert [request.action for request in sim.requests] == ["oauth2_refresh"]


REFUSED_APPLICATIONS: list[tuple[int, dict[str, object]]] = [
    (200, {"error": "invalid_client", "errorDescription": "Client authentication failed"}),
    (401, {"message": "Client authentication failed"}),
    (401, {"error": "invalid_client"}),
    (400, {"error": "unauthorized_client", "error_description": "The client may not use this grant type."}),
    (400, {"error": "invalid_request", "error_description": MALFORMED, "hint": "Check the `client_id` parameter"}),
]


@pytest.mark.parametrize(("status", "body"), REFUSED_APPLICATIONS, ids=str)
@pytest.mark.one_row_on_trio
async def test_a_refused_application_requires_no_login(sim: Simulator, status: int, body: dict[str, object]) -> None:
    sim.fail("oauth2_refresh", faults.answer(reply(status, body)))
    ws = session(sim, Store(due(sim.issue_pair())))
    with pytest.raises(AuthError) as caught:
        await ws.get_projects()
    assert not isinstance(caught.value, ReauthorizationRequired)
    assert not caught.value.sent
    assert await ws.get_projects(), "the pair was not used up"


async def test_a_token_replaced_in_the_store_is_loaded_again(sim: Simulator) -> None:
    """A refresh by another process invalidates the access token that this process still uses."""
    store = Store(sim.issue_pair())
    async with session(sim, store) as ws, session(sim, store) as other:
        await ws.get_projects()
        token = await store.load()
        assert token is not None
        await store.save(await sim.oauth_app().refresh(token))
        assert await ws.get_projects()
        assert await other.get_projects()
    assert sim.oauth.refreshes == 1


# Lost replies and other failures of a refresh


LOST = [faults.reset, faults.timeout, faults.cut_body, faults.server_error, faults.html_page, faults.empty_body]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.__name__)
async def test_a_refresh_with_a_lost_reply_is_retried_once(sim: Simulator, fault: Callable[..., faults.Fault]) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", fault(executed=False))
    assert await session(sim, store).get_projects()
    assert (sim.oauth.refreshes, refresh_requests(sim)) == (1, 2)
    assert await has_live_pair(sim, store)


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.__name__)
async def test_a_lost_new_token_raises_reauthorization_required(
    sim: Simulator, fault: Callable[..., faults.Fault]
) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", fault(executed=True))
    with pytest.raises(ReauthorizationRequired):
        await session(sim, store).get_projects()
    assert refresh_requests(sim) == 2


async def test_an_unreachable_login_service_is_a_transport_error_before_the_call(sim: Simulator) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", faults.server_error(503), times=None)
    with pytest.raises(TransportError, match="could not be refreshed") as caught:
        await session(sim, store).post_task(1, "x")
    assert not caught.value.sent
    assert refresh_requests(sim) == 2


@pytest.mark.parametrize(
    "reply",
    [
        html_reply(503, "<h1>Maintenance</h1>"),
        attrs.evolve(json_reply({"error": "temporarily_unavailable", "message": "Maintenance"}), status=503),
        attrs.evolve(json_reply({}), status=503),
    ],
    ids=["page", "error", "empty"],
)
async def test_a_refresh_is_not_repeated_before_the_time_that_the_service_names(sim: Simulator, reply: Any) -> None:
    wait = attrs.evolve(reply, headers={**reply.headers, "Retry-After": "120"})
    sim.fail("oauth2_refresh", faults.Fault(name="busy", executed=False, transform=lambda _: wait), times=None)
    with pytest.raises(TransportError, match="could not be refreshed") as caught:
        await session(sim, Store(due(sim.issue_pair()))).get_projects()
    assert (caught.value.retry_after, refresh_requests(sim)) == (120.0, 1)


async def test_a_refresh_that_was_not_sent_is_not_retried(sim: Simulator) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", "unreachable")
    ws = session(sim, store)
    with pytest.raises(TransportError, match="could not be refreshed"):
        await ws.get_projects()
    assert refresh_requests(sim) == 1
    assert await ws.get_projects()


async def test_a_failed_refresh_fails_all_its_waiting_calls_without_a_second_refresh(sim: Simulator) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", faults.server_error(503), times=None)
    ws, failures = session(sim, store, coalesce=False), []

    async def call() -> None:
        try:
            await ws.get_projects()
        except TransportError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(call)
    assert len(failures) == 50
    assert refresh_requests(sim) == 2


@pytest.mark.parametrize("executed", [False, True], ids=["lost before the rotation", "lost after the rotation"])
async def test_the_first_saved_token_wins_even_without_the_lock(sim: Simulator, executed: bool) -> None:
    """The store is read again before the refresh fails."""
    store = Store(due(sim.issue_pair()))
    theirs = sim.issue_pair()
    refresh = OAuthApp.refresh

    async def overtaken(app: OAuthApp, token: Token) -> Token:
        store._token = theirs
        return await refresh(app, token)

    sim.fail("oauth2_refresh", faults.reset(executed=executed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OAuthApp, "refresh", overtaken)
        assert await session(sim, store).get_projects()
    assert await store.load() == theirs


TEMPORARY_REFUSALS: list[dict[str, object]] = [
    {"error": "server_error", "error_description": "Try later"},
    {"error": "temporarily_unavailable"},
    {"status": "error", "message": "Maintenance"},
]


@pytest.mark.parametrize("body", TEMPORARY_REFUSALS, ids=lambda body: next(iter(body.values())))
async def test_a_refusal_unrelated_to_the_token_requires_no_login(sim: Simulator, body: dict[str, object]) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", faults.answer(json_reply(body)), times=2)
    ws = session(sim, store)
    with pytest.raises(TransportError, match="could not be refreshed"):
        await ws.get_projects()
    assert await ws.get_projects(), "the pair is still valid"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_without_a_message_requires_no_login(sim: Simulator, status: int) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", faults.answer(html_reply(status, "Forbidden")), times=2)
    ws = session(sim, store)
    with pytest.raises(TransportError, match="could not be refreshed"):
        await ws.get_projects()
    assert await ws.get_projects()


async def test_a_rejected_application_is_final_even_without_a_message(sim: Simulator) -> None:
    store = Store(due(sim.issue_pair()))
    sim.fail("oauth2_refresh", faults.answer(json_reply({"error": "invalid_client"})))
    ws = session(sim, store)
    with pytest.raises(AuthError, match="invalid_client") as caught:
        await ws.get_projects()
    assert not isinstance(caught.value, ReauthorizationRequired)
    assert not caught.value.sent
    assert await ws.get_projects()


async def test_a_valid_token_is_used_while_the_refresh_fails(sim: Simulator) -> None:
    store = Store(attrs.evolve(sim.issue_pair(), issued_at=time.time() - 86_300, expires_at=time.time() + 100))
    sim.fail("oauth2_refresh", faults.server_error(503), times=None)
    async with session(sim, store, coalesce=False) as ws:
        for _ in range(5):
            assert await ws.get_projects()
    assert refresh_requests(sim) == 2, "one refresh with its retry; the next one only after the cooldown"


async def test_a_token_without_refresh_token_is_used_until_it_expires(sim: Simulator) -> None:
    token = attrs.evolve(
        sim.issue_pair(), issued_at=time.time() - 86_300, expires_at=time.time() + 5, refresh_token=None
    )
    assert await session(sim, Store(token)).get_projects()


async def test_a_write_stays_in_doubt_when_reauthorization_is_required(fast_limiter: TokenBucket) -> None:
    clock = SetClock(time.time())
    sim = Simulator(clock=clock)
    pair = sim.issue_pair(expires_in=100)
    store = Store(attrs.evolve(pair, expires_at=clock.now + 1e6, refresh_token="def502void"))
    project = next(iter(sim._world.projects))

    def expire(_: object) -> None:
        clock.advance(200)

    sim.fail("post_task", faults.reset(executed=True))
    async with session(sim, store, limiter=fast_limiter) as ws:
        view = ws.with_options(repeat_writes=True, on_wait=None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("worksection_async._session.caller.anyio.sleep", lambda _: call_async(expire))
            with pytest.raises(ReauthorizationRequired, match="may have been executed") as caught:
                await view.post_task(project, "Once or twice")
    assert caught.value.sent


async def call_async(function: Callable[[object], None]) -> None:
    function(None)


def test_closing_the_session_waits_for_the_refresh_in_progress(sim: Simulator) -> None:
    """A cancelled caller closes the session; closing it waits until the new pair is stored."""
    store = Store(due(sim.issue_pair()))
    auth = OAuth2(sim.oauth_app(), store)

    async def cancel_the_call() -> None:
        sim.fail("oauth2_refresh", faults.delay(0.2))
        with anyio.move_on_after(0.05) as scope:
            async with sim.session(auth) as ws:
                await ws.get_projects()
        assert scope.cancelled_caught

    async def call_again() -> None:
        async with sim.session(auth) as ws:
            assert await ws.get_projects()

    for backend in ("asyncio", "trio"):
        anyio.run(cancel_the_call, backend=backend)
        anyio.run(call_again, backend=backend)
        assert anyio.run(has_live_pair, sim, store)
        auth._token = store._token = due(sim.issue_pair())
    assert sim.oauth.refreshes == 2


async def test_a_stored_token_of_another_account_is_not_sent(sim: Simulator) -> None:
    store = Store(attrs.evolve(sim.issue_pair(), access_token="revoked"))
    ws = session(sim, store)
    async with ws:
        await ws._caller.auth.ready(Observer(None))
        store._token = sim.issue_pair(account_url="https://other.worksection.com")
        with pytest.raises(InvalidCall, match=r"for https://other\.worksection\.com"):
            await ws.get_projects()
    assert len(sim.requests) == 1


async def test_replies_are_not_shared_with_the_next_user_of_the_store(sim: Simulator) -> None:
    ada, bob = list(sim.members.values())[:2]
    store = Store(sim.issue_pair(ada))
    async with session(sim, store) as ws:
        view = ws.with_options(max_age=60)
        assert (await view.me()).id == ada.id
        sim.tokens.void((await store.load() or due(sim.issue_pair())).access_token)
        await store.save(sim.issue_pair(bob))
        await view.get_projects()  # a 401: the store is read again
        assert (await view.me()).id == bob.id


async def test_the_first_call_of_a_view_does_not_decide_the_account(sim: Simulator) -> None:
    auth = OAuth2(sim.oauth_app(), Store(sim.issue_pair(account_url="http://127.0.0.1")))
    ws = Session(None, auth, transport=sim.transport(), limiter=TokenBucket(1e6))
    stranger = ws.as_user(sim.issue_pair(account_url="https://other.worksection.com"))
    with pytest.raises(InvalidCall, match="the token is for"):
        await stranger.get_projects()
    assert await ws.get_projects()


async def test_refreshes_are_spread_by_jitter(sim: Simulator) -> None:
    app, moments = sim.oauth_app(), set()
    token = Token(access_token="a", refresh_token="b", issued_at=0.0, expires_at=86_400.0)
    for _ in range(20):
        auth = OAuth2(app, Store(token))
        moments.add(next(second for second in range(86_400) if token.is_due(second, auth._jitter)))
    assert len(moments) > 10


async def test_a_pair_saved_by_another_client_during_the_refresh_is_kept(sim: Simulator) -> None:
    """The lock expired and another client saved a pair before the reply arrived: that pair is kept and used."""
    store = Store(due(sim.issue_pair()))
    theirs = sim.issue_pair()
    refresh = OAuthApp.refresh

    async def overtaken(app: OAuthApp, token: Token) -> Token:
        new = await refresh(app, token)
        store._token = theirs
        return new

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OAuthApp, "refresh", overtaken)
        assert await session(sim, store).get_projects()
    assert await store.load() == theirs


# Failures of the store


async def test_an_unreadable_store_is_an_error_and_nothing_is_sent(sim: Simulator) -> None:
    store = Store(sim.issue_pair())
    store.fails_to_load = True
    ws = session(sim, store)
    with pytest.raises(TokenStoreError, match="cannot be read") as caught:
        await ws.get_projects()
    assert (caught.value.sent, sim.requests) == (False, [])
    store.fails_to_load = False
    assert await ws.get_projects()


async def test_a_full_store_does_not_lose_the_token(sim: Simulator) -> None:
    store = Store(due(sim.issue_pair()))
    store.fails_to_save = True
    ws = session(sim, store)
    with pytest.raises(TokenStoreError, match="disk is full"):
        await ws.get_projects()
    assert sim.requests == []
    store.fails_to_save = False
    assert await ws.get_projects()
    assert sim.oauth.refreshes == 1


async def test_a_token_that_could_not_be_saved_is_not_used_and_not_lost(sim: Simulator) -> None:
    """The store becomes full after the test save and before the new pair is saved."""
    store = Store(due(sim.issue_pair()))
    first = await store.load()

    def fail_for_new_pairs(token: Token) -> None:
        store.fails_to_save = token != first

    store.before_save = fail_for_new_pairs
    ws = session(sim, store)
    for _ in range(2):
        with pytest.raises(TokenStoreError, match="disk is full"):
            await ws.get_projects()
    assert [request.action for request in sim.requests] == ["oauth2_refresh"]
    store.before_save = lambda _: setattr(store, "fails_to_save", False)
    assert await ws.get_projects()
    assert sim.oauth.refreshes == 1
    assert await has_live_pair(sim, store)


@pytest.mark.parametrize(
    ("store", "given"),
    [(object(), "object"), (None, "None"), ("tokens.json", "str"), (MemoryTokenStore, "the class MemoryTokenStore")],
    ids=["object", "None", "path", "class"],
)
async def test_an_object_that_is_no_store_is_refused(sim: Simulator, store: Any, given: str) -> None:
    with pytest.raises(InvalidCall, match=f"OAuth2: store must have the methods load, save and lock, got {given}"):
        OAuth2(sim.oauth_app(), store)


@pytest.mark.parametrize(
    ("app", "given"), [("7", "str"), (OAuthApp, "the class OAuthApp"), (None, "None")], ids=["text", "class", "None"]
)
async def test_an_object_that_is_no_application_is_refused(app: Any, given: str) -> None:
    with pytest.raises(InvalidCall, match=f"OAuth2: app must be an OAuthApp, got {given}"):
        OAuth2(app, MemoryTokenStore())


async def test_an_error_of_a_custom_store_is_raised(sim: Simulator) -> None:
    class Broken(MemoryTokenStore):
        async def save(self, token: Token) -> None:
            raise ZeroDivisionError("their database")

    with pytest.raises(ZeroDivisionError, match="their database"):
        await session(sim, Broken(due(sim.issue_pair()))).get_projects()


# Several users in one web application


async def test_views_of_users_share_everything_but_the_identity(sim: Simulator) -> None:
    ada, bob = list(sim.members.values())[:2]
    store = Store(due(sim.issue_pair(bob)))
    async with session(sim, Store(sim.issue_pair(ada))) as ws:
        other = ws.as_user(store)
        third = other.as_user(sim.issue_pair(ada))
        assert [(await view.me()).id for view in (ws, other, third)] == [ada.id, bob.id, ada.id]
        assert ws.limiter is other.limiter
        assert ws._caller.connection is other._caller.connection
    kept = await store.load()
    assert kept is not None
    assert kept.access_token == sim.oauth.live_pair(bob.id).access_token


async def test_reads_of_two_users_are_not_coalesced(sim: Simulator) -> None:
    ada, bob = list(sim.members.values())[:2]
    found: dict[str, int | None] = {}
    async with session(sim, Store(sim.issue_pair(ada))) as ws:
        views = {"ada": ws.with_options(max_age=60), "bob": ws.as_user(sim.issue_pair(bob)).with_options(max_age=60)}
        for _ in range(2):  # concurrently, then from the cache

            async def ask(name: str) -> None:
                found[name] = (await views[name].me()).id

            async with anyio.create_task_group() as tasks:
                for name in views:
                    tasks.start_soon(ask, name)
            assert found == {"ada": ada.id, "bob": bob.id}
    assert sum(request.action == "me" for request in sim.requests) == 2


async def test_a_write_of_one_user_invalidates_the_reads_of_others(sim: Simulator) -> None:
    ada, bob = list(sim.members.values())[:2]
    project = next(iter(sim.projects))
    async with session(sim, Store(sim.issue_pair(ada))) as ws:
        reader = ws.as_user(sim.issue_pair(bob)).with_options(max_age=60)
        before = await reader.get_tasks(project)
        await ws.post_task(project, "New")
        assert len(await reader.get_tasks(project)) == len(before) + 1


async def test_as_user_needs_oauth2(sim: Simulator) -> None:
    with pytest.raises(InvalidCall, match="as_user needs OAuth2"):
        sim.session().as_user(MemoryTokenStore())


# Secrets


async def test_no_token_and_no_client_secret_is_shown(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app, pair = sim.oauth_app(), due(sim.issue_pair())
    store = Store(pair)
    shown: list[object] = [app, pair, store, OAuth2(app, store)]
    code = sim.issue_code()
    token = await app.exchange(code)
    shown += [token, await app.identity(token)]
    async with session(sim, store) as ws:
        shown += [ws, await ws.me()]
        for fault in (faults.reset(), faults.html_page(), faults.cut_body()):
            await store.save(due(token))
            sim.fail("oauth2_refresh", fault, times=2)
            with pytest.raises(WorksectionError) as caught:
                await session(sim, store).me()
            shown += [caught.value, caught.value.__context__, caught.value.__cause__, caught.getrepr(style="long")]
            token = sim.issue_pair()
    with pytest.raises(WorksectionError) as refused:
        await app.exchange("the-code-that-stays-secret-0123456789")
    shown.append(refused.value)
    text = "\n".join([*map(repr, shown), *map(str, shown), caplog.text])
    new = await store.load()
    assert new is not None
    secrets = [app.client_secret, code, "the-code-that-stays", pair.access_token, token.access_token, new.access_token]
    secrets += [str(pair.refresh_token), str(token.refresh_token), str(new.refresh_token)]
    assert [secret[:8] for secret in secrets if secret in text] == []


def test_a_refresh_of_a_closed_event_loop_does_not_block_the_next_one(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop was closed without cancelling its tasks, so the refresh still held the lock of the store."""
    store = Store(due(sim.issue_pair()))
    auth = OAuth2(sim.oauth_app(), store)
    refresh = OAuthApp.refresh

    async def hang(*_: object) -> Token:
        monkeypatch.setattr(OAuthApp, "refresh", refresh)
        await anyio.sleep_forever()
        raise AssertionError

    async def abandon() -> None:
        monkeypatch.setattr(OAuthApp, "refresh", hang)
        with anyio.move_on_after(0.05):
            await sim.session(auth).get_projects()

    async def call() -> None:
        with anyio.fail_after(20):
            assert await sim.session(auth).get_projects()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending"
    loop.run_until_complete(abandon())
    loop.close()
    asyncio.run(call())
    assert auth._refreshes == {}
    released = weakref.ref(loop)
    del loop
    gc.collect()
    assert released() is None
