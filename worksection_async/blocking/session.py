"""The blocking session: the methods of `Session` without ``await``, over a `Session` in the background loop."""

from __future__ import annotations

import copy
import datetime as dt
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeVar, overload
from weakref import WeakValueDictionary

import attrs

from .._auth.credentials import Auth
from .._auth.token import Token
from .._auth.token_stores import TokenStore
from .._limits.limiter import Limiter
from .._limits.queue import Lane, Waiting
from .._protocol.call import Action
from .._protocol.raw_reply import RawReply
from .._session.environment import account_in_environment
from .._session.options import SAME, Same
from .._session.session import Session
from .._sync.cursor import Cursor
from .._sync.cursor_stores import CursorStore
from .._sync.doorbell import Doorbell
from .._sync.streams import Plan
from .._transfer.destination import DownloadedFile, Progress
from .._transfer.downloads import DownloadReport
from .._transport.call_events import CallEvent
from ..models import AllTasksExtra, Cost, File, Task, TaskFilter
from ._endpoints import Endpoints
from .download import BlockingDownload, OpeningDownload
from .iterators import BlockingEventsSince, BlockingEventWatch, BlockingStream, BlockingTagWatch
from .limiter import BlockingLimiter
from .loop import background

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


@attrs.frozen
class _Caller:
    """Makes the calls of one view."""

    _session: Session

    def call(self, action: Action[T], params: Mapping[str, object]) -> T:
        """Call *action* and return its reply as a model."""
        return background.run(self._session._caller.call, action, params)


