"""Callbacks: ordinary functions are called; an ``async`` one is refused, because nothing awaits it."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from worksection_async import Session, TokenBucket
from worksection_async.errors import InvalidCall
from worksection_async.testing import Simulator

pytestmark = pytest.mark.anyio


async def coroutine_function(*_: object) -> None:
    raise AssertionError("it was awaited")


async def asynchronous_generator(*_: object) -> Any:
    yield None


class AsyncCallable:
    async def __call__(self, *_: object) -> None:
        raise AssertionError("it was awaited")

    async def method(self, *_: object) -> None:
        raise AssertionError("it was awaited")


ASYNC = {
    "function": coroutine_function,
    "generator": asynchronous_generator,
    "partial": functools.partial(coroutine_function, 1),
    "object": AsyncCallable(),
    "method": AsyncCallable().method,
    "mock": AsyncMock(),
}

Use = Callable[[Session, Any], Any]

USES: dict[str, Use] = {
    "download": lambda ws, callback: ws.download(1, Path(), callback),
    "download_all": lambda ws, callback: ws.download_all([1], Path(), callback),
    "iter_tasks": lambda ws, callback: ws.iter_tasks(progress=callback),
    "iter_costs": lambda ws, callback: ws.iter_costs(progress=callback),
    "with_options": lambda ws, callback: ws.with_options(on_wait=callback),
    "acquire": lambda ws, callback: ws.limiter.acquire(on_wait=callback),
}
with_each_use = pytest.mark.parametrize("use", USES.values(), ids=USES.keys())


async def call(use: Use, ws: Session, callback: Any) -> None:
    result = use(ws, callback)
    if hasattr(result, "__await__"):
        await result


@with_each_use
@pytest.mark.parametrize("callback", ASYNC.values(), ids=ASYNC.keys())
async def test_an_async_callback_is_refused_before_anything_is_sent(
    session_with: Callable[..., Session], use: Use, callback: Any
) -> None:
    async with session_with(lambda _: pytest.fail("a request was sent")) as ws:
        with pytest.raises(
            InvalidCall, match=r"(progress|on_wait) is async, but it is called and not awaited: "
        ) as caught:
            await call(use, ws, callback)
    assert str(caught.value).endswith("No request was sent.")


@with_each_use
@pytest.mark.parametrize("callback", ["print", 5, b"x"], ids=ascii)
async def test_an_object_that_cannot_be_called_is_refused(
    session_with: Callable[..., Session], use: Use, callback: Any
) -> None:
    async with session_with(lambda _: pytest.fail("a request was sent")) as ws:
        with pytest.raises(InvalidCall, match=f"must be a function, got {type(callback).__name__}"):
            await call(use, ws, callback)


def returning_coroutine(*args: object) -> object:
    return coroutine_function(*args)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # on trio, httpx leaves the body of an aborted download open
async def test_a_coroutine_as_the_result_of_a_download_is_refused_and_closed(tmp_path: Path) -> None:
    """Otherwise the coroutine would never run, and Python would only warn about it (an error in these tests)."""
    async with Simulator() as sim, sim.session() as ws:
        file = sim.add_file(sim.add_project("Moon"), "plan.pdf", b"x" * 1000)
        for use in (
            lambda: ws.download(file.id, tmp_path, returning_coroutine),
            lambda: ws.download_all([file.id], tmp_path, returning_coroutine),
        ):
            with pytest.raises(InvalidCall, match=r"^download: progress returned a coroutine") as caught:
                await use()
            assert caught.value.sent
            assert "No request was sent" not in str(caught.value)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_a_coroutine_as_the_result_of_a_stream_is_refused_and_closed() -> None:
    async with Simulator() as sim, sim.session() as ws:
        for stream in (ws.iter_tasks(progress=returning_coroutine), ws.iter_costs(progress=returning_coroutine)):
            with pytest.raises(InvalidCall, match="progress returned a coroutine") as caught:
                [record async for record in stream]
            assert not caught.value.sent
        assert sim.requests == []


async def test_a_coroutine_as_the_result_of_on_wait_is_refused_and_closed() -> None:
    limiter = TokenBucket(100)
    await limiter.acquire()
    with pytest.raises(InvalidCall, match=r"^get_users: on_wait returned a coroutine"):
        await limiter.acquire(on_wait=returning_coroutine, action="get_users")
    async with Simulator() as sim, sim.session(limiter=limiter) as ws:
        await limiter.acquire()
        with pytest.raises(InvalidCall, match="on_wait returned a coroutine"):
            await ws.with_options(on_wait=returning_coroutine).get_users()
        assert sim.requests == []
        assert await ws.get_users()  # the call that was refused left the queue


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_ordinary_callback_may_start_a_task(tmp_path: Path) -> None:
    reports = []

    async def report(done: int, total: int | None) -> None:
        reports.append((done, total))

    async with Simulator() as sim, sim.session() as ws:
        file = sim.add_file(sim.add_project("Moon"), "plan.pdf", b"x" * 1000)
        tasks: list[asyncio.Task[None]] = []
        await ws.download(file.id, tmp_path, lambda *args: tasks.append(asyncio.create_task(report(*args))))
        await ws.download(file.id, tmp_path / "b", lambda *args: asyncio.create_task(report(*args)))
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)
    assert reports == [(1000, 1000), (1000, 1000)]
