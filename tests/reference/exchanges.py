"""Makes the example calls with the simulator, and records their replies and results."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import httpx

from tests.reference.calls import Call
from worksection_async import AccessToken, models
from worksection_async.filters import F
from worksection_async.testing import Simulator, VirtualClock
from worksection_async.testing._transport import SimulatorTransport

START = datetime(2026, 3, 2, 10, 30, tzinfo=UTC).timestamp()
"""Time of all examples, so that the pages change only if the package changes."""


@attrs.frozen
class Exchange:
    """What an example call returned, and the reply of the service."""

    result: str
    """The result as a Python expression; of a list the first record."""
    reply: str
    """The reply as JSON; of a list the first record. Empty for a file."""


class RecordingTransport(httpx.AsyncBaseTransport):
    """Passes requests to another transport, and keeps the bodies of the responses."""

    def __init__(self, transport: SimulatorTransport) -> None:
        self.transport = transport
        self.clock = transport.clock
        self.bodies: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.transport.handle_async_request(request)
        body = await response.aread()
        self.bodies.append(body)
        headers = {name: value for name, value in response.headers.items() if name != "content-encoding"}
        return httpx.Response(response.status_code, headers=headers, content=body)


async def webhook_consumer(scope: Any, receive: Any, send: Any) -> None:
    """Answer the calls of a webhook as the service requires it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"status":"OK"}'})


async def exchange(call: Call) -> Exchange:
    """Make *call* in a new demo account."""
    async with Simulator(clock=VirtualClock(START)) as simulator:
        simulator.connect("https://hooks.test", webhook_consumer)
        auth = AccessToken(simulator.issue_token()) if call.by_user else None
        transport = RecordingTransport(simulator.transport())
        async with simulator.session(auth, transport=transport, coalesce=False) as ws:
            names = {"ws": ws, "models": models, "F": F, "Path": Path, "date": date, "timedelta": timedelta}
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                if call.before:
                    await _run(call.before, names)
                result = await _run(call.code, names)
    return Exchange(_expression(result), _json(transport.bodies[-1]))


async def _run(code: str, names: dict[str, Any]) -> Any:
    outcome = eval(compile(code, "example", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    return await outcome if inspect.isawaitable(outcome) else outcome


def _expression(result: object) -> str:
    if isinstance(result, list) and len(result) > 1:
        return f"[{result[0]!r}, ...]"
    return repr(result).replace("PosixPath", "Path")


def _json(body: bytes) -> str:
    try:
        reply = json.loads(body)
    except ValueError:
        return ""
    if isinstance(reply.get("data"), list):
        reply["data"] = reply["data"][:1]
    return json.dumps(reply, indent=2, ensure_ascii=False)
