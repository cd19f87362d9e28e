"""Arguments: invalid calls are refused before anything is sent, valid ones are encoded; and `Session.call`."""

import datetime as dt
import json
import operator
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from worksection_async import AccessToken, Session
from worksection_async.errors import InvalidCall, TransportError, UnexpectedReply
from worksection_async.filters import F
from worksection_async.models import ProjectOptions, UploadedFile

pytestmark = [pytest.mark.anyio, pytest.mark.one_row_on_trio]

SessionWith = Callable[..., Session]
Use = Callable[[Any], Awaitable[object]]

DAY = dt.date(2026, 12, 31)
TEXT = "я" * 65_536
TWO = "ann@example.com, bob@example.com"
OK = {"status": "ok", "data": []}


@pytest.fixture
def unused(session_with: SessionWith) -> Session:
    """A session that fails the test if it sends a request."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"a request was sent: {request.method} {request.url}")

    return session_with(handler)


def case(name: str, use: Use, problem: str) -> Any:
    return pytest.param(use, problem, id=name.replace(" ", "-"))


INVALID = [
    # missing required parameters
    case("required missing", lambda ws: ws.call("get_tasks"), "get_tasks: id_project is required"),
    case("required None", lambda ws: ws.get_tasks(None), "id_project is required"),
    case("required empty text", lambda ws: ws.post_task(26, ""), "title is required"),
    case("required empty list", lambda ws: ws.add_project_members(26, []), "members is required"),
    case("required empty choices", lambda ws: ws.add_webhook("https://example.com", []), "events is required"),
    case("required empty map", lambda ws: ws.update_users_schedule({}), "data is required"),
    case("required empty files", lambda ws: ws.upload_files([]), "files is required"),
    case("required empty e-mail", lambda ws: ws.add_user(""), "email: must be one e-mail address"),
    # none of several alternatives
    case("search without anything", lambda ws: ws.search_tasks(), "at least one of id_project, id_task, email_user_"),
    case("search by state only", lambda ws: ws.search_tasks(status="done", extra=["text"]), "at least one of"),
    case("search with an empty filter", lambda ws: ws.search_tasks(filter=""), "at least one of"),
    case("costs without time and money", lambda ws: ws.add_costs(1, comment="?"), "at least one of time, money"),
    case("comment without text", lambda ws: ws.post_comment(1), "at least one of text, todo"),
    case("comment of files only", lambda ws: ws.post_comment(1, attach=[b"x"]), "at least one of text, todo"),
    case("comment with an empty checklist", lambda ws: ws.post_comment(1, todo=[]), "at least one of text, todo"),
    case("files without a project and task", lambda ws: ws.get_files(), "at least one of id_project, id_task"),
    # more than one of several exclusive parameters
    case(
        "files of a project and a task",
        lambda ws: ws.get_files(id_project=26, id_task=1),
        "only one of id_project, id_task",
    ),
    case(
        "new project with two time options",
        lambda ws: ws.post_project("P", options=ProjectOptions(time_require=True, timer_only=True)),
        "only one of options.time_require, options.timer_only can be given",
    ),
    case(
        "project with three time options",
        lambda ws: ws.update_project(26, options=ProjectOptions(time_require=True, time_today=True, timer_only=True)),
        "only one of options.time_require, options.time_today, options.timer_only can be given",
    ),
    # unknown names and values
    case(
        "unknown parameter",
        lambda ws: ws.call("get_tasks", {"id_projekt": 26}),
        "unknown parameter 'id_projekt'; known",
    ),
    case(
        "parameter of an action without parameters",
        lambda ws: ws.call("get_users", {"id": 1}),
        "unknown parameter 'id'; known parameters: none",
    ),
    case("hash as a parameter", lambda ws: ws.call("get_users", {"hash": "x"}), "unknown parameter 'hash'"),
    *(
        case(
            f"{name} as an unchecked parameter",
            operator.methodcaller("call", action, {name: "x"}, unchecked=True),
            f"unknown parameter '{name}': the client sets it",
        )
        # PHP reads `access.token` as `access_token`, and `hash[]` as `hash`.
        for action in ("get_users", "newest")
        for name in ("hash", "action", "access_token", "access.token", "hash[]", " action[x]")
    ),
    # names in `call`
    case(
        "misspelled action", lambda ws: ws.call("get_projcts"), "unknown action, the nearest one is get_projects. unche"
    ),
    case("action in camel case", lambda ws: ws.call("getTasks"), "the nearest one is get_tasks. unchecked=True sends"),
    case("action in upper case", lambda ws: ws.call("GET_USERS"), "the nearest one is get_users."),
    case(
        "action that is near to none", lambda ws: ws.call("xyz"), "xyz: unknown action. unchecked=True sends an action"
    ),
    case("empty action", lambda ws: ws.call("", unchecked=True), "the name '': must not be blank"),
    case("None as an action", lambda ws: ws.call(None), "the name None: must be text, got NoneType"),
    case("list as an action", lambda ws: ws.call(["get_users"], unchecked=True), "must be text, got list"),
    case("list of parameters", lambda ws: ws.call("get_tasks", [("id_project", 26)]), "must be a mapping, got list"),
    case("empty list of parameters", lambda ws: ws.call("get_users", []), "params must be a mapping, got list"),
    case("number as a parameter", lambda ws: ws.call("get_tasks", {26: 1}), "the name 26: must be text, got int"),
    case(
        "blank parameter", lambda ws: ws.call("get_users", {" ": 1}, unchecked=True), "the name ' ': must not be blank"
    ),
    case(
        "misspelled parameter",
        lambda ws: ws.call("get_tasks", {"id_projct": 26}),
        "extra, the nearest one is id_project. unchecked",
    ),
    case(
        "parameter that this release does not know",
        lambda ws: ws.call("get_tasks", {"id_project": 26, "status": "active"}),
        "unknown parameter 'status'; known parameters: id_project, filter, extra. unchecked=True sends parameters",
    ),
    case(
        "unchecked without a required parameter", lambda ws: ws.call("get_tasks", unchecked=True), "id_project is req"
    ),
    case("unchecked and a wrong id", lambda ws: ws.call("get_task", {"id_task": 2.0}, unchecked=True), "got 2.0"),
    case("unknown filter", lambda ws: ws.get_tasks(26, filter="done"), "filter: must be one of active, got 'done'"),
    case("unknown extra", lambda ws: ws.get_tasks(26, extra=["text", "tex"]), "extra: must be one of text, html"),
    case(
        "unknown role",
        lambda ws: ws.add_user("ann@example.com", role="owner"),
        "role: must be one of user, guest, reader",
    ),
    case(
        "unknown event", lambda ws: ws.add_webhook("https://example.com", ["post"]), "events: must be one of post_task"
    ),
    case(
        "unknown day off",
        lambda ws: ws.update_users_schedule({"ann@example.com": {DAY: "party"}}),
        "data: must be one of vacation, sick-leave, workday, unset, got 'party'",
    ),
    case(
        "apostrophe in an equality",
        lambda ws: ws.search_tasks(filter=F.name == "it's"),
        """F.name: "'" is not possible in a filter, as no escape for it is known: use has()""",
    ),
    # too long
    case("text of a task", lambda ws: ws.post_task(26, "T", text=TEXT + "я"), "text: 65537 characters"),
    case("text of a project", lambda ws: ws.post_project("P", text=TEXT + "я"), "text: 65537 characters"),
    case("text of a comment", lambda ws: ws.post_comment(1, text=TEXT + "я"), "text: 65537 characters"),
    case("item of a checklist", lambda ws: ws.post_comment(1, todo=[TEXT + "я"]), "todo: 65537 characters"),
    case(
        "text and checklist together",
        lambda ws: ws.post_task(26, "T", text=TEXT[:-10], todo=["ten letters"]),
        "text and todo together have 65541 characters",
    ),
    # several addresses where one is allowed
    case("subscribe two", lambda ws: ws.subscribe(1, TWO), "email_user: must be one e-mail address"),
    case("unsubscribe two", lambda ws: ws.unsubscribe(1, TWO), "email_user: must be one e-mail address"),
    case("contact with two", lambda ws: ws.add_contact(TWO, "Ann"), "email: must be one e-mail address"),
    case("invitation of two", lambda ws: ws.add_user(TWO), "email: must be one e-mail address"),
    case(
        "task of two authors",
        lambda ws: ws.post_task(1, "T", email_user_from=TWO),
        "email_user_from: must be one e-mail",
    ),
    case("task for two", lambda ws: ws.post_task(1, "T", email_user_to=TWO), "email_user_to: must be one e-mail"),
    case(
        "comment of two",
        lambda ws: ws.post_comment(1, text="T", email_user_from=TWO),
        "email_user_from: must be one e-mail",
    ),
    case(
        "costs of two", lambda ws: ws.add_costs(1, time=1, email_user_from=[TWO]), "email_user_from: must be one e-mail"
    ),
    case(
        "project of two managers",
        lambda ws: ws.post_project("P", email_manager=TWO),
        "email_manager: must be one e-mail",
    ),
    case("search by two", lambda ws: ws.search_tasks(email_user_to=TWO), "email_user_to: must be one e-mail"),
    # values of a wrong type or out of range
    case("name for a number", lambda ws: ws.get_tasks("Relaunch"), "id_project: must be a positive integer"),
    case("flag for a number", lambda ws: ws.get_task(True), "id_task: must be a positive integer, got True"),
    case("number for a flag", lambda ws: ws.get_costs(is_timer=2), "is_timer: must be True or False, got 2"),
    case("bytes for text", lambda ws: ws.post_task(26, b"T"), "title: must be text, got bytes"),
    case("text for a checklist", lambda ws: ws.post_task(26, "T", todo="one"), "todo: must be a sequence of items"),
    case(
        "words for a date",
        lambda ws: ws.post_task(26, "T", dateend="tomorrow"),
        """dateend: must be a date: a datetime.date, "01.12.2026" or "2026-12-01", got 'tomorrow'""",
    ),
    case(
        "date-time for a date",
        lambda ws: ws.post_task(26, "T", dateend=dt.datetime(2026, 12, 31, 23, 30, tzinfo=dt.UTC)),
        "dateend: must be a date, got datetime: pass its .date() in the time zone of the account",
    ),
    case(
        "date-time in a call by name",
        lambda ws: ws.call("get_costs", {"datestart": dt.datetime(2026, 12, 31)}),
        "datestart: must be a date, got datetime",
    ),
    case(
        "date-time in an unknown parameter",
        lambda ws: ws.call("get_users", {"since": dt.datetime(2026, 12, 31)}, unchecked=True),
        "since: must be a date, got datetime",
    ),
    case("date-time for a stream", lambda ws: anext(ws.iter_costs(datestart=dt.datetime(2026, 1, 1))), "got datetime"),
    case("words for the day of a stream", lambda ws: anext(ws.iter_costs(dateend="now")), "dateend: must be a date: "),
    case("number for a date", lambda ws: ws.post_task(26, "T", dateend=1), "dateend: must be a date, got int"),
    case("negative estimate", lambda ws: ws.post_task(26, "T", max_time=-1), "max_time: must not be negative"),
    case("endless estimate", lambda ws: ws.post_task(26, "T", max_time=float("inf")), "max_time: must be a number"),
    case("words for money", lambda ws: ws.add_costs(1, money="much"), "money: must be a number, got 'much'"),
    case("priority of 11", lambda ws: ws.update_task(1, priority=11), "priority: must be a number from 0 to 10"),
    case("period of 31 days", lambda ws: ws.get_events(dt.timedelta(days=31)), "period: must be 1m..360m"),
    case("period of 60d", lambda ws: ws.get_events("60d"), "period: must be 1m..360m"),
    case("period in the future", lambda ws: ws.get_events(dt.timedelta(days=-1)), "period: must not be neg"),
    case(
        "dict for options",
        lambda ws: ws.post_project("P", options={"allow_close": 1}),
        "options: must be ProjectOptions",
    ),
    case("tag with a comma", lambda ws: ws.update_task_tags(1, plus=["a,b"]), "plus: 'a,b' contains a comma"),
    case("days as a list", lambda ws: ws.update_users_schedule({"a@b.c": [DAY]}), "data: must be a mapping of days"),
    case(
        "failed upload",
        lambda ws: ws.post_task(1, "T", files=[UploadedFile(error="no")]),
        "files: must be results of upload_fil",
    ),
    case("lone surrogate", lambda ws: ws.post_task(26, "\ud83d"), "title: 'utf-8' codec can't encode"),
    case(
        "lone surrogate in a parameter name",
        lambda ws: ws.call("newest", {"\ud83d": 1}, unchecked=True),
        "the name '\\ud83d': 'utf-8'",
    ),
    case(
        "lone surrogate in an action name", lambda ws: ws.call("new\ud83d", unchecked=True), "new\\ud83d: the name 'new"
    ),
    case(
        "not encodable as JSON",
        lambda ws: ws.call("newest", {"map": MappingProxyType({})}, unchecked=True),
        "map: cannot be encoded as JSON",
    ),
    # actions that need an access token
    *(
        case(f"{action} with the admin key", operator.methodcaller("call", action), "needs an access token")
        for action in ("me", "get_my_timer", "start_my_timer", "stop_my_timer", "delete_my_timer")
    ),
    case("my timer with the admin key", lambda ws: ws.get_my_timer(), "needs an access token"),
    # files
    case("download without a destination", lambda ws: ws.call("download", {"id_file": 1}), "use Session.download"),
    case(
        "text too long for a URL, and a file",
        lambda ws: ws.post_comment(1, text=TEXT, attach=[b"x"]),
        "too long for a call with files",
    ),
    case(
        "stored files and new files",
        lambda ws: ws.post_task(26, "T", files=[UploadedFile(id="1")], attach=[b"x"]),
        "cannot have both stored and new files",
    ),
    case("blank tag", lambda ws: ws.update_task_tags(1, plus=["a", " "]), "plus: a name must not be blank"),
    case("missing file", lambda ws: ws.post_task(26, "T", attach=["gone.pdf"]), "attach: [Errno 2] No such file"),
    case("folder as a file", lambda ws: ws.upload_files([Path()]), "files: [Errno 21] Is a directory"),
    case(
        "one file for a list", lambda ws: ws.post_task(26, "T", attach="a.pdf"), "attach: must be a sequence of files"
    ),
]


@pytest.mark.parametrize(("use", "problem"), INVALID)
async def test_invalid_call_is_raised_before_sending(unused: Session, use: Use, problem: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        await use(unused)
    assert problem in str(caught.value)
    assert str(caught.value).endswith("No request was sent.")
    assert isinstance(caught.value, ValueError)
    assert caught.value.sent is False


async def test_invalid_call_uses_no_slot(unused: Session) -> None:
    with pytest.raises(InvalidCall):
        await unused.search_tasks()
    assert unused.limiter.statistics().granted == 0


async def test_unknown_keyword_is_a_type_error(unused: Session) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'id_projekt'"):
        await unused.get_costs(id_projekt=26)  # type: ignore[call-arg]


# Valid calls


class Recorder:
    """A fake service that records the requests and replies ok."""

    def __init__(self, reply: object = OK) -> None:
        self.reply = reply
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, json=self.reply)

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the only request."""
        (request,) = self.requests
        return dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))


