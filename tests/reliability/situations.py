"""The faults and the kinds of calls, and what a caller sees of each combination."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import attrs

from worksection_async import MemoryTokenStore, OAuth2, Session, TokenBucket
from worksection_async._auth.credentials import Auth
from worksection_async.errors import RateLimited, WorksectionError
from worksection_async.testing import Simulator, VirtualClock, faults
from worksection_async.testing._reply import ServiceRefusal, SimulatedReply, error_reply, html_reply
from worksection_async.testing.faults import Fault, answer

TIMEOUT_SECONDS = 30.0
PATIENCE_SECONDS = 20.0


@attrs.frozen
class Situation:
    """A fault of the network, the service, or something between."""

    key: str
    text: str
    fault: Callable[[], Fault]


@attrs.frozen
class Kind:
    """A kind of call; *action* is an example of it."""

    key: str
    text: str
    action: str
    call: Callable[[Session], Awaitable[object]]
    is_repeatable: bool
    """Whether a second execution changes nothing, so that the client may repeat the request."""
    auth: Callable[[Simulator], Auth | None] = lambda sim: None


@attrs.frozen
class Outcome:
    """What a caller sees of one call, and what the service did."""

    error: str
    """Class of the error; empty if the call returned."""
    is_sent: bool
    """The attribute ``sent`` of the error."""
    requests: int
    executions: int
    """How often the service carried out the action."""
    is_call_executed: bool
    """Whether the service carried out what the caller wants, and not only a token refresh before it."""

    def __str__(self) -> str:
        seen = f"`{self.error}`, `sent={self.is_sent}`" if self.error else "returns"
        if self.error == RateLimited.__name__:
            return f"{seen}; requests until `patience` ends, {self.executions} executed"
        return f"{seen}; {self.requests} request{'s' * (self.requests > 1)}, {self.executions} executed"


def _refusal(message: str, status: int = 200) -> Fault:
    return answer(error_reply(ServiceRefusal(message, status=status)))


SITUATIONS: dict[str, list[Situation]] = {
    "the request is not sent": [
        Situation("unreachable", "connection refused, or no route to the service", faults.unreachable),
    ],
    "the service refuses the request": [
        Situation("refused-early", "`Too many requests`: another client uses the budget", faults.too_many_requests),
        Situation(
            "refused-429",
            "HTTP 429 with `Retry-After: 3`",
            lambda: faults.too_many_requests(status=429, retry_after=3.0),
        ),
        Situation("refused-key", "the key or token is wrong", lambda: _refusal("Action hash is missed or invalid")),
        Situation("refused-401", "HTTP 401 with a message", lambda: _refusal("Access denied", 401)),
        Situation("refused-id", "no such project", lambda: _refusal("Project is invalid")),
        Situation("refused-field", "a value is not accepted", lambda: _refusal("Invalid email")),
        Situation(
            "refused-unknown", "a message that the client does not know", lambda: _refusal("Maintenance of the archive")
        ),
        Situation(
            "firewall", "HTTP 403 with the HTML page of a firewall", lambda: answer(html_reply(403, "Forbidden"))
        ),
        Situation(
            "too-large", "HTTP 413 with an HTML page", lambda: answer(html_reply(413, "Request Entity Too Large"))
        ),
        Situation("redirect", "a redirect to another host", lambda: faults.redirect("https://example.com/")),
        Situation(
            "503-retry-after",
            "HTTP 503 with `Retry-After: 3`",
            lambda: answer(SimulatedReply(b"", 503, {"Retry-After": "3"})),
        ),
    ],
    "the reply is lost": [
        Situation("reset-before", "connection reset; the action was not executed", faults.reset),
        Situation("reset-after", "connection reset; the action was executed", lambda: faults.reset(executed=True)),
        Situation("timeout-before", "timeout; the action was not executed", faults.timeout),
        Situation("timeout-after", "timeout; the action was executed", lambda: faults.timeout(executed=True)),
        Situation("cut-off", "the connection breaks in the middle of the reply", lambda: faults.cut_off(2)),
        Situation("late", "the reply is later than `timeout`", lambda: faults.delay(TIMEOUT_SECONDS * 2)),
    ],
    "the reply is wrong": [
        Situation("500-before", "HTTP 500; the action was not executed", lambda: faults.server_error(500)),
        Situation("500-after", "HTTP 500; the action was executed", lambda: faults.server_error(500, executed=True)),
        Situation("502", "HTTP 502; the action was not executed", lambda: faults.server_error(502)),
        Situation("504", "HTTP 504; the action was executed", lambda: faults.server_error(504, executed=True)),
        Situation("html", "an HTML page with HTTP 200: maintenance, a captive portal", faults.html_page),
        Situation("php-warning", "a PHP warning before the JSON", lambda: faults.bad_json(executed=True)),
        Situation("empty", "an empty body", lambda: faults.empty_body(executed=True)),
        Situation("cut", "JSON that ends early", faults.cut_body),
        Situation("utf-8", "JSON that is not UTF-8", lambda: faults.invalid_utf8(executed=True)),
        Situation(
            "shape",
            "JSON without the envelope",
            lambda: answer(SimulatedReply(json.dumps([1]).encode()), executed=True),
        ),
    ],
}
"""The situations, by what the service has seen of the call."""


async def _download(ws: Session) -> None:
    async with ws.open_download(17694) as file:
        async for _ in file:
            pass


KINDS = [
    Kind("read", "A read", "get_tasks", lambda ws: ws.get_tasks(26), is_repeatable=True),
    Kind(
        "same-result",
        "A write with the same result if repeated",
        "update_task",
        lambda ws: ws.update_task(123, title="Design"),
        is_repeatable=True,
    ),
    Kind("write", "A write", "post_task", lambda ws: ws.post_task(26, "Design"), is_repeatable=False),
    Kind(
        "upload",
        "A write with a file",
        "post_task",
        lambda ws: ws.post_task(26, "Design", attach=[("plan.txt", b"plan")]),
        is_repeatable=False,
    ),
    Kind("download", "A download", "download", _download, is_repeatable=True),
    Kind(
        "refresh",
        "A token refresh before a call",
        "oauth2_refresh",
        lambda ws: ws.get_tasks(26),
        is_repeatable=False,
        auth=lambda sim: OAuth2(sim.oauth_app(), MemoryTokenStore(sim.issue_pair(expires_in=0))),
    ),
]


async def observe(situation: Situation, kind: Kind, times: int | None) -> Outcome:
    """Make a call of *kind* while *situation* occurs for *times* requests (None: for all); on the virtual clock."""
    sim = _simulator()
    sim.fail(kind.action, situation.fault(), times=times)
    error: WorksectionError | None = None
    limiter = TokenBucket(clock=sim.clock.monotonic)
    async with sim.session(kind.auth(sim), limiter=limiter, timeout=TIMEOUT_SECONDS, patience=PATIENCE_SECONDS) as ws:
        try:
            await kind.call(ws)
        except WorksectionError as exc:
            error = exc
    requests = [request for request in sim.requests if request.action == kind.action]
    return Outcome(
        error=type(error).__name__ if error else "",
        is_sent=error is not None and error.sent,
        requests=len(requests),
        executions=sum(request.executed for request in requests),
        is_call_executed=any(request.executed for request in sim.requests if request.action != "oauth2_refresh"),
    )


def _simulator() -> Simulator:
    sim = Simulator(seed="empty", clock=VirtualClock())
    task = sim.add_task(sim.add_project("Owl", id=26), "Development", id=123)
    sim.add_file(task, "requirements.doc", b"doc" * 100, id=17694)
    return sim
