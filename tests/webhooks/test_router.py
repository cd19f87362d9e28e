"""`Router`: each event goes to the handlers that are registered for it, from a receiver, a watch or a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import attrs
import pytest

from tests.support.webhook_deliveries import body, client, record
from worksection_async.errors import InvalidCall
from worksection_async.models import Event
from worksection_async.testing import Simulator
from worksection_async.webhooks import Router, RouterStatistics, WebhookReceiver, parse_events

pytestmark = pytest.mark.anyio


def event(action: str = "update", type: str = "task", **more: Any) -> Event:
    (parsed,) = parse_events(body(record(9, action, type, **more)))
    return parsed


@attrs.define
class Calls:
    """The calls of handlers, by the names of the handlers."""

    names: list[str] = attrs.field(factory=list)

    def handler(self, name: str, error: Exception | None = None) -> Callable[[Event], Any]:
        async def handle(_: Event) -> None:
            self.names.append(name)
            if error is not None:
                raise error

        return handle


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def router() -> Router:
    return Router()


async def test_handlers_are_called_for_their_kinds_in_the_order_of_registration(router: Router, calls: Calls) -> None:
    router.on("post_task", "close_task")(calls.handler("tasks"))
    router.on("post_comment")(calls.handler("comments"))
    router.on("close_task", "post_comment")(calls.handler("both"))
    for action, type_ in [("post", "task"), ("close", "task"), ("post", "comment"), ("delete", "task")]:
        await router.dispatch(event(action, type_))
    assert calls.names == ["tasks", "tasks", "both", "comments", "both"]
    assert router.statistics() == RouterStatistics(handled=3, failed=0, unhandled=1)


@pytest.mark.parametrize(
    ("new", "old", "is_called"),
    [
        ({"user_to": {"id": "41"}}, {}, True),  # the service sends `post` with `new` alone
        ({}, {"user_to": {"id": "41"}}, True),
        ({"user_to": ""}, {"user_to": {"id": "41"}}, True),
        ({"priority": 7}, {"priority": 5}, False),
        ({"user_to_be": 7}, {}, False),
        ([], [], False),  # an empty object, as the service sends it
    ],
)
async def test_a_handler_for_a_changed_field_gets_the_events_that_contain_it(
    router: Router, calls: Calls, new: object, old: object, is_called: bool
) -> None:
    router.on("update_task", "post_task", changed="user_to")(calls.handler("moved"))
    for action in ("update", "post", "close"):
        await router.dispatch(event(action, new=new, old=old))
    assert calls.names == ["moved"] * 2 * is_called
    assert router.statistics().unhandled == (1 if is_called else 3)


async def test_an_event_that_lacks_the_changed_field_is_counted_as_unhandled(router: Router, calls: Calls) -> None:
    router.on("update_task", changed="user_to")(calls.handler("moved"))
    await router.dispatch(event(new={"title": "b"}, old={"title": "a"}))
    assert (calls.names, router.statistics().unhandled) == ([], 1)


async def test_an_error_of_a_handler_does_not_keep_the_event_from_the_others(router: Router, calls: Calls) -> None:
    errors = [LookupError("first"), ValueError("third")]
    router.on("update_task")(calls.handler("first", errors[0]))
    router.on("update_task")(calls.handler("second"))
    router.on("update_task")(calls.handler("third", errors[1]))
    with pytest.raises(ExceptionGroup, match="2 of 3 handlers failed for update_task 9") as raised:
        await router.dispatch(event())
    assert list(raised.value.exceptions) == errors
    assert calls.names == ["first", "second", "third"]
    assert router.statistics() == RouterStatistics(handled=0, failed=1, unhandled=0)


async def test_cancelling_a_dispatch_cancels_the_handler(router: Router, calls: Calls) -> None:
    @router.on("update_task")
    async def wait(_: Event) -> None:
        await anyio.sleep_forever()

    router.on("update_task")(calls.handler("next"))
    with anyio.move_on_after(0.01) as scope:
        await router.dispatch(event())
    assert scope.cancelled_caught
    assert calls.names == []


async def await_something_cancelled(_: Event) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_handler_that_awaits_something_cancelled_fails_alone(router: Router, calls: Calls) -> None:
    router.on("update_task")(await_something_cancelled)
    router.on("update_task")(calls.handler("next"))
    with pytest.raises(ExceptionGroup, match="1 of 2 handlers failed for update_task 9") as raised:
        await router.dispatch(event())
    assert isinstance(raised.value.exceptions[0].__cause__, asyncio.CancelledError)
    assert calls.names == ["next"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def watch_two_new_tasks(handler: Callable[[Event], Awaitable[object]], scope: anyio.CancelScope) -> list[int]:
    """Let a watch call *handler* with the events of two tasks until *scope* is cancelled; return the sorted ids."""
    sim = Simulator()
    sim.clear_events()
    async with sim.session() as ws:
        tasks = [await ws.post_task(next(iter(sim.projects)), name) for name in ("Plan", "Launch")]
        with scope:
            await ws.watch(every=0.01).dispatch_to(handler)
    return sorted(task.id for task in tasks)


async def test_a_watch_goes_on_after_a_handler_that_awaits_something_cancelled() -> None:
    handled: list[int] = []
    scope = anyio.CancelScope()

    async def fail_once(event: Event) -> None:
        handled.append(event.object.id)
        if len(handled) == 1:
            await await_something_cancelled(event)
        scope.cancel()

    with anyio.fail_after(60):
        created = await watch_two_new_tasks(fail_once, scope)
    assert sorted(handled) == created


async def test_a_handler_with_two_matching_routes_is_called_once(router: Router, calls: Calls) -> None:
    handler = calls.handler("once")
    assert router.on("update_task", changed="priority")(handler) is handler
    router.on("update_task", changed="title")(handler)
    await router.dispatch(event(new={"priority": 7, "title": "b"}))
    await router.dispatch(event(new={"title": "b"}, old={"title": "a"}))
    assert calls.names == ["once", "once"]


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("post_tasks", r"'post_tasks'; known events: post_project, .*, the nearest one is post_task\. unchecked=True"),
        ("update comment", "unknown event 'update comment'; .*, the nearest one is update_comment"),
        ("UPDATE_TASK", "unknown event 'UPDATE_TASK'; .*, the nearest one is update_task"),
        ("archive_milestone", "unknown event 'archive_milestone'"),
        ("", "unknown event ''; known events: .*. unchecked"),
        (7, r"names such as on\(\"post_task\"\), got 7"),
        (print, r"names such as on\(\"post_task\"\), got <built-in function print>"),  # `@router.on` without a call
    ],
)
async def test_an_unknown_kind_is_refused_with_the_known_ones(router: Router, kind: Any, problem: str) -> None:
    with pytest.raises(InvalidCall, match=problem):
        router.on("post_task", kind)


async def test_a_route_needs_a_kind_and_the_name_of_a_field(router: Router) -> None:
    with pytest.raises(InvalidCall, match="needs the kinds of the events"):
        router.on(changed="user_to")
    for changed in ("", ["user_to"]):
        with pytest.raises(InvalidCall, match="changed must be the name of a field, got"):
            router.on("update_task", changed=changed)  # type: ignore[arg-type]


async def test_a_kind_that_this_release_does_not_know_can_be_registered(router: Router, calls: Calls) -> None:
    router.on("archive_milestone", unchecked=True)(calls.handler("milestones"))
    await router.dispatch(event("archive", "milestone"))
    assert calls.names == ["milestones"]


async def test_a_receiver_takes_a_router_and_logs_all_errors_of_its_handlers(
    router: Router, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    router.on("update_task")(calls.handler("first", LookupError("the first error")))
    router.on("update_task")(calls.handler("second", ValueError("the second error")))
    async with WebhookReceiver(router) as receiver, client(receiver) as http:
        await http.post("/", content=body(record(1), record(2, "close")))
    assert (receiver.statistics().failed, receiver.statistics().handled) == (1, 1)
    assert router.statistics() == RouterStatistics(handled=0, failed=1, unhandled=1)
    assert "the first error" in caplog.text
    assert "the second error" in caplog.text


async def test_a_watch_takes_a_router_and_goes_on_after_an_error(
    router: Router, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[int] = []
    scope = anyio.CancelScope()

    @router.on("post_task")
    async def fail_once(event: Event) -> None:
        handled.append(event.object.id)
        if len(handled) == 1:
            raise LookupError("the error")
        scope.cancel()

    with anyio.fail_after(10):
        created = await watch_two_new_tasks(router, scope)
    assert sorted(handled) == created
    assert (router.statistics().failed, router.statistics().handled) == (1, 1)
    (logged,) = [it for it in caplog.records if it.name == "worksection_async"]
    assert logged.getMessage() == f"the handler of the watch failed for post_task {handled[0]}"
    assert "the error" in caplog.text
