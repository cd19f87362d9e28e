"""Checks the types of the public API: mypy and pyright read this module, it is never run.

Each invalid call has a ``type: ignore`` comment. The type checkers report a comment that is not needed, so a call that
they no longer reject is an error.
"""

import datetime as dt
import io
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, assert_type

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

import worksection_async
from worksection_async import (
    AccessToken,
    ApiKey,
    Attachment,
    DownloadedFile,
    FileTokenVault,
    Lane,
    Limiter,
    MemoryTokenStore,
    OAuth2,
    OAuthApp,
    RawReply,
    Session,
    SQLTokenVault,
    Statistics,
    Token,
    TokenBucket,
    errors,
    legacy_page_hash,
    models,
)
from worksection_async.login import LoginRoutes
from worksection_async.models import (
    Comment,
    Contact,
    ContactGroup,
    Costs,
    CostsTotal,
    CustomField,
    Event,
    File,
    Identity,
    Member,
    MyTimer,
    Project,
    ProjectGroup,
    ProjectOptions,
    Tag,
    TagGroup,
    Task,
    TaskRef,
    Timer,
    UploadedFile,
    User,
    UserGroup,
    UserSchedule,
    Webhook,
)
from worksection_async.redis import RedisMemory, RedisTokenVault
from worksection_async.webhooks import Router, WebhookReceiver, parse_events

DAY = dt.date(2026, 12, 31)


def credentials() -> None:
    ApiKey("key")
    ApiKey("key", scheme="signature")
    ApiKey("key", "hash")
    AccessToken("token")
    assert_type(legacy_page_hash("/project/26/", "get_tasks", "key"), str)

    ApiKey()  # type: ignore[call-arg]
    ApiKey("key", scheme="md5")  # type: ignore[arg-type]
    AccessToken(b"token")  # type: ignore[arg-type]


async def sessions() -> None:
    async with Session("acme", ApiKey("key")) as ws:
        assert_type(ws, Session)
        assert_type(ws.account_url, str)
        assert_type(ws.limiter, Limiter)
        assert_type(ws.limiter.statistics(), Statistics)
        assert_type(ws.limiter.eta("bulk"), float)
        assert_type(ws.with_options(lane="bulk", max_wait=None, timeout=60, retries=5, repeat_writes=True), Session)
        ws.with_options(max_wait=1.5)
    Session(
        "https://acme.worksection.com", AccessToken("token"), limiter=TokenBucket(rate=0.5, burst=1), timeout=10,
        retries=0, tz=dt.UTC, transport=httpx.MockTransport(lambda _: httpx.Response(200)),
    )  # fmt: skip
    for lane in ("interactive", "normal", "bulk"):
        ws.with_options(lane=lane)
    assert_type(ws.limiter.statistics().waiting, dict[Lane, int])

    Session("acme")  # type: ignore[call-arg]
    Session("acme", "key")  # type: ignore[arg-type]
    Session("acme", ApiKey("key"), TokenBucket())  # type: ignore[call-arg]
    Session("acme", ApiKey("key"), timeout="30")  # type: ignore[arg-type]
    ws.with_options(lane="express")  # type: ignore[arg-type]
    ws.with_options("bulk")  # type: ignore[call-arg]
    ws.with_options(timeout=None)  # type: ignore[arg-type]


async def users(app: OAuthApp, token: Token, engine: AsyncEngine) -> None:
    async def key_of(scope: Any, identity: Identity) -> str | None:
        return str(identity.id)

    for vault in (FileTokenVault("tokens"), RedisTokenVault("redis://"), SQLTokenVault(engine, ["new", b"old"])):
        assert_type(OAuth2(app, vault=vault), OAuth2)
        assert_type(OAuth2(app, vault.store("ada"), vault=vault), OAuth2)
        LoginRoutes(app, vault, user_of=key_of)
        LoginRoutes(app, vault, user_of=lambda _, identity: identity.email)
    ws = Session("acme", OAuth2(app, vault=vault))
    assert_type(ws.as_user("ada"), Session)
    assert_type(ws.as_user(token), Session)
    assert_type(ws.as_user(MemoryTokenStore(token)), Session)

    ws.as_user(7)  # type: ignore[arg-type]
    OAuth2(app, vault=MemoryTokenStore())  # type: ignore[arg-type]
    LoginRoutes(app, vault, user_of=lambda _, identity: identity.id)  # type: ignore[arg-type, return-value]
    SQLTokenVault(engine)  # type: ignore[call-arg]


