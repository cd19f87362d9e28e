"""Uploads and downloads of a gigabyte over loopback, compared with bare httpx. Each transfer is a new process.

``python -m tests.bench.files serve`` is the server, ``python -m tests.bench.files CLIENT DIRECTION URL FOLDER`` is one
transfer: it prints its time in seconds and the growth of its peak memory in kilobytes.
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

from tests.bench.measure import Comparison
from worksection_async import ApiKey, Session, TokenBucket

SIZE_BYTES = 1_000_000_000
WARM_UP_BYTES = 4_000_000
"""Size of a transfer that is not measured: it loads modules and fills buffers, which a larger file needs as well."""

RUNS = 5

LIMITS = {"upload": 1.25, "download": 2.0}
"""Ratios. A download hands each block to a thread, so that a slow disk does not block the event loop. On loopback that
takes longer than a direct write, but a gigabyte still arrives at several times the speed of a gigabit network."""

BLOCK = bytes(1 << 20)
UPLOADED = b'{"status":"ok","data":[]}'


def compare() -> Iterator[Comparison]:
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        for size in (WARM_UP_BYTES, SIZE_BYTES):
            with (Path(folder) / str(size)).open("wb") as file:
                file.truncate(size)
        for direction in ("upload", "download"):
            runs = [[transfer(client, direction, url, folder) for client in CLIENTS] for _ in range(RUNS)]
            ours, bare = (min(times) for times in zip(*runs, strict=True))
            name = f"{direction} of {SIZE_BYTES / 1e9:g} GB / bare httpx"
            yield Comparison(name, ours[0] * 1e3, bare[0] * 1e3, "ms", LIMITS[direction])
            growth = max(run[0][1] for run in runs)
            yield Comparison(f"{direction}: growth of memory / size", growth / 1e3, SIZE_BYTES / 1e6, "MB", 0.032)


def transfer(client: str, direction: str, url: str, folder: str) -> tuple[float, int]:
    """Return the time in seconds and the growth of the peak memory in kilobytes."""
    command = [sys.executable, "-m", "tests.bench.files", client, direction, url, folder]
    seconds, growth = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(growth)


# One transfer


async def measure(client: str, direction: str, url: str, folder: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        run = await CLIENTS[client](stack, direction, url, folder)
        await run(WARM_UP_BYTES)
        (folder / "saved").unlink(missing_ok=True)
        before = peak_kilobytes()
        start = time.perf_counter()
        await run(SIZE_BYTES)
        seconds = time.perf_counter() - start
        (folder / "saved").unlink(missing_ok=True)
    print(seconds, peak_kilobytes() - before)


def peak_kilobytes() -> int:
    """Return the peak memory of this process. ``getrusage`` is the fallback: it includes the peak of the parent."""
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


CLIENTS = {"ours": ours, "bare": bare}


# The server


@contextlib.contextmanager
def serving() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.files", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def serve() -> None:
    """Serve one connection after the other: discard uploads, answer downloads with zeros."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                while respond(connection):
                    pass


def respond(connection: socket.socket) -> bool:
    """Respond to one request. Return False if the connection was closed instead."""
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(65536)
        if not received:
            return False
        head += received
    head, _, body = head.partition(b"\r\n\r\n")
    if length := re.search(rb"(?i)content-length: (\d+)", head):
        discard(connection, int(length[1]) - len(body))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(UPLOADED), UPLOADED))
    else:
        send(connection, int(parse_qs(urlsplit(head.split()[1].decode()).query)["id_file"][0]))
    return True


def discard(connection: socket.socket, size: int) -> None:
    buffer = bytearray(1 << 20)
    while size > 0:
        size -= connection.recv_into(buffer) or size


def send(connection: socket.socket, size: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-download\r\nContent-Length: %d\r\n" % size)
    connection.sendall(b"Content-Disposition: attachment; filename*=UTF-8''zeros.bin\r\n\r\n")
    for start in range(0, size, len(BLOCK)):
        connection.sendall(BLOCK[: size - start])


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        client, direction, url, folder = sys.argv[1:]
        anyio.run(measure, client, direction, url, Path(folder))
