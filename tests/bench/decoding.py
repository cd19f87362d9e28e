"""Time and memory to decode 10 000 tasks (about 10 MB) and to encode them, compared with pydantic and msgspec."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from tests.bench.measure import OURS, Comparison, Conduct, Result, best_of_alternating, peak_megabytes
from tests.bench.replies import full_task, reply, task
from tests.bench.rivals import Envelope, TextEnvelope, TypedEnvelope
from worksection_async._protocol.actions import GET_ALL_TASKS
from worksection_async._protocol.envelope import Reply, read_reply
from worksection_async._protocol.structure import Structure
from worksection_async.models import Task, to_json


def compare() -> Iterator[Result]:
    plain, full = reply(task), reply(full_task)
    yield decoding("with long texts", plain)
    yield decoding("with files, comments and followers", full)
    yield encoding(plain)
    seconds = best_of_alternating(ours(plain), untyped(plain), runs=5)
    name = "10 000 tasks with long texts / msgspec, without time types"
    yield Comparison(name, seconds[0] * 1e3, seconds[1] * 1e3, "ms", None)
    yield from typed(plain)
    memory = peak_megabytes(ours(plain)), peak_megabytes(pydantic(plain))
    yield Comparison("peak memory of 10 000 tasks with long texts / pydantic", *memory, "MB", 3.0)


def decoding(what: str, body: bytes) -> Comparison:
    """Compare the time from the body to models. Pydantic decodes JSON directly, which is its fastest way."""
    first, second = ours(body)()[17], pydantic(body)().data[17]
    assert (first.date_end, first.max_time, first.tags) == (second.date_end, second.max_time, second.tags)
    seconds = best_of_alternating(ours(body), pydantic(body), runs=9)
    return Comparison(f"10 000 tasks {what} / pydantic", seconds[0] * 1e3, seconds[1] * 1e3, "ms", 1.0)


def encoding(body: bytes) -> Comparison:
    tasks, envelope = ours(body)(), pydantic(body)()
    seconds = best_of_alternating(lambda: to_json(tasks), envelope.model_dump_json, runs=5)
    return Comparison("10 000 tasks to JSON / pydantic", seconds[0] * 1e3, seconds[1] * 1e3, "ms", 10.0)


def typed(body: bytes) -> Iterator[Conduct]:
    """Observe which libraries read the times, durations and amounts of the service as such."""
    readers: dict[str, Callable[[], Any]] = {
        OURS: ours(body),
        "pydantic": lambda: pydantic(body)().data,
        "msgspec": lambda: msgspec.json.decode(body, type=TypedEnvelope, strict=False).data,
    }
    for library, read in readers.items():
        try:
            first = read()[17]
            values = (first.date_added, first.date_end, first.max_time, first.max_money)
            expected = dt.datetime(2026, 1, 18, 10, 17), dt.date(2026, 3, 18), dt.timedelta(hours=17), Decimal(17)
            failure = "" if values == expected else f"expected {expected}, got {values}"
        except (ValueError, TypeError) as error:
            failure = f"{type(error).__name__}: {error}"
        yield Conduct("times, durations and amounts of a reply get their types", library, failure)


def untyped(body: bytes) -> Callable[[], TextEnvelope]:
    decoder = msgspec.json.Decoder(TextEnvelope, strict=False)
    return lambda: decoder.decode(body)


def ours(body: bytes) -> Callable[[], list[Task]]:
    structure = Structure()
    return lambda: read_reply(GET_ALL_TASKS, Reply(200, {}, body, 0.0), structure)


def pydantic(body: bytes) -> Callable[[], Envelope]:
    return lambda: Envelope.model_validate_json(body)