async def members(ws: Session) -> None:
    assert_type(await ws.me(), Member)
    assert_type(await ws.get_users(), list[Member])
    assert_type(await ws.add_user("ann@example.com", first_name="Ann", role="guest"), Member)
    assert_type(await ws.get_user_groups(), list[UserGroup])
    assert_type(await ws.add_user_group("Team", client=True), UserGroup)
    assert_type(await ws.get_contacts(), list[Contact])
    assert_type(await ws.add_contact("ann@example.com", "Ann", phone2="1"), Contact)
    assert_type(await ws.get_contact_groups(), list[ContactGroup])
    assert_type(await ws.add_contact_group(title="Folder"), ContactGroup)
    assert_type(await ws.get_users_schedule(users=["ann@example.com", 5], datestart=DAY), dict[int, UserSchedule])
    assert_type(await ws.update_users_schedule({"ann@example.com": {DAY: "vacation"}, 5: {DAY: "unset"}}), str)

    await ws.add_user("ann@example.com", role="owner")  # type: ignore[arg-type]
    await ws.add_user("ann@example.com", "Ann")  # type: ignore[call-arg]
    await ws.update_users_schedule({"ann@example.com": {DAY: "party"}})  # type: ignore[dict-item]


async def projects(ws: Session) -> None:
    assert_type(await ws.get_projects(filter="archive", extra=["users", "tags"]), list[Project])
    assert_type(await ws.get_project(26, extra=("html",)), Project)
    options = ProjectOptions(allow_close=True, timer_only=False)
    assert_type(await ws.post_project("P", options=options, members=["a@b.c"], attach=[b"x"]), Project)
    assert_type(await ws.update_project(26, datestart=DAY, max_time=dt.timedelta(hours=1)), Project)
    assert_type(await ws.get_project_groups(), list[ProjectGroup])
    assert_type(await ws.add_project_group("Folder"), ProjectGroup)
    assert_type(await ws.get_project_custom_fields(), list[CustomField])
    assert_type(await ws.get_events("3d", id_project=26), list[Event])
    assert_type(await ws.get_events(dt.timedelta(hours=3)), list[Event])
    await ws.close_project(26)
    await ws.activate_project(id_project=26)
    await ws.add_project_members(26, ["a@b.c"])
    await ws.delete_project_members(26, ["a@b.c"])

    await ws.get_project("26")  # type: ignore[arg-type]
    await ws.get_project(26, ["html"])  # type: ignore[call-arg]
    await ws.get_project(26, extra=["relations"])  # type: ignore[list-item]
    await ws.post_project("P", options={"allow_close": True})  # type: ignore[arg-type]
    await ws.post_project("P", datestart="31.12.2026")  # type: ignore[arg-type]
    result = await ws.close_project(26)  # type: ignore[func-returns-value]
    assert_type(result, None)


