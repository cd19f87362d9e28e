"""A server that refuses what comes too soon, run in a process of its own: ``python strict.py RATE [JITTER]``.

A request that arrives less than 1/RATE seconds after the one before is refused, as the service does. With JITTER,
each request is held up on its way for 0 to JITTER seconds before it counts as arrived. ``/report`` tells what came.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

RATE = float(sys.argv[1])
JITTER = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0

arrivals: list[float] = []
refused = 0


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        arrived = time.perf_counter()
        if head.startswith(b"GET /report"):
            body = json.dumps({"arrivals": arrivals, "refused": refused}).encode()
        else:
            if JITTER:
                await asyncio.sleep(random.uniform(0, JITTER))
                arrived = time.perf_counter()
            body = answer(arrived)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
    writer.close()


def answer(arrived: float) -> bytes:
    global refused  # noqa: PLW0603
    too_soon = bool(arrivals) and arrived - arrivals[-1] < 1 / RATE
    arrivals.append(arrived)
    if too_soon:
        refused += 1
        return b'{"status":"error","message":"Too many requests"}'
    return b'{"status":"ok","data":[]}'


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