ALLOWED = [
    case("longest text", lambda ws: ws.call("post_task", {"id_project": 1, "title": "T", "text": TEXT}), "text"),
    case("zero hours", lambda ws: ws.call("add_costs", {"id_task": 1, "time": 0}), "time"),
    case("free costs", lambda ws: ws.call("add_costs", {"id_task": 1, "money": 0}), "money"),
    case("checklist only", lambda ws: ws.call("post_comment", {"id_task": 1, "todo": ["a"]}), "todo"),
    case(
        "several followers", lambda ws: ws.call("post_task", {"id_project": 1, "title": "T", "subscribe": TWO}), "sub"
    ),
]


@pytest.mark.parametrize(("use", "parameter"), ALLOWED)
async def test_limits_of_the_allowed_ranges_are_sent(session_with: SessionWith, use: Use, parameter: str) -> None:
    service = Recorder()
    await use(session_with(service))
    (request,) = service.requests
    assert parameter.encode() in request.url.query + request.content


async def test_exclusive_options_may_be_false_together(session_with: SessionWith) -> None:
    service = Recorder({"status": "ok", "data": {"id": "26"}})
    options = ProjectOptions(time_require=True, time_today=False, timer_only=False, allow_close=None)
    await session_with(service).update_project(26, options=options)
    sent = {name: value for name, value in service.query.items() if name.startswith("options.")}
    assert sent == {"options.time_require": "1", "options.time_today": "0", "options.timer_only": "0"}


