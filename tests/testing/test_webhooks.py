"""The simulator calls webhooks when they are registered and after each event."""

import json
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.clocks import SetClock
from worksection_async import ApiKey, Session, TokenBucket
from worksection_async._protocol.service import WEBHOOK_MAX_ERRORS
from worksection_async.testing import Delivery, Simulator
from worksection_async.testing._server import Server

from .conftest import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

URL = "https://hooks.test/in"


class Listener:
    """A web application that records the calls of its URL."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bytes]] = []
        self.answer = Response('{"status":"OK"}', media_type="application/json")
        self.silent = False
        self.app = Starlette(routes=[Route("/in", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.calls.append((request.method, request.headers.get("authorization", ""), await request.body()))
        if self.silent:
            await anyio.sleep_forever()
        return self.answer

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for _, _, body in self.calls if body for event in json.loads(body)]

    @property
    def kinds(self) -> list[str]:
        return [f"{event['action']}_{event['object']['type']}" for event in self.events]


@pytest.fixture
def listener(sim: Simulator) -> Listener:
    listener = Listener()
    sim.connect("https://hooks.test", listener.app)
    return listener


ALL = "post_task,update_task,close_task,reopen_task,delete_task,post_comment,post_project,update_project"


async def test_the_url_is_called_before_the_webhook_is_added(raw: Raw, listener: Listener) -> None:
    added = await raw("add_webhook", url=URL, events="post_task", http_user="me", http_pass="geheim")
    assert added["status"] == "ok"
    assert listener.calls == [("POST", "Basic bWU6Z2VoZWlt", b"")]
    assert raw.sim._world.webhooks[added["id"]].http_pass == "geheim"


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"status": "OK"}, 201),
        JSONResponse({"status": "ok"}),
        JSONResponse(["OK"]),
        Response("OK"),
        Response("\xff".encode("latin-1")),
        Response('{"status":"OK"}', 302, {"Location": "/elsewhere"}),
    ],
    ids=lambda answer: f"{answer.status_code} {answer.body!r}",
)
async def test_a_url_with_a_wrong_reply_is_refused(raw: Raw, listener: Listener, answer: Response) -> None:
    listener.answer = answer
    refused = await raw("add_webhook", url=URL, events="post_task")
    assert (refused["status_code"], refused["message_details"]) == (11, URL)
    assert refused["message"] == "Url should respond 200 HTTP_CODE and JSON {status:OK}"
    assert raw.sim.webhooks == Simulator().webhooks


async def test_a_url_with_a_late_reply_is_refused(raw: Raw, listener: Listener) -> None:
    assert raw.sim._deliveries.seconds == 5
    listener.silent, raw.sim._deliveries.seconds = True, 0.01
    assert (await raw("add_webhook", url=URL, events="post_task"))["status_code"] == 11


async def test_a_url_with_a_failing_application_is_refused(raw: Raw) -> None:
    async def broken(*_: Any) -> None:
        raise LookupError

    raw.sim.connect("https://hooks.test", broken)
    assert (await raw("add_webhook", url=URL, events="post_task"))["status_code"] == 11


async def test_an_invalid_request_does_not_call_the_url(raw: Raw, listener: Listener) -> None:
    assert (await raw("add_webhook", url=URL))["message_details"] == "events"
    async with httpx.AsyncClient(transport=raw.sim.transport(), base_url="http://127.0.0.1") as http:
        refused = await http.get(f"/api/admin/v2?action=add_webhook&url={URL}&events=post_task&hash=wrong")
        assert refused.json()["status_code"] == 2
    raw.sim.fail("add_webhook", "server_error")
    assert (await raw.send("add_webhook", url=URL, events="post_task")).status_code == 502
    assert listener.calls == []


async def test_events_are_delivered_with_their_values(raw: Raw, listener: Listener, clock: SetClock) -> None:
    await raw("add_webhook", url=URL, events=ALL, http_user="me", http_pass="geheim")
    listener.calls.clear()
    task = await raw.data("post_task", id_project=26, title="Запуск", priority=3)
    await raw("update_task", id_task=task["id"], priority=7)
    comment = await raw.data("post_comment", id_task=task["id"], text="Ready?", email_user_from="kate.greenway@ws.com")
    assert (listener.calls, raw.sim._deliveries.pending) == ([], 3)

    made = await raw.sim.deliver()
    assert [delivery.ok for delivery in made] == [True, True, True]
    assert (made, raw.sim._deliveries.pending) == (raw.sim.deliveries, 0)
    assert isinstance(made[0], Delivery)
    assert {authorization for _, authorization, _ in listener.calls} == {"Basic bWU6Z2VoZWlt"}
    assert [len(json.loads(body)) for _, _, body in listener.calls] == [1, 1, 1]
    assert list(made[1].events) == [listener.events[1]]

    page = f"/task/{task['id']}/"
    assert [event["object"] for event in listener.events] == [
        {"type": "task", "id": task["id"], "page": page},
        {"type": "task", "id": task["id"], "page": page},
        {"type": "comment", "id": comment["id"], "page": page},
    ]
    _, update, comment_ = listener.events
    assert (update["new"], update["old"]) == ({"priority": "7"}, {"priority": "3"})
    assert update["date_added"] == "2021-01-05 12:00"
    assert (comment_["user_from"]["name"], comment_["new"]) == ("Kate Greenway", {"text": "Ready?"})
    asked = await raw.data("get_events", period="1h")
    assert [event | {"object": None} for event in reversed(asked)] == [
        event | {"object": None} for event in listener.events
    ]


async def test_only_subscribed_events_and_projects_are_delivered(raw: Raw, listener: Listener) -> None:
    await raw("add_webhook", url=URL, events="close_task,post_project", projects="26")
    other = await raw.data("post_project", title="Elsewhere")
    for project in (26, other["id"]):
        task = await raw.data("post_task", id_project=project, title="Task")
        await raw("complete_task", id_task=task["id"])
    await raw.sim.deliver()
    assert listener.kinds == ["close_task"]


async def test_a_change_of_tags_is_no_event(raw: Raw, listener: Listener) -> None:
    await raw("add_webhook", url=URL, events=ALL)
    task = await raw.data("post_task", id_project=26, title="Task")
    assert (await raw("update_task_tags", id_task=task["id"], plus="Done"))["status"] == "ok"
    await raw.sim.deliver()
    assert listener.kinds == ["post_task"]


async def test_emit_creates_an_event_and_calls_the_webhooks(raw: Raw, listener: Listener) -> None:
    await raw("add_webhook", url=URL, events=ALL)
    made = await raw.sim.emit("delete", raw.sim.add_task(26, "Mistake"))
    assert [delivery.ok for delivery in made] == [True]
    assert listener.kinds == ["delete_task"]
    assert (await raw.data("get_events", period="1h"))[0]["user_from"]["name"] == "Henry Gardner"


async def test_errors_pause_the_webhook(raw: Raw, listener: Listener) -> None:
    number = (await raw("add_webhook", url=URL, events="post_task"))["id"]
    webhook = raw.sim._world.webhooks[number]
    listener.answer = Response("busy", 503)
    for _ in range(WEBHOOK_MAX_ERRORS - 1):
        await raw("post_task", id_project=26, title="Task")
    made = await raw.sim.deliver()
    assert {(delivery.status, delivery.error) for delivery in made} == {(503, "HTTP 503")}
    assert (webhook.errors, webhook.status) == (WEBHOOK_MAX_ERRORS - 1, "active")
    for _ in range(3):
        await raw("post_task", id_project=26, title="Task")
    assert len(await raw.sim.deliver()) == 1  # then it is paused
    assert (await raw.data("get_webhooks"))[-1]["status"] == "paused"
    await raw("post_task", id_project=26, title="Task")
    assert raw.sim._deliveries.pending == 0


async def test_a_deleted_webhook_is_not_called(raw: Raw, listener: Listener) -> None:
    number = (await raw("add_webhook", url=URL, events="post_task"))["id"]
    await raw("post_task", id_project=26, title="Task")
    await raw("delete_webhook", id=number)
    assert await raw.sim.deliver() == []
    assert listener.events == []


@pytest.mark.parametrize(
    "url", ["https://example.com/hook", "http://10.0.0.1/", "http://127.0.0.1.example.com/", "http://[::1/"]
)
async def test_urls_of_other_machines_are_never_called(raw: Raw, url: str) -> None:
    """Otherwise the test would fail: connections to other hosts are blocked."""
    assert (await raw("add_webhook", url=url, events="post_task"))["status"] == "ok"
    await raw("post_task", id_project=26, title="Task")
    assert (raw.sim._deliveries.pending, await raw.sim.deliver()) == (0, [])


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1"])
async def test_an_invalid_url_is_refused(raw: Raw, url: str) -> None:
    assert (await raw("add_webhook", url=url, events="post_task"))["status_code"] == 11


async def test_local_urls_are_called_over_http(raw: Raw) -> None:
    listener = Listener()
    async with Server(listener.app, "127.0.0.1", 0) as url:
        assert (await raw("add_webhook", url=f"{url}/in", events="post_task"))["status"] == "ok"
        await raw("post_task", id_project=26, title="Task")
        (delivery,) = await raw.sim.deliver()
    assert (delivery.status, delivery.url, listener.kinds) == (200, f"{url}/in", ["post_task"])
    await raw("post_task", id_project=26, title="Task")
    (delivery,) = await raw.sim.deliver()
    assert delivery.status is None
    assert delivery.error.startswith("ConnectError")


async def test_a_served_simulator_delivers_automatically() -> None:
    sim, listener = Simulator(), Listener()
    async with Server(listener.app, "127.0.0.1", 0) as hooks, sim.serve() as url:
        async with Session(url, ApiKey(sim.api_key), limiter=TokenBucket(rate=1_000_000)) as ws:
            await ws.add_webhook(f"{hooks}/in", ["post_task"])
            tasks = [(await ws.post_task(26, f"Task {number}")).id for number in range(20)]
            await sim.deliver()  # waits for the calls in progress
        assert [int(event["object"]["id"]) for event in listener.events] == tasks
        assert [delivery.ok for delivery in sim.deliveries] == [True] * 20


async def test_concurrent_deliveries_keep_the_order(raw: Raw, listener: Listener) -> None:
    await raw("add_webhook", url=URL, events="post_task")
    tasks = [(await raw.data("post_task", id_project=26, title="Task"))["id"] for _ in range(10)]
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(raw.sim.deliver)
    assert [event["object"]["id"] for event in listener.events] == tasks
    assert raw.sim._deliveries.pending == 0


async def test_a_cancelled_delivery_keeps_the_other_calls_pending(raw: Raw, listener: Listener) -> None:
    await raw("add_webhook", url=URL, events="post_task")
    for _ in range(3):
        await raw("post_task", id_project=26, title="Task")
    listener.silent = True
    with anyio.move_on_after(0.05):
        await raw.sim.deliver()
    listener.silent = False
    assert len(await raw.sim.deliver()) == 2
