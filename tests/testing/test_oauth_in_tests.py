"""OAuth2 for tests of programs: scripted faults, the request log, and tokens without a login."""

from collections.abc import Callable

import anyio
import attrs
import httpx
import pytest

from tests.support.clocks import SetClock
from worksection_async import AccessToken, Token, errors
from worksection_async.testing import Fault, Simulator, faults

from .conftest import NOW, OAuthForms, Raw
from .test_oauth import BAD_REFRESH_TOKEN, call_with

pytestmark = pytest.mark.anyio

# Faults and the request log


@pytest.mark.parametrize("executed", [False, True])
async def test_the_reply_to_a_refresh_can_be_lost(forms: OAuthForms, executed: bool) -> None:
    """The client sees the same error, whether or not the old pair is invalid."""
    pair = forms.sim.issue_pair()
    forms.sim.fail("oauth2_refresh", faults.reset(executed=executed))
    with pytest.raises(httpx.ReadError):
        await forms.refresh(str(pair.refresh_token))
    (request,) = forms.sim.requests
    assert (request.action, request.executed, request.status) == ("oauth2_refresh", executed, None)
    assert forms.sim.oauth.refreshes == executed
    assert (await forms.refresh(str(pair.refresh_token)) == BAD_REFRESH_TOKEN) is executed


@pytest.mark.parametrize(
    ("fault", "status", "begins"),
    [
        (faults.server_error, 502, b"<html>"),
        (faults.html_page, 200, b"<html>"),
        (faults.empty_body, 200, b""),
        (faults.cut_body, 200, b"{"),
        (lambda **_: faults.delay(0.001), 200, b"{"),
    ],
    ids=["5xx", "html", "empty", "cut", "delay"],
)
@pytest.mark.parametrize("name", ["token", "refresh", "resource"])
async def test_each_oauth_path_has_its_own_faults(
    forms: OAuthForms, name: str, fault: Callable[..., Fault], status: int, begins: bytes
) -> None:
    forms.sim.fail(f"oauth2_{name}", fault(executed=True))
    for other in {"token", "refresh", "resource"} - {name}:
        assert (await forms(other))["error"]
    response = await forms.http.post(f"/oauth2/{name}", data=forms.form())
    assert response.status_code == status
    assert response.content.startswith(begins)
    assert not forms.sim.unused_faults


async def test_a_delayed_refresh_does_not_block_other_requests(forms: OAuthForms) -> None:
    pair = forms.sim.issue_pair()
    forms.sim.fail("oauth2_refresh", faults.delay(0.05))
    order: list[str] = []

    async def call(name: str, **form: str) -> None:
        await forms(name, **form)
        order.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: call("refresh", grant_type="refresh_token", refresh_token=str(pair.refresh_token)))
        await anyio.wait_all_tasks_blocked()
        group.start_soon(lambda: call("resource", access_token=pair.access_token))
    assert order == ["resource", "refresh"]


async def test_oauth_requests_do_not_count_against_the_rate_limit(clock: SetClock) -> None:
    """They are not refused, and do not cause refusals of API requests."""
    sim = Simulator(rate=1.0, clock=clock)
    async with httpx.AsyncClient(transport=sim.transport(), base_url="http://127.0.0.1") as http:
        forms, raw = OAuthForms(http, sim), Raw(http, sim, clock)
        for _ in range(3):
            assert "access_token" in await forms.exchange(sim.issue_code())
        assert (await raw("get_users"))["status"] == "ok"
        assert (await raw("get_users"))["message"] == "Too many requests"
        assert "access_token" in await forms.exchange(sim.issue_code())
    assert [request.accepted for request in sim.requests] == [True] * 4 + [False, True]


