"""Retries: which calls are made again, how often, and with which result; counted by the requests that were sent."""

from __future__ import annotations

import io
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import anyio
import attrs
import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.support.constants import KEY
from tests.support.virtual_time import virtual_time
from worksection_async import ApiKey, Session, TokenBucket, errors
from worksection_async._limits.bucket_state import MAX_HOLD_SECONDS
from worksection_async._protocol.actions import ACTIONS, GET_TASKS, POST_TASK
from worksection_async._transport.clock import Clock
from worksection_async._transport.retry import retry_delay
from worksection_async.errors import RateLimited, WorksectionError

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio, pytest.mark.usefixtures("no_retry_delay")]

Make = Callable[..., Session]
Answer = Callable[[], httpx.Response]
Ask = Callable[[Session], Coroutine[Any, Any, Any]]

OK = {"status": "ok", "data": [{"id": 1, "name": "a"}]}


def replying(body: object, status: int = 200, **headers: str) -> Answer:
    return lambda: httpx.Response(status, json=body, headers=headers)


def html(status: int) -> Answer:
    return lambda: httpx.Response(status, content=b"<html>nginx</html>")


def failing(kind: type[httpx.TransportError]) -> Answer:
    def fail() -> httpx.Response:
        raise kind("a transport error")

    return fail


def refusing(message: str, status: int = 200, code: int | None = None) -> Answer:
    return replying({"status": "error", "status_code": code, "message": message}, status)


