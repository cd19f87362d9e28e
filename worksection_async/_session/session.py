"""The session: the public methods, over one `SessionCaller`."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, overload
from weakref import WeakValueDictionary

import attrs

from .._auth.credentials import Auth
from .._auth.oauth2 import OAuth2
from .._auth.token import Token
from .._auth.token_stores import TokenStore
from .._limits.limiter import Limiter
from .._limits.queue import Lane, Waiting
from .._protocol.actions import DOWNLOAD
from .._protocol.endpoints import Endpoints
from .._protocol.named_call import named_action
from .._protocol.raw_reply import RawReply
from .._protocol.structure import Structure
from .._protocol.time_zones import to_time_zone
from .._sync.cursor import Cursor
from .._sync.cursor_stores import CursorStore
from .._sync.doorbell import Doorbell
from .._sync.streams import CostStream, Plan, Span, TaskStream
from .._sync.tag_watch import TagWatch
from .._sync.watch import JOB_LEASE_SECONDS, EventsSince, EventWatch
from .._transfer.destination import Destination, DownloadedFile, Progress
from .._transfer.downloads import Downloader, DownloadReport, OpenDownload
from .._transport.call_events import CallEvent, Observer
from .._transport.callbacks import checked
from .._transport.debug_log import log_to_stderr_if_requested
from ..errors import InvalidCall
from ..models import AllTasksExtra, File, TaskFilter
from .arguments import check_objects
from .caller import SessionCaller
from .connection import Connection
from .environment import account_in_environment
from .options import SAME, Options, Same

if TYPE_CHECKING:
    import httpx


class Session(Endpoints):
    """A client for one account, with a coroutine per action.

    Use it as an async context manager. Any number of tasks can use it at once. All sessions of one account share one
    rate limit, in any event loop or thread. Entering a session needs no token if *account* names the account: the token
    of the session's own user is loaded by the first call that needs it.

    Args:
        account: Name of the account (``"acme"``), its host (``"tasks.example.com"``) or its URL; plain HTTP for
            loopback only. None with `OAuth2` and a token store: the account the OAuth2 token belongs to.
        auth: The credential: `ApiKey`, `AccessToken` or `OAuth2`.
        limiter: The rate limiter. The default is a token bucket that all processes of this user on this machine share
            for the account.
        timeout: Deadline in seconds for sending a call and receiving its reply, all attempts together. The time in the
            limiter's queue does not count (see ``max_wait``). For a call with files it limits each read and write
            instead.
        retries: Maximum number of attempts after the first one; a retry is made only where it is safe.
        patience: Seconds of refusals in a row (``Too many requests``, because another client uses the account's rate
            limit) after which a call raises `RateLimited`. Until then the call waits for another slot. A refused
            request counts neither as an attempt nor for ``timeout``.
        max_wait: Maximum time in the limiter's queue in seconds; a longer forecast raises `WaitTooLong` at once.
        coalesce: Whether identical reads share one request while it is queued or in flight.
        tz: Time zone of the account: a `zoneinfo.ZoneInfo`, a `datetime.timezone` or an IANA name
            (``"Europe/Kyiv"``); without it date-times are naive. The service sends local times without an offset, so
            a time in the hour that is repeated in autumn is taken as the first occurrence (``fold=0``). A time in the
            hour that is skipped in spring keeps its digits and has the offset before the change.
        strict: Whether a value that cannot be read makes the call fail with `UnexpectedReply`. Otherwise its field is
            None or empty, the value is kept in ``extra``, and a warning is logged once per field. An invalid ID or
            another essential value makes the call fail in any case.
        on_call: Called with a `CallEvent` after each attempt and after each call, in the event loop. It is not awaited,
            and its errors are logged, not raised.
        transport: An httpx transport that replaces the network. It is not closed, so that it can be shared.

    Raises:
        InvalidCall: The account, the credential, the time zone or an option is invalid.
    """

    def __init__(
        self,
        account: str | None,
        auth: Auth,
        *,
        limiter: Limiter | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        patience: float = 60.0,
        max_wait: float | None = None,
        coalesce: bool = True,
        tz: dt.tzinfo | str | None = None,
        strict: bool = False,
        on_call: Callable[[CallEvent], object] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        check_objects(account, auth, limiter, transport)
        structure = Structure(to_time_zone("Session", tz), strict=strict)
        options = Options(timeout=timeout, retries=retries, patience=patience, max_wait=max_wait, coalesce=coalesce)
        observer = Observer(checked("Session", "on_call", on_call), getattr(on_call, "enclose", None))
        connection = Connection(account, auth, limiter, transport, observer)
        log_to_stderr_if_requested()
        self._caller: SessionCaller
        super().__init__(SessionCaller(connection, auth, structure, options))
        self._users: WeakValueDictionary[Auth, Self] = WeakValueDictionary()

    @classmethod
    def from_env(
        cls,
        *,
        limiter: Limiter | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        patience: float = 60.0,
        max_wait: float | None = None,
        coalesce: bool = True,
        tz: dt.tzinfo | str | None = None,
        strict: bool = False,
        on_call: Callable[[CallEvent], object] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """Return a session of the account in the environment variables; the options are those of the constructor.

        ``WORKSECTION_ACCOUNT`` is the account. The credential is the first one that exists:

        1. ``WORKSECTION_API_KEY``, the admin key;
        2. ``WORKSECTION_ACCESS_TOKEN``, an OAuth2 access token;
        3. the token that ``worksection login`` stored, in ``WORKSECTION_TOKEN_FILE`` or in the configuration folder. It
           is refreshed with the application that was saved with it, or with that of ``WORKSECTION_CLIENT_ID`` and
           ``WORKSECTION_CLIENT_SECRET``. The account is then optional.

        Raises:
            InvalidCall: A variable is missing or invalid (the error names it), or an option is invalid.
        """
        account, auth = account_in_environment(transport)
        return cls(
            account, auth,
            limiter=limiter, timeout=timeout, retries=retries, patience=patience, max_wait=max_wait, coalesce=coalesce,
            tz=tz, strict=strict, on_call=on_call, transport=transport,
        )  # fmt: skip

    def __repr__(self) -> str:
        origin = self._caller.connection.origin or "(account of the token)"
        return f"<Session {origin} {type(self._caller.auth).__name__}>"

    async def __aenter__(self) -> Self:
        try:
            await self._caller.connection.open()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of this session and of all its views."""
        await self._caller.connection.aclose()

    @property
    def account_url(self) -> str:
        """URL of the account: ``"https://acme.worksection.com"``. With the ``page`` of a record it makes a link."""
        return self._caller.connection.account_url

    @property
    def limiter(self) -> Limiter:
        """The rate limiter of the account; it reports the length of the queue and forecasts."""
        return self._caller.limiter

    def with_options(
        self,
        *,
        lane: Lane | Same = SAME,
        max_wait: float | Same | None = SAME,
        max_age: float | Same = SAME,
        coalesce: bool | Same = SAME,
        on_wait: Callable[[Waiting], object] | Same | None = SAME,
        timeout: float | Same = SAME,
        retries: int | Same = SAME,
        patience: float | Same = SAME,
        repeat_writes: bool | Same = SAME,
    ) -> Self:
        """Return a view of this session with other options; it shares everything else.

        Args:
            lane: The priority of the calls: ``"interactive"``, ``"normal"`` or ``"bulk"``.
            max_wait: Maximum time in the limiter's queue in seconds; a longer forecast raises `WaitTooLong` at once.
            max_age: Seconds for which a reply to a read may be reused from the cache. A write through this session
                clears the cache.
            coalesce: Whether identical reads share one request; the options of the first caller apply to it. False
                sends every call and disables ``max_age``.
            on_wait: Called with a `Waiting` (lane, position, ETA) when a call is queued and when its position changes.
                It is not awaited.
            timeout: Deadline in seconds, as in the constructor.
            retries: Maximum number of attempts after the first one.
            patience: Seconds of refusals in a row, as in the constructor.
            repeat_writes: Whether a write is retried although the earlier attempt may have been executed.
        """
        given: dict[str, Any] = {
            "lane": lane, "max_wait": max_wait, "max_age": max_age, "coalesce": coalesce, "on_wait": on_wait,
            "timeout": timeout, "retries": retries, "patience": patience, "repeat_writes": repeat_writes,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not SAME}
        return self._view(options=attrs.evolve(self._caller.options, **changes))

    def as_user(self, user: str | TokenStore | Token) -> Self:
        """Return a view of this session for another user of the same OAuth2 application.

        The view shares the connections and the rate limit. Replies are never shared between users. With a vault it is
        the same view for the same key as long as the program uses it: call ``ws.as_user(key)`` for each request of a
        visitor. The state of the 1 000 users of the most recent calls stays in memory.

        Args:
            user: The key of the user in the vault of the credential (``OAuth2(app, vault=…)``). Or the store of the
                user's tokens, or a token, which is then stored in memory.

        Raises:
            InvalidCall: The credential of this session is not `OAuth2`, or there is no vault for the key.
        """
        if not isinstance(self._caller.auth, OAuth2):
            raise InvalidCall("Session", "as_user needs OAuth2: only its application can have other users")
        auth = self._caller.auth.for_user(user)
        return self._users.setdefault(auth, self._view(auth=auth))

    def _view(self, **changes: Any) -> Self:
        view = copy.copy(self)
        view._users = WeakValueDictionary()
        view._caller = attrs.evolve(self._caller, **changes)
        return view

    @overload
    async def call(
        self,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        unchecked: bool = False,
        raw: Literal[False] = False,
    ) -> dict[str, Any]: ...

    @overload
    async def call(
        self, action: str, params: Mapping[str, Any] | None = None, *, unchecked: bool = False, raw: Literal[True]
    ) -> RawReply: ...

    async def call(
        self, action: str, params: Mapping[str, Any] | None = None, *, unchecked: bool = False, raw: bool = False
    ) -> dict[str, Any] | RawReply:
        """Call an action by its name, and return the whole envelope of the reply.

        Args:
            action: Name of the action.
            params: Its parameters: Python values, or text that is sent unchanged (except that dates like
                ``"2026-12-31"`` are sent in the format of the service).
            unchecked: Whether to send an action or parameters that this release does not know. The values of unknown
                parameters are encoded by their Python types, and an unknown action is treated as a write.
            raw: Whether to return the status, the headers and the body of the last reply, even if it is a refusal or
                unreadable. The call waits, retries and renews its credential as any other; it is not coalesced.

        Returns:
            The decoded JSON of the reply, unchanged; with *raw* a `RawReply`.

        Raises:
            InvalidCall: The action or a parameter is unknown (the error names the nearest one), or a parameter is
                invalid. No request was sent.
            ApiError: The service refused the call; not with *raw*.
            ReauthorizationRequired: The user must log in.
            TransportError: The service could not be reached, or the reply was lost.
            UnexpectedReply: The reply has an unknown form; not with *raw*.
        """
        if action == DOWNLOAD.name:
            raise InvalidCall(action, "its reply is a file, not an envelope: use Session.download")
        given = {} if params is None else params
        named = named_action(action, given, unchecked=unchecked)
        return await (self._caller.call_raw(named, given) if raw else self._caller.call(named, given))

    def iter_tasks(
        self,
        *,
        filter: TaskFilter | None = None,
        extra: Sequence[AllTasksExtra] = (),
        progress: Callable[[Plan], object] | None = None,
    ) -> TaskStream:
        """Stream all tasks that `get_all_tasks` covers, without its limit: ``async for task in ws.iter_tasks()``.

        Args:
            filter: Only tasks of this status.
            extra: Parts to include. For a project with more than 10 000 tasks only parts that `search_tasks` supports.
            progress: Called with a `Plan` before the first call and after each call. It is not awaited.

        Raises:
            InvalidCall: *progress* is not an ordinary function.

        Iterating raises what `get_all_tasks` raises, and `TooManyRecords` if a segment cannot be divided further.
        """
        return TaskStream(self._caller, progress, filter=filter, extra=extra)

    def iter_costs(
        self,
        *,
        datestart: dt.date | None = None,
        dateend: dt.date | None = None,
        is_timer: bool | None = None,
        progress: Callable[[Plan], object] | None = None,
    ) -> CostStream:
        """Stream all costs that `get_costs` covers, without its limit: ``async for cost in ws.iter_costs()``.

        Args:
            datestart: First day, included.
            dateend: Last day, included.
            is_timer: Only costs recorded by a timer (true) or entered manually (false).
            progress: Called with a `Plan` before the first call and after each call. It is not awaited.

        Raises:
            InvalidCall: *datestart* or *dateend* is not a day, or *progress* is not an ordinary function.

        Iterating raises what `get_costs` raises, and `TooManyRecords` if a segment cannot be divided further.
        """
        return CostStream(self._caller, progress, span=Span.of_costs(datestart, dateend), is_timer=is_timer)

    def watch(
        self,
        *,
        period_start: dt.timedelta = dt.timedelta(0),
        projects: Iterable[int] | None = None,
        every: float = 60.0,
        cursor: Cursor | CursorStore | None = None,
        doorbell: Doorbell | None = None,
    ) -> EventWatch:
        """Poll for events: ``async for event in ws.watch()``. It needs no public URL and uses the bulk lane.

        Args:
            period_start: Age of the first events, 30 days at most. By default the watch begins now. The times of the
                service have no seconds, so events of the minute in which it begins are included.
            projects: Only events of these projects. A poll is one call for any number of projects.
            every: Seconds between two polls.
            cursor: Where to continue: the ``cursor`` of an earlier watch or `events_since`, or a store that keeps it,
                such as `FileCursor`. *period_start* is ignored if there is a position. Of several programs with one
                store, one watches; another takes over within ``2 * every`` seconds after its end.
            doorbell: Lets the watch look at once, before the next poll is due: a `WebhookReceiver` of this event loop,
                a `RedisDoorbell`, or an object with a coroutine method ``wait()``.

        Iterating raises what `get_events` raises; the next step continues at the same position. It raises `EventsLost`
        once if the position is older than 30 days, because the service stores events for 30 days. More events than one
        reply can contain are read by project: a call for each.

        Vendor page: https://worksection.com/en/faq/api-projects.html
        """
        return EventWatch(
            self._for_events(),
            cursor=cursor,
            period_start=period_start,
            projects=projects,
            every=every,
            doorbell=doorbell,
        )

    def events_since(
        self,
        cursor: Cursor | CursorStore | None,
        *,
        period_start: dt.timedelta = dt.timedelta(0),
        projects: Iterable[int] | None = None,
    ) -> EventsSince:
        """Yield the events up to now, then stop: ``async for event in ws.events_since(cursor)``. For scheduled jobs.

        It is one call in the bulk lane. Afterwards ``cursor`` is where the next run continues: successive runs lose no
        event and repeat none. An event that the service lists only after the call belongs to the next run.

        Args:
            cursor: The ``cursor`` of the run before, or of a `watch`; None for the first run. A store, such as
                `FileCursor`, keeps it, and lets one of several programs run at a time.
            period_start: Age of the first events of the first run, 30 days at most; ignored if there is a cursor.
            projects: Only events of these projects. It is one call for any number of projects.

        Iterating raises what `get_events` raises; the next step continues at the same position. It raises `EventsLost`
        once if the position is older than 30 days, because the service stores events for 30 days.

        Vendor page: https://worksection.com/en/faq/api-projects.html
        """
        return EventsSince(
            self._for_events(),
            cursor=cursor,
            period_start=period_start,
            projects=projects,
            lease_seconds=JOB_LEASE_SECONDS,
        )

    def _for_events(self) -> SessionCaller:
        # Not coalesced: a cached or shared reply is older than the request for it, so that events would be lost.
        return self.with_options(lane="bulk", coalesce=False)._caller

    def watch_tags(self, *, every: float = 300.0) -> TagWatch:
        """Poll for changes of tags, for which the service has no event: ``async for change in ws.watch_tags()``.

        Args:
            every: Seconds between two polls; a poll is one call if all tasks fit into one reply.
        """
        return TagWatch(self.with_options(lane="bulk")._caller, every)

    async def download(
        self,
        id_file: int,
        to: str | os.PathLike[str] | BinaryIO,
        progress: Progress | None = None,
        *,
        overwrite: bool = False,
    ) -> DownloadedFile:
        """Download a file to a disk; it gets its name only when it is complete.

        The file is written while it arrives. After a lost connection the rest of the file is requested, or the whole
        file if the service does not support ranges; up to ``retries`` times, each time in a slot of the limiter.

        Args:
            id_file: Id of the file.
            to: A folder, a path, or an open binary file.
            progress: Called with the bytes done and the bytes in total (None if the service does not send the size).
                If the download restarts, the bytes done restart from 0. It is not awaited.
            overwrite: Whether an existing file of that name may be replaced.

        Returns:
            The path, name, size and media type of the file.

        Raises:
            InvalidCall: The file already exists, the folder does not exist or is not writable, or *progress* is not an
                ordinary function.
            ApiError: The service refused the call, for example `NotFound`.
            TransportError: The file did not arrive completely.
            StorageError: The file could not be written, for example because the disk is full.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        return await Downloader(self._caller).save(id_file, Destination(to, overwrite), _checked(progress))

    @contextlib.asynccontextmanager
    async def open_download(self, id_file: int) -> AsyncIterator[OpenDownload]:
        """Stream a file without saving it: ``async with ws.open_download(id_file) as file``.

        A lost connection is handled as in `download`; each byte is yielded once.

        Args:
            id_file: Id of the file.

        Raises:
            ApiError: The service refused the call, for example `NotFound`.
            TransportError: The file did not arrive completely; raised by the iterator.
            UnexpectedReply: The file was replaced during the download, or the reply has an unknown form.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        async with Downloader(self._caller).open(id_file) as file:
            yield file

    async def download_all(
        self,
        files: Iterable[File | int],
        to: str | os.PathLike[str],
        progress: Progress | None = None,
        *,
        overwrite: bool = False,
    ) -> DownloadReport:
        """Download many files to a folder, one after the other; a failure does not stop the others.

        Failures are returned in the report, because an exception would hide the files that were saved;
        ``report.raise_failed()`` raises them. Downloads are sequential, because each needs a slot of the limiter.

        Files of the same name are numbered: ``plan.pdf``, ``plan (2).pdf``. Existing files in the folder are kept.

        Args:
            files: File records from `get_files`, or ids of files.
            to: The folder.
            progress: Called with the bytes done and the bytes in total of all files (None until all sizes are known;
                file records contain the size). It is not awaited.
            overwrite: Whether files that existed before may be replaced; files of one run never replace each other.

        Returns:
            The saved files and the failures, by file id.

        Raises:
            InvalidCall: The folder does not exist, or *progress* is not an ordinary function.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        return await Downloader(self._caller).save_all(files, to, _checked(progress), overwrite=overwrite)


def _checked(progress: Progress | None) -> Progress | None:
    return checked(DOWNLOAD.name, "progress", progress, sent=True)