async def tasks(ws: Session) -> None:
    assert_type(await ws.get_all_tasks(filter="active", extra=["archive"]), list[Task])
    assert_type(await ws.get_tasks(26, extra=["text", "files"]), list[Task])
    assert_type(await ws.get_tasks(id_project=26), list[Task])
    assert_type(await ws.get_task(1), Task)
    assert_type(await ws.post_task(26, "Title", dateend=DAY, attach=[Path("plan.pdf"), ("a.txt", b"a")]), Task)
    assert_type(await ws.update_task(1, priority=7, max_money=Decimal("1.5"), tags=["On hold", 3]), Task)
    assert_type(await ws.search_tasks(filter="name has 'Report'", status="done"), list[Task])
    assert_type(await ws.get_task_custom_fields(), list[CustomField])
    await ws.complete_task(1)
    await ws.reopen_task(1)
    await ws.subscribe(1, "ann@example.com")
    await ws.unsubscribe(1, email_user="ann@example.com")

    await ws.get_tasks()  # type: ignore[call-arg]
    await ws.get_tasks(26, extra=["tex"])  # type: ignore[list-item]
    await ws.get_tasks(26, filter="done")  # type: ignore[arg-type]
    await ws.get_tasks(26, id_projekt=26)  # type: ignore[call-arg]
    await ws.post_task("Title")  # type: ignore[call-arg, arg-type]
    await ws.post_task(26, "Title", todo=[1])  # type: ignore[list-item]
    await ws.post_task(26, "Title", attach=Path("plan.pdf"))  # type: ignore[arg-type]
    await ws.subscribe(1, ["ann@example.com"])  # type: ignore[arg-type]


async def task_fields(task: Task) -> None:
    assert_type(task.id, int)
    assert_type(task.name, str)
    assert_type(task.status, Literal["active", "done"] | str | None)
    assert_type(task.parent, TaskRef | None)
    assert_type(task.date_end, dt.date | None)
    assert_type(task.date_added, dt.datetime | None)
    assert_type(task.time_end, dt.time | None)
    assert_type(task.max_time, dt.timedelta | None)
    assert_type(task.max_money, Decimal | None)
    assert_type(task.tags, dict[int, str])
    assert_type(task.child, tuple[Task, ...])
    assert_type(task.user_to, User | None)
    assert_type(task.extra.get("new_key"), object | None)
    if task.user_to is not None:
        assert_type(task.user_to.is_nobody, bool)

    task.name = "other"  # type: ignore[misc]
    task.title  # type: ignore[attr-defined]  # noqa: B018
    Task(name="without id")  # type: ignore[call-arg]


async def comments_and_files(ws: Session) -> None:
    assert_type(await ws.get_comments(1, extra=["files"]), list[Comment])
    assert_type(await ws.post_comment(1, text="T", mention=["a@b.c"]), Comment)
    assert_type(await ws.get_files(id_project=26), list[File])
    assert_type(await ws.upload_files(["a.pdf"]), list[UploadedFile])
    await ws.post_task(26, "Title", files=await ws.upload_files(["a.pdf"]))
    assert_type(await ws.download(17694, Path(), progress=print), DownloadedFile)
    assert_type(await ws.download(17694, io.BytesIO(), overwrite=True), DownloadedFile)
    attachments: list[Attachment] = [
        Path("a.pdf"), "a.pdf", b"abc", io.BytesIO(b"abc"), ("a", b"abc"), ("a", Path("a.pdf"), "text/plain"),
    ]  # fmt: skip
    await ws.upload_files(attachments)

    await ws.post_task(26, "Title", files=["a.pdf"])  # type: ignore[list-item]
    await ws.upload_files([io.StringIO("abc")])  # type: ignore[list-item]
    await ws.download(17694)  # type: ignore[call-arg]


async def tags(ws: Session) -> None:
    assert_type(await ws.get_task_tags(group="Stages", type="status", access="public"), list[Tag])
    assert_type(await ws.add_task_tags("Stages", ["New", "Old"]), list[Tag])
    assert_type(await ws.get_task_tag_groups(), list[TagGroup])
    assert_type(await ws.add_task_tag_groups(["Stages"], "status", "public"), list[TagGroup])
    assert_type(await ws.get_project_tags(), list[Tag])
    assert_type(await ws.add_project_tags(5, ["New"]), list[Tag])
    assert_type(await ws.get_project_tag_groups(access="private"), list[TagGroup])
    assert_type(await ws.add_project_tag_groups(["Kinds"], "private"), list[TagGroup])
    await ws.update_task_tags(1, plus=["New", 3], minus=[4])
    await ws.update_project_tags(26, minus=["Old"])

    await ws.get_task_tags(type="stage")  # type: ignore[arg-type]


