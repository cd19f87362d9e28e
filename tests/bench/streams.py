"""Memory of a stream of 60 000 tasks, compared with one call that returns 10 000."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qs

import anyio
import httpx

from tests.bench.measure import Comparison, peak_megabytes
from tests.bench.replies import COUNT, task
from worksection_async import ApiKey, Session, TokenBucket

FIRST = dt.date(2026, 1, 1)
SIZES = {1: 14_000} | dict.fromkeys(range(2, 80), 582) | {80: 604}
"""Project → number of its tasks, 60 000 in total."""

WHOLE = 999
"""A project with as many tasks as a reply can contain."""


def compare() -> Iterator[Comparison]:
    found = anyio.run(streamed)
    assert found == sum(SIZES.values()) == 60_000, found
    ours, call = peak_megabytes(lambda: anyio.run(streamed)), peak_megabytes(lambda: anyio.run(called))
    yield Comparison("peak memory of 60 000 streamed tasks / a call for 10 000", ours, call, "MB", 2.0)


async def streamed() -> int:
    """Return the number of different tasks in the stream."""
    async with Session("acme", ApiKey("key"), transport=httpx.MockTransport(respond), limiter=TokenBucket(1e6)) as ws:
        return len({task.id async for task in ws.iter_tasks()})


async def called() -> int:
    """Return the number of tasks in one reply."""
    async with Session("acme", ApiKey("key"), transport=httpx.MockTransport(respond), limiter=TokenBucket(1e6)) as ws:
        return len(await ws.with_options(coalesce=False).get_tasks(WHOLE))


def respond(request: httpx.Request) -> httpx.Response:
    params = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
    project = int(params.get("id_project", "0"))
    match params["action"]:
        case "get_projects":
            return reply([{"id": str(number), "date_added": f"{FIRST} 09:00"} for number in SIZES])
        case "get_tasks" if project == WHOLE:
            return reply([task(number) for number in range(COUNT - 1)])
        case "get_tasks" if SIZES[project] <= COUNT:
            return reply([task(project * 100_000 + number) for number in range(SIZES[project])])
        case "search_tasks":
            return search(params, project)
    return httpx.Response(200, json={"status": "error", "message": "Too many tasks (10000 max)"})


def search(params: dict[str, str], project: int) -> httpx.Response:
    """Answer a search. All tasks are active; one was added each minute from the first day on."""
    first, last = FIRST, FIRST + dt.timedelta(days=3650)
    for sign, day in re.findall(r"dateadd(<|>=)'(\S+?)'", params.get("filter", "")):
        date = dt.datetime.strptime(day, "%d.%m.%Y").date()
        day_before = date - dt.timedelta(days=1)
        first, last = (max(first, date), last) if sign == ">=" else (first, min(last, day_before))
    numbers = range(max(0, (first - FIRST).days * 1440), min(SIZES[project], ((last - FIRST).days + 1) * 1440))
    if params["status"] != "active":
        return reply([])
    if len(numbers) >= COUNT:
        return httpx.Response(200, json={"status": "error", "message": "Too many tasks (10000 max)"})
    ids = [project * 100_000 + number for number in numbers]
    records = [{**task(each), "page": f"/project/{project}/{each}/"} for each in ids]
    return reply(records)


def reply(records: list[dict[str, object]]) -> httpx.Response:
    return httpx.Response(200, content=json.dumps({"status": "ok", "data": records}, ensure_ascii=False).encode())
