"""`Registration`: an open receiver keeps exactly one active webhook of its URL, and says what it does in the log."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.login_harness import free_port
from tests.support.secrecy import Log
from tests.support.webhook_deliveries import EVENT, OK, RecordingHandler, client
from tests.support.webhook_servers import in_fastapi, served
from worksection_async import AccessToken, ApiKey, Session, TokenBucket
from worksection_async._transport.call_events import CallEvent
from worksection_async._transport.http import Http
from worksection_async.errors import InvalidCall, SessionClosed
from worksection_async.testing import Simulator, VirtualClock
from worksection_async.webhooks import Registration, WebhookReceiver
from worksection_async.webhooks.probe import ANOTHER_PROGRAM, Probe, Problem

pytestmark = pytest.mark.anyio

URL = "https://hooks.test/7f3c9a/"
PROBE = b'{"worksection_async_probe": "%s"}' % (b"0" * 32)
HOUR = 3600.0
DAY = 24 * HOUR
CREDENTIALS: dict[str, Any] = {"username": "worksection", "password": "a long secret"}


@pytest.fixture
def handler() -> RecordingHandler:
    return RecordingHandler()


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worksection_async")


def said(caplog: pytest.LogCaptureFixture, level: int = logging.NOTSET) -> list[str]:
    """Return what was logged about the registration, from *level* on."""
    return [record.message for record in caplog.records if record.module == "registrar" and record.levelno >= level]


@attrs.frozen
class Account:
    """A simulated account on a virtual clock, with the service's rate limit."""

    sim: Simulator
    ws: Session
    id_project: int

    def receiver(self, handler: Any = None, url: str = URL, password: str = "a long secret", **more: Any) -> Any:
        options = {name: more.pop(name) for name in ("acknowledge",) if name in more}
        registration = Registration(self.ws, url, **more)
        return WebhookReceiver(
            handler or RecordingHandler(), register=registration, username="worksection", password=password, **options
        )

    @property
    def urls(self) -> list[str]:
        return [webhook.url for webhook in self.sim.webhooks.values()]

    @property
    def calls(self) -> list[str]:
        return [request.action for request in self.sim.requests]

    async def post_task(self) -> int:
        """Post a task, and deliver its event; return its ID."""
        task = self.sim.add_task(self.id_project, "Launch")
        await self.sim.emit("post", task)
        return task.id

    async def lose_events(self) -> None:
        """Let the service pause the webhook, after ten deliveries to another program."""
        self.sim.connect(URL, PlainTextResponse("the application crashed", 500))
        for _ in range(10):
            await self.post_task()


@asynccontextmanager
async def account(**options: Any) -> AsyncIterator[Account]:
    async with Simulator(seed="empty", rate=1.0, clock=VirtualClock()) as sim, sim.session(**options) as ws:
        yield Account(sim, ws, sim.add_project("Moon").id)


async def registered(receiver: WebhookReceiver) -> int:
    """Wait for a day of virtual time at most."""
    with anyio.fail_after(DAY):
        return await receiver.registered()


# Registering


async def test_the_webhook_is_registered_when_the_receiver_is_reachable(handler: RecordingHandler) -> None:
    """It is opened in a start-up hook, before its server listens."""
    async with account() as it:
        receiver = it.receiver(handler, projects=[it.id_project], events=["post_task", "close_task"])
        async with receiver:
            await anyio.sleep(20)
            assert it.urls == []
            it.sim.connect(URL, receiver)
            number = await registered(receiver)
            (webhook,) = await it.ws.get_webhooks()
            assert (webhook.id, webhook.url, webhook.projects) == (number, URL, (it.id_project,))
            assert (set(webhook.events), webhook.status) == ({"post_task", "close_task"}, "active")
            posted = await it.post_task()
        assert handler.object_ids == [posted]
        assert [delivery.ok for delivery in it.sim.deliveries] == [True]
        assert it.urls == [URL]  # it stays registered when the receiver is closed


