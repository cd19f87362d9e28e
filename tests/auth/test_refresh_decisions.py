"""OAuth2: when a token is refreshed, when a stored one is adopted, and when the user must log in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from worksection_async import CallEvent, MemoryTokenStore, OAuth2, Token
from worksection_async._auth.oauth2 import COOLDOWN_SECONDS, MAX_RENEWALS
from worksection_async._auth.token import REFRESH_MARGIN_SECONDS
from worksection_async._protocol.actions import GET_PROJECTS
from worksection_async._protocol.call import prepare
from worksection_async._transport.call_events import Observer
from worksection_async.errors import AuthError, InvalidCall, ReauthorizationRequired, TransportError
from worksection_async.testing import Simulator, VirtualClock, faults
from worksection_async.testing._reply import ServiceRefusal, error_reply

pytestmark = pytest.mark.anyio

OBSERVER = Observer(None, None)
REFUSED = AuthError("get_projects", "Invalid token", refuses_token=True, http_status=401)
DAY_SECONDS = 86_400.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def sim() -> Simulator:
    return Simulator(clock=VirtualClock())


def credential(sim: Simulator, store: MemoryTokenStore) -> OAuth2:
    return OAuth2(sim.oauth_app(), store)


def refused_message(message: str) -> faults.Fault:
    return faults.answer(error_reply(ServiceRefusal(message, status=401)))


async def caught(call: Callable[[], Any]) -> ReauthorizationRequired:
    with pytest.raises(ReauthorizationRequired) as found:
        await call()
    return found.value


# The time of a refresh


def token(refresh_token: str | None = "r") -> Token:
    return Token(access_token="a", refresh_token=refresh_token, issued_at=0.0, expires_at=DAY_SECONDS)


def test_a_token_is_due_one_margin_before_it_expires() -> None:
    margin = REFRESH_MARGIN_SECONDS
    assert [token().is_due(DAY_SECONDS - before) for before in (margin + 1, margin)] == [False, True]
    assert [token().is_due(DAY_SECONDS - before, 0.5) for before in (1.5 * margin + 1, 1.5 * margin)] == [False, True]


def test_the_margin_of_a_short_lifetime_is_a_tenth_of_it() -> None:
    short = attrs.evolve(token(), issued_at=1_000.0, expires_at=1_060.0)
    assert [short.is_due(now) for now in (1_053.0, 1_054.0)] == [False, True]
    none = attrs.evolve(token(), issued_at=1_000.0, expires_at=1_000.0)
    assert [none.is_due(now) for now in (999.95, 1_000.0)] == [False, True]


@pytest.mark.parametrize(("jitter", "refreshes"), [(0.0, 0), (1.0, 1)])
async def test_a_credential_refreshes_up_to_one_margin_earlier(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, jitter: float, refreshes: int
) -> None:
    """So that many processes do not refresh in the same second."""
    monkeypatch.setattr("worksection_async._auth.oauth2.random.random", lambda: jitter)
    async with sim:
        auth = credential(sim, MemoryTokenStore(sim.issue_pair()))
        sim.advance(seconds=DAY_SECONDS - 1.5 * REFRESH_MARGIN_SECONDS)
        await auth.ready(OBSERVER)
        assert sim.oauth.refreshes == refreshes


def test_a_credential_that_is_not_ready_cannot_sign(sim: Simulator) -> None:
    with pytest.raises(RuntimeError, match=r"^call ready before sign$"):
        credential(sim, MemoryTokenStore()).sign(prepare(GET_PROJECTS, {}), 0.0)


def test_a_token_that_cannot_be_refreshed_is_due_when_it_expires() -> None:
    assert [token(None).is_due(now) for now in (DAY_SECONDS - 1, DAY_SECONDS)] == [False, True]


def test_a_text_that_is_no_token_is_refused_without_showing_it() -> None:
    with pytest.raises(InvalidCall, match=r"^Token: the text is not a token that Token\.to_json wrote\. ") as refused:
        Token.from_json('{"access_token": "s3cret"}')
    assert "s3cret" not in str(refused.value)


def test_a_token_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match=r"^Token is a secret and cannot be pickled; use to_json to store it$"):
        pickle.dumps(token())


# Adopting


async def test_a_pair_that_another_client_has_refreshed_is_adopted(sim: Simulator) -> None:
    """It may be another user's: replies of the old identity are no longer used."""
    async with sim:
        store = MemoryTokenStore(sim.issue_pair())
        first, second = credential(sim, store), credential(sim, store)
        await second.ready(OBSERVER)
        generation = second.identity_generation
        sim.advance(hours=25)
        await first.ready(OBSERVER)
        await second.ready(OBSERVER)
        assert sim.oauth.refreshes == 1
        assert second.identity_generation is not generation
        async with sim.session(second) as ws:
            await ws.get_projects()


async def test_an_own_refresh_keeps_the_identity(sim: Simulator) -> None:
    async with sim:
        auth = credential(sim, MemoryTokenStore(sim.issue_pair()))
        await auth.ready(OBSERVER)
        generation = auth.identity_generation
        sim.advance(hours=25)
        await auth.ready(OBSERVER)
        assert auth.identity_generation is generation


