"""Which calls are made again, how often, and what comes of it: told by the number of requests that went out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from types import SimpleNamespace
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
from worksection_async._limits.bucket_state import LONGEST_HOLD_SECONDS
from worksection_async._protocol.actions import ACTIONS, GET_TASKS, POST_TASK
from worksection_async._transport.retry import MAX_DELAY_SECONDS, retry_delay
from worksection_async.errors import RateLimited, WorksectionError

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_pauses")]

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
        raise kind("something on the way")

    return fail


def refusing(message: str, status: int = 200, code: int | None = None) -> Answer:
    return replying({"status": "error", "status_code": code, "message": message}, status)


class Service:
    """Answers in turn with what it was given, with the last of it for ever, and counts."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]()


# What is made again


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
async def test_a_failure_that_lasts(session_with: Make, ask: Ask, answer: Answer, attempts: int) -> None:
    service = Service(answer)
    async with session_with(service) as ws:
        with pytest.raises(WorksectionError):
            await ask(ws)
    assert len(service.requests) == attempts


@pytest.mark.parametrize(("ask", "answer", "attempts"), CASES)
async def test_a_failure_that_passes(session_with: Make, ask: Ask, answer: Answer, attempts: int) -> None:
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
async def test_with_no_retries_there_is_one_attempt(
    session_with: Make, ask: Ask, answer: Answer, attempts: int
) -> None:
    service = Service(answer)
    async with session_with(service, retries=0) as ws:
        with pytest.raises(WorksectionError):
            await ask(ws)
    assert len(service.requests) == 1


@pytest.mark.parametrize("answer", LOST[1])
async def test_who_accepts_that_a_write_happens_twice_gets_it_repeated(session_with: Make, answer: Answer) -> None:
    service = Service(answer, replying({"status": "ok", "data": {"id": 1}}))
    async with session_with(service) as ws:
        task = await ws.with_options(repeat_writes=True).post_task(26, "a")
    assert (task.id, len(service.requests)) == (1, 2)


async def test_an_action_nobody_knows_may_be_a_write(session_with: Make) -> None:
    service = Service(html(502))
    async with session_with(service) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.call("post_something", {"id": 1})
        assert len(service.requests) == 1
        with pytest.raises(errors.UnexpectedReply):
            await ws.call("get_tasks", {"id_project": 1})
    assert len(service.requests) == 5


async def test_arguments_that_make_no_sense_are_never_sent(session_with: Make) -> None:
    service = Service(replying(OK))
    async with session_with(service) as ws:
        with pytest.raises(errors.InvalidCall):
            await ws.get_tasks(-1)
    assert service.requests == []


async def test_an_error_of_another_package_passes_through(session_with: Make) -> None:
    def break_down() -> httpx.Response:
        raise ZeroDivisionError

    service = Service(break_down)
    async with session_with(service) as ws:
        with pytest.raises(ZeroDivisionError):
            await ws.get_tasks(26)
    assert len(service.requests) == 1


SENT = [*LOST[1], *FINAL[1]]
CREATING = sorted(action.name for action in ACTIONS.values() if action.kind == "write" and not action.repeatable)


@given(st.lists(st.sampled_from([*SENT, *NEVER_SENT[1], *LIMITED]), max_size=8), st.integers(0, 6))
def test_a_write_is_never_sent_twice_after_it_may_have_arrived(answers: list[Answer], retries: int) -> None:
    """Refusals do not count as attempts."""
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


def test_what_creates_something_is_not_repeatable() -> None:
    """Own table: what leaves something behind that a second call would leave twice."""
    leaving = {name for name in ACTIONS if name.startswith(("post_", "add_", "upload_", "start_", "stop_"))}
    assert leaving <= set(CREATING)
    assert {name for name in ACTIONS if name.startswith(("get_", "search_", "me"))}.isdisjoint(CREATING)


# Lost answers that were none


