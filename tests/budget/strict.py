"""A server that refuses what comes too soon, run in a process of its own: ``python strict.py RATE [JITTER]``.

A request that arrives less than 1/RATE seconds after the one before is refused, as the service does. When it arrived
is what the kernel says (Linux), for on a busy machine this process may be told late. With JITTER, each request is
held up on its way for 0 to JITTER seconds before it counts as arrived. ``/report`` tells what came.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import threading
import time

RATE = float(sys.argv[1])
JITTER = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0

SO_TIMESTAMPNS = 35
TIMESTAMP = struct.Struct("qq")

arrivals: list[float] = []
refusals: list[float] = []
lock = threading.Lock()


def serve(connection: socket.socket) -> None:
    with connection:
        while request := received(connection):
            arrived, head = request
            if head.startswith(b"GET /report"):
                body = json.dumps({"arrivals": arrivals, "refused": len(refusals)}).encode()
            else:
                body = answer(arrived)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)


def received(connection: socket.socket) -> tuple[float, bytes] | None:
    """When the next request began to arrive, and its head."""
    arrived, head = 0.0, b""
    while not head.endswith(b"\r\n\r\n"):
        piece, ancillary, *_ = connection.recvmsg(65536, socket.CMSG_SPACE(TIMESTAMP.size))
        if not piece:
            return None
        arrived = arrived or stamp(ancillary)
        head += piece
    return arrived, head


def stamp(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = TIMESTAMP.unpack(data)
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def answer(arrived: float) -> bytes:
    if JITTER:
        time.sleep(random.uniform(0, JITTER))
        arrived = time.time()
    with lock:
        too_soon = bool(arrivals) and arrived - arrivals[-1] < 1 / RATE
        arrivals.append(arrived)
        if too_soon:
            refusals.append(arrived)
    return b'{"status":"error","message":"Too many requests"}' if too_soon else b'{"status":"ok","data":[]}'


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


main()
