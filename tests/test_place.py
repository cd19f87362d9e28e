"""A turn comes a moment early, so that the request can be made ready; it leaves when the turn has come, not before."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
import trio
import trio.testing
from tcp import REPLY, Server, answer, serve
from virtual_time import on_virtual_time

from worksection_async import ApiKey, FileTokenBucket, Session, TokenBucket, errors
from worksection_async._budget import AHEAD
from worksection_async._http import _Progress
from worksection_async._pace import FIRST_MARGIN, Slot, Visit
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

    def reply(server: Server, connection: Any) -> None:
        while connection.recv(65536):
            came.append(time.monotonic())
            connection.sendall(REPLY)

    async def left(self: Place) -> None:
        turns.append(self._granted_at)
        await once(self)

    once = Place.left
    monkeypatch.setattr(Place, "left", left)
    server = serve(reply)
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


def test_a_turn_that_came_while_a_connection_was_made_is_void() -> None:
    """Somebody else may be about to leave: the request gets the next turn, ahead of those who are in no hurry."""

    async def main() -> None:
        limiter, start, slow = TokenBucket(clock=trio.current_time), trio.current_time(), []
        await limiter.acquire()
        first = place(limiter)
        await first.turn()
        others: list[float] = []

        async def call() -> None:
            await limiter.acquire()
            others.append(trio.current_time() - start)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(call)
            await trio.sleep(1.3)  # connecting
            await first.comes()
            slow.append(trio.current_time() - start)
            await first.left()
        gaps = [later - earlier for earlier, later in itertools.pairwise(sorted([*others, *slow]))]
        assert min(gaps) >= 1
        assert slow[0] < max(others)

    on_virtual_time(main)


@pytest.mark.parametrize("then", ["used", "given up"])
def test_a_refusal_voids_turns_that_have_been_given(then: str) -> None:
    async def main() -> None:
        limiter, start = TokenBucket(clock=trio.current_time), trio.current_time()
        await limiter.acquire()
        first = place(limiter)
        await first.turn()
        await limiter.refused(retry_after=30)
        if then == "used":
            await first.comes()
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(limiter.acquire)
                await trio.testing.wait_all_tasks_blocked()
                await first.leave()
        assert trio.current_time() - start >= 31

    on_virtual_time(main)


class Far(TokenBucket):
    """A bucket that takes 0.02 s there, and as much back."""

    async def _advance(self, held: Slot | None, trip: float) -> Visit:
        await trio.sleep(0.02)
        visit = await super()._advance(held, trip)
        await trio.sleep(0.02)
        return visit


@pytest.mark.parametrize("others", [1, 5])
@pytest.mark.parametrize("after", [0.0, 0.005, 0.025, 0.3])
def test_no_slot_is_lost_when_a_turn_is_passed_on_to_somebody_who_is_asking(others: int, after: float) -> None:
    async def main() -> None:
        limiter, went = Far(clock=trio.current_time), list[float]()
        await limiter.acquire()
        first = place(limiter)
        first.enter()

        async def give_up() -> None:
            await first.turn()
            await trio.sleep(after)
            await first.leave()

        async def call() -> None:
            own = place(limiter)
            await own.turn()
            await own.comes()
            went.append(trio.current_time())
            await own.left()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_up)
            await trio.sleep(0.001)
            for _ in range(others):
                tasks.start_soon(call)
        gaps = [later - earlier for earlier, later in itertools.pairwise(went)]
        assert all(1 <= gap < 1.5 for gap in gaps), gaps
        assert limiter._held is None
        await call()
        assert 1 <= went[-1] - went[-2] < 1.5

    on_virtual_time(main)


@pytest.mark.anyio
async def test_a_write_that_ran_out_of_time_before_its_moment_was_not_sent(serve: Callable[..., Server]) -> None:
    """Over a connection that was kept, so that nothing but the moment is waited for."""
    server = serve(answer)
    limiter = TokenBucket(1)
    async with Session(server.url, ApiKey("key"), limiter=limiter, retries=0) as ws:
        await ws.get_tasks(1)
        limiter._ahead = 0.5  # so that the time for the call ends while it waits
        with pytest.raises(errors.CallTimeout) as caught:
            await ws.with_options(timeout=0.2).add_user("a@example.com")
    assert not caught.value.sent
    assert len(server.received) == 1


class Told:
    """A departure that notes what it is told."""

    def __init__(self) -> None:
        self.what: list[str] = []

    async def comes(self) -> None:
        self.what.append("comes")

    async def left(self) -> None:
        self.what.append("left")


@pytest.mark.anyio
async def test_an_answer_to_a_request_that_could_not_be_written_uses_its_turn() -> None:
    """Some services say no before they have read everything, and hang up."""
    told = Told()
    progress = _Progress(told)
    request = httpx.Request("GET", "http://example.com")
    await progress("http11.send_request_headers.started", {"request": request_of(request)})
    await progress("http11.send_request_headers.failed", {"exception": OSError()})
    assert told.what == ["comes", "left"]
    assert progress.may_have_arrived


@pytest.mark.anyio
async def test_asking_a_proxy_for_a_tunnel_is_not_the_request() -> None:
    told = Told()
    progress = _Progress(told)
    for method in ("CONNECT", "POST"):
        request = request_of(httpx.Request(method, "http://example.com"))
        await progress("http11.send_request_headers.started", {"request": request})
        await progress("http11.send_request_headers.complete", {"return_value": None})
        told.what.append(method)
    assert told.what == ["CONNECT", "comes", "left", "POST"]


def request_of(request: httpx.Request) -> SimpleNamespace:
    """As httpcore tells of it."""
    return SimpleNamespace(method=request.method.encode())


@pytest.mark.anyio
async def test_who_gives_up_is_told_nothing_of_a_bucket_that_failed(tmp_path: Path) -> None:
    """A cancelled call is cancelled, and nothing else."""
    limiter = FileTokenBucket(tmp_path / "folder" / "bucket")
    await limiter.acquire()
    with anyio.move_on_after(0.2) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(limiter.acquire)
            await anyio.sleep(0.1)
            shutil.rmtree(tmp_path / "folder")
    assert scope.cancelled_caught


@pytest.mark.anyio
@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.usefixtures("no_pauses")
async def test_a_file_that_is_busy_for_a_moment_fails_nothing(
    coalesce: bool, tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError("busy")] * 2
    open_ = FileTokenBucket._open

    def fail_at_first(self: FileTokenBucket) -> Any:
        if failures:
            raise failures.pop()
        return open_(self)

    monkeypatch.setattr(FileTokenBucket, "_open", fail_at_first)
    limiter = FileTokenBucket(tmp_path / "bucket")
    async with Session(serve(answer).url, ApiKey("key"), limiter=limiter, coalesce=coalesce) as ws:
        assert await ws.get_tasks(1)
    assert not failures
