"""Webhook receivers behind real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import uvicorn

from worksection_async.webhooks import WebhookReceiver


def in_fastapi(receiver: WebhookReceiver) -> Any:
    fastapi = pytest.importorskip("fastapi")

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with receiver:
            yield

    app = fastapi.FastAPI(lifespan=lifespan)
    app.mount("/hooks", receiver)
    return app


@asynccontextmanager
async def served(app: Any, port: int = 0) -> AsyncIterator[str]:
    """Serve *app* with uvicorn on a socket, with lifespan, in this event loop, which must be asyncio."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="on", log_config=None, http="h11", ws="none"))
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    if server.should_exit:
        raise RuntimeError("the application did not start")
    async with anyio.create_task_group() as group:
        group.start_soon(server.main_loop)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
    await server.shutdown()
