"""10 000 tasks, about 10 MB: decoding beside pydantic, the event loop's longest wait meanwhile, and memory."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import anyio
import httpx
from measure import Figure, best_in_turns, peak
from rivals import Envelope

from worksection_async import ApiKey, Session, TokenBucket
from worksection_async._actions import GET_ALL_TASKS
from worksection_async._envelope import Reply, read_reply
from worksection_async._structure import Structure
from worksection_async.models import Task

COUNT = 10_000


def figures() -> list[Figure]:
    plain, full = reply(task), reply(full_task)
    return [
        decoding("plain, with long texts", plain),
        decoding("with files, comments and followers", full),
        stall(plain),
        Figure("peak memory of plain ones / pydantic", peak(ours(plain)), peak(theirs(plain)), "MB", 3.0),
    ]


def decoding(what: str, body: bytes) -> Figure:
    """Milliseconds from the body to models, and pydantic's straight from JSON: its fastest way."""
    first, second = ours(body)()[17], theirs(body)().data[17]
    assert (first.date_end, first.max_time, first.tags) == (second.date_end, second.max_time, second.tags)
    mine, other = (seconds * 1e3 for seconds in best_in_turns(ours(body), theirs(body), runs=9))
    return Figure(f"10 000 tasks {what} / pydantic", mine, other, "ms", 1.0)


def ours(body: bytes) -> Callable[[], list[Task]]:
    structure = Structure()
    return lambda: read_reply(GET_ALL_TASKS, Reply(200, {}, body), structure)


def theirs(body: bytes) -> Callable[[], Envelope]:
    return lambda: Envelope.model_validate_json(body)


def stall(body: bytes) -> Figure:
    worst = [anyio.run(longest_stall, body) * 1e3 for _ in range(9)]
    what = "longest wait of the event loop meanwhile, median of 9"
    return Figure(what, statistics.median(worst), 0.0, "ms", 20.0, absolute=True)


async def longest_stall(body: bytes) -> float:
    """Seconds the event loop kept a ticking task waiting at worst while a session read *body*."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            asked = time.perf_counter()
            await anyio.sleep(0.001)
            worst = max(worst, time.perf_counter() - asked - 0.001)

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with (
        Session("acme", ApiKey("key"), transport=transport, limiter=TokenBucket(1e6)) as ws,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(tick)
        await anyio.sleep(0.05)
        worst = 0.0
        assert len(await ws.get_all_tasks()) == COUNT
        tasks.cancel_scope.cancel()
    return worst


def reply(record: Callable[[int], dict[str, object]]) -> bytes:
    records = [record(number) for number in range(COUNT)]
    return json.dumps({"status": "ok", "data": records}, ensure_ascii=False, separators=(",", ":")).encode()


def task(number: int) -> dict[str, object]:
    """A record as full as most are; its text makes the reply 10 MB."""
    return {
        "id": str(300_000 + number),
        "name": f"Завдання number {number}",
        "page": f"/project/{number % 80 + 1}/{300_000 + number}/",
        "status": ("active", "done")[number % 2],
        "priority": str(number % 11),
        "user_from": user(number % 50),
        "user_to": user(number % 37),
        "project": {"id": f"{number % 80}1", "name": f"Project {number % 80}", "page": f"/project/{number % 80}1/"},
        "text": "Business logic programming. " * 15,
        "date_added": f"2026-01-{number % 28 + 1:02} 10:{number % 60:02}",
        "date_start": f"2026-02-{number % 28 + 1:02}",
        "date_end": f"2026-03-{number % 28 + 1:02}",
        "time_end": "18:00",
        "max_time": number % 400,
        "max_money": number % 6000,
        "tags": {"72565": "To-do", "105554": f"label {number % 12}"},
    }


def full_task(number: int) -> dict[str, object]:
    """A record with a short text and all the parts one can ask for, in every third."""
    record = {**task(number), "text": "Business logic programming", "has_comments": int(number % 3 == 0)}
    record["subscribers"] = [user(number % 50), user(number % 37)]
    if number % 3 == 0:
        record["files"] = [
            {"id": str(each), "page": f"/download/{each}/", "name": "Development requirements.doc", "size": "27136"}
            for each in (2 * number, 2 * number + 1)
        ]
        record["comments"] = [comment(5 * number + each) for each in range(3)]
    return record


def comment(number: int) -> dict[str, object]:
    return {
        "id": str(number),
        "page": f"/project/8562/331894/#com{number}",
        "text": "Thanks, first section done",
        "date_added": "2026-01-07 16:38",
        "user_from": user(number % 50),
    }


def user(number: int) -> dict[str, str]:
    return {"id": str(3000 + number), "email": f"user{number}@example.com", "name": f"User Number {number}"}
