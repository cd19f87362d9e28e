"""10 000 tasks, about 10 MB: decoding beside pydantic, and memory."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.measure import Figure, best_in_turns, peak
from tests.bench.replies import full_task, reply, task
from tests.bench.rivals import Envelope
from worksection_async._protocol.actions import GET_ALL_TASKS
from worksection_async._protocol.envelope import Reply, read_reply
from worksection_async._protocol.structure import Structure
from worksection_async.models import Task


def figures() -> list[Figure]:
    plain, full = reply(task), reply(full_task)
    return [
        decoding("plain, with long texts", plain),
        decoding("with files, comments and followers", full),
        Figure("peak memory of plain ones / pydantic", peak(ours(plain)), peak(theirs(plain)), "MB", 3.0),
    ]


def decoding(what: str, body: bytes) -> Figure:
    """Milliseconds from the body to models, and pydantic's straight from JSON: its fastest way."""
    first, second = ours(body)()[17], theirs(body)().data[17]
    assert (first.date_end, first.max_time, first.tags) == (second.date_end, second.max_time, second.tags)
    first_time, second_time = best_in_turns(ours(body), theirs(body), runs=9)
    return Figure(f"10 000 tasks {what} / pydantic", first_time * 1e3, second_time * 1e3, "ms", 1.0)


def ours(body: bytes) -> Callable[[], list[Task]]:
    structure = Structure()
    return lambda: read_reply(GET_ALL_TASKS, Reply(200, {}, body), structure)


def theirs(body: bytes) -> Callable[[], Envelope]:
    return lambda: Envelope.model_validate_json(body)
