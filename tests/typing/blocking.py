"""Checks the types of the blocking client: mypy and pyright read this module, it is never run.

It uses every public method; `tests/blocking/test_twins.py` checks that.
"""

import datetime as dt
import io
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import httpx

from worksection_async import (
    AccessToken,
    ApiKey,
    Attachment,
    Cursor,
    DownloadedFile,
    DownloadReport,
    Plan,
    RawReply,
    Statistics,
    TagChange,
    Token,
    TokenBucket,
    models,
)
from worksection_async.blocking import (
    BlockingDownload,
    BlockingEventsSince,
    BlockingEventWatch,
    BlockingLimiter,
    BlockingSession,
    BlockingStream,
    BlockingTagWatch,
)
from worksection_async.models import (
    Comment,
    Contact,
    ContactGroup,
    Cost,
    Costs,
    CostsTotal,
    CustomField,
    Event,
    File,
    Member,
    MyTimer,
    Project,
    ProjectGroup,
    ProjectOptions,
    Tag,
    TagGroup,
    Task,
    Timer,
    UploadedFile,
    UserGroup,
    UserSchedule,
    Webhook,
)

DAY = dt.date(2026, 12, 31)


def sessions() -> None:
    with BlockingSession("acme", ApiKey("key")) as ws:
        assert_type(ws, BlockingSession)
        assert_type(ws.account_url, str)
        assert_type(ws.limiter, BlockingLimiter)
        assert_type(ws.limiter.statistics(), Statistics)
        assert_type(ws.limiter.eta("bulk"), float)
        assert_type(ws.limiter.acquire("bulk", max_wait=1.5), float)
        assert_type(ws.limiter.rate, float)
        view = ws.with_options(lane="bulk", max_wait=None, timeout=60, retries=5, repeat_writes=True)
        assert_type(view, BlockingSession)
        assert_type(ws.as_user(Token(access_token="token", expires_at=0.0)), BlockingSession)
        assert_type(ws.close(), None)
    assert_type(BlockingSession.from_env(timeout=5, tz="Europe/Kyiv"), BlockingSession)
    BlockingSession(
        "https://acme.worksection.com", AccessToken("token"), limiter=TokenBucket(rate=0.5, burst=1), timeout=10,
        retries=0, tz=dt.UTC, transport=httpx.MockTransport(lambda _: httpx.Response(200)),
    )  # fmt: skip

    BlockingSession("acme")  # type: ignore[call-arg]
    BlockingSession("acme", "key")  # type: ignore[arg-type]
    ws.with_options(lane="express")  # type: ignore[arg-type]
    ws.with_options(timeout=None)  # type: ignore[arg-type]


def iterators(ws: BlockingSession) -> None:
    tasks = ws.iter_tasks(filter="active", extra=["text"], progress=print)
    assert_type(tasks, BlockingStream[Task])
    assert_type(next(tasks), Task)
    assert_type(tasks.plan, Plan)
    assert_type(list(ws.iter_costs(datestart=DAY, is_timer=True)), list[Cost])
    assert_type(ws.iter_costs(), BlockingStream[Cost])
    watch = ws.watch(period_start=dt.timedelta(days=1), projects=[26], every=60)
    assert_type(watch, BlockingEventWatch)
    assert_type(watch.cursor, Cursor)
    watch.dispatch_to(print)
    for event in watch:
        assert_type(event, Event)
    since = ws.events_since(watch.cursor, projects=[26])
    assert_type(since, BlockingEventsSince)
    assert_type(list(since), list[Event])
    assert_type(ws.watch_tags(every=300), BlockingTagWatch)
    assert_type(next(ws.watch_tags()), TagChange)

    watch.dispatch_to(int)  # type: ignore[arg-type]
    ws.iter_tasks(extra=["tex"])  # type: ignore[list-item]


def downloads(ws: BlockingSession) -> None:
    assert_type(ws.download_all([1, *ws.get_files(id_task=1)], "folder", print), DownloadReport)
    with ws.open_download(17694) as file:
        assert_type(file, BlockingDownload)
        assert_type((file.name, file.size, file.media_type), tuple[str, int | None, str])
        chunks: Iterator[bytes] = iter(file)
        assert_type(next(chunks), bytes)
        file.close()


