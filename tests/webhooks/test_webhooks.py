"""Webhooks: bodies are read, the receiver answers first and loses nothing it has accepted."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hmac
import json
import logging
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import anyio
import anyio.abc
import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from worksection_async import errors
from worksection_async.models import Event
from worksection_async.testing import Simulator
from worksection_async.webhooks import UnreadableEvent, WebhookReceiver, WebhookStatistics, parse_events
from worksection_async.webhooks.deduplication import MAX_KEYS_PER_OBJECT, RecentEvents

OK = {"status": "OK"}


def record(number: int = 9, action: str = "update", type: str = "task", **more: Any) -> dict[str, Any]:
    """An event as the service writes it into a webhook."""
    return {
        "action": action,
        "object": {"type": type, "id": str(number), "page": "/task/9/"},
        "date_added": "2026-01-02 03:04",
        "user_from": {"id": "41", "email": "ada@example.com", "name": "Ada Byron"},
        "new": {"priority": 7},
        "old": {"priority": ""},
        **more,
    }


def body(*records: Any) -> bytes:
    return json.dumps(records).encode()


EVENT = body(record())

# Bodies


@pytest.mark.parametrize(
    "text",
    [
        EVENT,
        EVENT.decode(),
        json.dumps(record()),
        json.dumps(EVENT.decode()),
        json.dumps([json.dumps(record())]),
        "\ufeff" + EVENT.decode() + "\r\n",
        urlencode({"payload": EVENT}),
        urlencode({EVENT: ""}),
        quote(EVENT),
        body(record(object={"type": "task", "id": 9, "page": "/task/9/"})),
    ],
)
def test_the_same_event_in_any_wrapping(text: bytes | str) -> None:
    (event,) = parse_events(text)
    assert (event.kind, event.id_task, event.id_project) == ("update_task", 9, None)
    assert event == parse_events(EVENT)[0]
    assert event.new == {"priority": 7}
    assert event.date_added == dt.datetime(2026, 1, 2, 3, 4)


def test_a_form_of_single_fields() -> None:
    (event,) = parse_events("action=close&object[type]=task&object[id]=9&object%5Bpage%5D=/task/9/&new=")
    assert (event.kind, event.id_task, event.new) == ("close_task", 9, {})


@pytest.mark.parametrize(
    "text", ["", b" \n", "ping", "null", "true", "1", "[]", "{}", '""', '"test"', '{"test": 1}', "ping=1", "[[]]"]
)
def test_what_tells_of_nothing_is_no_error(text: bytes | str) -> None:
    assert parse_events(text) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"\xff\xfe", "$"),
        (EVENT[:-1], "$"),
        ("<html>502</html>", "$"),
        ("[" * 100_000, "$"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "$"),
        ('{"events": [{"action": "post"}]}', "$.action"),
        (body(record(), record(object={"type": "task", "page": "/task/9/"})), "$[1].object.id"),
        (body(record(object=None)), "$[0].object"),
        (body(record(date_added="yesterday")), "$[0].date_added"),
        ("a[b]=1&a[b][c]=2", "$"),
        ("[[[[[[1]]]]]]", "$[0][0][0][0]"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: bytes | str, path: str) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        parse_events(text)
    assert caught.value.path == path
    assert isinstance(caught.value, errors.UnexpectedReply)
    assert not caught.value.sent
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_the_service_has_since_invented_is_kept() -> None:
    (event,) = parse_events(body(record(action="archive", type="milestone", batch="x1", old=[], new=[])))
    assert (event.kind, event.id_task, event.extra) == ("archive_milestone", 9, {"batch": "x1"})
    (event,) = parse_events('{"action": "archive", "object": {"id": 1}}')
    assert (event.kind, event.id_task, event.id_project) == ("archive", None, None)


@pytest.mark.parametrize(
    ("type_", "page", "task", "project"),
    [
        ("comment", "/task/9/", 9, None),
        ("comment", "/project/7/9/#com77", 9, 7),
        ("comment", "/project/7/8/9/", 9, 7),
        ("comment", "/project/7/", None, 7),
        ("comment", "", None, None),
        ("comment", "/task/12345678901234567890/", None, None),
        ("task", "/project/7/8/77/", 77, 7),
        ("task", "", 77, None),
        ("project", "/project/77/", None, 77),
        ("project", "", None, 77),
    ],
)
def test_tasks_and_projects_are_found_in_both_kinds_of_pages(
    type_: str, page: str, task: int | None, project: int | None
) -> None:
    (event,) = parse_events(body(record(object={"type": type_, "id": "77", "page": page})))
    assert (event.id_task, event.id_project) == (task, project)


def test_date_times_get_the_time_zone_and_the_key_stays() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    (aware,), (naive,) = parse_events(EVENT, tz=zone), parse_events(EVENT)
    assert aware.date_added is not None
    assert aware.date_added.tzinfo is zone
    assert aware.key == naive.key


def test_the_key_knows_what_differs() -> None:
    others = [
        record(10),
        record(action="post"),
        record(type="comment"),
        record(new={}),
        record(date_added="2026-01-03"),
    ]
    assert len({event.key for event in parse_events(body(record(), *others))}) == 6


def test_the_key_does_not_mind_where_an_event_comes_from() -> None:
    elsewhere = record(object={"type": "task", "id": 9, "page": "/project/7/9/"})
    assert parse_events(body(elsewhere))[0].key == parse_events(EVENT)[0].key


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["action", "object", "new", "type", "id"]), inner),
)


@given(st.binary() | st.text() | _JSON.map(json.dumps) | _JSON.map(lambda it: urlencode({"a[b]": json.dumps(it)})))
def test_any_body_is_read_or_refused(anything: bytes | str) -> None:
    with contextlib.suppress(UnreadableEvent):
        assert all(isinstance(event, Event) and event.key and event.kind for event in parse_events(anything))


# Repetitions


def events(*numbers: tuple[int, str]) -> list[Event]:
    return parse_events(body(*(record(number, action) for number, action in numbers)))


def test_a_repetition_is_what_came_last_for_the_same_thing() -> None:
    recent = RecentEvents(10)
    close, reopen, other = events((1, "close"), (1, "reopen"), (2, "close"))
    for delivery, new in (
        ([close], [close]),
        ([close], []),
        ([other], [other]),
        ([close], []),
        ([reopen], [reopen]),
        ([close], [close]),  # closed again, within the same minute
        ([close, reopen], [reopen]),
        ([close, reopen, other], []),
        ([close, close], [close]),
    ):
        assert recent.without_repetitions(delivery) == new
        recent.add(new)


def test_memory_is_bounded() -> None:
    recent = RecentEvents(3)
    for number in range(1, 100):
        recent.add(events((number, "close")))
        recent.add(events(*[(number, "update"), (number, "reopen")] * 100))
    assert len(recent._keys) == 3
    assert {len(keys) for keys in recent._keys.values()} == {MAX_KEYS_PER_OBJECT}


@given(st.lists(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["close", "reopen"])), max_size=6), max_size=6))
def test_a_delivery_that_comes_twice_in_a_row_is_new_once(deliveries: list[list[tuple[int, str]]]) -> None:
    recent = RecentEvents(10)
    for delivery in deliveries:
        recent.add(recent.without_repetitions(events(*delivery)))
        assert recent.without_repetitions(events(*delivery)) == []


# The receiver


class Sink:
    """A handler that remembers, and can be waited for and held up."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.open = anyio.Event()
        self.open.set()
        self.begun = anyio.Event()

    def hold(self) -> None:
        self.open = anyio.Event()

    async def __call__(self, event: Event) -> None:
        self.begun.set()
        await self.open.wait()
        self.events.append(event)
        if event.action == "fail":
            raise LookupError("the handler's own trouble")

    @property
    def numbers(self) -> list[int]:
        return [event.object.id for event in self.events]


