"""A turn comes a moment early, so that the request can be made ready; it leaves when the turn has come, not before."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
import trio
import trio.testing
from tcp import REPLY, Server, serve
from virtual_time import on_virtual_time

from worksection_async import ApiKey, Session, TokenBucket, errors
from worksection_async._limiter import AHEAD
from worksection_async._pace import FIRST_MARGIN
from worksection_async._place import Place
from worksection_async._sleep import GRAIN, sleep_until

__all__ = ["serve"]

SECOND_TURN = 1 + FIRST_MARGIN
"""Seconds from the first turn of a bucket to the second."""


def place(limiter: TokenBucket) -> Place:
    return Place(limiter=limiter, action="me", lane="normal", max_wait=None, on_wait=None)


def session(limiter: TokenBucket, handler: Callable[[httpx.Request], httpx.Response]) -> Session:
    transport = httpx.MockTransport(handler)
    return Session("example", ApiKey("key"), limiter=limiter, transport=transport, coalesce=False, retries=0)


def test_a_turn_is_known_a_moment_before_it_comes() -> None:
    async def main() -> None:
        limiter, start = TokenBucket(clock=trio.current_time), trio.current_time()
        await limiter.acquire()
        second = place(limiter)
        await second.turn()
        assert trio.current_time() - start == pytest.approx(SECOND_TURN - AHEAD)
        await second.comes()
        assert trio.current_time() - start == pytest.approx(SECOND_TURN)

    on_virtual_time(main)


def test_at_high_rates_the_moment_is_shorter() -> None:
    async def main() -> None:
        limiter = TokenBucket(1000, clock=trio.current_time)
        await limiter.acquire()
        second = place(limiter)
        await second.turn()
        before = trio.current_time()
        await second.comes()
        assert 0 < trio.current_time() - before <= 0.0002

    on_virtual_time(main)


@pytest.mark.parametrize("reason", ["cancelled", "failed"])
def test_a_turn_that_was_not_used_goes_to_the_next_at_once(reason: str) -> None:
    async def main() -> None:
        limiter, start, went = TokenBucket(clock=trio.current_time), trio.current_time(), []
        await limiter.acquire()
        scope = anyio.CancelScope()

        async def give_up() -> None:
            first = place(limiter)
            with scope:
                try:
                    await first.turn()
                    assert reason == "cancelled"
                    await first.comes()
                finally:
                    await first.leave()

        async def fail() -> None:
            with pytest.raises(AssertionError):
                await give_up()

        async def call() -> None:
            await limiter.acquire()
            went.append(trio.current_time())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_up if reason == "cancelled" else fail)
            await trio.testing.wait_all_tasks_blocked()
            tasks.start_soon(call)
            await trio.sleep(SECOND_TURN - AHEAD / 2)
            scope.cancel()
        assert went == [pytest.approx(start + SECOND_TURN)]
        assert limiter.statistics().granted == 2

    on_virtual_time(main)


def test_a_turn_that_was_used_stays_with_its_call() -> None:
    async def main() -> None:
        limiter = TokenBucket(clock=trio.current_time)
        first = place(limiter)
        await first.turn()
        await first.comes()
        await first.left()
        await first.leave()
        assert limiter.statistics().granted == 1
        start = trio.current_time()
        await limiter.acquire()
        assert trio.current_time() - start == pytest.approx(SECOND_TURN)

    on_virtual_time(main)


def test_transports_that_tell_nothing_get_requests_when_their_turn_has_come() -> None:
    async def main() -> None:
        came: list[float] = []

        def note(_: httpx.Request) -> httpx.Response:
            came.append(trio.current_time())
            return httpx.Response(200, json={"status": "ok", "data": []})

        async with session(TokenBucket(clock=trio.current_time), note) as ws, anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ws.get_tasks, 1)
        assert len(came) == 20
        assert min(after - before for before, after in itertools.pairwise(came)) >= 1

    on_virtual_time(main)


def test_a_call_cancelled_when_its_turn_was_near_costs_nothing() -> None:
    async def main() -> None:
        came: list[str] = []

        def note(request: httpx.Request) -> httpx.Response:
            came.append(request.url.params["action"])
            return httpx.Response(200, json={"status": "ok", "data": []})

        limiter = TokenBucket(clock=trio.current_time)
        async with session(limiter, note) as ws, anyio.create_task_group() as tasks:
            await limiter.acquire()
            start = trio.current_time()
            for call in (ws.get_users, ws.add_user):
                scope = anyio.CancelScope()
                tasks.start_soon(given_up, scope, call)
                await trio.testing.wait_all_tasks_blocked()
                await trio.sleep(start + SECOND_TURN - AHEAD / 2 - trio.current_time())
                assert limiter.statistics().granted == 2
                scope.cancel()
                await trio.testing.wait_all_tasks_blocked()
                assert limiter.statistics().granted == 1
            await ws.get_tasks(1)
            assert trio.current_time() - start == pytest.approx(SECOND_TURN)
        assert came == ["get_tasks"]

    on_virtual_time(main)


async def given_up(scope: anyio.CancelScope, call: Callable[..., Awaitable[object]]) -> None:
    with scope:
        await (call() if call.__name__ == "get_users" else call("a@example.com"))


@pytest.mark.anyio
async def test_over_a_connection_no_request_leaves_before_its_turn(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[float] = []
    turns: list[float] = []

    def answer(server: Server, connection: Any) -> None:
        while connection.recv(65536):
            came.append(time.monotonic())
            connection.sendall(REPLY)

    async def left(self: Place) -> None:
        turns.append(self._granted_at)
        await once(self)

    once = Place.left
    monkeypatch.setattr(Place, "left", left)
    server = serve(answer)
    async with Session(server.url, ApiKey("key"), limiter=TokenBucket(50)) as ws, anyio.create_task_group() as tasks:
        for number in range(1, 11):
            tasks.start_soon(ws.get_tasks, number)
    assert len(came) == len(turns) == 10
    assert all(arrival >= turn for arrival, turn in zip(sorted(came), turns, strict=True))


@pytest.mark.anyio
async def test_a_call_that_could_not_connect_leaves_its_turn_to_the_next() -> None:
    limiter = TokenBucket()
    async with Session("http://127.0.0.1:1", ApiKey("key"), limiter=limiter, retries=0) as ws:
        with pytest.raises(errors.TransportError):
            await ws.get_tasks(1)
    assert limiter.statistics().granted == 0
    assert limiter.eta() < GRAIN


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.0003, 0.0051])
async def test_a_sleep_is_never_too_short(seconds: float) -> None:
    moment = time.monotonic() + seconds
    await sleep_until(moment, time.monotonic)
    assert time.monotonic() >= moment - 1e-9