def members(ws: BlockingSession) -> None:
    assert_type(ws.me(), Member)
    assert_type(ws.get_users(), list[Member])
    assert_type(ws.add_user("ann@example.com", first_name="Ann", role="guest"), Member)
    assert_type(ws.get_user_groups(), list[UserGroup])
    assert_type(ws.add_user_group("Team", client=True), UserGroup)
    assert_type(ws.get_contacts(), list[Contact])
    assert_type(ws.add_contact("ann@example.com", "Ann", phone2="1"), Contact)
    assert_type(ws.get_contact_groups(), list[ContactGroup])
    assert_type(ws.add_contact_group(title="Folder"), ContactGroup)
    assert_type(ws.get_users_schedule(users=["ann@example.com", 5], datestart=DAY), dict[int, UserSchedule])
    assert_type(ws.update_users_schedule({"ann@example.com": {DAY: "vacation"}, 5: {DAY: "unset"}}), str)

    ws.add_user("ann@example.com", role="owner")  # type: ignore[arg-type]
    ws.add_user("ann@example.com", "Ann")  # type: ignore[call-arg]
    ws.update_users_schedule({"ann@example.com": {DAY: "party"}})  # type: ignore[dict-item]


def projects(ws: BlockingSession) -> None:
    assert_type(ws.get_projects(filter="archive", extra=["users", "tags"]), list[Project])
    assert_type(ws.get_project(26, extra=("html",)), Project)
    options = ProjectOptions(allow_close=True, timer_only=False)
    assert_type(ws.post_project("P", options=options, members=["a@b.c"], attach=[b"x"]), Project)
    assert_type(ws.update_project(26, datestart=DAY, max_time=dt.timedelta(hours=1)), Project)
    assert_type(ws.get_project_groups(), list[ProjectGroup])
    assert_type(ws.add_project_group("Folder"), ProjectGroup)
    assert_type(ws.get_project_custom_fields(), list[CustomField])
    assert_type(ws.get_events("3d", id_project=26), list[Event])
    assert_type(ws.get_events(dt.timedelta(hours=3)), list[Event])
    ws.close_project(26)
    ws.activate_project(id_project=26)
    ws.add_project_members(26, ["a@b.c"])
    ws.delete_project_members(26, ["a@b.c"])

    ws.get_project("26")  # type: ignore[arg-type]
    ws.get_project(26, ["html"])  # type: ignore[call-arg]
    ws.get_project(26, extra=["relations"])  # type: ignore[list-item]
    ws.post_project("P", options={"allow_close": True})  # type: ignore[arg-type]
    ws.post_project("P", datestart="31.12.2026")  # type: ignore[arg-type]
    result = ws.close_project(26)  # type: ignore[func-returns-value]
    assert_type(result, None)


def tasks(ws: BlockingSession) -> None:
    assert_type(ws.get_all_tasks(filter="active", extra=["archive"]), list[Task])
    assert_type(ws.get_tasks(26, extra=["text", "files"]), list[Task])
    assert_type(ws.get_tasks(id_project=26), list[Task])
    assert_type(ws.get_task(1), Task)
    assert_type(ws.post_task(26, "Title", dateend=DAY, attach=[Path("plan.pdf"), ("a.txt", b"a")]), Task)
    assert_type(ws.update_task(1, priority=7, max_money=Decimal("1.5"), tags=["On hold", 3]), Task)
    assert_type(ws.search_tasks(filter="name has 'Report'", status="done"), list[Task])
    assert_type(ws.get_task_custom_fields(), list[CustomField])
    ws.complete_task(1)
    ws.reopen_task(1)
    ws.subscribe(1, "ann@example.com")
    ws.unsubscribe(1, email_user="ann@example.com")

    ws.get_tasks()  # type: ignore[call-arg]
    ws.get_tasks(26, extra=["tex"])  # type: ignore[list-item]
    ws.get_tasks(26, filter="done")  # type: ignore[arg-type]
    ws.get_tasks(26, id_projekt=26)  # type: ignore[call-arg]
    ws.post_task("Title")  # type: ignore[call-arg, arg-type]
    ws.post_task(26, "Title", todo=[1])  # type: ignore[list-item]
    ws.post_task(26, "Title", attach=Path("plan.pdf"))  # type: ignore[arg-type]
    ws.subscribe(1, ["ann@example.com"])  # type: ignore[arg-type]