CLOSING = [
    ("complete_task", {"id_task": 1}, "Task is already closed"),
    ("reopen_task", {"id_task": 1}, "Task is already active"),
    ("close_project", {"id_project": 1}, "Project is already closed"),
    ("activate_project", {"id_project": 1}, "Project is already active"),
    ("delete_webhook", {"id": 1}, "WebHook not found"),
]


@pytest.mark.parametrize(("action", "params", "message"), CLOSING)
@pytest.mark.parametrize("doubt", [failing(httpx.ReadError), failing(httpx.ReadTimeout), html(502)])
async def test_already_done_after_a_lost_answer_is_a_success(
    session_with: Make, action: str, params: dict[str, int], message: str, doubt: Answer
) -> None:
    service = Service(doubt, refusing(message))
    async with session_with(service) as ws:
        assert await getattr(ws, action)(**params) is None
    assert len(service.requests) == 2


@pytest.mark.parametrize(("action", "params", "message"), CLOSING)
@pytest.mark.parametrize("certain", [None, failing(httpx.ConnectError), refusing("Too many requests"), html(429)])
async def test_already_done_without_a_doubtful_attempt_is_an_error(
    session_with: Make, action: str, params: dict[str, int], message: str, certain: Answer | None
) -> None:
    answers: Sequence[Answer] = [refusing(message)] if certain is None else [certain, refusing(message)]
    service = Service(*answers)
    async with session_with(service) as ws:
        with pytest.raises(errors.NotFound if "not found" in message else errors.StateError):
            await getattr(ws, action)(**params)
    assert len(service.requests) == len(answers)


async def test_the_doubt_outlasts_attempts_that_were_certain(session_with: Make) -> None:
    service = Service(html(502), refusing("Too many requests"), refusing("Task is already closed"))
    async with session_with(service) as ws:
        await ws.complete_task(1)
    assert len(service.requests) == 3


async def test_another_error_after_a_lost_answer_is_an_error(session_with: Make) -> None:
    service = Service(html(502), refusing("Task has children"))
    async with session_with(service) as ws:
        with pytest.raises(errors.StateError, match="children"):
            await ws.complete_task(1)


async def test_a_raw_call_that_turns_out_to_be_done_has_an_envelope(session_with: Make) -> None:
    service = Service(html(502), refusing("Task is already closed"))
    async with session_with(service) as ws:
        assert await ws.call("complete_task", {"id_task": 1}) == {"status": "ok"}


# Refusals: another client uses the account's budget


@pytest.mark.parametrize("answer", LIMITED)
@pytest.mark.parametrize("ask", KINDS.values(), ids=KINDS)
async def test_a_refused_call_waits_for_another_turn_whatever_its_retries(
    session_with: Make, fast: TokenBucket, ask: Ask, answer: Answer
) -> None:
    """It was not carried out, so it was no attempt."""
    service = Service(*[answer] * 5, replying(OK))
    async with session_with(service, retries=0) as ws:
        await ask(ws)
    assert len(service.requests) == 6
    assert (fast.statistics().refused, fast.statistics().granted) == (5, 6)


@pytest.mark.parametrize("answer", LIMITED)
async def test_without_patience_the_first_refusal_is_raised(session_with: Make, answer: Answer) -> None:
    service = Service(answer)
    async with session_with(service, patience=0) as ws:
        with pytest.raises(RateLimited):
            await ws.post_task(26, "a")
    assert len(service.requests) == 1


@virtual_time
async def test_after_refusals_for_as_long_as_its_patience_a_call_fails() -> None:
    """The error tells of the other client; the next call has patience of its own."""
    service = Service(*[refusing("Too many requests")] * 100)
    async with on_clock(service, patience=20) as ws:
        for _ in range(2):
            began = trio.current_time()
            with pytest.raises(RateLimited, match=r"for 2\d s\. Another client .* 100% of the requests") as caught:
                await ws.post_task(26, "a")
            assert 20 <= trio.current_time() - began < 30
    assert caught.value.message == "Too many requests"


