"""10 000 tasks, about 10 MB: decoding beside pydantic, the event loop's longest wait meanwhile, and memory."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import anyio
import httpx
from measure import Figure, best_in_turns, peak
from rivals import EQUIVALENT, STRICT

from worksection_async import ApiKey, Session, TokenBucket
from worksection_async._actions import GET_ALL_TASKS
from worksection_async._envelope import Reply, read_reply
from worksection_async._structure import Structure

COUNT = 10_000


def figures() -> list[Figure]:
    body = reply()
    ours, equivalent, strict = (decode_with(kind, body) for kind in ("ours", "equivalent", "strict"))
    same = ours()[17], equivalent().data[17]
    assert (same[0].date_end, same[0].max_time, same[0].tags) == (same[1].date_end, same[1].max_time, same[1].tags)
    runs = {"equivalent": best_in_turns(ours, equivalent, runs=9), "strict": best_in_turns(ours, strict, runs=9)}
    bare = best_in_turns(ours, lambda: EQUIVALENT.model_validate(json.loads(body)), runs=5)
    stall = statistics.median(anyio.run(longest_stall, body) for _ in range(9)) * 1e3
    return [
        Figure("10 000 tasks to models / pydantic, as tolerant", *(t * 1e3 for t in runs["equivalent"]), "ms", 1.0),
        Figure("10 000 tasks to models / pydantic, from .json()", *(t * 1e3 for t in bare), "ms", 1.0),
        Figure("10 000 tasks to models / pydantic, strict (for information)", *(t * 1e3 for t in runs["strict"]), "ms", 9),
        Figure("longest wait of the event loop meanwhile, median of 9", stall, 0.0, "ms", 20.0, absolute=True),
        Figure("peak memory of it / pydantic", peak(ours), peak(equivalent), "MB", 3.0),
    ]


def decode_with(kind: str, body: bytes) -> Any:
    if kind == "ours":
        structure = Structure()
        return lambda: read_reply(GET_ALL_TASKS, Reply(200, {}, body), structure)
    model = {"equivalent": EQUIVALENT, "strict": STRICT}[kind]
    return lambda: model.model_validate_json(body)


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


def reply() -> bytes:
    records = [task(number) for number in range(COUNT)]
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
        "project": {"id": str(number % 80 + 1), "name": f"Project {number % 80}", "page": f"/project/{number % 80 + 1}/"},
        "text": "Business logic programming. " * 15,
        "date_added": f"2026-01-{number % 28 + 1:02} 10:{number % 60:02}",
        "date_start": f"2026-02-{number % 28 + 1:02}",
        "date_end": f"2026-03-{number % 28 + 1:02}",
        "time_end": "18:00",
        "max_time": number % 400,
        "max_money": number % 6000,
        "tags": {"72565": "To-do", "105554": f"label {number % 12}"},
    }


def user(number: int) -> dict[str, str]:
    return {"id": str(3000 + number), "email": f"user{number}@example.com", "name": f"User Number {number}"}