def comments_and_files(ws: BlockingSession) -> None:
    assert_type(ws.get_comments(1, extra=["files"]), list[Comment])
    assert_type(ws.post_comment(1, text="T", mention=["a@b.c"]), Comment)
    assert_type(ws.get_files(id_project=26), list[File])
    assert_type(ws.upload_files(["a.pdf"]), list[UploadedFile])
    ws.post_task(26, "Title", files=ws.upload_files(["a.pdf"]))
    assert_type(ws.download(17694, Path(), progress=print), DownloadedFile)
    assert_type(ws.download(17694, io.BytesIO(), overwrite=True), DownloadedFile)
    attachments: list[Attachment] = [
        Path("a.pdf"), "a.pdf", b"abc", io.BytesIO(b"abc"), ("a", b"abc"), ("a", Path("a.pdf"), "text/plain"),
    ]  # fmt: skip
    ws.upload_files(attachments)

    ws.post_task(26, "Title", files=["a.pdf"])  # type: ignore[list-item]
    ws.upload_files([io.StringIO("abc")])  # type: ignore[list-item]
    ws.download(17694)  # type: ignore[call-arg]


def tags(ws: BlockingSession) -> None:
    assert_type(ws.get_task_tags(group="Stages", type="status", access="public"), list[Tag])
    assert_type(ws.add_task_tags("Stages", ["New", "Old"]), list[Tag])
    assert_type(ws.get_task_tag_groups(), list[TagGroup])
    assert_type(ws.add_task_tag_groups(["Stages"], "status", "public"), list[TagGroup])
    assert_type(ws.get_project_tags(), list[Tag])
    assert_type(ws.add_project_tags(5, ["New"]), list[Tag])
    assert_type(ws.get_project_tag_groups(access="private"), list[TagGroup])
    assert_type(ws.add_project_tag_groups(["Kinds"], "private"), list[TagGroup])
    ws.update_task_tags(1, plus=["New", 3], minus=[4])
    ws.update_project_tags(26, minus=["Old"])

    ws.get_task_tags(type="stage")  # type: ignore[arg-type]


def costs_and_timers(ws: BlockingSession) -> None:
    assert_type(ws.get_costs(is_timer=True, datestart=DAY), Costs)
    assert_type(ws.get_costs_total(extra=["projects"]), CostsTotal)
    assert_type(ws.get_costs_total().projects, dict[int, models.ProjectCosts])
    assert_type(ws.add_costs(1, time=1.5, money=Decimal(5), date=DAY), int)
    assert_type(ws.add_costs(1, time=dt.timedelta(minutes=5)), int)
    ws.update_costs(1, money=3)
    ws.delete_costs(1)
    assert_type(ws.get_timers(), list[Timer])
    assert_type(ws.get_my_timer(), MyTimer | None)
    ws.stop_timer(1)
    ws.start_my_timer(1)
    ws.stop_my_timer(comment="done")
    ws.delete_my_timer()

    ws.add_costs(1, time="1:30")  # type: ignore[arg-type]
    ws.get_my_timer().time  # type: ignore[union-attr]  # noqa: B018


def webhooks(ws: BlockingSession) -> None:
    assert_type(ws.get_webhooks(), list[Webhook])
    assert_type(ws.add_webhook("https://example.com", ["post_task", "update_task"], projects=[26]), int)
    ws.delete_webhook(1)

    ws.add_webhook("https://example.com", ["create_task"])  # type: ignore[list-item]


def raw_calls(ws: BlockingSession) -> None:
    assert_type(ws.call("newest_action", {"id": 1, "list": ["a"]}, unchecked=True), dict[str, Any])
    assert_type(ws.call("get_users"), dict[str, Any])
    reply = ws.call("get_users", {"id": 1}, raw=True)
    assert_type(reply, RawReply)
    assert_type((reply.status, reply.headers, reply.body), tuple[int, Mapping[str, str], bytes])

    ws.call("get_tasks", id_project=26)  # type: ignore[call-overload]
    ws.call(26)  # type: ignore[call-overload]
