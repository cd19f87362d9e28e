"""Scripted faults, for tests of error handling: ``sim.fail("get_tasks", "reset")``.

With ``executed=True`` a fault occurs after the action was carried out. The client cannot see the difference: if it
sends a write again after such a fault, the write is carried out twice.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal, get_args

import anyio
import attrs

from .._protocol.names import nearest
from ..errors import InvalidCall
from ._rate import rate_limit_reply
from ._reply import SimulatedReply, html_reply, json_reply

DisconnectKind = Literal["unreachable", "reset", "timeout"]


@attrs.frozen
class Disconnect:
    """A connection failure instead of a reply."""

    kind: DisconnectKind


Outcome = SimulatedReply | Disconnect


@attrs.frozen(kw_only=True)
class Fault:
    """A fault of one request. Create it with the functions of this module."""

    name: str
    executed: bool
    """True if the action is carried out before the fault occurs."""
    transform: Callable[[SimulatedReply], Outcome] | None = None
    """Returns the outcome that the client sees, given the real reply; None: the real reply."""
    delay: float = 0.0
    """Seconds before the outcome."""

    async def apply(self, execute: Callable[[], Awaitable[SimulatedReply]]) -> Outcome:
        """Call *execute* unless the fault prevents it, and return the outcome that the client sees."""
        reply = await execute() if self.executed else None
        await anyio.sleep(self.delay)
        if self.transform is None:
            return reply or await execute()
        return self.transform(reply or json_reply({"status": "ok"}))


@attrs.define
class Faults:
    """The scheduled faults. A request gets the first one for its action; after its ``times`` a fault is used up."""

    _scheduled: deque[tuple[str, Fault]] = attrs.field(factory=deque, init=False)
    _permanent: dict[str, Fault] = attrs.field(factory=dict, init=False)

    def add(self, action: str, fault: Fault, times: int | None = 1) -> None:
        """Apply *fault* to the next *times* requests for *action* (``"*"``: any action); ``None``: to all requests."""
        if times is None:
            self._permanent[action] = fault
        else:
            self._scheduled.extend([(action, fault)] * times)

    def take(self, action: str) -> Fault | None:
        """Return the fault for a request for *action*, if any, and count it as used."""
        for scheduled in self._scheduled:
            if scheduled[0] in (action, "*"):
                self._scheduled.remove(scheduled)
                return scheduled[1]
        return self._permanent.get(action) or self._permanent.get("*")

    def clear(self) -> None:
        """Remove all faults."""
        self._scheduled.clear()
        self._permanent.clear()

    @property
    def unused(self) -> tuple[tuple[str, Fault], ...]:
        """The scheduled faults that no request has used yet. A test should assert that this is empty at its end."""
        return tuple(self._scheduled)


# Connection failures


def unreachable() -> Fault:
    """The connection fails before the request is sent. The request log contains the attempt anyway.

    Over a real socket (`Simulator.serve`) this is a `reset`, because the server cannot refuse a single connection.
    """
    return Fault(name="unreachable", executed=False, transform=lambda _: Disconnect("unreachable"))


def reset(*, executed: bool = False) -> Fault:
    """The connection is dropped after the request has arrived."""
    return Fault(name="reset", executed=executed, transform=lambda _: Disconnect("reset"))


def timeout(*, executed: bool = False) -> Fault:
    """The client's read timeout expires; in process it expires immediately."""
    return Fault(name="timeout", executed=executed, transform=lambda _: Disconnect("timeout"))


def delay(seconds: float, *, executed: bool = True) -> Fault:
    """The reply is late by *seconds*; the action is carried out before the delay or (``executed=False``) after it."""
    return Fault(name="delay", executed=executed, delay=seconds)


# Wrong replies


def cut_body(*, executed: bool = True) -> Fault:
    """The body is the first half of the JSON, with the matching Content-Length."""
    return Fault(
        name="cut_body",
        executed=executed,
        transform=lambda reply: attrs.evolve(reply, body=reply.body[: len(reply.body) // 2]),
    )


def cut_off(after: int, *, executed: bool = True) -> Fault:
    """The connection breaks after *after* bytes of the body; the Content-Length is that of the whole body."""

    def transform(reply: SimulatedReply) -> SimulatedReply:
        headers = {**reply.headers, "Content-Length": str(len(reply.body))}
        return attrs.evolve(reply, body=reply.body[:after], headers=headers)

    return Fault(name="cut_off", executed=executed, transform=transform)


def idle_ok() -> Fault:
    """The reply is ok, but the action was not carried out: only reading the record again reveals it."""
    return attrs.evolve(answer(SimulatedReply(b'{"status":"ok"}')), name="idle_ok")


def answer(reply: SimulatedReply, *, executed: bool = False) -> Fault:
    """The given reply."""
    return Fault(name="answer", executed=executed, transform=lambda _: reply)


def server_error(status: int = 502, *, executed: bool = False) -> Fault:
    """A 5xx status with the error page of nginx."""
    titles = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}
    return attrs.evolve(
        answer(html_reply(status, f"{status} {titles.get(status, 'Error')}"), executed=executed), name="server_error"
    )


def html_page(*, executed: bool = False) -> Fault:
    """An HTML page with status 200, as during maintenance, for a suspended account, or from a wrong host."""
    return attrs.evolve(answer(html_reply(200, "Worksection"), executed=executed), name="html_page")


def bad_json(*, executed: bool = False) -> Fault:
    """Invalid JSON with the media type of JSON: a PHP warning before the envelope."""
    warning = b"<br />\n<b>Warning</b>: Undefined index in <b>api.php</b><br />\n"
    return attrs.evolve(answer(SimulatedReply(warning + b'{"status":"ok"}'), executed=executed), name="bad_json")


def empty_body(*, executed: bool = False) -> Fault:
    """An empty body with the media type of JSON."""
    return attrs.evolve(answer(SimulatedReply(b""), executed=executed), name="empty_body")


def invalid_utf8(*, executed: bool = False) -> Fault:
    """JSON in Latin-1 that is declared as UTF-8."""
    return attrs.evolve(
        answer(SimulatedReply(b'{"status":"ok","data":{"name":"caf\xe9"}}'), executed=executed), name="invalid_utf8"
    )


def redirect(location: str, *, status: int = 302, executed: bool = False) -> Fault:
    """A redirect, which a client with credentials should not follow."""
    return attrs.evolve(answer(SimulatedReply(b"", status, {"Location": location}), executed=executed), name="redirect")


def too_many_requests(*, status: int = 200, retry_after: float | None = None) -> Fault:
    """The rate limit refusal. The real status is unknown: 200 (as for other errors) or 429 (the convention)."""
    return attrs.evolve(answer(rate_limit_reply(status, retry_after)), name="too_many_requests")


FaultName = Literal[
    "unreachable", "reset", "timeout", "cut_body", "idle_ok", "server_error", "html_page", "bad_json", "empty_body",
    "invalid_utf8", "too_many_requests",
]  # fmt: skip
"""The functions of this module that need no argument."""


def named(name: FaultName) -> Fault:
    """Return the fault of the function with this name."""
    if name not in get_args(FaultName):
        raise InvalidCall("Simulator", f"unknown fault {name!a}{nearest(name, get_args(FaultName))}")
    make: Callable[[], Fault] = globals()[name]
    return make()
