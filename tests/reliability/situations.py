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
    has_login: bool = False
    """Whether the session has the tokens of a login; otherwise it has an API key."""
    is_record: bool = False
    """Whether it is about a record in the reply, which a download does not have."""


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


def _json(value: object, status: int = 200) -> SimulatedReply:
    return SimulatedReply(json.dumps(value).encode(), status)


ODD_RECORD = {"id": 123, "name": "Design", "date_end": "soon"}

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
    "the service refuses the token of a login (`OAuth2`)": [
        Situation(
            "token-expired",
            "`Access token is expired`, with HTTP 401",
            lambda: _refusal("Access token is expired", 401),
            has_login=True,
        ),
        Situation(
            "token-revoked",
            "`Access token has been revoked`",
            lambda: _refusal("Access token has been revoked"),
            has_login=True,
        ),
        Situation(
            "token-invalid",
            'only `{"error": "invalid_token"}`',
            lambda: answer(_json({"error": "invalid_token"})),
            has_login=True,
        ),
        Situation(
            "token-scope",
            "the token lacks the scope of the action",
            lambda: answer(_json({"error": "insufficient_scope"}, 403)),
            has_login=True,
        ),
        Situation(
            "token-firewall",
            "HTTP 401 with the HTML page of a firewall",
            lambda: answer(html_reply(401, "Unauthorized")),
            has_login=True,
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
            lambda: answer(_json([1]), executed=True),
        ),
        Situation(
            "odd-value",
            "a value that cannot be read, in a field that may be absent",
            lambda: answer(_json({"status": "ok", "data": ODD_RECORD}), executed=True),
            is_record=True,
        ),
        Situation(
            "odd-id",
            "a value that cannot be read, in a field without which there is no record",
            lambda: answer(_json({"status": "ok", "data": {"id": "?"}}), executed=True),
            is_record=True,
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


def situations_of(kind: Kind) -> dict[str, list[Situation]]:
    """Return the situations in which a call of *kind* can be, by what the service has seen of the call."""
    return {
        place: [situation for situation in situations if _is_possible(situation, kind)]
        for place, situations in SITUATIONS.items()
    }


def _is_possible(situation: Situation, kind: Kind) -> bool:
    if situation.is_record:
        return kind.key not in ("download", "refresh")
    return not (situation.has_login and kind.key == "refresh")


async def observe(situation: Situation, kind: Kind, times: int | None) -> Outcome:
    """Make a call of *kind* while *situation* occurs for *times* requests (None: for all); on the virtual clock."""
    sim = _simulator()
    sim.fail(kind.action, situation.fault(), times=times)
    error: WorksectionError | None = None
    limiter = TokenBucket(clock=sim.clock.monotonic)
    auth = kind.auth(sim)
    if auth is None and situation.has_login:
        auth = OAuth2(sim.oauth_app(), MemoryTokenStore(sim.issue_pair()))
    async with sim.session(auth, limiter=limiter, timeout=TIMEOUT_SECONDS, patience=PATIENCE_SECONDS) as ws:
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
