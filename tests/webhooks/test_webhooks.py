"""Webhooks: bodies are parsed; the receiver answers first and loses no event that it accepted."""

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
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from tests.support.login_harness import free_port
from tests.support.webhook_deliveries import EVENT, OK, RecordingHandler, body, client, record
from tests.support.webhook_servers import in_fastapi, served
from worksection_async import errors
from worksection_async.models import Event
from worksection_async.testing import Simulator
from worksection_async.webhooks import Registration, UnreadableEvent, WebhookReceiver, WebhookStatistics, parse_events
from worksection_async.webhooks.deduplication import MAX_KEYS_PER_OBJECT, RecentEvents


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


# Parsing


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
def test_an_event_is_read_from_every_wrapping(text: bytes | str) -> None:
    (event,) = parse_events(text)
    assert (event.kind, event.id_task, event.id_project) == ("update_task", 9, None)
    assert event == parse_events(EVENT)[0]
    assert event.new == {"priority": 7}
    assert event.date_added == dt.datetime(2026, 1, 2, 3, 4)


def test_a_form_with_one_field_per_value_is_read() -> None:
    (event,) = parse_events("action=close&object[type]=task&object[id]=9&object%5Bpage%5D=/task/9/&new=")
    assert (event.kind, event.id_task, event.new) == ("close_task", 9, {})


@pytest.mark.parametrize(
    "text", ["", b" \n", "ping", "null", "true", "1", "[]", "{}", '""', '"test"', '{"test": 1}', "ping=1", "[[]]"]
)
def test_a_body_without_events_is_no_error(text: bytes | str) -> None:
    assert parse_events(text) == []


def test_an_odd_value_does_not_cost_the_event() -> None:
    odd: dict[str, Any] = {"date_added": "yesterday", "user_from": "Ada", "new": "text"}
    (event,) = parse_events(body(record(**odd)))
    assert (event.id_task, event.date_added, event.user_from, event.new) == (9, None, None, {})
    assert event.extra == odd


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"\xff\xfd", "$"),
        (EVENT[:-1], "$"),
        ("<html>502</html>", "$"),
        ("[" * 100_000, "$"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "$"),
        (body(record(), record(new=nested(99)), record(new=nested(100))), "$[2]"),
        ("a[" + "b][" * 3000 + "c]=1", "$"),
        ('{"events": [{"action": "post"}]}', "$.action"),
        (body(record(), record(object={"type": "task", "page": "/task/9/"})), "$[1].object.id"),
        (body(record(object=None)), "$[0].object"),
        ("a[b]=1&a[b][c]=2", "$"),
        ("[[[[[[1]]]]]]", "$[0][0][0][0]"),
    ],
)
def test_an_unreadable_body_raises_an_error_with_its_json_path(text: bytes | str, path: str) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        parse_events(text)
    assert caught.value.path == path
    assert isinstance(caught.value, errors.UnexpectedReply)
    assert not caught.value.sent
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_unknown_actions_and_fields_are_kept() -> None:
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
def test_task_and_project_ids_are_read_from_both_page_formats(
    type_: str, page: str, task: int | None, project: int | None
) -> None:
    (event,) = parse_events(body(record(object={"type": type_, "id": "77", "page": page})))
    assert (event.id_task, event.id_project) == (task, project)


def test_date_times_get_the_time_zone_and_the_key_does_not_change() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    (aware,), (naive,) = parse_events(EVENT, tz=zone), parse_events(EVENT)
    assert aware.date_added is not None
    assert aware.date_added.tzinfo is zone
    assert aware.key == naive.key


def test_different_events_have_different_keys() -> None:
    others = [
        record(10),
        record(action="post"),
        record(type="comment"),
        record(new={}),
        record(date_added="2026-01-03"),
    ]
    assert len({event.key for event in parse_events(body(record(), *others))}) == 6