async def test_a_webhook_with_the_same_settings_stays(caplog: pytest.LogCaptureFixture) -> None:
    """A restart costs one call."""
    async with account() as it:
        receiver = it.receiver(events=["close_task", "post_task"])
        it.sim.connect(URL, receiver)
        async with receiver:
            number = await registered(receiver)
        caplog.clear()
        it.sim.requests.clear()
        receiver = it.receiver(events=["post_task", "close_task"])
        async with receiver:
            assert await registered(receiver) == number
        assert it.calls == ["get_webhooks"]
    assert said(caplog) == [f"webhook {number} of https://hooks.test/… is active (registered already)"]


@pytest.mark.parametrize("before", [{"events": ["post_task"]}, {"projects": []}, {"url": "https://hooks.test/other"}])
async def test_earlier_webhooks_of_the_url_are_replaced_and_others_stay(before: dict[str, Any]) -> None:
    async with account() as it:
        settings: dict[str, Any] = {"url": URL, "events": ["post_task", "close_task"], "projects": [it.id_project]}
        earlier = [await it.ws.add_webhook(**settings | before) for _ in range(2)]
        receiver = it.receiver(projects=[it.id_project], events=["post_task", "close_task"])
        it.sim.connect(URL, receiver)
        async with receiver:
            number = await registered(receiver)
        assert number not in earlier
        assert list(it.sim.webhooks) == [*(earlier if "url" in before else []), number]


async def test_a_webhook_stays_if_its_projects_are_given_as_text() -> None:
    """Such as those of an environment variable."""
    async with account() as it:
        for _ in range(2):
            it.sim.connect(URL, receiver := it.receiver(projects=[str(it.id_project)]))
            async with receiver:
                await registered(receiver)
    assert it.calls.count("add_webhook") == 1


async def test_a_receiver_can_be_opened_again() -> None:
    async with account() as it:
        receiver = it.receiver()
        it.sim.connect(URL, receiver)
        for _ in range(2):
            async with receiver:
                number = await registered(receiver)
            await it.ws.delete_webhook(number)
        with pytest.raises(InvalidCall, match="open receiver"):
            await receiver.registered()
    with pytest.raises(InvalidCall, match="needs register=Registration"):
        await WebhookReceiver(RecordingHandler()).registered()


