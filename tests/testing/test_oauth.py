"""OAuth2 for applications: codes, token pairs and their rotation, in the format captured from the service."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import httpx
import pytest

from tests.support.clocks import SetClock
from tests.support.constants import RECORDED
from worksection_async.testing import Simulator

from .conftest import NOW, OAuthForms, Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

CAPTURES = {path.stem: path.read_text("utf-8") for path in sorted(RECORDED.glob("oauth2_*.json"))}

CODE_MINUTES, ACCESS_HOURS, REFRESH_DAYS = 10, 24, 30

BAD_CODE = {"error": "invalid_request", "errorDescription": "Authorization code has been revoked"}
BAD_CLIENT = {"error": "invalid_client", "errorDescription": "Client authentication failed"}
BAD_REFRESH_TOKEN = {"error": "invalid_request", "errorDescription": "Cannot decrypt the refresh token"}
BAD_ACCESS_TOKEN = {"error": "not_authorized", "errorDescription": "Malformed UTF-8 characters"}


async def call_with(raw: Raw, access_token: str) -> tuple[int, str]:
    """Make a call with this token; return the HTTP status and the error message."""
    response = await attrs.evolve(raw, token=access_token).send("me")
    return response.status_code, response.json().get("message", "")


# Formats


@pytest.mark.skipif(not CAPTURES, reason=f"no captured replies in {RECORDED}")
@pytest.mark.parametrize("name", CAPTURES)
async def test_a_captured_request_gets_the_captured_reply(forms: OAuthForms, name: str) -> None:
    """The reply has the same keys in the same order, or the same error. The captures are POSTs with a query."""
    capture = json.loads(CAPTURES[name])
    action, _, outcome = name.removeprefix("oauth2_").partition(".")
    form = {
        "token": forms.form(**forms.for_code(forms.sim.issue_code())),
        "resource": forms.form(access_token=forms.sim.issue_token()),
    }[action]
    invalid = {"invalid_client": "client_secret", "invalid_request": "code", "not_authorized": "access_token"}
    if outcome in invalid:
        form[invalid[outcome]] = "invalid"
    response = await forms.http.post(f"/oauth2/{action}", params=form)
    body = response.json()
    assert response.status_code == capture["http_status"] == 200
    if outcome != "success":
        assert body == capture["body"]
        return
    assert [(key, type(value)) for key, value in body.items()] == [
        (key, type(value)) for key, value in capture["body"].items()
    ]
    for key in {"token_type", "expires_in", "id", "email"} & body.keys():
        assert body[key] == capture["body"][key]


async def test_tokens_have_the_format_of_the_service(forms: OAuthForms) -> None:
    """The access token is a JWT with user, scopes and expiry; the refresh token is ciphertext in hex."""
    kate = forms.sim.members[5686]
    pair = await forms.exchange(forms.sim.issue_code(kate, ["tasks_read", "costs_read"]))
    assert pair["access_token"].startswith("eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.")
    claims = json.loads(base64.urlsafe_b64decode(pair["access_token"].split(".")[1] + "=="))
    assert (claims["aud"], claims["sub"]) == (forms.sim.oauth.client_id, "5686")
    assert (claims["scopes"], claims["exp"]) == (["costs_read", "tasks_read"], NOW + ACCESS_HOURS * 3600)
    assert pair["refresh_token"].startswith("def502")
    assert bytes.fromhex(pair["refresh_token"])


@pytest.mark.parametrize("how", ["POST form", "POST query", "GET query"])
async def test_parameters_can_be_in_the_form_or_in_the_query(forms: OAuthForms, how: str) -> None:
    """The documentation posts a form; the clients of the vendor send a GET with a query."""
    method, _, where = how.partition(" ")

    async def send(name: str, **form: str) -> Any:
        return (await forms.http.request(method, f"/oauth2/{name}", **{placed[where]: forms.form(**form)})).json()  # type: ignore[arg-type]

    placed = {"form": "data", "query": "params"}
    pair = await send("token", **forms.for_code(forms.sim.issue_code()))
    newer = await send("refresh", grant_type="refresh_token", refresh_token=pair["refresh_token"])
    assert newer["access_token"] not in ("", pair["access_token"])


async def test_a_json_body_is_not_accepted(forms: OAuthForms) -> None:
    form = forms.form(**forms.for_code(forms.sim.issue_code()))
    assert (await forms.http.post("/oauth2/token", json=form)).json() == BAD_CLIENT


async def test_identity_requires_post(forms: OAuthForms) -> None:
    form = forms.form(access_token=forms.sim.issue_token())
    assert (await forms.http.get("/oauth2/resource", params=form)).status_code == 405


@pytest.mark.parametrize("host", ["127.0.0.1:8010", "acme.worksection.example"])
async def test_account_url_is_the_origin_of_the_request(forms: OAuthForms, host: str) -> None:
    forms.http.base_url = httpx.URL(f"https://{host}")
    pair = await forms.exchange(forms.sim.issue_code())
    identity = await forms.resource(pair["access_token"])
    assert pair["account_url"] == identity["account_url"] == f"https://{host}"


# Codes


async def test_a_code_is_exchanged_for_tokens_of_its_user(forms: OAuthForms, raw: Raw) -> None:
    kate = forms.sim.members[5686]
    pair = await forms.exchange(forms.sim.issue_code(kate, ["tasks_read"]))
    assert pair["expires_in"] == ACCESS_HOURS * 3600
    assert await forms.resource(pair["access_token"]) == {
        "id": "5686",
        "first_name": "Kate",
        "last_name": "Greenway",
        "email": "kate.greenway@ws.com",
        "account_url": "http://127.0.0.1",
    }
    user = attrs.evolve(raw, token=pair["access_token"])
    assert (await user("get_tasks", id_project=26))["status"] == "ok"
    assert (await user("post_task", id_project=26, title="no"))["message"] == "Access denied"


async def test_a_code_is_valid_once(forms: OAuthForms) -> None:
    code = forms.sim.issue_code()
    assert "access_token" in await forms.exchange(code)
    assert await forms.exchange(code) == BAD_CODE
    assert await forms.exchange("another") == BAD_CODE
    assert len(forms.sim.oauth.live_pairs()) == 1


@pytest.mark.parametrize(("seconds", "is_valid"), [(CODE_MINUTES * 60 - 1, True), (CODE_MINUTES * 60, False)])
async def test_a_code_expires_after_ten_minutes(
    forms: OAuthForms, clock: SetClock, seconds: int, is_valid: bool
) -> None:
    code = forms.sim.issue_code()
    clock.advance(seconds)
    assert ("access_token" in await forms.exchange(code)) is is_valid


@pytest.mark.parametrize("uri", ["https://localhost:33443/callback/", "https://localhost:33443/Callback", ""])
async def test_a_code_is_valid_only_for_its_redirect_uri(forms: OAuthForms, uri: str) -> None:
    assert await forms.exchange(forms.sim.issue_code(), redirect_uri=uri) == BAD_CODE


@pytest.mark.parametrize("wrong", [{"client_id": "another"}, {"client_secret": "another"}, {"client_secret": ""}])
async def test_wrong_client_credentials_are_refused_and_invalidate_nothing(
    forms: OAuthForms, wrong: dict[str, str]
) -> None:
    """The code and the token pair stay valid."""
    code, pair = forms.sim.issue_code(), forms.sim.issue_pair()
    assert await forms.exchange(code, **wrong) == BAD_CLIENT
    assert await forms.refresh(str(pair.refresh_token), **wrong) == BAD_CLIENT
    assert await forms.resource(pair.access_token, **wrong) == BAD_CLIENT
    assert "access_token" in await forms.exchange(code)
    assert "access_token" in await forms.refresh(str(pair.refresh_token))


async def test_each_path_requires_its_grant_type(forms: OAuthForms) -> None:
    code, pair = forms.sim.issue_code(), forms.sim.issue_pair()
    for body in (
        await forms.exchange(code, grant_type="refresh_token"),
        await forms.exchange(code, grant_type=""),
        await forms.refresh(str(pair.refresh_token), grant_type="authorization_code"),
    ):
        assert body["error"] == "unsupported_grant_type"
    assert "access_token" in await forms.exchange(code)


# Rotation


async def test_refresh_invalidates_the_old_pair(forms: OAuthForms, raw: Raw) -> None:
    """The new pair has the same user and scopes; the reply has no account URL."""
    kate = forms.sim.members[5686]
    old = await forms.exchange(forms.sim.issue_code(kate, ["users_read"]))
    new = await forms.refresh(old["refresh_token"])
    assert list(new) == ["token_type", "expires_in", "access_token", "refresh_token"]
    assert await call_with(raw, old["access_token"]) == (401, "Invalid token")
    assert await forms.refresh(old["refresh_token"]) == BAD_REFRESH_TOKEN
    assert await forms.resource(old["access_token"]) == BAD_ACCESS_TOKEN

    live = forms.sim.oauth.live_pair(kate.id)
    assert (live.access_token, live.refresh_token) == (new["access_token"], new["refresh_token"])
    assert live.scopes == {"users_read"}
    assert (await forms.resource(new["access_token"]))["id"] == "5686"
    assert await call_with(raw, new["access_token"]) == (200, "")
    assert forms.sim.oauth.refreshes == 1


async def test_an_expired_access_token_can_be_refreshed(forms: OAuthForms, raw: Raw, clock: SetClock) -> None:
    old = await forms.exchange(forms.sim.issue_code())
    clock.advance(ACCESS_HOURS * 3600)
    assert await call_with(raw, old["access_token"]) == (401, "Access token is expired")
    new = await forms.refresh(old["refresh_token"])
    assert await call_with(raw, old["access_token"]) == (401, "Invalid token")
    assert await call_with(raw, new["access_token"]) == (200, "")


@pytest.mark.parametrize(("seconds", "is_valid"), [(REFRESH_DAYS * 86400 - 1, True), (REFRESH_DAYS * 86400, False)])
async def test_a_refresh_token_expires_after_30_days(
    forms: OAuthForms, clock: SetClock, seconds: int, is_valid: bool
) -> None:
    pair = forms.sim.issue_pair()
    clock.advance(seconds)
    assert len(forms.sim.oauth.live_pairs()) == is_valid
    assert ("access_token" in await forms.refresh(str(pair.refresh_token))) is is_valid
    assert forms.sim.oauth.refreshes == is_valid


async def test_access_and_refresh_tokens_are_not_interchangeable(forms: OAuthForms) -> None:
    pair = forms.sim.issue_pair()
    assert await forms.refresh(pair.access_token) == BAD_REFRESH_TOKEN
    assert await forms.resource(str(pair.refresh_token)) == BAD_ACCESS_TOKEN


async def test_token_pairs_are_independent(forms: OAuthForms) -> None:
    """This holds for pairs of different users and for pairs of one user."""
    oauth, kate = forms.sim.oauth, forms.sim.members[5686]
    his, hers, hers_too = forms.sim.issue_pair(), forms.sim.issue_pair(kate), forms.sim.issue_pair(kate)
    new = await forms.refresh(str(hers.refresh_token))
    assert oauth.live_pair(forms.sim.owner.id).access_token == his.access_token
    tokens = [pair.access_token for pair in oauth.live_pairs(kate.id)]
    assert tokens == [hers_too.access_token, new["access_token"]]
    assert len(oauth.live_pairs()) == 3


def test_only_one_of_concurrent_refreshes_succeeds() -> None:
    sim = Simulator()
    pair = sim.issue_pair()
    form = {"client_id": sim.oauth.client_id, "client_secret": sim.oauth.client_secret, "grant_type": "refresh_token"}
    with sim.serve() as url, ThreadPoolExecutor(8) as threads:
        send = lambda _: httpx.post(f"{url}/oauth2/refresh", data=form | {"refresh_token": str(pair.refresh_token)})  # noqa: E731
        bodies = [response.json() for response in threads.map(send, range(8))]
    (won,) = [body for body in bodies if "access_token" in body]
    assert bodies.count(BAD_REFRESH_TOKEN) == 7
    assert (sim.oauth.refreshes, sim.oauth.live_pair().access_token) == (1, won["access_token"])
