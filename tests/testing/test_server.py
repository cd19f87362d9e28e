"""The simulator on a real socket."""

import threading

import anyio
import httpx
import pytest

from tests.support.clocks import SetClock
from worksection_async import ApiKey, Session, TokenBucket, errors
from worksection_async.testing import Simulator, faults

pytestmark = pytest.mark.anyio


def session(url: str, sim: Simulator, **options: float) -> Session:
    return Session(url, ApiKey(sim.api_key), limiter=TokenBucket(rate=1_000_000), retries=0, **options)  # type: ignore[arg-type]


async def test_a_session_works_over_a_socket() -> None:
    sim = Simulator()
    async with sim.serve() as url, session(url, sim) as ws:
        assert url.startswith("http://127.0.0.1:")
        task = await ws.post_task(26, "From afar")
        assert [one.id for one in await ws.get_tasks(26)][-1] == task.id
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("worksection-sim")] == []


async def test_replies_are_compressed_if_the_client_accepts_gzip() -> None:
    sim = Simulator()
    query = {"action": "get_all_tasks", "access_token": sim.issue_token()}
    async with sim.serve() as url, httpx.AsyncClient(base_url=url) as http, session(url, sim) as ws:
        plain = await http.get("/api/oauth2", params=query, headers={"Accept-Encoding": "identity"})
        compressed = await http.get("/api/oauth2", params=query)
        for accepted in ("gzip;q=0, deflate", "gzip; q=0.0", "br"):
            refused = await http.get("/api/oauth2", params=query, headers={"Accept-Encoding": accepted})
            assert "content-encoding" not in refused.headers
        sim.fail("get_users", "empty_body")
        empty = await http.get("/api/oauth2", params={**query, "action": "get_users"})
        assert (empty.headers["content-length"], "content-encoding" in empty.headers) == ("0", False)
        assert compressed.json() == plain.json()
        assert "content-encoding" not in plain.headers
        assert compressed.headers["content-encoding"] == "gzip"
        assert int(compressed.headers["content-length"]) < len(plain.content)
        assert len(await ws.get_all_tasks()) == len(plain.json()["data"])
    assert "gzip" in sim.requests[-1].headers["accept-encoding"]


async def test_the_date_of_replies_is_that_of_the_clock() -> None:
    sim = Simulator(clock=SetClock(1_780_000_000.5))
    query = {"action": "get_users", "access_token": "unknown"}
    async with sim.serve() as url, httpx.AsyncClient() as served, httpx.AsyncClient(transport=sim.transport()) as local:
        for http, base in ((served, url), (local, "http://127.0.0.1")):
            reply = await http.get(f"{base}/api/oauth2", params=query)
            assert reply.headers.get_list("date") == ["Thu, 28 May 2026 20:26:40 GMT"]


@pytest.mark.parametrize("executed", [False, True])
async def test_a_reset_drops_the_connection(executed: bool) -> None:
    sim = Simulator()
    sim.fail("post_task", faults.reset(executed=executed))
    async with sim.serve() as url, session(url, sim) as ws:
        with pytest.raises(errors.TransportError) as caught:
            await ws.post_task(26, "Once")
        assert caught.value.sent
        assert len(await ws.get_tasks(26)) == 2 + executed


async def test_a_timeout_fault_sends_nothing_until_the_client_disconnects() -> None:
    sim = Simulator()
    sim.fail("get_users", "timeout")
    async with sim.serve() as url, httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(30, read=0.1)) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/api/oauth2", params={"action": "get_users", "access_token": sim.issue_token()})


async def test_two_simulators_are_independent() -> None:
    one, other = Simulator(), Simulator(seed="empty")
    async with one.serve() as first, other.serve() as second, session(first, one) as ws, session(second, other) as ws2:
        assert len(await ws.get_users()) == 3
        assert [user.email for user in await ws2.get_users()] == ["owner@example.com"]


async def test_cancellation_stops_the_server() -> None:
    sim = Simulator()
    with anyio.move_on_after(0.05):
        async with sim.serve():
            await anyio.sleep_forever()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("worksection-sim")] == []


def test_a_server_can_be_stopped_immediately() -> None:
    for _ in range(3):
        with Simulator().serve():
            pass


def test_the_server_needs_no_event_loop_of_the_caller() -> None:
    sim = Simulator()
    with sim.serve() as url:
        reply = httpx.get(f"{url}/api/oauth2", params={"action": "me", "access_token": sim.issue_token()})
    assert reply.json()["data"]["role"] == "Owner"
