"""A call over loopback, and the conduct of clients: of the vendor's client, and of bare httpx with ten lines of code.

The service is a simulator on a socket. Each client gets the same situation; what it does is observed, not asserted.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from typing import Any, Protocol
from urllib.parse import urlencode

import anyio
import httpx
from worksection import Client  # type: ignore[import-untyped]

from tests.bench.measure import OURS, Comparison, Conduct, Result
from worksection_async import ApiKey, Session, TokenBucket
from worksection_async.testing import Simulator, faults

VENDOR, BARE = "worksection-api-client", "httpx"
CALLS, RUNS = 20, 40
RATE, AT_ONCE = 10.0, 10


class Peer(Protocol):
    """What all three clients can do, without `await`."""

    def project(self, number: int) -> object: ...

    def projects(self) -> list[Any]: ...

    def task(self, number: int) -> Any: ...


class Ours:
    def __init__(self, url: str, key: str, rate: float = 1e9) -> None:
        self._url, self._key, self._limiter = url, key, TokenBucket(rate)

    def _call(self, name: str, *arguments: object) -> Any:
        async def call() -> Any:
            async with Session(self._url, ApiKey(self._key), limiter=self._limiter) as ws:
                return await getattr(ws, name)(*arguments)

        return anyio.run(call)

    def project(self, number: int) -> object:
        return self._call("get_project", number)

    def projects(self) -> list[Any]:
        return list(self._call("get_projects"))

    def task(self, number: int) -> Any:
        return self._call("get_task", number)


class Vendor:
    def __init__(self, url: str, key: str, _: float = 0) -> None:
        self._client = Client(url).set_api_key(key)

    def project(self, number: int) -> object:
        return self._client.projects.get(number)

    def projects(self) -> list[Any]:
        return list(self._client.projects.list())

    def task(self, number: int) -> Any:
        return self._client.tasks.get(number)


class Bare:
    """Signs a request as documented, and returns ``data``."""

    def __init__(self, url: str, key: str, _: float = 0) -> None:
        self._url, self._key = url, key

    def _call(self, **params: object) -> Any:
        body = httpx.get(signed(self._url, self._key, **params)).json()
        if body["status"] != "ok":
            raise RuntimeError(body["message"])
        return body["data"]

    def project(self, number: int) -> object:
        return self._call(action="get_project", id_project=number)

    def projects(self) -> list[Any]:
        return list(self._call(action="get_projects"))

    def task(self, number: int) -> Any:
        return self._call(action="get_task", id_task=number)


PEERS: dict[str, Callable[..., Peer]] = {OURS: Ours, VENDOR: Vendor, BARE: Bare}


def signed(url: str, key: str, **params: object) -> str:
    query = urlencode(params)
    return f"{url}/api/admin/v2/?{query}&hash={md5((query + key).encode()).hexdigest()}"


def compare() -> Iterator[Result]:
    yield from speed()
    for case, observe in CASES.items():
        for name, peer in PEERS.items():
            yield Conduct(case, name, observe(peer))


# Speed


def speed() -> Iterator[Comparison]:
    sim = Simulator(seed="empty")
    number = sim.add_project("Moon").id
    with sim.serve() as url:
        ours, vendor, bare = microseconds_per_call(url, sim.api_key, number)
    yield Comparison("a call over loopback / the vendor's client", ours, vendor, "us", 2.0)
    yield Comparison("a call over loopback / bare httpx, one client", ours, bare, "us", 2.0)


def microseconds_per_call(url: str, key: str, number: int) -> tuple[float, float, float]:
    """Return the time of a call of a `Session`, of the vendor's client, and of one `httpx.AsyncClient`."""
    best = [math.inf] * 3
    vendor = Vendor(url, key)
    address = signed(url, key, action="get_project", id_project=number)

    async def awaited() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            await session.get_project(number)
        return time.perf_counter() - start

    async def requested() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            (await http.get(address)).json()
        return time.perf_counter() - start

    async def close() -> None:
        await session.aclose()
        await http.aclose()

    with asyncio.Runner() as runner:
        session, http = Session(url, ApiKey(key), limiter=TokenBucket(1e9)), httpx.AsyncClient()
        for _ in range(RUNS):
            start = time.perf_counter()
            for _ in range(CALLS):
                vendor.project(number)
            best[1] = min(best[1], time.perf_counter() - start)
            best[0] = min(best[0], runner.run(awaited()))
            best[2] = min(best[2], runner.run(requested()))
        runner.run(close())
    ours, other, bare = (seconds / CALLS * 1e6 for seconds in best)
    return ours, other, bare


# Conduct: each function returns how the client failed, or an empty text


def calls_at_once(make: Callable[..., Peer]) -> str:
    sim = Simulator(seed="empty", rate=RATE)
    numbers = [sim.add_project(f"P{number}").id for number in range(AT_ONCE)]
    with sim.serve() as url, ThreadPoolExecutor(AT_ONCE) as threads:
        peer = make(url, sim.api_key, RATE)
        failed = sum(future.exception() is not None for future in [threads.submit(peer.project, it) for it in numbers])
    return f"{failed} of {AT_ONCE} calls failed: the service refused them" if failed else ""


def empty_account(make: Callable[..., Peer]) -> str:
    sim = Simulator(seed="empty")
    with sim.serve() as url:
        return difference(lambda: make(url, sim.api_key).projects(), [])


def typed_reply(make: Callable[..., Peer]) -> str:
    sim = Simulator(seed="empty")
    day = dt.date(2027, 3, 1)
    task = sim.add_task(sim.add_project("Moon"), "Launch", date_end=day)

    def read() -> list[object]:
        found = make(url, sim.api_key).task(task.id)
        return [found[name] if isinstance(found, dict) else getattr(found, name) for name in ("id", "date_end")]

    with sim.serve() as url:
        return difference(read, [task.id, day])


def page_of_a_proxy(make: Callable[..., Peer]) -> str:
    sim = Simulator(seed="empty")
    number = sim.add_project("Moon").id
    sim.fail("get_project", faults.server_error(502))
    with sim.serve() as url:
        try:
            make(url, sim.api_key).project(number)
        except Exception as error:  # noqa: BLE001  # the report shows any error of a client
            return f"{type(error).__name__}: {error}"
    return ""


def credential_in_logs(make: Callable[..., Peer]) -> str:
    texts: list[str] = []
    sim = Simulator(seed="empty")
    number = sim.add_project("Moon").id
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        with sim.serve() as url:
            make(url, sim.api_key).project(number)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    hashes = [request.query.decode().partition("hash=")[2][:32] for request in sim.requests]
    shown = [text for text in texts if any(each and each in text for each in hashes)]
    return "the hash of the request, which is valid for that request for good, is in the log" if shown else ""


def difference(read: Callable[[], object], expected: object) -> str:
    try:
        found = read()
    except Exception as error:  # noqa: BLE001  # the report shows any error of a client
        return f"{type(error).__name__}: {error}"
    return "" if found == expected else f"expected {expected}, got {str(found)[:120]}"


CASES: dict[str, Callable[[Callable[..., Peer]], str]] = {
    f"{AT_ONCE} calls at once, at a limit of {RATE:g} requests per second": calls_at_once,
    "a page 502 of a proxy instead of the first reply": page_of_a_proxy,
    "the projects of an account without projects": empty_account,
    "the id and the due date of a task": typed_reply,
    "logging at level INFO shows no credential": credential_in_logs,
}