class BlockingSession(Endpoints):
    """A client for one account, with a method per action, which waits for the reply.

    Use it as a context manager, or close it with `close`. Any number of threads can use it at once. All blocking
    sessions of a process share one event loop in a background thread. All sessions of one account, blocking or not,
    share one rate limit, and tokens if they have the same credential or token store. Entering a session needs no token
    if *account* names the account: the token of the session's own user is loaded by the first call that needs it.

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
        on_call: Called with a `CallEvent` after each attempt and after each call, in the background thread. It must
            not block, and its errors are logged, not raised.
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
        self._session = Session(
            account, auth,
            limiter=limiter, timeout=timeout, retries=retries, patience=patience, max_wait=max_wait, coalesce=coalesce,
            tz=tz, strict=strict, on_call=on_call, transport=transport,
        )  # fmt: skip
        self._caller = _Caller(self._session)
        self._users: WeakValueDictionary[Session, Self] = WeakValueDictionary()

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
        return repr(self._session).replace("Session", type(self).__name__, 1)

    def __enter__(self) -> Self:
        background.run(self._session.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of this session and of all its views."""
        background.finish(self._session.aclose)

    @property
    def account_url(self) -> str:
        """URL of the account: ``"https://acme.worksection.com"``. With the ``page`` of a record it makes a link."""
        return self._session.account_url

    @property
    def limiter(self) -> BlockingLimiter:
        """The rate limiter of the account; it reports the length of the queue and forecasts."""
        return BlockingLimiter(self._session.limiter)

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
        return self._view(
            self._session.with_options(
                lane=lane, max_wait=max_wait, max_age=max_age, coalesce=coalesce, on_wait=on_wait, timeout=timeout,
                retries=retries, patience=patience, repeat_writes=repeat_writes,
            )
        )  # fmt: skip

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
        session = self._session.as_user(user)
        return self._users.setdefault(session, self._view(session))

    def _view(self, session: Session) -> Self:
        view = copy.copy(self)
        view._session, view._caller = session, _Caller(session)
        view._users = WeakValueDictionary()
        return view

    @overload
    def call(
        self,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        unchecked: bool = False,
        raw: Literal[False] = False,
    ) -> dict[str, Any]: ...

    @overload
    def call(
        self, action: str, params: Mapping[str, Any] | None = None, *, unchecked: bool = False, raw: Literal[True]
    ) -> RawReply: ...

    def call(
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
        if raw:
            return background.run(self._session.call, action, params, unchecked=unchecked, raw=True)
        return background.run(self._session.call, action, params, unchecked=unchecked)

    def iter_tasks(
        self,
        *,
        filter: TaskFilter | None = None,
        extra: Sequence[AllTasksExtra] = (),
        progress: Callable[[Plan], object] | None = None,
    ) -> BlockingStream[Task]:
        """Stream all tasks that `get_all_tasks` covers, without its limit: ``for task in ws.iter_tasks()``.

        Args:
            filter: Only tasks of this status.
            extra: Parts to include. For a project with more than 10 000 tasks only parts that `search_tasks` supports.
            progress: Called with a `Plan` before the first call and after each call. It is not awaited.

        Raises:
            InvalidCall: *progress* is not an ordinary function.

        Iterating raises what `get_all_tasks` raises, and `TooManyRecords` if a segment cannot be divided further.
        """
        return BlockingStream(self._session.iter_tasks(filter=filter, extra=extra, progress=progress))

    def iter_costs(
        self,
        *,
        datestart: dt.date | None = None,
        dateend: dt.date | None = None,
        is_timer: bool | None = None,
        progress: Callable[[Plan], object] | None = None,
    ) -> BlockingStream[Cost]:
        """Stream all costs that `get_costs` covers, without its limit: ``for cost in ws.iter_costs()``.

        Args:
            datestart: First day, included.
            dateend: Last day, included.
            is_timer: Only costs recorded by a timer (true) or entered manually (false).
            progress: Called with a `Plan` before the first call and after each call. It is not awaited.

        Raises:
            InvalidCall: *datestart* or *dateend* is not a day, or *progress* is not an ordinary function.

        Iterating raises what `get_costs` raises, and `TooManyRecords` if a segment cannot be divided further.
        """
        return BlockingStream(
            self._session.iter_costs(datestart=datestart, dateend=dateend, is_timer=is_timer, progress=progress)
        )

    def watch(
        self,
        *,
        period_start: dt.timedelta = dt.timedelta(0),
        projects: Iterable[int] | None = None,
        every: float = 60.0,
        cursor: Cursor | CursorStore | None = None,
        doorbell: Doorbell | None = None,
    ) -> BlockingEventWatch:
        """Poll for events: ``for event in ws.watch()``. It needs no public URL and uses the bulk lane.

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
        return BlockingEventWatch(
            self._session.watch(
                period_start=period_start, projects=projects, every=every, cursor=cursor, doorbell=doorbell
            )
        )

    def events_since(
        self,
        cursor: Cursor | CursorStore | None,
        *,
        period_start: dt.timedelta = dt.timedelta(0),
        projects: Iterable[int] | None = None,
    ) -> BlockingEventsSince:
        """Yield the events up to now, then stop: ``for event in ws.events_since(cursor)``. For scheduled jobs.

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
        return BlockingEventsSince(self._session.events_since(cursor, period_start=period_start, projects=projects))

    def watch_tags(self, *, every: float = 300.0) -> BlockingTagWatch:
        """Poll for changes of tags, for which the service has no event: ``for change in ws.watch_tags()``.

        Args:
            every: Seconds between two polls; a poll is one call if all tasks fit into one reply.
        """
        return BlockingTagWatch(self._session.watch_tags(every=every))

    def download(
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
        return background.run(self._session.download, id_file, to, progress, overwrite=overwrite)

    def open_download(self, id_file: int) -> AbstractContextManager[BlockingDownload]:
        """Stream a file without saving it: ``with ws.open_download(id_file) as file``.

        A lost connection is handled as in `download`; each byte is yielded once.

        Args:
            id_file: Id of the file.

        Raises:
            ApiError: The service refused the call, for example `NotFound`.
            TransportError: The file did not arrive completely; raised by the iterator.
            UnexpectedReply: The file was replaced during the download, or the reply has an unknown form.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        return OpeningDownload(self._session.open_download(id_file))

    def download_all(
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
        return background.run(self._session.download_all, list(files), to, progress, overwrite=overwrite)