async def test_none_is_not_sent(session_with: SessionWith) -> None:
    service = Recorder({"status": "ok", "data": {"id": "1"}})
    await session_with(service).update_task(1, title=None, priority=0)
    assert service.query.keys() == {"action", "id_task", "priority", "hash"}


async def test_token_can_call_actions_of_its_user(session_with: SessionWith, token: AccessToken) -> None:
    service = Recorder()
    assert await session_with(service, auth=token).get_my_timer() is None
    assert len(service.requests) == 1


# call()


async def test_call_returns_the_unchanged_envelope(session_with: SessionWith) -> None:
    envelope = {"status": "ok", "data": [{"id": "1", "name": 5, "date_end": "nonsense"}], "total": {"time": "1:00"}}
    assert await session_with(Recorder(envelope)).call("get_tasks", {"id_project": 26}) == envelope


async def test_call_of_a_known_read_is_a_get(session_with: SessionWith) -> None:
    service = Recorder()
    await session_with(service).call("get_tasks", {"id_project": "26", "extra": "text, files"})
    assert service.requests[0].method == "GET"
    assert service.query | {"hash": ""} == {
        "action": "get_tasks", "id_project": "26", "extra": "text, files", "hash": "",
    }  # fmt: skip


async def test_call_accepts_unknown_enum_values(session_with: SessionWith) -> None:
    service = Recorder()
    await session_with(service).call("get_tasks", {"id_project": 26, "extra": ["text", "emoji"], "filter": "asleep"})
    assert (service.query["extra"], service.query["filter"]) == ("text,emoji", "asleep")