def test_the_key_does_not_depend_on_the_page_format() -> None:
    from_get_events = record(object={"type": "task", "id": 9, "page": "/project/7/9/"})
    assert parse_events(body(from_get_events))[0].key == parse_events(EVENT)[0].key


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["action", "object", "new", "type", "id"]), inner),
)


@given(st.binary() | st.text() | _JSON.map(json.dumps) | _JSON.map(lambda it: urlencode({"a[b]": json.dumps(it)})))
def test_every_body_is_parsed_or_raises_unreadable_event(text: bytes | str) -> None:
    with contextlib.suppress(UnreadableEvent):
        assert all(
            isinstance(event, Event) and event.key and isinstance(event.kind, str) for event in parse_events(text)
        )


# Deduplication


def events(*numbers: tuple[int, str]) -> list[Event]:
    return parse_events(body(*(record(number, action) for number, action in numbers)))


@pytest.mark.anyio
async def test_events_equal_to_the_last_ones_of_the_same_object_are_repetitions() -> None:
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
        assert await recent.reserve(delivery) == new


@pytest.mark.anyio
async def test_the_number_of_remembered_keys_is_limited() -> None:
    recent = RecentEvents(3)
    for number in range(1, 100):
        await recent.reserve(events((number, "close")))
        await recent.reserve(events(*[(number, "update"), (number, "reopen")] * 100))
    assert len(recent._keys) == 3
    assert {len(keys) for keys in recent._keys.values()} == {MAX_KEYS_PER_OBJECT}


@given(st.lists(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["close", "reopen"])), max_size=6), max_size=6))
def test_a_delivery_that_is_repeated_at_once_contains_no_new_events(deliveries: list[list[tuple[int, str]]]) -> None:
    async def deliver() -> None:
        recent = RecentEvents(10)
        for delivery in deliveries:
            await recent.reserve(events(*delivery))
            assert await recent.reserve(events(*delivery)) == []

    anyio.run(deliver)


# The receiver


@pytest.fixture
def handler() -> RecordingHandler:
    return RecordingHandler()


@pytest.mark.anyio
async def test_the_handler_is_called_with_each_event(handler: RecordingHandler) -> None:
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        answer = await http.post("/any/path", content=body(record(1), record(2)))
        assert (answer.status_code, answer.json()) == (200, OK)
        assert answer.headers["content-type"] == "application/json"
    assert handler.object_ids == [1, 2]
    assert receiver.statistics() == WebhookStatistics(
        received=2, handled=2, failed=0, duplicates=0, waiting=0, abandoned=0, unreadable=0, refused=0
    )


@pytest.mark.anyio
async def test_the_response_does_not_wait_for_the_handler(handler: RecordingHandler) -> None:
    handler.block()
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        assert (await http.post("/", content=EVENT)).json() == OK
        await handler.called.wait()
        assert (handler.events, receiver.statistics().waiting) == ([], 1)
        assert "1 waiting" in repr(receiver)
        handler.unblocked.set()
    assert (handler.object_ids, receiver.statistics().waiting) == ([9], 0)


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
async def test_every_method_is_answered(handler: RecordingHandler, method: str) -> None:
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        answer = await http.request(method, "/")
        assert (answer.status_code, answer.headers["content-length"]) == (200, "15")
        assert answer.content == (b"" if method == "HEAD" else b'{"status":"OK"}')
    assert receiver.statistics().received == 0


@pytest.mark.anyio
async def test_a_repeated_delivery_is_handled_once(handler: RecordingHandler) -> None:
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        for _ in range(3):
            assert (await http.post("/", content=body(record(1), record(2)))).json() == OK
    assert handler.object_ids == [1, 2]
    assert (receiver.statistics().received, receiver.statistics().duplicates) == (6, 4)


