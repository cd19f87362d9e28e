"""Fixtures for tests of the simulator: raw HTTP calls with signatures independent of the simulator and the client."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import attrs
import httpx
import pytest

from tests.support.clocks import SetClock
from worksection_async.testing import Simulator

NOW = 1_609_848_000  # 2021-01-05 12:00:00 UTC


@attrs.define
class Raw:
    """Calls actions over HTTP and returns the JSON of the replies."""

    http: httpx.AsyncClient
    sim: Simulator
    clock: SetClock
    token: str = ""

    async def __call__(self, action: str, **params: Any) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((await self.send(action, **params)).content)
        return body

    async def data(self, action: str, **params: Any) -> Any:
        """Return ``data`` of a successful reply."""
        body = await self(action, **params)
        assert body["status"] == "ok", body
        return body["data"]

    async def send(self, action: str, **params: Any) -> httpx.Response:
        """Post JSON, with the token if there is one, else with the signed header."""
        path = "/api/oauth2" if self.token else "/api/admin/v2"
        headers = {"Authorization": f"Bearer {self.token}" if self.token else self.signature(action)}
        return await self.http.post(path, params={"action": action}, json=params, headers=headers)

    async def upload(self, action: str, files: list[tuple[str, tuple[str, bytes]]], **params: Any) -> Any:
        """Post files, with the parameters in the query."""
        headers = {"Authorization": self.signature(action)}
        query = {"action": action, **params}
        response = await self.http.post("/api/admin/v2", params=query, files=files, headers=headers)
        return response.json()

    def signature(self, action: str, at: int | None = None) -> str:
        time = int(self.clock.time()) if at is None else at
        digest = hmac.new(self.sim.api_key.encode(), f"{action}:{time}".encode(), hashlib.sha256).hexdigest()
        return f"Admin {time}_{digest}"

    def hashed(self, **params: Any) -> str:
        """Return a query with the documented hash."""
        return self.with_hash(urlencode(params, doseq=True, quote_via=quote))

    def with_hash(self, query: str) -> str:
        return f"{query}&hash={hashlib.md5((query + self.sim.api_key).encode()).hexdigest()}"

    def as_user(self, email: str | None = None, **options: Any) -> "Raw":
        return attrs.evolve(self, token=self.sim.issue_token(email, **options))


@attrs.define
class OAuthForms:
    """Posts forms to the OAuth2 paths, with the credentials of the application, and returns the JSON of the replies."""

    http: httpx.AsyncClient
    sim: Simulator

    async def __call__(self, name: str, **form: str) -> dict[str, Any]:
        response = await self.http.post(f"/oauth2/{name}", data=self.form(**form))
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        body: dict[str, Any] = response.json()
        return body

    def form(self, **form: str) -> dict[str, str]:
        return {"client_id": self.sim.oauth.client_id, "client_secret": self.sim.oauth.client_secret} | form

    async def exchange(self, code: str, **form: str) -> dict[str, Any]:
        return await self("token", **self.for_code(code) | form)

    def for_code(self, code: str) -> dict[str, str]:
        return {"grant_type": "authorization_code", "code": code, "redirect_uri": self.sim.oauth.redirect_uri}

    async def refresh(self, refresh_token: str, **form: str) -> dict[str, Any]:
        return await self("refresh", **{"grant_type": "refresh_token", "refresh_token": refresh_token} | form)

    async def resource(self, access_token: str, **form: str) -> dict[str, Any]:
        return await self("resource", access_token=access_token, **form)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOW)


@pytest.fixture
def sim(clock: SetClock) -> Simulator:
    """The demo account, at noon on 5 January 2021."""
    return Simulator(clock=clock)


@pytest.fixture
def empty(clock: SetClock) -> Simulator:
    return Simulator(seed="empty", clock=clock)


@pytest.fixture
async def raw(sim: Simulator, clock: SetClock) -> AsyncIterator[Raw]:
    async with httpx.AsyncClient(transport=sim.transport(), base_url="http://127.0.0.1") as http:
        yield Raw(http, sim, clock)


@pytest.fixture
async def bare(empty: Simulator, clock: SetClock) -> AsyncIterator[Raw]:
    """Like `raw`, with an empty account."""
    async with httpx.AsyncClient(transport=empty.transport(), base_url="http://127.0.0.1") as http:
        yield Raw(http, empty, clock)


@pytest.fixture
def forms(raw: Raw) -> OAuthForms:
    return OAuthForms(raw.http, raw.sim)