async def test_call_checks_required_parameters(unused: Session) -> None:
    with pytest.raises(InvalidCall, match="type is required"):
        await unused.call("add_task_tag_groups", {"title": ["a"], "access": "newest"})


async def test_unknown_action_is_a_write_and_encodes_values_by_python_type(session_with: SessionWith) -> None:
    service = Recorder()
    params = {
        "day": DAY, "on": True, "number": 7, "list": ["a", 2], "span": dt.timedelta(hours=1.5), "map": {"ключ": [1]},
        "unset": None,
    }  # fmt: skip
    assert await session_with(service).call("newest_action", params, unchecked=True) == OK
    assert service.requests[0].method == "POST"
    assert service.query | {"hash": ""} == {
        "action": "newest_action", "day": "31.12.2026", "on": "1", "number": "7", "list": "a,2", "span": "1:30",
        "map": '{"ключ":[1]}', "hash": "",
    }  # fmt: skip


async def test_an_unknown_action_without_parameters_is_sent(session_with: SessionWith) -> None:
    service = Recorder()
    await session_with(service).call("newest_action", unchecked=True)
    assert service.query.keys() == {"action", "hash"}


async def test_unknown_action_is_sent_as_json_with_a_token(session_with: SessionWith, token: AccessToken) -> None:
    service = Recorder()
    await session_with(service, auth=token).call("newest_action", {"name": "Ім'я", "map": {"a": 1}}, unchecked=True)
    assert json.loads(service.requests[0].content) == {"name": "Ім'я", "map": {"a": 1}}


