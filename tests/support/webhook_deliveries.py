"""Deliveries to a webhook receiver: events as the service sends them, and a handler that records them."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx

from worksection_async.models import Event

OK = {"status": "OK"}


def record(number: int = 9, action: str = "update", type: str = "task", **more: Any) -> dict[str, Any]:
    """An event as the service sends it in a webhook body."""
    return {
        "action": action,
        "object": {"type": type, "id": str(number), "page": "/task/9/"},
        "date_added": "2026-01-02 03:04",
        "user_from": {"id": "41", "email": "ada@example.com", "name": "Ada Byron"},
        "new": {"priority": 7},
        "old": {"priority": ""},
        **more,
    }


def body(*records: Any) -> bytes:
    return json.dumps(records).encode()


EVENT = body(record())


class RecordingHandler:
    """A handler that records events, signals its first call and can be blocked."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.unblocked = anyio.Event()
        self.unblocked.set()
        self.called = anyio.Event()

    def block(self) -> None:
        self.unblocked = anyio.Event()

    async def __call__(self, event: Event) -> None:
        self.called.set()
        await self.unblocked.wait()
        self.events.append(event)
        if event.action == "fail":
            raise LookupError("an error of the handler")

    @property
    def object_ids(self) -> list[int]:
        return [event.object.id for event in self.events]


def client(app: Any, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hooks.test", **options)
