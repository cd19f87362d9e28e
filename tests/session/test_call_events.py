"""`Session(on_call=…)`: one event per request and one per call, without any secret."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import subprocess
import sys
import urllib.parse
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

from tests.support.secrecy import Log
from worksection_async import CallEvent, MemoryTokenStore, OAuth2, Session, errors
from worksection_async.testing import Simulator, faults

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_retry_delay")]

OK = {"status": "ok", "data": [{"id": 1}]}
FAULTS: list[Callable[[], faults.Fault]] = [
    faults.unreachable, faults.reset, faults.timeout, faults.server_error, faults.bad_json, faults.html_page,
    faults.too_many_requests, lambda: faults.too_many_requests(status=429), lambda: faults.reset(executed=True),
]  # fmt: skip


def in_all_encodings(secret: str) -> set[str]:
    raw = secret.encode()
    return {
        secret, secret[:16], urllib.parse.quote(secret, safe=""), raw.hex(), secret[::-1],
        base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }  # fmt: skip


def assert_not_in(secrets: set[str], text: str) -> None:
    lower = text.lower()
    for secret in secrets:
        for form in in_all_encodings(secret):
            assert form.lower() not in lower, f"a form of {secret[:6]}… occurs"


async def random_calls(ws: Session, sim: Simulator, dice: random.Random, number: int) -> None:
    """Make *number* calls, reads and writes, some at one time, a third of them with a fault."""
    task = sim.add_task(sim.add_project("Moon", id=9001), "Launch")
    sim.add_project("Sun", id=9002)  # for new tasks, so that the replies do not grow

    async def call() -> None:
        if dice.random() < 0.3:
            sim.fail("*", dice.choice(FAULTS)())
        action: Callable[[], Any] = dice.choice(
            [
                lambda: ws.get_tasks(9001),
                ws.get_users,
                lambda: ws.with_options(max_age=60).get_project(9001),
                lambda: ws.post_task(9002, "confidential-title"),
                lambda: ws.update_task(task.id, title="confidential-title"),
                lambda: ws.get_task(404404),
            ]
        )
        with contextlib.suppress(errors.WorksectionError):
            await action()

    for _ in range(0, number, 5):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)


@pytest.mark.one_row_on_trio
@pytest.mark.parametrize("credential", ["oauth2", "key"])
async def test_the_events_of_1000_random_calls_are_the_requests_that_the_simulator_received(
    credential: str, log: Log
) -> None:
    events: list[CallEvent] = []
    async with Simulator(seed="empty") as sim:
        pair = sim.issue_pair(expires_in=-1)  # refreshed before the first call
        auth = OAuth2(sim.oauth_app(), MemoryTokenStore(pair)) if credential == "oauth2" else None
        async with sim.session(auth, on_call=events.append, retries=2) as ws:
            await ws.get_users()  # without a fault, so that the refresh succeeds
            await random_calls(ws, sim, random.Random(1), 1000)
        requests = list(sim.requests)
        refreshes = sim.oauth.refreshes

    attempts = [event for event in events if event.kind == "attempt"]
    assert Counter(each.action for each in attempts) == Counter(each.action for each in requests)
    replied = [each for each in attempts if each.status is not None]
    assert len(replied) == sum(each.status is not None for each in requests)
    calls = [event for event in events if event.kind == "call" and event.action != "oauth2_refresh"]
    assert len(calls) == 1001
    assert sum(event.attempt for event in events if event.kind == "call") == len(attempts)
    renewals = [each.outcome for each in attempts if each.action == "oauth2_refresh"]
    assert renewals.count("ok") <= refreshes <= len(renewals)  # the reply of a refresh can be lost
    assert {"ok", "RateLimited", "NotFound"} <= {each.outcome for each in attempts} | {each.outcome for each in calls}
    assert {"reply", "refused", "none", "coalesced"} <= {each.answer for each in events}
    sent = {value for each in requests for value in (each.headers.get("authorization", ""), _hash(each.query))}
    secrets = {sim.api_key, sim.oauth.client_secret, pair.access_token, pair.refresh_token or "", *sent} - {""}
    ours = [text for text in log.texts if "confidential-title" in text]
    assert_not_in({*secrets, "confidential-title"}, repr(events))
    assert_not_in(secrets, "\n".join(log.texts))
    assert not ours, "a parameter is in a log"


def _hash(query: bytes) -> str:
    return urllib.parse.parse_qs(query.decode()).get("hash", [""])[0]


async def test_a_call_is_the_sum_of_its_attempts(session_with: Callable[..., Session]) -> None:
    replies = iter([httpx.Response(429), httpx.Response(502, content=b"<html>"), httpx.Response(200, json=OK)])
    events: list[CallEvent] = []
    async with session_with(lambda _: next(replies), on_call=events.append) as ws:
        await ws.with_options(lane="bulk").get_tasks(26)
    told = [(each.kind, each.attempt, each.status, each.answer) for each in events]
    assert told == [
        ("attempt", 1, 429, "refused"), ("attempt", 2, 502, "reply"), ("attempt", 3, 200, "reply"),
        ("call", 3, 200, "reply"),
    ]  # fmt: skip
    *attempts, call = events
    assert call.outcome == "ok"
    assert call.seconds_waited == pytest.approx(sum(each.seconds_waited for each in attempts))
    assert call.seconds_on_wire == pytest.approx(sum(each.seconds_on_wire for each in attempts))
    assert {(each.lane, each.account, each.action) for each in events} == {
        ("bulk", "https://acme.worksection.com", "get_tasks")
    }


async def test_coalesced_and_cached_reads_are_calls_without_a_request(session_with: Callable[..., Session]) -> None:
    events: list[CallEvent] = []
    async with session_with(lambda _: httpx.Response(200, json=OK), on_call=events.append) as ws:
        view = ws.with_options(max_age=60)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(view.get_tasks, 26)
        await view.get_tasks(26)
    calls = Counter((each.answer, each.attempt) for each in events if each.kind == "call")
    assert calls == {("reply", 1): 1, ("coalesced", 0): 2, ("cached", 0): 1}
    assert sum(each.kind == "attempt" for each in events) == 1


async def test_a_call_that_sends_nothing_is_told_with_its_error(session_with: Callable[..., Session]) -> None:
    events: list[CallEvent] = []
    async with session_with(lambda _: httpx.Response(200, json=OK), on_call=events.append) as ws:
        with pytest.raises(errors.InvalidCall):
            await ws.get_tasks(-1)
    assert [(each.kind, each.outcome, each.answer, each.attempt) for each in events] == [
        ("call", "InvalidCall", "none", 0)
    ]


async def test_a_cancelled_call_is_told(session_with: Callable[..., Session]) -> None:
    """The name is the same on all event loops; the request may have been sent."""
    events: list[CallEvent] = []
    async with session_with(lambda _: httpx.Response(200, json=OK), on_call=events.append) as ws:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ws.get_tasks(26)
    assert [each.outcome for each in events if each.kind == "call"] == ["Cancelled"]


async def test_downloads_are_told(tmp_path: Any) -> None:
    events: list[CallEvent] = []
    async with Simulator(seed="empty") as sim, sim.session(on_call=events.append) as ws:
        task = sim.add_task(sim.add_project("Moon"), "Launch")
        file = sim.add_file(task, "plan.txt", b"plan")
        await ws.download(file.id, tmp_path)
    assert [(each.kind, each.action, each.status) for each in events] == [
        ("attempt", "download", 200), ("call", "download", 200)
    ]  # fmt: skip


async def test_an_error_of_on_call_breaks_no_call_and_is_logged_once(
    session_with: Callable[..., Session], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: CallEvent) -> None:
        raise ZeroDivisionError

    async with session_with(lambda _: httpx.Response(200, json=OK), on_call=fail) as ws:
        await ws.get_tasks(1)
        await ws.get_tasks(2)
    assert sum("on_call" in record.message for record in caplog.records) == 1


async def test_an_async_on_call_is_refused(session_with: Callable[..., Session]) -> None:
    async def on_call(_: CallEvent) -> None: ...

    with pytest.raises(errors.InvalidCall, match="on_call is async"):
        session_with(lambda _: httpx.Response(200), on_call=on_call)


@pytest.mark.parametrize(("value", "lines"), [("debug", 2), ("DEBUG", 2), ("", 0), ("info", 0)])
def test_an_environment_variable_switches_the_log_of_a_script_on(value: str, lines: int) -> None:
    """Sessions after the first one add no second handler."""
    script = """
import asyncio
from worksection_async.testing import Simulator
async def main():
    async with Simulator() as sim, sim.session(), sim.session() as ws:
        await ws.get_users()
asyncio.run(main())
"""
    environment = {**os.environ, "WORKSECTION_LOG": value}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.count("worksection_async: ") == lines
    assert done.stderr.count("get_users: ok") == lines


def test_importing_the_package_configures_no_logging() -> None:
    script = "import logging, worksection_async; print(logging.getLogger('worksection_async').handlers)"
    environment = {**os.environ, "WORKSECTION_LOG": "debug"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
