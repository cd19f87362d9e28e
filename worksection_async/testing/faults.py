"""Things that go wrong between a service and its clients, to be scripted: ``sim.faults.add("get_tasks", reset())``.

Each fault says whether the action is carried out before it strikes (``executed=True``): the caller cannot tell, and a
write that is sent again because of it happens twice.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import attrs

from ._rate import too_many
from ._reply import Reply, html_reply, json_reply

DisconnectKind = Literal["unreachable", "reset", "timeout"]


@attrs.frozen
class Disconnect:
    """No reply at all."""

    kind: DisconnectKind


Answer = Reply | Disconnect


@attrs.frozen(kw_only=True)
class Fault:
    """What happens to one request instead of its usual reply; made by the functions of this module."""

    name: str
    executed: bool
    spoil: Callable[[Reply], Answer] | None = None
    """Makes of the true reply what leaves; None lets it pass."""
    delay: float = 0.0

    async def meet(self, execute: Callable[[], Awaitable[Reply]]) -> Answer:
        """Carry out what is to be carried out and return what leaves."""
        reply = await execute() if self.executed else None
        await anyio.sleep(self.delay)
        if self.spoil is None:
            return reply or await execute()
        return self.spoil(reply or json_reply({"status": "ok"}))


@attrs.define
class Faults:
    """Faults waiting for their requests: the first one that fits is met, and used up after its ``times``."""

    _waiting: deque[tuple[str, Fault]] = attrs.field(factory=deque, init=False)
    _always: dict[str, Fault] = attrs.field(factory=dict, init=False)

    def add(self, action: str, fault: Fault, times: int | None = 1) -> None:
        """Let the next *times* requests for *action* (``"*"``: any) meet *fault*; None is for ever."""
        if times is None:
            self._always[action] = fault
        else:
            self._waiting.extend([(action, fault)] * times)

    def take(self, action: str) -> Fault | None:
        """Return what the request at hand meets."""
        for waiting in self._waiting:
            if waiting[0] in (action, "*"):
                self._waiting.remove(waiting)
                return waiting[1]
        return self._always.get(action) or self._always.get("*")

    def clear(self) -> None:
        """Let everything work again."""
        self._waiting.clear()
        self._always.clear()

    @property
    def unused(self) -> tuple[tuple[str, Fault], ...]:
        """Those no request has met; a test with any of them left does not test what it says."""
        return tuple(self._waiting)


# Nothing comes back


def unreachable() -> Fault:
    """The connection fails before the request is sent; the log shows the attempt all the same.

    A real socket knows no such thing: there it is a `reset`.
    """
    return Fault(name="unreachable", executed=False, spoil=lambda _: Disconnect("unreachable"))


def reset(*, executed: bool = False) -> Fault:
    """The connection is dropped once the request has arrived."""
    return Fault(name="reset", executed=executed, spoil=lambda _: Disconnect("reset"))


def timeout(*, executed: bool = False) -> Fault:
    """No answer comes until the client gives up; in process it gives up at once."""
    return Fault(name="timeout", executed=executed, spoil=lambda _: Disconnect("timeout"))


def delay(seconds: float, *, executed: bool = True) -> Fault:
    """The true answer comes late; *executed* says on which side of the delay the action is carried out."""
    return Fault(name="delay", executed=executed, delay=seconds)


# Something else comes back


def cut_body(*, executed: bool = True) -> Fault:
    """Only the first half of the JSON arrives, under a matching Content-Length."""
    return Fault(
        name="cut body",
        executed=executed,
        spoil=lambda reply: attrs.evolve(reply, body=reply.body[: len(reply.body) // 2]),
    )


def cut_off(after: int, *, executed: bool = True) -> Fault:
    """Only the first *after* bytes of the body arrive, under the Content-Length of all: a connection that broke."""

    def spoil(reply: Reply) -> Reply:
        headers = {**reply.headers, "Content-Length": str(len(reply.body))}
        return attrs.evolve(reply, body=reply.body[:after], headers=headers)

    return Fault(name="cut off", executed=executed, spoil=spoil)


def idle_ok() -> Fault:
    """The service says ok and has done nothing: what only reading back can find."""
    return answer(Reply(b'{"status":"ok"}'))


def answer(reply: Reply, *, executed: bool = False) -> Fault:
    """Any reply you like."""
    return Fault(name="answer", executed=executed, spoil=lambda _: reply)


def server_error(status: int = 502, *, executed: bool = False) -> Fault:
    """A 5xx with nginx's page."""
    titles = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}
    return answer(html_reply(status, f"{status} {titles.get(status, 'Error')}"), executed=executed)


def html_page(*, executed: bool = False) -> Fault:
    """A page for people, with status 200: maintenance, a suspended account, a wrong host."""
    return answer(html_reply(200, "Worksection"), executed=executed)


def bad_json(*, executed: bool = False) -> Fault:
    """Bytes which are announced as JSON and are none: a PHP warning ahead of the envelope."""
    warning = b"<br />\n<b>Warning</b>: Undefined index in <b>api.php</b><br />\n"
    return answer(Reply(warning + b'{"status":"ok"}'), executed=executed)


def empty_body(*, executed: bool = False) -> Fault:
    """No byte, announced as JSON."""
    return answer(Reply(b""), executed=executed)


def invalid_utf8(*, executed: bool = False) -> Fault:
    """JSON in another encoding than it says."""
    return answer(Reply(b'{"status":"ok","data":{"name":"caf\xe9"}}'), executed=executed)


def redirect(location: str, *, status: int = 302, executed: bool = False) -> Fault:
    """A redirection, which no client with credentials should follow."""
    return answer(Reply(b"", status, {"Location": location}), executed=executed)


def too_many_requests(*, status: int = 200, retry_after: float | None = None) -> Fault:
    """The service's own refusal, of which the status is not known: 200 by analogy, 429 by custom."""
    return answer(too_many(status, retry_after))