class Waiter:
    """A task that waits for the registration of a receiver."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def wait(self, receiver: WebhookReceiver) -> None:
        with pytest.raises((InvalidCall, SessionClosed)) as caught:
            await registered(receiver)
        self.error = caught.value


async def test_closing_the_receiver_ends_the_wait_for_its_registration() -> None:
    async with account() as it, anyio.create_task_group() as tasks:
        async with it.receiver() as receiver:
            tasks.start_soon((waiter := Waiter()).wait, receiver)
            await anyio.sleep(10)
        await anyio.wait_all_tasks_blocked()
        assert isinstance(waiter.error, InvalidCall)
        assert "the receiver was closed before its webhook was registered" in str(waiter.error)


async def test_closing_the_receiver_ends_the_wait_after_a_loss() -> None:
    async with account() as it, anyio.create_task_group() as tasks:
        receiver = it.receiver(check_every=60)
        it.sim.connect(URL, receiver)
        async with receiver:
            number = await registered(receiver)
            it.sim.connect(URL, PlainTextResponse("Not Found", 404))
            await it.ws.delete_webhook(number)
            await anyio.sleep(100)
            tasks.start_soon((waiter := Waiter()).wait, receiver)
            await anyio.sleep(1)
        await anyio.wait_all_tasks_blocked()
        assert isinstance(waiter.error, InvalidCall)


@pytest.mark.parametrize("is_reachable", [True, False])
async def test_a_closed_session_ends_the_wait_for_the_registration(*, is_reachable: bool) -> None:
    async with account() as it, anyio.create_task_group() as tasks:
        receiver = it.receiver()
        async with receiver:
            tasks.start_soon((waiter := Waiter()).wait, receiver)
            await anyio.sleep(10)
            await it.ws.aclose()
            it.sim.connect(URL, receiver if is_reachable else PlainTextResponse("Not Found", 404))
            await anyio.sleep(600)
            assert isinstance(waiter.error, SessionClosed)
            with pytest.raises(SessionClosed, match="the session is closed"):
                await registered(receiver)


# The URL leads elsewhere, or nowhere


async def _echo(request: Request) -> Response:
    return Response(await request.body())


ELSEWHERE = [
    (RedirectResponse("https://hooks.test/login"), "ends with a slash) (HTTP 307)"),
    (JSONResponse({"status": "UNAUTHORIZED"}, 401), "refuses the credentials"),
    (PlainTextResponse("Not Found", 404), "nothing is served at this path"),
    (PlainTextResponse("Method Not Allowed", 405), "does not accept POST"),
    (PlainTextResponse("Bad Gateway", 502), "cannot reach the application (HTTP 502)"),
    (PlainTextResponse("I'm a teapot", 418), "another program answers there"),
    (JSONResponse(OK), "another program answers there"),
    (PlainTextResponse("x" * 100_000), "another program answers there"),
    (Starlette(routes=[Route("/{path:path}", _echo, methods=["POST"])]), "another program answers there"),
    (WebhookReceiver(RecordingHandler()), "not open"),
]


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize(("app", "what"), ELSEWHERE, ids=[what for _, what in ELSEWHERE])
async def test_another_program_at_the_url_is_not_registered(
    caplog: pytest.LogCaptureFixture, app: Any, what: str
) -> None:
    """Not even one that answers OK. The log says what is there, and pauses grow to five minutes."""
    async with account() as it:
        it.sim.connect(URL, app)
        async with it.receiver():
            await anyio.sleep(DAY)
        assert it.urls == []
        assert it.calls == ["get_webhooks"]
    lines = said(caplog)
    assert all(what in line and "The next attempt follows in" in line for line in lines)
    assert 280 < len(lines) < 380
    assert said(caplog, logging.WARNING) == lines[4:]  # a server may take some seconds to start


async def test_a_receiver_with_another_password_at_the_url_is_not_mistaken_for_it() -> None:
    async with account() as it:
        it.sim.connect(URL, WebhookReceiver(RecordingHandler(), username="worksection", password="earlier"))
        async with it.receiver():
            await anyio.sleep(HOUR)
            assert it.urls == []
        async with WebhookReceiver(RecordingHandler()) as without_password:  # it would accept any credentials
            it.sim.connect(URL, without_password)
            async with it.receiver():
                await anyio.sleep(HOUR)
                assert it.urls == []


async def test_an_answer_from_a_cache_is_no_proof() -> None:
    async with account() as it:
        async with WebhookReceiver(RecordingHandler(), **CREDENTIALS) as former, client(former) as http:
            answer = await http.post("/", content=PROBE, auth=tuple(CREDENTIALS.values()))
        it.sim.connect(URL, Response(answer.content, media_type="application/json"))
        async with it.receiver():
            await anyio.sleep(HOUR)
        assert set(it.calls) == {"get_webhooks"}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536
            await anyio.lowlevel.checkpoint()  # the server notices the closed connection

    async def stream(_: Request) -> Response:
        return StreamingResponse(endless())

    async with served(Starlette(routes=[Route("/", stream, methods=["POST"])])) as url:
        problem = await Probe(url, None, lambda origin: Http(origin, None)).problem()
    assert problem == Problem(ANOTHER_PROGRAM)


async def test_the_service_decides_if_this_machine_cannot_reach_the_url(caplog: pytest.LogCaptureFixture) -> None:
    """Some networks do not let a machine call its own address. The simulator accepts any URL of other machines."""
    async with account() as it, it.receiver(url="https://public.example.com/hooks/7f3c9a/") as receiver:
        await anyio.sleep(30)
        assert it.urls == []
        await registered(receiver)
        assert it.urls == ["https://public.example.com/hooks/7f3c9a/"]
    (warning,) = said(caplog, logging.WARNING)[-1:]
    assert warning.startswith("https://public.example.com/… cannot be reached from this machine: it did not answer (")


async def test_a_refused_registration_is_repeated_after_growing_pauses(
    caplog: pytest.LogCaptureFixture, handler: RecordingHandler
) -> None:
    """Nobody answers, neither to this machine nor to the service. The receiver itself works."""
    async with account() as it:
        url = "http://127.0.0.1:1/7f3c"  # so short that it would not be masked as a long word
        async with it.receiver(handler, url) as receiver, client(receiver, auth=tuple(CREDENTIALS.values())) as http:
            await anyio.sleep(DAY)
            assert (await http.post("/", content=EVENT)).json() == OK
    assert handler.object_ids == [9]
    errors = said(caplog, logging.ERROR)
    assert 20 < len(errors) < 40
    assert Counter(it.calls)["add_webhook"] == len(errors)
    assert "Url should respond 200" in errors[0]
    assert "it must be reachable from the internet" in errors[0]
    assert "7f3c" not in errors[0]


@pytest.mark.parametrize("kind", ["error", "reset"])
async def test_a_failed_call_of_the_service_is_repeated(caplog: pytest.LogCaptureFixture, kind: Any) -> None:
    async with account(retries=0) as it:
        receiver = it.receiver()
        it.sim.connect(URL, receiver)
        it.sim.fail("get_webhooks", kind if kind == "reset" else "server_error", times=2)
        async with receiver:
            await registered(receiver)
        assert it.urls == [URL]
    errors = said(caplog, logging.ERROR)
    assert len(errors) == 2
    assert all("the next attempt follows in" in error for error in errors)


async def test_a_missing_permission_is_reported_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    async with account() as it:
        token = AccessToken(it.sim.issue_token(scopes=["tasks_read"]))
        ws = it.sim.session(token)
        async with ws, WebhookReceiver(RecordingHandler(), register=Registration(ws, URL)):
            await anyio.sleep(DAY)
        assert 20 < len(it.calls) < 40
    assert "The session needs the admin key, or a token of an administrator with" in caplog.text


async def test_an_unexpected_error_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account() as it:
        receiver = it.receiver()
        it.sim.connect(URL, receiver)
        with monkeypatch.context() as patch:
            patch.setattr(Session, "get_webhooks", lambda _: 1 / 0)
            async with receiver:
                await anyio.sleep(1)
                patch.undo()
                await registered(receiver)
    assert "ZeroDivisionError" in caplog.text
    assert it.urls == [URL]


async def test_a_closed_session_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async with account() as it:
        receiver = it.receiver()
        it.sim.connect(URL, receiver)
        async with receiver:
            await registered(receiver)
            await it.ws.aclose()
            await anyio.sleep(DAY)
    (error,) = said(caplog, logging.ERROR)
    assert error.endswith("its session is closed. Keep the session open as long as the receiver")


# Looking after it


async def test_a_paused_webhook_is_registered_again(
    caplog: pytest.LogCaptureFixture, handler: RecordingHandler
) -> None:
    """Ten deliveries met another program. The log says which events are missing."""
    async with account() as it:
        receiver = it.receiver(handler)
        it.sim.connect(URL, receiver)
        async with receiver:
            first = await registered(receiver)
            await it.lose_events()
            assert it.sim.webhooks[first].status == "paused"
            await anyio.sleep(1.2 * HOUR)
            it.sim.connect(URL, receiver)
            assert await registered(receiver) == first + 1
            posted = await it.post_task()
        assert list(it.sim.webhooks) == [first + 1]
        assert handler.object_ids == [posted]
    warning = said(caplog, logging.WARNING)[0]
    assert warning.startswith(f"the service has paused webhook {first} of https://hooks.test/…, as it does after 10 ")
    assert "`ws.events_since` reads those" in warning


async def test_a_deleted_webhook_is_registered_again(caplog: pytest.LogCaptureFixture) -> None:
    async with account() as it:
        receiver = it.receiver(check_every=60)
        it.sim.connect(URL, receiver)
        async with receiver:
            first = await registered(receiver)
            await it.ws.delete_webhook(first)
            await anyio.sleep(100)
            assert list(it.sim.webhooks) == [first + 1]
    assert f"webhook {first} of https://hooks.test/… no longer exists" in caplog.text


async def test_a_day_costs_one_call_per_hour_in_the_bulk_lane() -> None:
    """The limiter is free while the service calls the receiver: the calls of the program are not delayed."""
    events: list[CallEvent] = []
    async with account(on_call=events.append) as it:
        receiver = it.receiver()
        it.sim.connect(URL, receiver)
        async with receiver:
            await registered(receiver)
            await anyio.sleep(DAY)
    assert {event.lane for event in events} == {"bulk"}
    counts = Counter(it.calls)
    assert counts.pop("add_webhook") == 1
    assert counts.keys() == {"get_webhooks"}
    assert 24 <= counts["get_webhooks"] <= 31


async def test_an_earlier_password_is_noticed_with_the_first_event(
    caplog: pytest.LogCaptureFixture, handler: RecordingHandler
) -> None:
    """The service does not say with which password a webhook is registered."""
    async with account() as it:
        earlier = it.receiver(password="earlier")
        it.sim.connect(URL, earlier)
        async with earlier:
            first = await registered(earlier)
        receiver = it.receiver(handler)
        it.sim.connect(URL, receiver)
        async with receiver:
            assert await registered(receiver) == first
            await it.post_task()
            await anyio.sleep(60)
            assert list(it.sim.webhooks) == [first + 1]
            posted = await it.post_task()
            async with client(receiver) as http:  # a stranger, from now on, changes nothing
                assert (await http.post("/", content=EVENT)).status_code == 401
            await anyio.sleep(60)
            assert list(it.sim.webhooks) == [first + 1]
        assert [delivery.status for delivery in it.sim.deliveries] == [401, 200]
        assert handler.object_ids == [posted]
    assert "maybe with an earlier password" in caplog.text


async def test_the_service_may_write_the_url_in_another_way() -> None:
    """Each start then registers again, but the webhooks do not accumulate."""
    async with account() as it:
        add_webhook = it.sim._world.add_webhook

        def lower_case(url: str, *args: Any, **more: Any) -> Any:
            return add_webhook(url.lower(), *args, **more)

        it.sim._world.add_webhook = lower_case  # type: ignore[method-assign]
        for _ in range(3):
            receiver = it.receiver(url="https://hooks.test/Secret/")
            it.sim.connect("https://hooks.test", receiver)
            async with receiver:
                await registered(receiver)
                await anyio.sleep(3 * HOUR)
            assert it.urls == ["https://hooks.test/secret/"]
        assert Counter(it.calls)["add_webhook"] == 3


async def test_leaving_the_context_stops_the_background_task() -> None:
    async with account() as it:
        async with it.receiver():
            await anyio.sleep(5)
        async with it.receiver():
            pass  # before the task has begun
        calls = len(it.calls)
        await anyio.sleep(DAY)
        assert len(it.calls) == calls


# Several processes behind one URL


class Balancer:
    """A load balancer: each request goes to the next of its workers."""

    def __init__(self, *workers: Any) -> None:
        self.workers = workers
        self._next = itertools.cycle(range(len(workers)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.workers[next(self._next)](scope, receive, send)


async def test_several_workers_leave_one_webhook(handler: RecordingHandler, caplog: pytest.LogCaptureFixture) -> None:
    """They start at the same moment, so that each of them finds no webhook and registers one."""
    async with account() as it, AsyncExitStack() as stack:
        workers = [it.receiver(handler) for _ in range(4)]
        it.sim.connect(URL, Balancer(*workers))
        for worker in workers:
            await stack.enter_async_context(worker)
        for worker in workers:
            await registered(worker)
        await anyio.sleep(60)
        assert Counter(it.calls)["add_webhook"] > 1
        assert it.urls == [URL]
        posted = [await it.post_task() for _ in range(8)]
        await anyio.sleep(DAY)
        assert list(it.sim.webhooks) == [await registered(worker) for worker in workers[:1]]
        assert Counter(it.calls)["add_webhook"] <= 4
    assert sorted(handler.object_ids) == posted
    assert said(caplog, logging.WARNING) == []


async def test_a_paused_webhook_of_several_workers_is_registered_once_again(handler: RecordingHandler) -> None:
    async with account() as it, AsyncExitStack() as stack:
        workers = [it.receiver(handler) for _ in range(3)]
        balancer = Balancer(*workers)
        it.sim.connect(URL, balancer)
        for worker in workers:
            await stack.enter_async_context(worker)
        await anyio.sleep(60)
        await it.lose_events()
        it.sim.connect(URL, balancer)
        it.sim.requests.clear()
        await anyio.sleep(2 * HOUR)
        assert Counter(it.calls)["add_webhook"] == 1  # their looks are at different times
        assert it.urls == [URL]
        assert len({await registered(worker) for worker in workers}) == 1


async def test_a_process_with_former_settings_does_not_replace_those_of_a_later_one() -> None:
    """During an update both run for a while."""
    async with account() as it:
        former, later = it.receiver(events=["post_task"]), it.receiver(events=["close_task"])
        it.sim.connect(URL, former)
        async with former:
            await registered(former)
            async with later:
                it.sim.connect(URL, Balancer(former, later))
                number = await registered(later)
                await anyio.sleep(DAY)
                (webhook,) = it.sim.webhooks.values()
                assert (webhook.id, webhook.events) == (number, ("close_task",))
                assert await registered(former) == number


@asynccontextmanager
async def during_an_update(it: Account, later: WebhookReceiver) -> AsyncIterator[WebhookReceiver]:
    """Yield a receiver with the former password that has found its webhook, like *later*."""
    async with it.receiver(password="former") as first:
        it.sim.connect(URL, first)
        number = await registered(first)
    async with it.receiver(password="former") as former, later:
        assert await registered(former) == await registered(later) == number
        yield former


async def test_a_process_with_a_former_password_does_not_take_the_webhook_back(handler: RecordingHandler) -> None:
    """During an update, a delivery with the later password can reach it: once or several times."""
    async with account() as it:
        later = it.receiver(handler)
        async with during_an_update(it, later) as former:
            it.sim.connect(URL, later)
            await it.post_task()
            await anyio.sleep(60)
            (number,) = it.sim.webhooks
            assert await registered(later) == number
            for _ in range(3):
                it.sim.connect(URL, former)
                await it.post_task()
                it.sim.connect(URL, Balancer(former, later))
                await anyio.sleep(2 * HOUR)
                assert list(it.sim.webhooks) == [number]
                assert await registered(former) == number
            it.sim.connect(URL, later)
            posted = await it.post_task()
        assert handler.object_ids == [posted]
        assert [delivery.status for delivery in it.sim.deliveries] == [401] * 4 + [200]


async def test_a_refused_delivery_does_not_replace_the_own_webhook() -> None:
    """A stranger sent it, or the service for the webhook of a later process."""
    async with account() as it:
        receiver = it.receiver()
        it.sim.connect(URL, receiver)
        async with receiver, client(receiver) as http:
            number = await registered(receiver)
            assert (await http.post("/", content=EVENT)).status_code == 401
            await anyio.sleep(2 * HOUR)
            assert list(it.sim.webhooks) == [number]


async def test_a_process_that_has_lost_its_webhook_leaves_that_of_a_later_process() -> None:
    """A delivery with the later password reaches it before it has seen the later webhook."""
    async with account() as it, during_an_update(it, it.receiver()) as former, client(former) as http:
        it.sim.connect(URL, PlainTextResponse("Bad Gateway", 502))
        for number in list(it.sim.webhooks):
            await it.ws.delete_webhook(number)
        await anyio.sleep(2 * HOUR)
        it.sim.connect(URL, JSONResponse(OK))
        number = await it.ws.add_webhook(URL, ["post_task"], http_user="worksection", http_pass="a long secret")
        assert (await http.post("/", content=EVENT, auth=tuple(CREDENTIALS.values()))).status_code == 401
        it.sim.connect(URL, former)
        assert await registered(former) == number
        await anyio.sleep(2 * HOUR)
        assert list(it.sim.webhooks) == [number]


async def test_tests_of_a_process_with_another_password_raise_no_suspicion() -> None:
    """Its question through the URL, and the call of the service when it registers, can reach a former process."""
    async with account() as it, during_an_update(it, it.receiver()) as former, client(former) as http:
        it.sim.connect(URL, former)
        it.sim.requests.clear()
        for body in (PROBE, b""):
            assert (await http.post("/", content=body, auth=tuple(CREDENTIALS.values()))).status_code == 401
            await anyio.sleep(60)
        assert it.calls == []
        assert (await http.post("/", content=EVENT, auth=tuple(CREDENTIALS.values()))).status_code == 401
        await anyio.sleep(60)
        assert "add_webhook" in it.calls


async def test_a_process_that_has_to_replace_a_former_password_is_not_stopped_by_a_former_process(
    handler: RecordingHandler,
) -> None:
    """Until it has registered its own password, a former process can register the former one again."""
    async with account() as it:
        later = it.receiver(handler)
        async with during_an_update(it, later):
            it.sim.connect(URL, later)
            it.sim.fail("add_webhook", "html_page")
            await it.post_task()
            await anyio.sleep(10)
            assert it.sim.unused_faults == []
            it.sim.connect(URL, JSONResponse(OK))
            again = await it.ws.add_webhook(URL, ["post_task"], http_user="worksection", http_pass="former")
            it.sim.connect(URL, later)
            assert await registered(later) > again
            posted = await it.post_task()
        assert handler.object_ids == [posted]


# Real servers


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_receiver_behind_a_real_server_registers_itself(handler: RecordingHandler) -> None:
    """The context is entered in the start-up hook of FastAPI, before uvicorn listens."""
    port = free_port()
    sim = Simulator(seed="empty")
    project = sim.add_project("Moon")
    async with sim.serve() as service, Session(service, ApiKey(sim.api_key), limiter=TokenBucket(1e6)) as ws:
        receiver = WebhookReceiver(handler, register=Registration(ws, f"http://127.0.0.1:{port}/hooks/"), **CREDENTIALS)
        async with served(in_fastapi(receiver), port):
            number = await receiver.registered()
            task = await ws.post_task(project.id, "Launch")
            await handler.called.wait()
        assert [webhook.id for webhook in await ws.get_webhooks()] == [number]
    assert handler.object_ids == [task.id]


WORKER = """
import logging, os
from worksection_async import Session, TokenBucket
from worksection_async.webhooks import Registration, WebhookReceiver
from worksection_async.webhooks.probe import ANOTHER_PROGRAM, Probe, Problem