@pytest.mark.parametrize("broken", ["connection", "server"])
@pytest.mark.parametrize(
    ("action", "attempts"), [("get_users", 3), ("newest_action", 1), ("add_user_group", 1), ("complete_task", 3)]
)
@pytest.mark.usefixtures("no_retry_delay")
async def test_lost_reply_is_retried_for_reads_and_idempotent_writes_only(
    session_with: SessionWith, action: str, attempts: int, broken: str
) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if broken == "connection":
            raise httpx.ReadError("reset")
        return httpx.Response(502, text="<html>Bad gateway</html>")

    needed: dict[str, dict[str, object]] = {"add_user_group": {"title": "T"}, "complete_task": {"id_task": 1}}
    with pytest.raises((TransportError, UnexpectedReply)):
        await session_with(handler, retries=2).call(action, needed.get(action), unchecked=True)
    assert len(seen) == attempts


async def test_call_accepts_text_for_any_parameter(session_with: Callable[..., Session]) -> None:
    """The command line passes all values as text; they are sent unchanged."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"status": "ok", "id": 5})

    async with session_with(handler) as ws:
        await ws.call("add_costs", {"id_task": "7", "time": "1,5", "is_rate": "1", "date": "31.12.2026"})
        await ws.call("update_project", {"id_project": "26", "options.timer_only": "1", "tags": "a,b"})
    assert seen[0].url.params["time"] == "1,5"
    assert (seen[0].url.params["is_rate"], seen[0].url.params["date"]) == ("1", "31.12.2026")
    assert (seen[1].url.params["options.timer_only"], seen[1].url.params["tags"]) == ("1", "a,b")


async def test_unchecked_sends_parameters_that_this_release_does_not_know(session_with: SessionWith) -> None:
    service = Recorder()
    params = {"id_project": 26, "status": "active", "since": DAY, "flags[]": 1, "extra": ["text"]}
    assert await session_with(service).call("get_tasks", params, unchecked=True) == OK
    assert service.requests[0].method == "GET"  # a known action keeps its kind
    assert service.query | {"hash": ""} == {
        "action": "get_tasks", "id_project": "26", "status": "active", "since": "31.12.2026", "flags[]": "1",
        "extra": "text", "hash": "",
    }  # fmt: skip


@pytest.mark.parametrize("day", [DAY, "31.12.2026", "2026-12-31"])
async def test_a_day_is_sent_in_the_format_of_the_service(session_with: SessionWith, day: Any) -> None:
    service = Recorder()
    ws = session_with(service)
    await ws.get_users_schedule(datestart=day)
    await ws.get_costs(datestart=day)
    await ws.call("get_costs", {"datestart": day})
    assert [cost async for cost in ws.iter_costs(datestart=day)] == []
    assert ws.iter_costs(dateend=day)._span.last == DAY  # a span is divided, so it needs dates
    queries = [dict(parse_qsl(request.url.query.decode())) for request in service.requests]
    assert [query["datestart"] for query in queries] == ["31.12.2026"] * 4


async def test_call_by_name_sends_other_text_for_a_date_unchanged(session_with: SessionWith) -> None:
    service = Recorder()
    await session_with(service).call("get_costs", {"datestart": "yesterday"})
    assert service.query["datestart"] == "yesterday"