@pytest.mark.anyio
async def test_an_error_of_the_handler_is_logged_and_counted(
    handler: RecordingHandler, caplog: pytest.LogCaptureFixture
) -> None:
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        assert (await http.post("/", content=body(record(1, "fail"), record(2)))).json() == OK
    assert handler.object_ids == [1, 2]
    assert (receiver.statistics().failed, receiver.statistics().handled) == (1, 1)
    (logged,) = [it for it in caplog.records if it.name == "worksection_async"]
    assert logged.getMessage() == "the webhook handler failed for fail_task 1"
    assert logged.exc_info is not None


@pytest.mark.anyio
async def test_unreadable_events_are_logged_and_the_others_handled(
    handler: RecordingHandler, caplog: pytest.LogCaptureFixture
) -> None:
    async with WebhookReceiver(handler) as receiver, client(receiver) as http:
        answer = await http.post("/", content=body(record(1), {"action": "post"}, record(2)))
        assert (answer.status_code, answer.json()) == (200, OK)
        await http.post("/", content=b"\xff")
    assert (handler.object_ids, receiver.statistics().unreadable) == ([1, 2], 2)
    assert "$[1].object: required key missing" in caplog.text


@pytest.mark.anyio
async def test_a_full_queue_refuses_the_whole_delivery(handler: RecordingHandler) -> None:
    handler.block()
    async with WebhookReceiver(handler, queue_size=2) as receiver, client(receiver) as http:
        assert (await http.post("/", content=EVENT)).status_code == 200
        refused = await http.post("/", content=body(record(1), record(2)))
        assert (refused.status_code, refused.json()) == (503, {"status": "BUSY"})
        assert (await http.post("/", content=EVENT)).status_code == 200  # contains no new event
        assert (await http.post("/", content=body(record(1)))).status_code == 200
        assert (await http.post("/", content=body(record(2)))).status_code == 503
        handler.unblocked.set()
    assert handler.object_ids == [9, 1]
    assert (receiver.statistics().refused, receiver.statistics().duplicates) == (2, 1)


@pytest.mark.anyio
async def test_a_refused_delivery_is_accepted_later(handler: RecordingHandler) -> None:
    handler.block()
    async with WebhookReceiver(handler, queue_size=1) as receiver, client(receiver) as http:
        await http.post("/", content=EVENT)
        assert (await http.post("/", content=body(record(1)))).status_code == 503
        handler.unblocked.set()
    async with receiver, client(receiver) as http:
        longer_than_queue_size = body(*map(record, range(1, 4)))
        assert (await http.post("/", content=longer_than_queue_size)).status_code == 200
    assert handler.object_ids == [9, 1, 2, 3]