async def test_the_request_log_names_actions_and_shows_no_secrets(forms: OAuthForms) -> None:
    sim, code = forms.sim, forms.sim.issue_code()
    pair = await forms.exchange(code)
    newer = await forms.refresh(pair["refresh_token"])
    await forms.resource(newer["access_token"])
    await forms.exchange(code)
    await forms.http.get("/oauth2/authorize", params=forms.form())
    assert [(request.action, request.status, request.error) for request in sim.requests] == [
        ("oauth2_token", 200, None),
        ("oauth2_refresh", 200, None),
        ("oauth2_resource", 200, None),
        ("oauth2_token", 200, "Authorization code has been revoked"),
        ("oauth2_authorize", 400, "Wrong redirect_uri"),
    ]
    assert sim.requests[1].params == {"client_id": sim.oauth.client_id, "grant_type": "refresh_token"}
    shown = repr([sim, sim.requests, sim.oauth, sim.tokens, sim.oauth.live_pair(), sim.app])
    tokens = [body[name] for body in (pair, newer) for name in ("access_token", "refresh_token")]
    for secret in (sim.oauth.client_secret, code, *tokens):
        assert secret not in shown


# Clients and tokens for tests


@pytest.mark.parametrize("over", ["in process", "a socket"])
async def test_oauth_app_reaches_the_simulator(over: str) -> None:
    sim = Simulator()
    async with sim.serve() as url:
        app = sim.oauth_app("https://localhost/back", ["users_read"], base_url=None if over == "in process" else url)
        token = await app.exchange(sim.issue_code(scopes=app.scopes))
        assert token.account_url == ("http://127.0.0.1" if over == "in process" else url)
        newer = await app.refresh(token)
        assert newer.account_url == token.account_url
        assert (await app.identity(newer)).email == "henry.gardner@ws.com"
        with pytest.raises(errors.AuthError, match="Cannot decrypt the refresh token"):
            await app.refresh(token)
    assert sim.oauth.redirect_uri == app.redirect_uri == "https://localhost/back"
    assert sim.oauth.live_pair().refresh_token == newer.refresh_token
    async with sim.session(AccessToken(newer.access_token)) as ws:
        assert (await ws.me()).id == 3993


async def test_client_credentials_and_options_can_be_set() -> None:
    sim = Simulator(client_id="42", client_secret="of-my-choice")
    app = sim.oauth_app(transport=sim.transport())
    assert (app.client_id, len(app.scopes)) == ("42", 17)
    wrong = attrs.evolve(app, client_secret="other")
    with pytest.raises(errors.AuthError, match="Client authentication failed"):
        await wrong.exchange(sim.issue_code())


async def test_an_issued_pair_is_like_one_from_a_login(sim: Simulator, raw: Raw, clock: SetClock) -> None:
    token = sim.issue_pair(scopes=["users_read"], expires_in=60)
    assert isinstance(token, Token)
    assert (token.issued_at, token.expires_at, token.account_url) == (NOW, NOW + 60, "http://127.0.0.1")
    assert await call_with(raw, token.access_token) == (200, "")
    clock.advance(60)
    assert await call_with(raw, token.access_token) == (401, "Access token is expired")
    newer = await sim.oauth_app().refresh(token)
    assert await call_with(raw, newer.access_token) == (200, "")
    assert sim.oauth.live_pair().scopes == {"users_read"}
    assert sim.issue_pair(account_url="http://127.0.0.1:8010").account_url == "http://127.0.0.1:8010"


async def test_the_lifetime_of_new_tokens_can_be_set(forms: OAuthForms) -> None:
    forms.sim.oauth.access_seconds = 2
    pair = await forms.exchange(forms.sim.issue_code())
    newer = await forms.refresh(pair["refresh_token"])
    assert pair["expires_in"] == newer["expires_in"] == 2
    assert forms.sim.issue_pair().expires_at == NOW + 2


def test_unknown_scopes_raise_an_error(sim: Simulator) -> None:
    for issue in (sim.issue_code, sim.issue_pair):
        with pytest.raises(ValueError, match="timers_read"):
            issue(scopes=["timers_read"])
    with pytest.raises(LookupError):
        sim.oauth.live_pair()