logging.basicConfig(level=logging.INFO, format="%(process)d %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)

async def handler(event):
    logging.info("handled %d", event.object.id)

ws = Session.from_env(limiter=TokenBucket(1e6))
app = WebhookReceiver(handler, register=Registration(ws, os.environ["URL"]), username="u", password="p")
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_real_workers_of_one_server_leave_one_webhook(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(textwrap.dedent(WORKER))
    sim, port = Simulator(seed="empty"), free_port()
    project = sim.add_project("Moon")
    async with sim.serve() as service:
        variables = {
            "WORKSECTION_ACCOUNT": service, "WORKSECTION_API_KEY": sim.api_key,
            "URL": f"http://127.0.0.1:{port}/hooks",
        }  # fmt: skip
        command = [
            sys.executable, "-m", "uvicorn", "worker:app", "--workers", "2", "--port", str(port), "--no-access-log"
        ]  # fmt: skip
        process = await anyio.to_thread.run_sync(
            functools.partial(
                subprocess.Popen, command, cwd=tmp_path, env=os.environ | variables, stderr=subprocess.PIPE, text=True
            )
        )
        log = process.stderr
        assert log is not None
        lines: list[str] = []

        def read_until(is_done: Callable[[], bool]) -> None:
            while not is_done():
                lines.append(log.readline())
                assert lines[-1], lines

        def agree() -> bool:
            """Whether both workers have found or registered a webhook, and only one is left."""
            found = {match[1] for line in lines if (match := re.match(r"(\d+) webhook \d+ of .* is active", line))}
            return len(found) == 2 and len(sim.webhooks) == 1

        try:
            await anyio.to_thread.run_sync(read_until, agree)
            async with Session(service, ApiKey(sim.api_key), limiter=TokenBucket(1e6)) as ws:
                task = await ws.post_task(project.id, "Launch")
            await anyio.to_thread.run_sync(read_until, lambda: f" handled {task.id}\n" in lines[-1])
        finally:
            process.send_signal(signal.SIGINT)
            lines += await anyio.to_thread.run_sync(log.readlines)
            log.close()
            process.wait(60)
    assert [delivery.ok for delivery in sim.deliveries] == [True]
    assert "".join(lines).count(f" handled {task.id}\n") == 1


# Arguments and secrets


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"ws": None}, "ws must be a Session"),
        ({"url": "hooks.test/in"}, "url must be a URL without user and fragment"),
        ({"url": "ftp://hooks.test/in"}, "url must be"),
        ({"url": "https:///in"}, "url must be"),
        ({"url": "https://[::1/in"}, "url must be"),
        ({"url": "https://hooks.test:99999/"}, "url must be"),
        ({"url": "https://user:password@hooks.test/in"}, "url must be"),
        ({"url": "https://hooks.test/in#part"}, "url must be"),
        ({"url": None}, "url must be"),
        ({"url": "http://hooks.test/in"}, "https is required"),
        ({"events": ["post_taks"]}, "events: .*the nearest one is post_task"),
        ({"projects": ["x"]}, "projects: "),
        ({"projects": "26,27"}, "projects must be a sequence, got '26,27'"),
        ({"projects": iter([26])}, "projects must be a sequence, got <"),
        ({"events": "post_task,close_task"}, "events must be a sequence, got 'post_task"),
        ({"check_every": 0}, "check_every must be positive"),
        ({"check_every": float("nan")}, "check_every must be positive"),
    ],
)
async def test_invalid_arguments_are_refused_at_once(arguments: dict[str, Any], complaint: str) -> None:
    async with Simulator().session() as ws:
        options: dict[str, Any] = {"ws": ws, "url": URL} | arguments
        with pytest.raises(InvalidCall, match=complaint) as caught:
            Registration(options.pop("ws"), options.pop("url"), **options)
        assert "user:password" not in str(caught.value)
        Registration(ws, "http://localhost:8000")


