"""The largest replies of the service: 10 000 tasks."""

from __future__ import annotations

import json
from collections.abc import Callable

COUNT = 10_000


def reply(record: Callable[[int], dict[str, object]]) -> bytes:
    records = [record(number) for number in range(COUNT)]
    return json.dumps({"status": "ok", "data": records}, ensure_ascii=False, separators=(",", ":")).encode()


def task(number: int) -> dict[str, object]:
    """Return a record with the usual number of fields; its text makes the reply 10 MB."""
    return {
        "id": str(300_000 + number),
        "name": f"Завдання number {number}",
        "page": f"/project/{number % 80 + 1}/{300_000 + number}/",
        "status": ("active", "done")[number % 2],
        "priority": str(number % 11),
        "user_from": user(number % 50),
        "user_to": user(number % 37),
        "project": {
            "id": f"{number % 80 + 1}",
            "name": f"Project {number % 80}",
            "page": f"/project/{number % 80 + 1}/",
        },
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
    """Return a record with a short text; every third one has files and comments."""
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