@pytest.fixture
def sink() -> Sink:
    return Sink()


def client(app: Any, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hooks.test", **options)


@pytest.mark.anyio
async def test_events_reach_the_handler(sink: Sink) -> None:
    async with WebhookReceiver(sink) as receiver, client(receiver) as http:
        answer = await http.post("/any/path", content=body(record(1), record(2)))
        assert (answer.status_code, answer.json()) == (200, OK)
        assert answer.headers["content-type"] == "application/json"
    assert sink.numbers == [1, 2]
    assert receiver.statistics() == WebhookStatistics(
        received=2, handled=2, failed=0, duplicates=0, waiting=0, abandoned=0, unreadable=0, refused=0
    )


@pytest.mark.anyio
async def test_the_answer_does_not_wait_for_the_handler(sink: Sink) -> None:
    sink.hold()
    async with WebhookReceiver(sink) as receiver, client(receiver) as http:
        assert (await http.post("/", content=EVENT)).json() == OK
        await sink.begun.wait()
        assert (sink.events, receiver.statistics().waiting) == ([], 1)
        assert "1 waiting" in repr(receiver)
        sink.open.set()
    assert (sink.numbers, receiver.statistics().waiting) == ([9], 0)


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
async def test_any_request_is_answered(sink: Sink, method: str) -> None:
    async with WebhookReceiver(sink) as receiver, client(receiver) as http:
        answer = await http.request(method, "/")
        assert (answer.status_code, answer.headers["content-length"]) == (200, "15")
        assert answer.content == (b"" if method == "HEAD" else b'{"status":"OK"}')
    assert receiver.statistics().received == 0


@pytest.mark.anyio
async def test_what_comes_again_is_handled_once(sink: Sink) -> None:
    async with WebhookReceiver(sink) as receiver, client(receiver) as http:
        for _ in range(3):
            assert (await http.post("/", content=body(record(1), record(2)))).json() == OK
    assert sink.numbers == [1, 2]
    assert (receiver.statistics().received, receiver.statistics().duplicates) == (6, 4)


@pytest.mark.anyio
async def test_an_error_of_the_handler_stays_here(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    async with WebhookReceiver(sink) as receiver, client(receiver) as http:
        assert (await http.post("/", content=body(record(1, "fail"), record(2)))).json() == OK
    assert sink.numbers == [1, 2]
    assert (receiver.statistics().failed, receiver.statistics().handled) == (1, 1)
    (logged,) = [it for it in caplog.records if it.name == "worksection_async"]
    assert logged.getMessage() == "the handler failed for fail_task 1"
    assert logged.exc_info is not None


@pytest.mark.anyio
async def test_what_cannot_be_read_is_logged_and_the_rest_handled(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    async with WebhookReceiver(sink) as receiver, client(receiver) as http:
        answer = await http.post("/", content=body(record(1), {"action": "post"}, record(2)))
        assert (answer.status_code, answer.json()) == (200, OK)
        await http.post("/", content=b"\xff")
    assert (sink.numbers, receiver.statistics().unreadable) == ([1, 2], 2)
    assert "$[1].object: required key missing" in caplog.text


@pytest.mark.anyio
async def test_a_full_queue_refuses_the_whole_delivery(sink: Sink) -> None:
    sink.hold()
    async with WebhookReceiver(sink, queue_size=2) as receiver, client(receiver) as http:
        assert (await http.post("/", content=EVENT)).status_code == 200
        refused = await http.post("/", content=body(record(1), record(2)))
        assert (refused.status_code, refused.json()) == (503, {"status": "BUSY"})
        assert (await http.post("/", content=EVENT)).status_code == 200  # nothing new in it
        assert (await http.post("/", content=body(record(1)))).status_code == 200
        assert (await http.post("/", content=body(record(2)))).status_code == 503
        sink.open.set()
    assert sink.numbers == [9, 1]
    assert (receiver.statistics().refused, receiver.statistics().duplicates) == (2, 1)


@pytest.mark.anyio
async def test_what_was_refused_is_accepted_later(sink: Sink) -> None:
    sink.hold()
    async with WebhookReceiver(sink, queue_size=1) as receiver, client(receiver) as http:
        await http.post("/", content=EVENT)
        assert (await http.post("/", content=body(record(1)))).status_code == 503
        sink.open.set()
    async with receiver, client(receiver) as http:
        longer_than_the_queue = body(*map(record, range(1, 4)))
        assert (await http.post("/", content=longer_than_the_queue)).status_code == 200
    assert sink.numbers == [9, 1, 2, 3]


@pytest.mark.anyio
async def test_nothing_is_accepted_outside_the_context(sink: Sink) -> None:
    receiver = WebhookReceiver(sink)
    async with client(receiver) as http:
        assert (await http.post("/", content=EVENT)).status_code == 503
        async with receiver:
            assert repr(receiver) == "<WebhookReceiver open, 0 waiting>"
            with pytest.raises(RuntimeError, match="open already"):
                await receiver.__aenter__()
        assert (await http.get("/")).status_code == 503
    assert (sink.events, receiver.statistics().refused) == ([], 2)


@pytest.mark.anyio
async def test_leaving_waits_for_the_handler(sink: Sink) -> None:
    sink.hold()
    receiver = WebhookReceiver(sink)

    async def serve() -> None:
        async with receiver, client(receiver) as http:
            await http.post("/", content=body(record(1), record(2)))
        assert sink.numbers == [1, 2]

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await sink.begun.wait()
        group.cancel_scope.cancel()  # as a server does that is told to stop
        sink.open.set()
    assert sink.numbers == [1, 2]
    assert receiver.statistics().abandoned == 0


@pytest.mark.anyio
async def test_leaving_does_not_wait_for_ever(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.hold()
    async with WebhookReceiver(sink, drain=0.01) as receiver, client(receiver) as http:
        await http.post("/", content=body(record(1), record(2)))
    assert sink.events == []
    assert (receiver.statistics().abandoned, receiver.statistics().waiting) == (2, 0)
    assert "2 events of webhooks were not handled within 0.01 s and are lost" in caplog.text


@pytest.mark.anyio
async def test_an_error_in_the_context_is_the_same_outside(sink: Sink) -> None:
    async def serve() -> None:
        async with WebhookReceiver(sink) as receiver, client(receiver) as http:
            await http.post("/", content=EVENT)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await serve()
    assert sink.numbers == [9]


@pytest.mark.anyio
async def test_several_workers() -> None:
    together, met = anyio.Event(), []

    async def handler(event: Event) -> None:
        met.append(event.object.id)
        if len(met) == 2:
            together.set()
        await together.wait()

    async with WebhookReceiver(handler, workers=2) as receiver, client(receiver) as http:
        await http.post("/", content=body(record(1), record(2)))
    assert sorted(met) == [1, 2]


@pytest.mark.anyio
async def test_big_bodies_and_too_big_ones(sink: Sink) -> None:
    long = record(1, new={"text": "x" * 100_000})
    async with WebhookReceiver(sink, max_body=200_000) as receiver, client(receiver) as http:
        assert (await http.post("/", content=body(long))).status_code == 200
        assert (await http.post("/", content=body(long, long))).status_code == 413
    assert sink.numbers == [1]


@pytest.mark.anyio
async def test_a_body_of_unknown_length_is_read_up_to_the_limit(sink: Sink) -> None:
    left = [{"type": "http.request", "body": b"[" * 6, "more_body": True}] * 10
    sent: list[Any] = []

    async def receive() -> Any:
        return left.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    async with WebhookReceiver(sink, max_body=10) as receiver:
        await receiver({"type": "http", "method": "POST", "headers": []}, receive, send)
    assert (sent[0]["status"], len(left)) == (413, 8)


@pytest.mark.anyio
async def test_a_caller_that_hangs_up_is_not_answered(sink: Sink) -> None:
    messages = [
        {"type": "http.request", "body": EVENT, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    async with WebhookReceiver(sink) as receiver:
        await receiver({"type": "http", "method": "POST", "headers": []}, receive, send)
    assert sink.events == []


@pytest.mark.anyio
async def test_websockets_are_turned_away(sink: Sink) -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    await WebhookReceiver(sink)({"type": "websocket"}, None, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close"}]


# Who may call


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("username", "password"), [("worksection", "secret"), ("Ада", "пароль:з двокрапкою"), ("", "")]
)
async def test_credentials(sink: Sink, username: str, password: str) -> None:
    async with WebhookReceiver(sink, username=username, password=password) as receiver, client(receiver) as http:
        for wrong in ((username, f"{password}x"), (f"{username}x", password), ("ünbekannt", "☃")):
            answer = await http.post("/", content=EVENT, auth=wrong)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Basic realm="worksection", charset="UTF-8"'
        assert (await http.get("/")).status_code == 401
        assert (await http.post("/", content=EVENT, auth=httpx.BasicAuth(username, password))).json() == OK
    assert sink.numbers == [9]
    assert password not in repr(receiver) or not password


@pytest.mark.anyio
async def test_other_headers_are_no_credentials(sink: Sink) -> None:
    right = base64.b64encode(b"a:b").decode()
    async with WebhookReceiver(sink, username="a", password="b") as receiver, client(receiver) as http:
        for header, status in (
            (f"Basic {right}", 200),
            (f"basic  {right} ", 200),
            (f"Bearer {right}", 401),
            (right, 401),
            ("Basic", 401),
            ("Basic ????", 401),
            ("Basic YTpi!", 401),
            ("Basic Y", 401),
        ):
            assert (await http.get("/", headers={"Authorization": header})).status_code == status, header


@pytest.mark.anyio
async def test_credentials_are_compared_in_constant_time(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    async with WebhookReceiver(sink, username="é", password="p") as receiver, client(receiver, auth=("é", "q")) as http:
        assert (await http.get("/")).status_code == 401
    assert compared == [("é:q".encode(), "é:p".encode())]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"username": "a"}, "username and password come together"),
        ({"password": "a"}, "username and password come together"),
        ({"username": "a:b", "password": "c"}, "username: Basic authentication allows no colon"),
        ({"queue_size": 0}, "queue_size: at least 1"),
        ({"max_body": 0}, "max_body: at least 1"),
        ({"workers": 0}, "workers: at least 1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(errors.InvalidCall, match=complaint):
        WebhookReceiver(Sink.__call__, **options)  # type: ignore[arg-type]


# Where it is mounted


def in_starlette(receiver: WebhookReceiver) -> Any:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with receiver:
            yield

    return Starlette(routes=[Mount("/hooks", receiver), Route("/exact", receiver)], lifespan=lifespan)


def in_fastapi(receiver: WebhookReceiver) -> Any:
    fastapi = pytest.importorskip("fastapi")

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with receiver:
            yield

    app = fastapi.FastAPI(lifespan=lifespan)
    app.mount("/hooks", receiver)
    return app


def in_litestar(receiver: WebhookReceiver) -> Any:
    litestar = pytest.importorskip("litestar")

    @litestar.handlers.asgi("/hooks", is_mount=True, copy_scope=True)  # type: ignore[untyped-decorator]
    async def hooks(scope: Any, receive: Any, send: Any) -> None:
        await receiver(scope, receive, send)

    return litestar.Litestar([hooks], lifespan=[lambda _: receiver])


@asynccontextmanager
async def served(app: Any, port: int = 0) -> AsyncIterator[str]:
    """uvicorn on a socket, with lifespan, in this event loop; it can only be asyncio's."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="on", log_config=None, http="h11", ws="none"))
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    if server.should_exit:
        raise RuntimeError("the application did not start")
    async with anyio.create_task_group() as group:
        group.start_soon(server.main_loop)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
    await server.shutdown()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        pytest.param(lambda receiver: receiver, "/", id="alone"),
        pytest.param(in_starlette, "/hooks/", id="starlette"),
        pytest.param(in_starlette, "/exact", id="starlette-route"),
        pytest.param(in_fastapi, "/hooks/", id="fastapi"),
        pytest.param(in_litestar, "/hooks/secret", id="litestar"),
    ],
)
async def test_served_on_a_socket(sink: Sink, wrap: Callable[[WebhookReceiver], Any], path: str) -> None:
    receiver = WebhookReceiver(sink, username="worksection", password="secret")
    sink.hold()
    async with served(wrap(receiver)) as url, httpx.AsyncClient(base_url=url, auth=("worksection", "secret")) as http:
        assert (await http.get(path)).json() == OK
        assert (await http.head(path)).status_code == 200
        assert (await http.post(path, content=EVENT)).json() == OK
        assert (await http.post(path, content=EVENT, auth=("worksection", "wrong"))).status_code == 401
        assert sink.events == []
        sink.open.set()
    assert sink.numbers == [9]  # by the end of the lifespan, at the latest


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_context_that_is_open_already_is_left_open_by_the_server(sink: Sink) -> None:
    async with WebhookReceiver(sink) as receiver:
        async with served(receiver) as url, httpx.AsyncClient(base_url=url) as http:
            assert (await http.post("/", content=EVENT)).json() == OK
        async with client(receiver) as http:
            assert (await http.post("/", content=body(record(1)))).json() == OK
    assert sink.numbers == [9, 1]


# With the service


@pytest.mark.anyio
async def test_from_registration_to_the_handler(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    sim = Simulator(seed="empty")
    project, other = sim.world.add_project("Moon"), sim.world.add_project("Mars")
    receiver = WebhookReceiver(sink, username="ws", password="geheim☃")
    sim.webhooks.connect("https://hooks.test", receiver)
    async with sim.session() as ws:
        async with receiver:
            number = await receiver.register(ws, "https://hooks.test/7f3c", projects=[project.id])
            (webhook,) = await ws.get_webhooks()
            assert (webhook.id, webhook.projects, len(webhook.events)) == (number, (project.id,), 10)
            task = await ws.post_task(project.id, "Launch")
            await ws.post_task(other.id, "Somewhere else")
            comment = await ws.post_comment(task.id, text="Ready?", email_user_from="owner@example.com")
            await ws.update_task(task.id, priority=7)
            await ws.complete_task(task.id)
            await ws.reopen_task(task.id)
            await ws.complete_task(task.id)
            await sim.webhooks.deliver()
        assert [(event.kind, event.object.id, event.id_task) for event in sink.events] == [
            ("post_task", task.id, task.id),
            ("post_comment", comment.id, task.id),
            ("update_task", task.id, task.id),
            ("close_task", task.id, task.id),
            ("reopen_task", task.id, task.id),
            ("close_task", task.id, task.id),
        ]
        asked = await ws.get_events("1d", id_project=project.id)
    assert [event.key for event in reversed(asked)] == [event.key for event in sink.events]
    assert caplog.text == ""


@pytest.mark.anyio
async def test_registering_again_replaces(sink: Sink) -> None:
    sim = Simulator(seed="empty")
    async with sim.session() as ws, WebhookReceiver(sink) as receiver:
        sim.webhooks.connect("https://hooks.test", receiver)
        await receiver.register(ws, "https://hooks.test/a")
        await receiver.register(ws, "https://hooks.test/b", events=["post_task"])
        new = await receiver.register(ws, "https://hooks.test/a", events=["close_task"], replace=True)
        assert [(it.url, it.events) for it in await ws.get_webhooks()] == [
            ("https://hooks.test/b", ("post_task",)),
            ("https://hooks.test/a", ("close_task",)),
        ]
        assert new in sim.world.webhooks


@pytest.mark.anyio
async def test_registering_what_does_not_answer(sink: Sink) -> None:
    sim = Simulator(seed="empty")
    receiver = WebhookReceiver(sink)
    sim.webhooks.connect("https://hooks.test", WebhookReceiver(sink))
    async with sim.session() as ws:
        with pytest.raises(errors.InvalidCall, match="not open"):
            await receiver.register(ws, "https://hooks.test")
        async with receiver:
            with pytest.raises(errors.FieldError, match="Url should respond") as caught:
                await receiver.register(ws, "https://hooks.test")
    assert (caught.value.code, caught.value.details) == (11, "https://hooks.test")
    assert sim.world.webhooks == {}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_thousand_events_with_a_restart_in_between_are_handled_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In a FastAPI application under uvicorn; the handler is slow at times, and fails at times."""
    caplog.set_level(logging.CRITICAL)
    handled: Counter[int] = Counter()

    async def handler(event: Event) -> None:
        handled[event.object.id] += 1
        if event.object.id % 5 == 0:
            await anyio.sleep(0.002)
        if event.object.id % 7 == 0:
            raise RuntimeError("the handler's own")

    sim = Simulator(seed="empty")
    project = sim.world.add_project("Moon")
    posted, failed, port = [], 0, 0
    async with sim.session() as ws:
        for _ in range(2):
            receiver = WebhookReceiver(handler, username="ws", password="secret", queue_size=1000)
            async with served(in_fastapi(receiver), port) as url:
                if not port:
                    port = int(url.rpartition(":")[2])
                    await receiver.register(ws, f"{url}/hooks/")
                for _ in range(500):
                    posted.append((await ws.post_task(project.id, "Launch")).id)
                deliveries = await sim.webhooks.deliver()
                assert len(deliveries) == 500
                assert all(delivery.ok for delivery in deliveries)
            failed += receiver.statistics().failed
    assert handled == Counter(posted)
    assert failed == sum(number % 7 == 0 for number in posted)