@virtual_time
async def test_refusals_in_a_row_end_with_another_outcome() -> None:
    """Eight seconds of refusals, twice, with a lost answer between them: a patience of ten seconds is enough."""
    refusals = [refusing("Too many requests")] * 4
    service = Service(*refusals, html(502), *refusals, replying(OK))
    async with on_clock(service, patience=10) as ws:
        await ws.get_tasks(26)
    assert len(service.requests) == 10


@virtual_time
async def test_a_refused_call_whose_max_wait_is_over_fails_as_refused() -> None:
    async with on_clock(Service(refusing("Too many requests")), max_wait=5) as ws:
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

    async with on_clock(slow, timeout=0.5) as ws:
        await ws.get_tasks(26)


def on_clock(service: Callable[[httpx.Request], Any], **options: Any) -> Session:
    """A session at one request/s on the virtual clock."""
    limiter = TokenBucket(clock=trio.current_time)
    return Session("acme", ApiKey(KEY), limiter=limiter, transport=httpx.MockTransport(service), **options)


# The limiter


async def test_all_calls_wait_as_long_as_the_service_asks(session_with: Make, fast: TokenBucket) -> None:
    service = Service(replying({"status": "error", "message": "Too many requests"}, 429, **{"Retry-After": "7"}))
    async with session_with(service, patience=0) as ws:
        with pytest.raises(RateLimited) as caught:
            await ws.get_tasks(26)
        assert caught.value.retry_after == 7
        assert 6 < fast.statistics().next_slot <= 7
        with pytest.raises(errors.WaitTooLong):
            await ws.with_options(max_wait=5).get_tasks(26)
    assert len(service.requests) == 1


@virtual_time
async def test_a_pause_the_service_asks_for_with_503_is_made_and_capped() -> None:
    service = Service(
        replying({}, 503, **{"Retry-After": "7"}),
        replying({}, 503, **{"Retry-After": "3600"}),
        replying(OK),
    )
    came = []

    def noted(request: httpx.Request) -> httpx.Response:
        came.append(trio.current_time())
        return service(request)

    async with on_clock(noted) as ws:
        await ws.get_tasks(26)
    assert [later - earlier for earlier, later in pairwise(came)] == pytest.approx([7, LONGEST_HOLD_SECONDS], abs=0.3)


async def test_other_failures_are_no_refusals(session_with: Make, fast: TokenBucket) -> None:
    async with session_with(Service(html(502))) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.get_tasks(26)
    assert (fast.statistics().refused, fast.statistics().granted) == (0, 4)


