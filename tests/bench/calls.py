"""What a call costs beyond the HTTP client it stands on: limiter off, transport in memory."""

from __future__ import annotations

import time

import anyio
import httpx

from tests.bench.measure import Figure
from worksection_async import AccessToken, ApiKey, Session, TokenBucket
from worksection_async._auth.credentials import Auth

BODY = b'{"status":"ok","data":{"id":"26","name":"Owl brand launch","page":"/project/26/"}}'
CALLS = 50
"""In one go: few enough that some goes come between the bursts of a busy machine."""

GOES = 200


def figures() -> list[Figure]:
    auths: dict[str, Auth] = {
        "hash": ApiKey("key"),
        "signed header": ApiKey("key", scheme="signature"),
        "access token": AccessToken("token"),
    }
    return [anyio.run(compared, name, auth) for name, auth in auths.items()]


async def compared(name: str, auth: Auth) -> Figure:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=BODY))
    url = "https://acme.worksection.com/api/admin/v2/?action=get_project&id_project=26"
    async with (
        Session("acme", auth, transport=transport, limiter=TokenBucket(1e9)) as ws,
        httpx.AsyncClient(transport=transport) as client,
    ):
        best = [1.0, 1.0]
        for _ in range(GOES):
            start = time.perf_counter()
            for _ in range(CALLS):
                await ws.get_project(26)
            between = time.perf_counter()
            for _ in range(CALLS):
                (await client.get(url)).json()
            best = [min(best[0], between - start), min(best[1], time.perf_counter() - between)]
    ours, other = (seconds / CALLS * 1e6 for seconds in best)
    return Figure(f"a call, {name} / bare httpx", ours, other, "us", 150, absolute=True)
