"""The CPU time of a call compared with a request by bare httpx: without a rate limit, with a transport in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import anyio
import httpx

from tests.bench.measure import Comparison
from worksection_async import AccessToken, ApiKey, Session, TokenBucket
from worksection_async._auth.credentials import Auth
from worksection_async._transport.call_events import Observer

BODY = b'{"status":"ok","data":{"id":"26","name":"Owl brand launch","page":"/project/26/"}}'
CALLS = 50
"""Calls per run: a run is so short that some runs are not disturbed on a busy machine."""

RUNS = 200


def compare() -> Iterator[Comparison]:
    ours = math.nan
    auths: dict[str, Auth] = {
        "hash": ApiKey("key"),
        "signed header": ApiKey("key", scheme="signature"),
        "access token": AccessToken("token"),
    }
    for name, auth in auths.items():
        ours, bare = anyio.run(microseconds_per_call, auth)
        yield Comparison(f"a call, {name} / bare httpx", ours, bare, "us", 3.5)
    yield Comparison("the record of a call with on_call=None / the call", unobserved_microseconds(), ours, "us", 0.01)


def unobserved_microseconds() -> float:
    """Return the time that a call spends on its events if `on_call` is not set."""
    observer, best = Observer(None), math.inf
    for _ in range(RUNS):
        start = time.process_time()
        for _ in range(CALLS):
            with observer.call("get_project", "normal") as record:
                with record.wait():
                    pass
                with record.attempt():
                    record.replied(200)
        best = min(best, time.process_time() - start)
    return best / CALLS * 1e6


async def microseconds_per_call(auth: Auth) -> tuple[float, float]:
    """Return the time of a call of a session, and of a request and decoding by bare httpx."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=BODY))
    url = "https://acme.worksection.com/api/admin/v2/?action=get_project&id_project=26"
    ours, bare = 1.0, 1.0
    async with (
        Session("acme", auth, transport=transport, limiter=TokenBucket(1e9)) as ws,
        httpx.AsyncClient(transport=transport) as client,
    ):
        for _ in range(RUNS):
            start = time.process_time()
            for _ in range(CALLS):
                await ws.get_project(26)
            between = time.process_time()
            for _ in range(CALLS):
                (await client.get(url)).json()
            ours, bare = min(ours, between - start), min(bare, time.process_time() - between)
    return ours / CALLS * 1e6, bare / CALLS * 1e6