@pytest.mark.anyio
async def test_a_receiver_that_is_not_open_refuses_deliveries_and_says_so_once(
    handler: RecordingHandler, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = WebhookReceiver(handler)
    async with client(receiver) as http:
        for _ in range(3):
            assert (await http.post("/", content=EVENT)).status_code == 503
        logged = [record.getMessage() for record in caplog.records if record.name == "worksection_async"]
        assert len(logged) == 1
        assert logged[0].startswith("the webhook receiver is not open: deliveries are answered with 503")
        async with receiver:
            assert repr(receiver) == "<WebhookReceiver open, 0 waiting>"
            with pytest.raises(RuntimeError, match="already open"):
                await receiver.__aenter__()
        assert (await http.get("/")).status_code == 503
    assert (handler.events, receiver.statistics().refused) == ([], 4)


@pytest.mark.anyio
async def test_leaving_the_context_waits_for_the_handler(handler: RecordingHandler) -> None:
    handler.block()
    receiver = WebhookReceiver(handler)

    async def serve() -> None:
        async with receiver, client(receiver) as http:
            await http.post("/", content=body(record(1), record(2)))
        assert handler.object_ids == [1, 2]

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await handler.called.wait()
        group.cancel_scope.cancel()  # as a server does on shutdown
        handler.unblocked.set()
    assert handler.object_ids == [1, 2]
    assert receiver.statistics().abandoned == 0


@pytest.mark.anyio
async def test_leaving_the_context_abandons_events_after_drain_seconds(
    handler: RecordingHandler, caplog: pytest.LogCaptureFixture
) -> None:
    handler.block()
    async with WebhookReceiver(handler, drain=0.01) as receiver, client(receiver) as http:
        await http.post("/", content=body(record(1), record(2)))
    assert handler.events == []
    assert (receiver.statistics().abandoned, receiver.statistics().waiting) == (2, 0)
    assert "2 webhook events were not handled within 0.01 s and are lost" in caplog.text


@pytest.mark.anyio
async def test_an_error_in_the_context_is_raised_unchanged(handler: RecordingHandler) -> None:
    async def serve() -> None:
        async with WebhookReceiver(handler) as receiver, client(receiver) as http:
            await http.post("/", content=EVENT)
            raise LookupError("of the program")

    with pytest.raises(LookupError, match="of the program"):
        await serve()
    assert handler.object_ids == [9]


@pytest.mark.anyio
async def test_workers_handle_events_concurrently() -> None:
    both_running, started = anyio.Event(), []

    async def handler(event: Event) -> None:
        started.append(event.object.id)
        if len(started) == 2:
            both_running.set()
        await both_running.wait()

    async with WebhookReceiver(handler, workers=2) as receiver, client(receiver) as http:
        await http.post("/", content=body(record(1), record(2)))
    assert sorted(started) == [1, 2]


@pytest.mark.anyio
async def test_a_large_body_is_read_and_a_too_large_one_refused(handler: RecordingHandler) -> None:
    long = record(1, new={"text": "x" * 100_000})
    async with WebhookReceiver(handler, max_body=200_000) as receiver, client(receiver) as http:
        assert (await http.post("/", content=body(long))).status_code == 200
        assert (await http.post("/", content=body(long, long))).status_code == 413
    assert handler.object_ids == [1]


@pytest.mark.anyio
async def test_a_body_of_unknown_length_is_read_up_to_max_body(handler: RecordingHandler) -> None:
    messages = [{"type": "http.request", "body": b"[" * 6, "more_body": True}] * 10
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    async with WebhookReceiver(handler, max_body=10) as receiver:
        await receiver({"type": "http", "method": "POST", "headers": []}, receive, send)
    assert (sent[0]["status"], len(messages)) == (413, 8)


@pytest.mark.anyio
async def test_a_client_that_disconnects_is_not_answered(handler: RecordingHandler) -> None:
    messages = [
        {"type": "http.request", "body": EVENT, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    async with WebhookReceiver(handler) as receiver:
        await receiver({"type": "http", "method": "POST", "headers": []}, receive, send)
    assert handler.events == []


@pytest.mark.anyio
async def test_websockets_are_closed(handler: RecordingHandler) -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    await WebhookReceiver(handler)({"type": "websocket"}, None, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close"}]


# Basic authentication


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("username", "password"), [("worksection", "secret"), ("Ада", "пароль:з двокрапкою"), ("", "")]
)
async def test_only_the_right_credentials_are_accepted(handler: RecordingHandler, username: str, password: str) -> None:
    async with WebhookReceiver(handler, username=username, password=password) as receiver, client(receiver) as http:
        for wrong in ((username, f"{password}x"), (f"{username}x", password), ("ünbekannt", "☃")):
            answer = await http.post("/", content=EVENT, auth=wrong)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Basic realm="worksection", charset="UTF-8"'
        assert (await http.get("/")).status_code == 401
        assert (await http.post("/", content=EVENT, auth=httpx.BasicAuth(username, password))).json() == OK
    assert handler.object_ids == [9]
    assert password not in repr(receiver) or not password


@pytest.mark.anyio
async def test_only_a_valid_basic_header_is_accepted(handler: RecordingHandler) -> None:
    right = base64.b64encode(b"a:b").decode()
    async with WebhookReceiver(handler, username="a", password="b") as receiver, client(receiver) as http:
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
async def test_credentials_are_compared_in_constant_time(
    handler: RecordingHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    async with (
        WebhookReceiver(handler, username="é", password="p") as receiver,
        client(receiver, auth=("é", "q")) as http,
    ):
        assert (await http.get("/")).status_code == 401
    assert compared == [("é:q".encode(), "é:p".encode())]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"username": "a"}, "username and password must be given together"),
        ({"password": "a"}, "username and password must be given together"),
        ({"username": "a:b", "password": "c"}, "username must not contain a colon"),
        ({"queue_size": 0}, "queue_size must be at least 1"),
        ({"remember": -1}, "remember must be at least 0"),
        ({"username": 7, "password": "c"}, "username and password must be text"),
        ({"username": "a", "password": b"c"}, "username and password must be text"),
        ({"register": "https://hooks.test/in"}, "register must be a Registration, got 'https://hooks.test/in'"),
        ({"max_body": 0}, "max_body must be at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"workers": "2"}, "workers must be at least 1, got '2'"),
        ({"drain": -1}, "drain must be at least 0"),
        ({"drain": None}, "drain must be at least 0, got None"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(errors.InvalidCall, match=complaint):
        WebhookReceiver(RecordingHandler.__call__, **options)  # type: ignore[arg-type]


def test_a_handler_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(errors.InvalidCall, match="handler must be a coroutine function, got 5"):
        WebhookReceiver(5)  # type: ignore[arg-type]


# In web frameworks


def in_starlette(receiver: WebhookReceiver) -> Any:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with receiver:
            yield

    return Starlette(routes=[Mount("/hooks", receiver), Route("/exact", receiver)], lifespan=lifespan)


def in_litestar(receiver: WebhookReceiver) -> Any:
    litestar = pytest.importorskip("litestar")

    @litestar.handlers.asgi("/hooks", is_mount=True, copy_scope=True)  # type: ignore[untyped-decorator]
    async def hooks(scope: Any, receive: Any, send: Any) -> None:
        await receiver(scope, receive, send)

    return litestar.Litestar([hooks], lifespan=[lambda _: receiver])


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
async def test_the_receiver_works_behind_a_real_server(
    handler: RecordingHandler, wrap: Callable[[WebhookReceiver], Any], path: str
) -> None:
    receiver = WebhookReceiver(handler, username="worksection", password="secret")
    handler.block()
    async with served(wrap(receiver)) as url, httpx.AsyncClient(base_url=url, auth=("worksection", "secret")) as http:
        assert (await http.get(path)).json() == OK
        assert (await http.head(path)).status_code == 200
        assert (await http.post(path, content=EVENT)).json() == OK
        assert (await http.post(path, content=EVENT, auth=("worksection", "wrong"))).status_code == 401
        assert handler.events == []
        handler.unblocked.set()
    assert handler.object_ids == [9]  # at the end of the lifespan at the latest


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("wrap", "path", "status"),
    [
        pytest.param(lambda receiver: receiver, "/hooks", 200, id="alone"),
        pytest.param(lambda receiver: receiver, "/hooks/", 200, id="alone-slash"),
        pytest.param(in_starlette, "/hooks/", 200, id="starlette-slash"),
        pytest.param(in_starlette, "/hooks", 307, id="starlette"),
        pytest.param(in_starlette, "/exact", 200, id="starlette-route"),
        pytest.param(in_starlette, "/exact/", 307, id="starlette-route-slash"),
        pytest.param(in_fastapi, "/hooks/", 200, id="fastapi-slash"),
        pytest.param(in_fastapi, "/hooks", 307, id="fastapi"),
        pytest.param(in_litestar, "/hooks", 200, id="litestar"),
        pytest.param(in_litestar, "/hooks/", 200, id="litestar-slash"),
    ],
)
async def test_a_url_with_the_slash_of_the_documentation_is_answered_directly(
    handler: RecordingHandler, wrap: Callable[[WebhookReceiver], Any], path: str, status: int
) -> None:
    """The page says with which slash a framework replies with a redirect, which the service treats as an error."""
    async with WebhookReceiver(handler) as receiver, client(wrap(receiver)) as http:
        assert (await http.post(path, content=EVENT)).status_code == status
    assert handler.object_ids == ([9] if status == 200 else [])


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_lifespan_does_not_close_a_context_that_was_already_open(handler: RecordingHandler) -> None:
    async with WebhookReceiver(handler) as receiver:
        async with served(receiver) as url, httpx.AsyncClient(base_url=url) as http:
            assert (await http.post("/", content=EVENT)).json() == OK
        async with client(receiver) as http:
            assert (await http.post("/", content=body(record(1)))).json() == OK
    assert handler.object_ids == [9, 1]


# With the simulator


@pytest.mark.anyio
async def test_the_handler_gets_all_events_of_a_registered_webhook(
    handler: RecordingHandler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    sim = Simulator(seed="empty")
    project, other = sim.add_project("Moon"), sim.add_project("Mars")
    async with sim.session() as ws:
        registration = Registration(ws, "https://hooks.test/7f3c", projects=[project.id])
        receiver = WebhookReceiver(handler, register=registration, username="ws", password="geheim☃")
        sim.connect("https://hooks.test", receiver)
        async with receiver:
            number = await receiver.registered()
            (webhook,) = await ws.get_webhooks()
            assert (webhook.id, webhook.projects, len(webhook.events)) == (number, (project.id,), 10)
            task = await ws.post_task(project.id, "Launch")
            await ws.post_task(other.id, "Somewhere else")
            comment = await ws.post_comment(task.id, text="Ready?", email_user_from="owner@example.com")
            await ws.update_task(task.id, priority=7)
            await ws.complete_task(task.id)
            await ws.reopen_task(task.id)
            await ws.complete_task(task.id)
            await sim.deliver()
        assert [(event.kind, event.object.id, event.id_task) for event in handler.events] == [
            ("post_task", task.id, task.id),
            ("post_comment", comment.id, task.id),
            ("update_task", task.id, task.id),
            ("close_task", task.id, task.id),
            ("reopen_task", task.id, task.id),
            ("close_task", task.id, task.id),
        ]
        polled = await ws.get_events("1d", id_project=project.id)
    assert [event.key for event in reversed(polled)] == [event.key for event in handler.events]
    assert caplog.text == ""


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_thousand_events_across_a_restart_are_handled_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The receiver runs in a FastAPI application under uvicorn. Some calls of the handler are slow, some fail."""
    caplog.set_level(logging.CRITICAL)
    handled: Counter[int] = Counter()

    async def handler(event: Event) -> None:
        handled[event.object.id] += 1
        if event.object.id % 5 == 0:
            await anyio.sleep(0.002)
        if event.object.id % 7 == 0:
            raise RuntimeError("an error of the handler")

    sim = Simulator(seed="empty")
    project = sim.add_project("Moon")
    posted, failed, port = [], 0, free_port()
    async with sim.session() as ws:
        registration = Registration(ws, f"http://127.0.0.1:{port}/hooks/")
        for _ in range(2):
            receiver = WebhookReceiver(
                handler, register=registration, username="ws", password="secret", queue_size=1000
            )
            async with served(in_fastapi(receiver), port):
                await receiver.registered()
                for _ in range(500):
                    posted.append((await ws.post_task(project.id, "Launch")).id)
                deliveries = await sim.deliver()
                assert len(deliveries) == 500
                assert all(delivery.ok for delivery in deliveries)
            failed += receiver.statistics().failed
    assert handled == Counter(posted)
    assert failed == sum(number % 7 == 0 for number in posted)
