"""A webhook receiver in web frameworks, and behind a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from worksection_async.webhooks import WebhookReceiver


def in_starlette(receiver: WebhookReceiver) -> Any:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with receiver:
            yield

    return Starlette(routes=[Mount("/hooks", receiver), Route("/exact", receiver)], lifespan=lifespan)


def in_fastapi(receiver: WebhookReceiver) -> Any:
    fastapi = pytest.importorskip("fastapi")

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with receiver:
            yield

    app = fastapi.FastAPI(lifespan=lifespan)
    app.mount("/hooks", receiver)
    return app


def in_litestar(receiver: WebhookReceiver) -> Any:
    litestar = pytest.importorskip("litestar")

    @litestar.handlers.asgi("/hooks", is_mount=True, copy_scope=True)  # type: ignore[untyped-decorator]
    async def hooks(scope: Any, receive: Any, send: Any) -> None:
        await receiver(scope, receive, send)

    return litestar.Litestar([hooks], lifespan=[lambda _: receiver])


@asynccontextmanager
async def served(app: Any, port: int = 0, **options: Any) -> AsyncIterator[str]:
    """Serve *app* with uvicorn on a socket, with lifespan, in this event loop, which must be asyncio."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, lifespan="on", log_config=None, http="h11", ws="none", **options)
    )
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