class Interrupted(MemoryTokenStore):
    """A store in which another client puts *instead* while the pair is refreshed."""

    def __init__(self, token: Token, instead: Token | None) -> None:
        super().__init__(token)
        self.instead = instead

    async def save(self, token: Token) -> None:
        await super().save(token)
        self._token = self.instead  # the save before the refresh


async def test_a_logout_during_a_refresh_does_not_lose_the_call(sim: Simulator) -> None:
    async with sim:
        async with sim.session(credential(sim, Interrupted(sim.issue_pair(expires_in=0), None))) as ws:
            assert await ws.get_projects()
        assert sim.oauth.refreshes == 1


async def test_a_login_during_a_refresh_is_used_for_the_call(sim: Simulator) -> None:
    async with sim:
        newer = sim.issue_pair()
        async with sim.session(credential(sim, Interrupted(sim.issue_pair(expires_in=0), newer))) as ws:
            await ws.get_projects()
        assert sim.requests[-1].headers["authorization"] == f"Bearer {newer.access_token}"


# Refusals


async def test_a_refreshed_token_that_is_refused_later_is_refreshed_again(sim: Simulator) -> None:
    async with sim, sim.session(credential(sim, MemoryTokenStore(sim.issue_pair(expires_in=0)))) as ws:
        await ws.get_projects()
        sim.advance(hours=1)
        sim.tokens.void(sim.oauth.live_pair().access_token)
        assert await ws.get_users()
        assert sim.oauth.refreshes == 2


async def test_a_refusal_that_a_refresh_did_not_end_causes_no_other_refresh(sim: Simulator) -> None:
    """Until the token is due: the message may be about a permission, and each refresh invalidates a pair."""
    async with sim, sim.session(credential(sim, MemoryTokenStore(sim.issue_pair()))) as ws:
        sim.fail("get_projects", refused_message("Invalid token"), times=None)
        await caught(ws.get_projects)
        sim.advance(seconds=2 * COOLDOWN_SECONDS)
        await caught(ws.get_projects)
        assert sim.oauth.refreshes == 1


async def test_a_call_renews_its_token_a_limited_number_of_times(sim: Simulator) -> None:
    """Even if other clients replace the token all the time."""
    async with sim:
        auth = credential(sim, MemoryTokenStore(sim.issue_pair()))
        await auth.ready(OBSERVER)
        other = credential(sim, MemoryTokenStore(sim.issue_pair()))
        await other.ready(OBSERVER)
        request = other.sign(prepare(GET_PROJECTS, {}), 0.0)
        assert await auth.recover(REFUSED, request, MAX_RENEWALS - 1, OBSERVER)
        await caught(lambda: auth.recover(REFUSED, request, MAX_RENEWALS, OBSERVER))


async def test_a_token_that_was_refreshed_for_the_same_call_is_not_refreshed_again(sim: Simulator) -> None:
    """Also if the call took longer than the cooldown."""
    async with sim:
        auth = credential(sim, MemoryTokenStore(sim.issue_pair(expires_in=0)))
        await auth.ready(OBSERVER)
        sim.advance(seconds=2 * COOLDOWN_SECONDS)
        request = auth.sign(prepare(GET_PROJECTS, {}), 0.0)
        await caught(lambda: auth.recover(REFUSED, request, 1, OBSERVER))
        assert sim.oauth.refreshes == 1


# Errors and events


@pytest.mark.parametrize(
    ("stored", "message"), [(None, "the token store is empty"), (token(None), "the refresh token is invalid")]
)
async def test_without_a_refresh_token_the_error_of_the_refresh_says_why(
    sim: Simulator, stored: Token | None, message: str
) -> None:
    async with sim, sim.session(credential(sim, MemoryTokenStore(stored))) as ws:
        error = await caught(ws.get_projects)
    assert (error.action, error.message, error.sent) == ("oauth2_refresh", message, False)


async def test_a_failed_refresh_is_an_error_of_the_refresh_and_not_sent(sim: Simulator) -> None:
    async with sim, sim.session(credential(sim, MemoryTokenStore(sim.issue_pair(expires_in=0)))) as ws:
        sim.fail("oauth2_refresh", "timeout", times=None)
        with pytest.raises(TransportError, match="the access token could not be refreshed") as failed:
            await ws.get_projects()
    assert failed.value.action == "oauth2_refresh"
    assert failed.value.sent is False
    assert len(sim.requests) == 2


async def test_a_rejected_application_is_an_error_that_was_not_sent(sim: Simulator) -> None:
    async with sim:
        app = sim.oauth_app()
        sim.oauth.client_secret = "another"
        async with sim.session(OAuth2(app, MemoryTokenStore(sim.issue_pair(expires_in=0)))) as ws:
            with pytest.raises(AuthError) as failed:
                await ws.get_projects()
    assert failed.value.sent is False


async def test_a_refresh_is_a_call_of_its_own_in_the_events(sim: Simulator) -> None:
    events: list[CallEvent] = []
    auth = credential(sim, MemoryTokenStore(sim.issue_pair(expires_in=0)))
    async with sim, sim.session(auth, on_call=events.append) as ws:
        await ws.get_projects()
    assert [(event.action, event.kind, event.status) for event in events if event.kind == "attempt"] == [
        ("oauth2_refresh", "attempt", 200), ("get_projects", "attempt", 200),
    ]  # fmt: skip