class Service:
    """Gives the *answers* one after the other, then repeats the last one; records the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]()


# Which failures are retried


READ: Ask = lambda ws: ws.get_tasks(26)  # noqa: E731
REPEATABLE: Ask = lambda ws: ws.update_task(1, title="a")  # noqa: E731
CREATE: Ask = lambda ws: ws.post_task(26, "a")  # noqa: E731

NEVER_SENT = ("never sent", [failing(httpx.ConnectError), failing(httpx.ConnectTimeout), failing(httpx.PoolTimeout)])
LIMITED = [refusing("Too many requests"), html(429), refusing("Slow down", 429), replying({}, 429)]
LOST = (
    "lost",
    [
        failing(httpx.ReadError),
        failing(httpx.WriteError),
        failing(httpx.RemoteProtocolError),
        failing(httpx.ReadTimeout),
        html(500),
        html(502),
        html(503),
        refusing("Something broke", 500),
    ],
)
FINAL = (
    "final",
    [
        refusing("Field is required", code=10),
        refusing("Task is invalid", code=5),
        refusing("Task is already closed", code=12),
        refusing("Action hash is missed or invalid", code=2),
        refusing("Too many tasks (10000 max)"),
        html(200),
        html(404),
        html(414),
        replying({"status": "ok", "data": [7]}),
        replying(OK, 301),
    ],
)
ATTEMPTS = {  # with three retries
    ("read", "never sent"): 4, ("repeatable", "never sent"): 4, ("create", "never sent"): 4,
    ("read", "lost"): 4, ("repeatable", "lost"): 4, ("create", "lost"): 1,
    ("read", "final"): 1, ("repeatable", "final"): 1, ("create", "final"): 1,
}  # fmt: skip
KINDS: dict[str, Ask] = {"read": READ, "repeatable": REPEATABLE, "create": CREATE}
CASES = [
    pytest.param(KINDS[kind], answer, ATTEMPTS[kind, failure], id=f"{kind}-{failure}-{number}")
    for kind in KINDS
    for failure, answers in (NEVER_SENT, LOST, FINAL)
    for number, answer in enumerate(answers)
]


@pytest.mark.parametrize(("ask", "answer", "attempts"), CASES)
async def test_number_of_attempts_after_a_permanent_failure(
    session_with: Make, ask: Ask, answer: Answer, attempts: int
) -> None:
    service = Service(answer)
    async with session_with(service) as ws:
        with pytest.raises(WorksectionError):
            await ask(ws)
    assert len(service.requests) == attempts


@pytest.mark.parametrize(("ask", "answer", "attempts"), CASES)
async def test_call_succeeds_after_a_temporary_failure(
    session_with: Make, ask: Ask, answer: Answer, attempts: int
) -> None:
    service = Service(answer, replying(OK))
    async with session_with(service) as ws:
        if attempts == 1:
            with pytest.raises(WorksectionError):
                await ask(ws)
        else:
            result = await ask(ws)
            assert (result[0] if isinstance(result, list) else result).id == 1
    assert len(service.requests) == min(attempts, 2)


@pytest.mark.parametrize(("ask", "answer", "attempts"), CASES)
async def test_without_retries_there_is_one_attempt(
    session_with: Make, ask: Ask, answer: Answer, attempts: int
) -> None:
    service = Service(answer)
    async with session_with(service, retries=0) as ws:
        with pytest.raises(WorksectionError):
            await ask(ws)
    assert len(service.requests) == 1


@pytest.mark.parametrize("answer", [*LOST[1], html(200), html(404), replying({"status": "ok", "data": [7]})])
async def test_errors_of_reads_do_not_say_that_something_may_have_been_executed(
    session_with: Make, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "worksection_async")
    async with session_with(Service(answer), retries=1) as ws:
        with pytest.raises(WorksectionError) as read:
            await ws.get_tasks(26)
        with pytest.raises(WorksectionError) as download:
            await ws.download(5, io.BytesIO())
        with pytest.raises(WorksectionError) as write:
            await ws.post_task(26, "a")
    for text in (str(read.value), str(download.value), caplog.text):
        assert "execut" not in text
    assert "execut" in str(write.value)


@pytest.mark.parametrize("answer", LOST[1])
async def test_repeat_writes_allows_retries_of_any_write(session_with: Make, answer: Answer) -> None:
    service = Service(answer, replying({"status": "ok", "data": {"id": 1}}))
    async with session_with(service) as ws:
        task = await ws.with_options(repeat_writes=True).post_task(26, "a")
    assert (task.id, len(service.requests)) == (1, 2)


async def test_unknown_action_is_treated_as_a_write(session_with: Make) -> None:
    service = Service(html(502))
    async with session_with(service) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.call("post_something", {"id": 1}, unchecked=True)
        assert len(service.requests) == 1
        with pytest.raises(errors.UnexpectedReply):
            await ws.call("get_tasks", {"id_project": 1})
    assert len(service.requests) == 5


async def test_invalid_arguments_are_never_sent(session_with: Make) -> None:
    service = Service(replying(OK))
    async with session_with(service) as ws:
        with pytest.raises(errors.InvalidCall):
            await ws.get_tasks(-1)
    assert service.requests == []


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("a"), RuntimeError("Event loop is closed"), KeyError("a"), httpx.InvalidURL("a"),
        httpx.CookieConflict("a"), httpx.StreamConsumed(), anyio.BusyResourceError("reading from"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_broken_transport_is_a_transport_error_and_is_not_retried(session_with: Make, error: Exception) -> None:
    def break_down() -> httpx.Response:
        raise error

    service = Service(break_down)
    async with session_with(service) as ws:
        with pytest.raises(errors.TransportError, match=type(error).__name__) as caught:
            await ws.get_tasks(26)
    assert len(service.requests) == 1
    assert (caught.value.sent, caught.value.is_permanent) == (True, True)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError("a"), anyio.ClosedResourceError(), anyio.BrokenResourceError(), EOFError(), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
async def test_lost_connection_in_other_words_is_retried(session_with: Make, error: Exception) -> None:
    def lose() -> httpx.Response:
        raise error

    service = Service(lose, replying(OK))
    async with session_with(service) as ws:
        assert len(await ws.get_tasks(26)) == 1
    assert len(service.requests) == 2


async def test_failed_assertion_of_a_transport_is_raised_unchanged(session_with: Make) -> None:
    """Transports of tests report failed tests in this way."""

    def fail() -> httpx.Response:
        raise AssertionError("not this request")

    async with session_with(Service(fail)) as ws:
        with pytest.raises(AssertionError, match="not this request"):
            await ws.get_tasks(26)


SENT = [*LOST[1], *FINAL[1]]
CREATING = sorted(action.name for action in ACTIONS.values() if action.kind == "write" and not action.repeatable)


@given(st.lists(st.sampled_from([*SENT, *NEVER_SENT[1], *LIMITED]), max_size=8), st.integers(0, 6))
def test_a_write_is_never_sent_twice_after_it_may_have_arrived(answers: list[Answer], retries: int) -> None:
    """Refusals do not count as attempts, because the service did not execute the call."""
    service = Service(*answers, failing(httpx.ReadError))

    async def main() -> None:
        transport = httpx.MockTransport(service)
        async with Session("acme", ApiKey(KEY), limiter=TokenBucket(1e6), retries=retries, transport=transport) as ws:
            with pytest.raises(WorksectionError):
                await ws.add_costs(1, money=5)

    anyio.run(main)
    attempts = [number for number, answer in enumerate(service.answers, 1) if answer not in LIMITED]
    last = next(number for number, answer in enumerate(service.answers, 1) if answer not in [*NEVER_SENT[1], *LIMITED])
    assert len(service.requests) == min(last, attempts[min(retries, len(attempts) - 1)])


def test_creating_actions_are_not_repeatable() -> None:
    """The names are the criterion here, independently of the table of actions."""
    creating = {name for name in ACTIONS if name.startswith(("post_", "add_", "upload_", "start_", "stop_"))}
    assert creating <= set(CREATING)
    assert {name for name in ACTIONS if name.startswith(("get_", "search_", "me"))}.isdisjoint(CREATING)


# Lost answers of calls that were executed


CLOSING = [
    ("complete_task", {"id_task": 1}, "Task is already closed"),
    ("reopen_task", {"id_task": 1}, "Task is already active"),
    ("close_project", {"id_project": 1}, "Project is already closed"),
    ("activate_project", {"id_project": 1}, "Project is already active"),
    ("delete_webhook", {"id": 1}, "WebHook not found"),
]


@pytest.mark.parametrize(("action", "params", "message"), CLOSING)
@pytest.mark.parametrize("lost", [failing(httpx.ReadError), failing(httpx.ReadTimeout), html(502)])
async def test_already_done_after_a_lost_answer_is_a_success(
    session_with: Make, action: str, params: dict[str, int], message: str, lost: Answer
) -> None:
    service = Service(lost, refusing(message))
    async with session_with(service) as ws:
        assert await getattr(ws, action)(**params) is None
    assert len(service.requests) == 2


@pytest.mark.parametrize(("action", "params", "message"), CLOSING)
@pytest.mark.parametrize("not_executed", [None, failing(httpx.ConnectError), refusing("Too many requests"), html(429)])
async def test_already_done_is_an_error_if_no_earlier_attempt_may_have_arrived(
    session_with: Make, action: str, params: dict[str, int], message: str, not_executed: Answer | None
) -> None:
    answers: Sequence[Answer] = [refusing(message)] if not_executed is None else [not_executed, refusing(message)]
    service = Service(*answers)
    async with session_with(service) as ws:
        with pytest.raises(errors.NotFound if "not found" in message else errors.StateError):
            await getattr(ws, action)(**params)
    assert len(service.requests) == len(answers)


async def test_refused_attempt_does_not_end_the_doubt_about_an_earlier_attempt(session_with: Make) -> None:
    service = Service(html(502), refusing("Too many requests"), refusing("Task is already closed"))
    async with session_with(service) as ws:
        await ws.complete_task(1)
    assert len(service.requests) == 3


async def test_another_error_after_a_lost_answer_is_an_error(session_with: Make) -> None:
    service = Service(html(502), refusing("Task has children"))
    async with session_with(service) as ws:
        with pytest.raises(errors.StateError, match="children"):
            await ws.complete_task(1)


async def test_raw_call_that_was_already_done_returns_an_envelope(session_with: Make) -> None:
    service = Service(html(502), refusing("Task is already closed"))
    async with session_with(service) as ws:
        assert await ws.call("complete_task", {"id_task": 1}) == {"status": "ok"}


# Refusals: another client uses the rate limit of the account


@pytest.mark.parametrize("answer", LIMITED)
@pytest.mark.parametrize("ask", KINDS.values(), ids=KINDS)
async def test_refused_call_waits_for_another_slot_without_using_a_retry(
    session_with: Make, fast_limiter: TokenBucket, ask: Ask, answer: Answer
) -> None:
    """The service did not execute the refused call, so the refusal does not count as an attempt."""
    service = Service(*[answer] * 5, replying(OK))
    async with session_with(service, retries=0) as ws:
        await ask(ws)
    assert len(service.requests) == 6
    assert (fast_limiter.statistics().refused, fast_limiter.statistics().granted) == (5, 6)


@pytest.mark.parametrize("answer", LIMITED)
async def test_with_zero_patience_the_first_refusal_is_raised(session_with: Make, answer: Answer) -> None:
    service = Service(answer)
    async with session_with(service, patience=0) as ws:
        with pytest.raises(RateLimited):
            await ws.post_task(26, "a")
    assert len(service.requests) == 1


@virtual_time
async def test_call_fails_when_refusals_last_longer_than_patience() -> None:
    """The error names the cause, another client; `patience` starts again with each call."""
    service = Service(*[refusing("Too many requests")] * 100)
    async with on_virtual_time(service, patience=20) as ws:
        for _ in range(2):
            began = trio.current_time()
            with pytest.raises(RateLimited, match=r"for 2\d s\. Another client .* 100% of the requests") as caught:
                await ws.post_task(26, "a")
            assert 20 <= trio.current_time() - began < 30
    assert caught.value.message == "Too many requests"


@virtual_time
async def test_another_outcome_restarts_the_patience() -> None:
    """Eight seconds of refusals, a lost answer and eight more seconds of refusals fit into ten seconds of patience."""
    refusals = [refusing("Too many requests")] * 4
    service = Service(*refusals, html(502), *refusals, replying(OK))
    async with on_virtual_time(service, patience=10) as ws:
        await ws.get_tasks(26)
    assert len(service.requests) == 10


@virtual_time
async def test_refused_call_raises_rate_limited_when_max_wait_has_passed() -> None:
    async with on_virtual_time(Service(refusing("Too many requests")), max_wait=5) as ws:
        began = trio.current_time()
        with pytest.raises(RateLimited, match="Another client") as caught:
            await ws.get_tasks(26)
        assert trio.current_time() - began <= 5
    assert isinstance(caught.value.__cause__, errors.WaitTooLong)


@virtual_time
async def test_refused_attempts_do_not_count_for_the_timeout() -> None:
    refusals = [refusing("Too many requests")] * 10
    service = Service(*refusals, replying(OK))

    async def slow(request: httpx.Request) -> httpx.Response:
        await trio.sleep(0.4)
        return service(request)

    async with on_virtual_time(slow, timeout=0.5) as ws:
        await ws.get_tasks(26)


def on_virtual_time(service: Callable[[httpx.Request], Any], **options: Any) -> Session:
    """Return a session with one slot per second of the virtual time."""
    limiter = options.pop("limiter", None) or TokenBucket(clock=trio.current_time)
    return Session("acme", ApiKey(KEY), limiter=limiter, transport=httpx.MockTransport(service), **options)


# The limiter


@virtual_time
async def test_retry_after_of_a_refusal_delays_all_calls() -> None:
    service = Service(replying({"status": "error", "message": "Too many requests"}, 429, **{"Retry-After": "7"}))
    limiter = TokenBucket(rate=1_000_000, clock=trio.current_time)
    async with on_virtual_time(service, limiter=limiter, patience=0) as ws:
        with pytest.raises(RateLimited) as caught:
            await ws.get_tasks(26)
        assert caught.value.retry_after == 7
        assert limiter.statistics().next_slot == pytest.approx(7, abs=0.01)
        with pytest.raises(errors.WaitTooLong):
            await ws.with_options(max_wait=5).get_tasks(26)
    assert len(service.requests) == 1


@virtual_time
async def test_retry_after_of_a_503_is_obeyed_up_to_a_limit() -> None:
    service = Service(
        replying({}, 503, **{"Retry-After": "7"}),
        replying({}, 503, **{"Retry-After": "3600"}),
        replying(OK),
    )
    times = []

    def recording(request: httpx.Request) -> httpx.Response:
        times.append(trio.current_time())
        return service(request)

    async with on_virtual_time(recording) as ws:
        await ws.get_tasks(26)
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([7, MAX_HOLD_SECONDS], abs=0.3)


async def test_other_failures_do_not_count_as_refusals(session_with: Make, fast_limiter: TokenBucket) -> None:
    async with session_with(Service(html(502))) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.get_tasks(26)
    assert (fast_limiter.statistics().refused, fast_limiter.statistics().granted) == (0, 4)


async def test_each_attempt_waits_for_a_slot_and_is_signed_again(
    session_with: Make, fast_limiter: TokenBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0, 200.0, 200.0]
    service = Service(html(502), replying(OK))
    monkeypatch.setattr(Clock, "time", lambda _: now[len(service.requests)])
    async with session_with(service, auth=ApiKey(KEY, scheme="signature")) as ws:
        await ws.get_tasks(26)
    first, second = (request.headers["Authorization"] for request in service.requests)
    assert first.startswith("Admin 100_")
    assert second.startswith("Admin 200_")
    assert fast_limiter.statistics().granted == 2


# The timeout


@virtual_time
async def test_all_attempts_share_one_timeout() -> None:
    """The timeout of an attempt is what the attempts before it did not use."""
    timeouts: list[float] = []

    async def slow(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        await trio.sleep(2)
        return html(502)()

    async with on_virtual_time(slow, timeout=30) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.get_tasks(26)
    assert timeouts == pytest.approx([30, 28, 26, 24])


@virtual_time
async def test_no_retry_after_the_timeout_has_passed() -> None:
    requests = []

    async def slow(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        await trio.sleep(10)
        raise AssertionError

    async with on_virtual_time(slow, timeout=5) as ws:
        with pytest.raises(errors.CallTimeout) as caught:
            await ws.get_tasks(26)
    assert (len(requests), caught.value.sent) == (1, True)


async def test_no_retry_when_the_delay_exceeds_the_time_left(
    session_with: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worksection_async._transport.retry.FIRST_DELAY_SECONDS", 100.0)
    service = Service(html(502))
    async with session_with(service, timeout=1) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.get_tasks(26)
    assert len(service.requests) == 1


@virtual_time
async def test_waiting_for_a_slot_does_not_count_for_the_timeout() -> None:
    limiter = TokenBucket(rate=0.1, clock=trio.current_time)
    async with on_virtual_time(Service(replying(OK)), limiter=limiter, timeout=5) as ws:
        await ws.get_tasks(26)
        await ws.get_tasks(26)
        assert trio.current_time() >= 10


@virtual_time
@pytest.mark.parametrize(
    "ask", [lambda ws: ws.post_task(26, "a", attach=[b"a"]), lambda ws: ws.download(5, io.BytesIO())]
)
async def test_pauses_between_attempts_do_not_shorten_the_timeout_of_a_file(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a call with a file the timeout limits each read and write, not the whole call."""
    timeouts: list[float] = []

    def unreachable(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        raise httpx.ConnectError("no route")

    monkeypatch.setattr("worksection_async._session.caller.retry_delay", lambda *_, **__: 20.0)
    async with on_virtual_time(unreachable, timeout=30, retries=2) as ws:
        with pytest.raises(errors.TransportError):
            await ask(ws)
    assert timeouts == [30, 30, 30]


# The retry decision


def failure(*, sent: bool) -> WorksectionError:
    return errors.TransportError("get_tasks", "reset", sent=sent)


@pytest.mark.parametrize(("attempt", "base"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (5000, 8.0)])
def test_retry_delay_grows_exponentially_up_to_a_limit_with_jitter(
    attempt: int, base: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worksection_async._transport.retry.FIRST_DELAY_SECONDS", 0.5)
    delays = [
        retry_delay(GET_TASKS, failure(sent=True), attempt, repeat_writes=False, jitter=lambda: part)  # noqa: B023
        for part in (0.0, 0.5, 1.0)
    ]
    assert delays == [base / 2, base * 0.75, base]


def test_retry_delay_is_zero_after_retry_after() -> None:
    error = errors.UnexpectedReply("get_tasks", "", "busy", http_status=503)
    error.retry_after = 7.0
    assert retry_delay(GET_TASKS, error, 1, repeat_writes=False, jitter=lambda: 1.0) == 0.0


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("repeat_writes", [True, False])
@pytest.mark.parametrize("repeatable", [True, False])
def test_sent_call_is_retried_only_if_repeatable_or_allowed(sent: bool, repeat_writes: bool, repeatable: bool) -> None:
    action = attrs.evolve(POST_TASK, repeatable=repeatable)
    delay = retry_delay(action, failure(sent=sent), 1, repeat_writes=repeat_writes, jitter=lambda: 1.0)
    assert (delay is not None) == (not sent or repeat_writes or repeatable)


# Errors after an attempt that may have arrived


async def test_final_error_has_sent_true_after_an_attempt_that_may_have_arrived(session_with: Make) -> None:
    """With ``sent=False`` a caller might repeat a write that the first attempt has executed."""
    service = Service(failing(httpx.ReadTimeout), failing(httpx.ConnectError))
    async with session_with(service) as ws:
        with pytest.raises(errors.TransportError) as caught:
            await ws.update_task(1, title="a")
    assert len(service.requests) == 4
    assert caught.value.sent
    assert "was not sent" not in str(caught.value)
    assert "An earlier attempt may have been executed" in str(caught.value)


async def test_wait_too_long_has_sent_true_after_an_attempt_that_may_have_arrived(session_with: Make) -> None:
    limiter = TokenBucket(rate=0.01)
    async with session_with(Service(html(502)), limiter=limiter) as ws:
        with pytest.raises(errors.WaitTooLong) as caught:
            await ws.with_options(max_wait=1).update_task(1, title="a")
    assert caught.value.sent
    assert "No request was sent" not in str(caught.value)


@virtual_time
async def test_retry_delays_count_for_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: list[float] = []

    def handler(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        return html(502)()

    monkeypatch.setattr("worksection_async._session.caller.retry_delay", lambda *_, **__: 5.0)
    async with on_virtual_time(handler, timeout=30) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.get_tasks(26)
    assert timeouts == pytest.approx([30, 25, 20, 15])


async def test_redirect_with_an_ok_body_is_an_error(session_with: Make) -> None:
    async with session_with(Service(lambda: httpx.Response(301, json=OK, headers={"Location": "https://evil"}))) as ws:
        with pytest.raises(errors.UnexpectedReply, match="redirect"):
            await ws.get_tasks(26)