async def test_every_attempt_waits_for_a_turn_and_is_signed_anew(
    session_with: Make, fast: TokenBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([100.0, 200.0])
    monkeypatch.setattr("worksection_async._session.caller.time", SimpleNamespace(time=lambda: next(now)))
    service = Service(html(502), replying(OK))
    async with session_with(service, auth=ApiKey(KEY, scheme="signature")) as ws:
        await ws.get_tasks(26)
    first, second = (request.headers["Authorization"] for request in service.requests)
    assert first.startswith("Admin 100_")
    assert second.startswith("Admin 200_")
    assert fast.statistics().granted == 2


# The deadline


async def test_all_attempts_share_one_deadline(session_with: Make) -> None:
    """What is left for an attempt is what the ones before it did not use."""
    left: list[float] = []

    async def slow(request: httpx.Request) -> httpx.Response:
        left.append(request.extensions["timeout"]["read"])
        await anyio.sleep(0.02)
        return html(502)()

    async with session_with(slow, timeout=30) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.get_tasks(26)
    assert left[0] == 30
    assert len(left) == 4
    assert all(before - after > 0.015 for before, after in pairwise(left))


async def test_when_the_time_is_up_there_is_no_further_attempt(session_with: Make) -> None:
    requests = []

    async def slow(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        await anyio.sleep(10)
        raise AssertionError

    async with session_with(slow, timeout=0.05) as ws:
        with pytest.raises(errors.CallTimeout) as caught:
            await ws.get_tasks(26)
    assert (len(requests), caught.value.sent) == (1, True)


async def test_a_pause_the_time_is_too_short_for_is_not_made(
    session_with: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worksection_async._transport.retry.FIRST_DELAY_SECONDS", 100.0)
    service = Service(html(502))
    async with session_with(service, timeout=1) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.get_tasks(26)
    assert len(service.requests) == 1


async def test_waiting_for_a_turn_does_not_count(session_with: Make) -> None:
    async with session_with(Service(replying(OK)), limiter=TokenBucket(rate=10), timeout=0.05) as ws:
        await ws.get_tasks(26)
        await ws.get_tasks(26)


# The decision itself


def failure(*, sent: bool) -> WorksectionError:
    return errors.TransportError("get_tasks", "reset", sent=sent)


@pytest.mark.parametrize(("attempt", "base"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (50, 8.0)])
def test_pauses_double_up_to_a_limit_and_are_spread(attempt: int, base: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worksection_async._transport.retry.FIRST_DELAY_SECONDS", 0.5)
    pauses = [
        retry_delay(GET_TASKS, failure(sent=True), attempt, repeat_writes=False, jitter=lambda: part)  # noqa: B023
        for part in (0.0, 0.5, 1.0)
    ]
    assert pauses == [base / 2, base * 0.75, base]
    assert base <= MAX_DELAY_SECONDS


def test_after_a_pause_the_service_has_asked_for_the_limiter_knows_when() -> None:
    error = errors.UnexpectedReply("get_tasks", "", "busy", http_status=503)
    error.retry_after = 7.0
    assert retry_delay(GET_TASKS, error, 1, repeat_writes=False, jitter=lambda: 1.0) == 0.0


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("repeat_writes", [True, False])
@pytest.mark.parametrize("repeatable", [True, False])
def test_what_was_sent_is_sent_again_only_where_that_does_no_harm(
    sent: bool, repeat_writes: bool, repeatable: bool
) -> None:
    action = attrs.evolve(POST_TASK, repeatable=repeatable)
    pause = retry_delay(action, failure(sent=sent), 1, repeat_writes=repeat_writes, jitter=lambda: 1.0)
    assert (pause is not None) == (not sent or repeat_writes or repeatable)


# In doubt


async def test_after_an_attempt_that_may_have_arrived_no_error_says_that_nothing_was_sent(session_with: Make) -> None:
    """Whoever reads the last error must not repeat a write that the first attempt may have carried out."""
    service = Service(failing(httpx.ReadTimeout), failing(httpx.ConnectError))
    async with session_with(service) as ws:
        with pytest.raises(errors.TransportError) as caught:
            await ws.update_task(1, title="a")
    assert len(service.requests) == 4
    assert caught.value.sent
    assert "never sent" not in str(caught.value)
    assert "an attempt before this one may have been carried out" in str(caught.value)


async def test_a_turn_that_is_too_far_away_for_another_attempt_is_told_with_the_doubt(session_with: Make) -> None:
    limiter = TokenBucket(rate=0.01)
    async with session_with(Service(html(502)), limiter=limiter) as ws:
        with pytest.raises(errors.WaitTooLong) as caught:
            await ws.with_options(max_wait=1).update_task(1, title="a")
    assert caught.value.sent
    assert "nothing was sent" not in str(caught.value)


async def test_the_pauses_between_attempts_count(session_with: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left for the second attempt is less by the pause before it."""
    left: list[float] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        left.append(request.extensions["timeout"]["read"])
        return html(502)()

    monkeypatch.setattr("worksection_async._session.caller.retry_delay", lambda *_, **__: 0.05)
    async with session_with(handler, timeout=30) as ws:
        with pytest.raises(errors.UnexpectedReply):
            await ws.get_tasks(26)
    assert [earlier - later > 0.049 for earlier, later in pairwise(left)] == [True] * 3


async def test_a_redirect_with_an_ok_in_its_body_is_no_success(session_with: Make) -> None:
    async with session_with(Service(lambda: httpx.Response(301, json=OK, headers={"Location": "https://evil"}))) as ws:
        with pytest.raises(errors.UnexpectedReply, match="redirect"):
            await ws.get_tasks(26)