async def test_neither_the_password_nor_the_path_is_logged(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    async with account() as it:
        receiver = it.receiver(password="geheim")
        async with receiver:
            await anyio.sleep(10)
            it.sim.connect(URL, PlainTextResponse("", 404))
            await anyio.sleep(60)
            it.sim.connect(URL, receiver)
            await receiver.registered()
            await it.lose_events()
            await anyio.sleep(2 * HOUR)
    assert "geheim" not in "\n".join(log.texts)
    lines = said(caplog)
    assert {level for level in (20, 30) if len(said(caplog, level)) > len(said(caplog, level + 10))} == {20, 30}
    assert "7f3c9a" not in "\n".join(lines)


async def test_httpx_does_not_log_the_path_of_a_probe(log: Log) -> None:
    async with account() as it, it.receiver():
        it.sim.connect(URL, PlainTextResponse("", 404))
        await anyio.sleep(10)
    assert 'HTTP Request: POST https://hooks.test/ "HTTP/1.1 404 Not Found"' in log.texts
    assert "7f3c9a" not in "\n".join(log.texts)


async def test_a_probe_is_answered_only_with_the_credentials_and_by_an_open_receiver() -> None:
    receiver = WebhookReceiver(handler := RecordingHandler(), **CREDENTIALS)
    async with client(receiver) as http:
        assert (await http.post("/", content=PROBE, auth=tuple(CREDENTIALS.values()))).status_code == 503
        async with receiver:
            assert (await http.post("/", content=PROBE)).status_code == 401
            answer = await http.post("/", content=PROBE, auth=tuple(CREDENTIALS.values()))
    assert answer.json().keys() == {"status", "proof"}
    assert handler.events == []