async def costs_and_timers(ws: Session) -> None:
    assert_type(await ws.get_costs(is_timer=True, datestart=DAY), Costs)
    assert_type(await ws.get_costs_total(extra=["projects"]), CostsTotal)
    assert_type((await ws.get_costs_total()).projects, dict[int, models.ProjectCosts])
    assert_type(await ws.add_costs(1, time=1.5, money=Decimal(5), date=DAY), int)
    assert_type(await ws.add_costs(1, time=dt.timedelta(minutes=5)), int)
    await ws.update_costs(1, money=3)
    await ws.delete_costs(1)
    assert_type(await ws.get_timers(), list[Timer])
    assert_type(await ws.get_my_timer(), MyTimer | None)
    await ws.stop_timer(1)
    await ws.start_my_timer(1)
    await ws.stop_my_timer(comment="done")
    await ws.delete_my_timer()

    await ws.add_costs(1, time="1:30")  # type: ignore[arg-type]
    (await ws.get_my_timer()).time  # type: ignore[union-attr]  # noqa: B018


async def webhooks(ws: Session) -> None:
    assert_type(await ws.get_webhooks(), list[Webhook])
    assert_type(await ws.add_webhook("https://example.com", ["post_task", "update_task"], projects=[26]), int)
    await ws.delete_webhook(1)

    await ws.add_webhook("https://example.com", ["create_task"])  # type: ignore[list-item]


async def routing(ws: Session) -> None:
    router = Router()

    @router.on("post_task", "close_task")
    async def count(event: Event) -> int:
        return event.object.id

    class Handlers:
        @router.on("update_task", changed="user_to")
        @staticmethod
        async def notify(event: Event) -> None: ...

        async def __call__(self, event: Event) -> None: ...

    assert_type(router.on("archive_milestone", unchecked=True)(Handlers()), Handlers)
    event = parse_events(b"")[0]
    assert_type(await count(event), int)
    assert_type(await router.dispatch(event), None)
    assert_type(router.statistics().unhandled, int)
    WebhookReceiver(router)
    WebhookReceiver(count)
    WebhookReceiver(count, remember=RedisMemory("redis://", "hooks"))
    await ws.watch().dispatch_to(router)
    await ws.watch().dispatch_to(count)

    @router.on("post_task")  # type: ignore[type-var]
    def not_async(event: Event) -> None: ...

    @router.on("post_task")  # type: ignore[type-var]
    async def of_text(event: str) -> None: ...


async def raw_calls(ws: Session) -> None:
    assert_type(await ws.call("newest_action", {"id": 1, "list": ["a"]}, unchecked=True), dict[str, Any])
    assert_type(await ws.call("get_users"), dict[str, Any])
    reply = await ws.call("get_users", {"id": 1}, raw=True)
    assert_type(reply, RawReply)
    assert_type((reply.status, reply.headers, reply.body), tuple[int, Mapping[str, str], bytes])

    await ws.call("get_tasks", id_project=26)  # type: ignore[call-overload]
    await ws.call(26)  # type: ignore[call-overload]


def texts(task: Task) -> None:
    assert_type(models.plain(task.text), str)
    assert_type(models.plain(None, markdown=True), str)

    models.plain(task)  # type: ignore[arg-type]
    models.plain(b"text")  # type: ignore[arg-type]


async def exceptions(ws: Session) -> None:
    try:
        await ws.get_users()
    except errors.RateLimited as error:
        assert_type(error.retry_after, float | None)
    except errors.ApiError as error:
        assert_type(error.code, int | None)
        assert_type((error.message, error.details, error.http_status), tuple[str, str, int])
    except errors.WaitTooLong as error:
        assert_type(error.eta, float)
    except errors.UnexpectedReply as error:
        assert_type(error.path, str)
    except errors.WorksectionError as error:
        assert_type((error.action, error.sent), tuple[str, bool])
    value_errors: list[ValueError] = [errors.InvalidCall("get_tasks", "id_project is required")]
    assert_type(value_errors.pop(), ValueError)
    assert_type(worksection_async.__version__, str)
