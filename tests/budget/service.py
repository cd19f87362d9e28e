"""A strict service behind a simulated network: ``python service.py '{"jitter": [0.02, 0.06]}'``.

It runs in its own process, and prints its port.

A request that arrives less than `INTERVAL` after the last accepted one is refused; refused requests do not count.
Without simulated delays, the arrival time is the kernel's timestamp (Linux), because on a busy machine this process
may read a request late. ``/report`` returns the arrival times.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import struct
import sys
import threading
import time
from typing import Any

import attrs

INTERVAL = 1.0
"""Minimum seconds between two accepted requests."""

SO_TIMESTAMPNS = 35
"""Linux constant that the module `socket` does not define."""

TIMESTAMP = struct.Struct("qq")


@attrs.frozen
class Network:
    """The conditions of the simulated network. All times are seconds."""

    jitter: tuple[float, float] = (0.0, 0.0)
    """Range of the random delay of each request."""
    connect: float = 0.0
    """Duration of the TLS handshake; zero: plain HTTP."""
    stall: float = 0.0
    """Duration of one interruption, during which no request arrives."""
    stall_after: float = 20.0
    """Time from the first arrival to the interruption."""
    foreign: float = 0.0
    """Requests/s of another client, at random times (Poisson)."""
    certificate: str = ""

    def delay(self, since_first: float) -> float:
        """Return the delay of a request that was sent *since_first* seconds after the first arrival."""
        delay = random.uniform(*self.jitter)
        arrives = since_first + delay
        if self.stall and self.stall_after <= arrives < self.stall_after + self.stall:
            delay = self.stall_after + self.stall - since_first
        return delay


class Service:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.lock = threading.Lock()
        self.last_accepted = self.first = 0.0
        self.arrivals: list[float] = []
        self.accepted: list[float] = []
        self.foreign_accepted: list[float] = []

    def arrive(self, at: float, *, is_foreign: bool = False) -> bool:
        """Count a request, and return whether it is accepted."""
        with self.lock:
            is_accepted = at - self.last_accepted >= INTERVAL
            if not is_foreign:
                self.arrivals.append(at)
            if is_accepted:
                self.last_accepted = at
                (self.foreign_accepted if is_foreign else self.accepted).append(at)
            return is_accepted

    def report(self) -> dict[str, Any]:
        until = self.arrivals[-1]
        foreign = sum(self.arrivals[0] <= at <= until for at in self.foreign_accepted)
        return {"arrivals": self.arrivals, "accepted": self.accepted, "foreign": foreign}

    def run_foreign_client(self) -> None:
        while True:
            time.sleep(random.expovariate(self.network.foreign))
            self.arrive(time.time(), is_foreign=True)

    def serve(self, connection: socket.socket) -> None:
        try:
            if self.network.connect:
                time.sleep(self.network.connect)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.network.certificate)
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while request := self.receive(connection):
                    self.answer(connection, *request)
        except OSError:
            pass  # the client has closed the connection

    def receive(self, connection: socket.socket) -> tuple[float, bytes] | None:
        """Return the arrival time and the head of the next request; None if the client has closed the connection."""
        arrived, head = 0.0, b""
        while not head.endswith(b"\r\n\r\n"):
            if isinstance(connection, ssl.SSLSocket):
                chunk, timestamp = connection.recv(65536), time.time()
            else:
                chunk, ancillary, *_ = connection.recvmsg(65536, socket.CMSG_SPACE(TIMESTAMP.size))
                timestamp = kernel_time(ancillary)
            if not chunk:
                return None
            arrived = arrived or timestamp
            head += chunk
        return arrived, head

    def answer(self, connection: socket.socket, arrived: float, head: bytes) -> None:
        if head.startswith(b"GET /report"):
            body = json.dumps(self.report()).encode()
        else:
            self.first = self.first or arrived
            if delay := self.network.delay(arrived - self.first):
                time.sleep(delay)
                arrived = time.time()
            is_accepted = self.arrive(arrived)
            refusal = b'{"status":"error","message":"Too many requests"}'
            body = b'{"status":"ok","data":[]}' if is_accepted else refusal
        start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(start + body)


def kernel_time(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Return the kernel's receive timestamp, or the current time if there is none."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = TIMESTAMP.unpack(data)
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def main() -> None:
    service = Service(Network(**json.loads(sys.argv[1])))
    if service.network.foreign:
        threading.Thread(target=service.run_foreign_client, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            threading.Thread(target=service.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
