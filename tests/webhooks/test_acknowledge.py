"""`WebhookReceiver(acknowledge="after")`: the handler is awaited before the answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

import anyio
import pytest

from tests.support.webhook_deliveries import EVENT, OK, RecordingHandler, body, client, record
from worksection_async.errors import InvalidCall
from worksection_async.models import Event
from worksection_async.webhooks import WebhookReceiver
from worksection_async.webhooks import receiver as module

pytestmark = pytest.mark.anyio


async def test_the_response_waits_for_the_handler() -> None:
    handler, answers = RecordingHandler(), []
    handler.block()

    async def deliver() -> None:
        answers.append(await http.post("/", content=body(record(1), record(2))))

    async with WebhookReceiver(handler, acknowledge="after") as receiver, client(receiver) as http:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliver)
            await handler.called.wait()
            await anyio.wait_all_tasks_blocked()
            assert answers == []
            handler.unblocked.set()
        assert answers[0].json() == OK
        assert handler.object_ids == [1, 2]


async def test_a_failed_handler_is_answered_with_500_and_the_event_is_not_remembered() -> None:
    attempts: list[str] = []

    async def handler(event: Event) -> None:
        attempts.append(str(event.object.id))
        if attempts == ["1"]:
            raise LookupError("the queue is down")

    async with WebhookReceiver(handler, acknowledge="after") as receiver, client(receiver) as http:
        answers = [await http.post("/", content=body(record(1), record(2))) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500, 200, 200]
    assert attempts == ["1", "2", "1"]
    assert (receiver.statistics().failed, receiver.statistics().handled, receiver.statistics().waiting) == (1, 2, 0)


async def test_a_slow_handler_is_answered_with_503_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ACKNOWLEDGE_SECONDS", 0.01)
    handler = RecordingHandler()
    handler.block()
    async with WebhookReceiver(handler, acknowledge="after") as receiver, client(receiver) as http:
        assert (await http.post("/", content=EVENT)).status_code == 503
        again = await http.post("/", content=EVENT)
        assert again.json() == OK, "a repetition of an event that is being handled is dropped"
        handler.unblocked.set()
    assert handler.object_ids == [9]
    assert "handled for too long" in caplog.text


async def test_a_repetition_is_answered_with_ok_although_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it may have taken long, but there is nothing to wait for."""
    monkeypatch.setattr(module, "ACKNOWLEDGE_SECONDS", -1.0)
    handler = RecordingHandler()
    handler.block()
    async with WebhookReceiver(handler, acknowledge="after") as receiver, client(receiver) as http:
        answers = [(await http.post("/", content=EVENT)).status_code for _ in range(3)]
        handler.unblocked.set()
    assert answers == [503, 200, 200]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("acknowledge", ["before", "after"])
async def test_a_handler_that_awaits_something_cancelled_fails_alone(acknowledge: Literal["before", "after"]) -> None:
    """The worker goes on: the task of the handler was not cancelled."""
    handled: list[int] = []

    async def handler(event: Event) -> None:
        if not handled:
            handled.append(0)
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        handled.append(event.object.id)

    async with WebhookReceiver(handler, acknowledge=acknowledge) as receiver, client(receiver) as http:
        await http.post("/", content=body(record(1)))
        assert (await http.post("/", content=body(record(2)))).json() == OK
    assert handled == [0, 2]
    assert (receiver.statistics().failed, receiver.statistics().handled) == (1, 1)


def test_the_answer_comes_before_the_timeout_of_the_service() -> None:
    assert module.ACKNOWLEDGE_SECONDS == 4


async def test_a_body_without_events_is_answered_at_once() -> None:
    handler = RecordingHandler()
    async with WebhookReceiver(handler, acknowledge="after") as receiver, client(receiver) as http:
        for content in (b"", b"[]", b"\xff"):
            assert (await http.post("/", content=content)).json() == OK


async def test_closing_the_receiver_waits_for_the_handler_of_an_open_request(caplog: pytest.LogCaptureFixture) -> None:
    handler, answers = RecordingHandler(), []
    handler.block()

    async def deliver() -> None:
        answers.append((await http.post("/", content=EVENT)).status_code)

    caplog.set_level(logging.ERROR)
    async with (
        client(receiver := WebhookReceiver(handler, acknowledge="after")) as http,
        anyio.create_task_group() as tasks,
        receiver,
    ):
        tasks.start_soon(deliver)
        await handler.called.wait()
        handler.unblocked.set()
    assert (handler.object_ids, answers, caplog.text) == ([9], [200], "")


@pytest.mark.parametrize("word", ["later", None, True])
def test_another_word_is_refused(word: object) -> None:
    with pytest.raises(InvalidCall, match='acknowledge must be "before" or "after"'):
        WebhookReceiver(RecordingHandler(), acknowledge=word)  # type: ignore[arg-type]
