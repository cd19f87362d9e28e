"""A gigabyte up and down over loopback, each time by a fresh process; the other end is a third one.

``python files.py serve`` is that end, ``python files.py WAY DIRECTION URL FOLDER`` one transfer: it prints its seconds,
and the kilobytes by which the process grew.
"""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx

from tests.bench.measure import Figure
from worksection_async import ApiKey, Session, TokenBucket

SIZE = 1_000_000_000
WARM_UP = 4_000_000
"""Bytes of a transfer before, so that what is measured is what a larger file costs."""

RUNS = 5
PIECE = bytes(1 << 20)
SAVED = b'{"status":"ok","data":[]}'
MEMORY = 32
"""Megabytes by which a process may grow."""

SPEED = 0.8
"""Part of the speed of bare httpx."""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, serving() as url:
        for size in (WARM_UP, SIZE):
            with (Path(name) / str(size)).open("wb") as file:
                file.truncate(size)
        for direction in ("upload", "download"):
            measured = [[transfer(way, direction, url, name) for way in ("ours", "bare")] for _ in range(RUNS)]
            ours, bare = (min(times) for times in zip(*measured, strict=True))
            what = f"{direction} of {SIZE / 1e9:g} GB / bare httpx"
            yield Figure(what, ours[0] * 1e3, bare[0] * 1e3, "ms", 1 / SPEED)
            grown = max(run[0][1] for run in measured)
            yield Figure(f"{direction}: growth of the process", grown / 1e3, 0.0, "MB", MEMORY, absolute=True)


def transfer(way: str, direction: str, url: str, folder: str) -> tuple[float, int]:
    """Seconds, and kilobytes."""
    command = [sys.executable, __file__, way, direction, url, folder]
    seconds, grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(grown)


# One transfer


async def measured(way: str, direction: str, url: str, folder: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        run = await WAYS[way](stack, direction, url, folder)
        await run(WARM_UP)
        (folder / "saved").unlink(missing_ok=True)
        before = peak()
        start = time.perf_counter()
        await run(SIZE)
        seconds = time.perf_counter() - start
        (folder / "saved").unlink(missing_ok=True)
    print(seconds, peak() - before)


def peak() -> int:
    """Most kilobytes this process ever had; what ``getrusage`` says begins with the peak of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


Run = Callable[[int], Awaitable[None]]


async def ours(stack: contextlib.AsyncExitStack, direction: str, url: str, folder: Path) -> Run:
    ws = await stack.enter_async_context(Session(url, ApiKey("key"), limiter=TokenBucket(1e6)))

    async def upload(size: int) -> None:
        await ws.upload_files([folder / str(size)])

    async def download(size: int) -> None:
        saved = await ws.download(size, folder / "saved", progress=lambda *_: None)
        assert saved.size == size

    return {"upload": upload, "download": download}[direction]


async def bare(stack: contextlib.AsyncExitStack, direction: str, url: str, folder: Path) -> Run:
    client = await stack.enter_async_context(httpx.AsyncClient(base_url=url))

    async def upload(size: int) -> None:
        with (folder / str(size)).open("rb") as file:
            response = await client.post("/", files={"files[]": (str(size), file)})
        assert response.json()["status"] == "ok"

    async def download(size: int) -> None:
        with (folder / "saved").open("wb") as file:
            async with client.stream("GET", "/", params={"id_file": size}) as response:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)

    return {"upload": upload, "download": download}[direction]


WAYS = {"ours": ours, "bare": bare}


# The other end


@contextlib.contextmanager
def serving() -> Iterator[str]:
    with subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def serve() -> None:
    """Serve one connection after the other: what is sent is thrown away, what is asked for is as many zeros."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                while answer(connection):
                    pass


def answer(connection: socket.socket) -> bool:
    """Whether there was a request."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return False
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    if length := re.search(rb"(?i)content-length: (\d+)", head):
        swallow(connection, int(length[1]) - len(body))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(SAVED), SAVED))
    else:
        send(connection, int(parse_qs(urlsplit(head.split()[1].decode()).query)["id_file"][0]))
    return True


def swallow(connection: socket.socket, size: int) -> None:
    buffer = bytearray(1 << 20)
    while size > 0:
        size -= connection.recv_into(buffer) or size


def send(connection: socket.socket, size: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-download\r\nContent-Length: %d\r\n" % size)
    connection.sendall(b"Content-Disposition: attachment; filename*=UTF-8''zeros.bin\r\n\r\n")
    for start in range(0, size, len(PIECE)):
        connection.sendall(PIECE[: size - start])


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        way, direction, url, folder = sys.argv[1:]
        anyio.run(measured, way, direction, url, Path(folder))
