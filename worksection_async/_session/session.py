"""The session: the public methods, over one `SessionCaller`."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import attrs

from .._auth.credentials import Auth
from .._auth.oauth2 import OAuth2
from .._auth.token import Token
from .._auth.token_stores import TokenStore
from .._endpoints import Endpoints
from .._limits.limiter import Limiter
from .._limits.queue import Lane, Waiting
from .._protocol.actions import ACTIONS, DOWNLOAD
from .._protocol.call import as_is, unknown
from .._protocol.structure import Structure
from .._sync.streams import CostStream, Plan, Span, TaskStream
from .._sync.watch import Cursor, EventWatch, TagWatch, cursor_at
from .._transfer.destination import Destination, DownloadedFile, Progress
from .._transfer.downloads import Downloader, DownloadReport, OpenDownload
from ..errors import InvalidCall
from ..models import AllTasksExtra, File, TaskFilter
from .caller import SessionCaller
from .connection import Connection
from .options import SAME, Options, Same

if TYPE_CHECKING:
    import httpx


class Session(Endpoints):
    """A connection to one account: a coroutine for each action, one limiter, one connection pool.

    Use it as an async context manager. It can be used from any number of tasks at once; all sessions of one account
    share one budget of requests, whatever event loop or thread they live in.

    Args:
        account: Name of the account (``"acme"``) or its URL; plain HTTP for loopback only. None with `OAuth2`: the
            account its user logged into.
        auth: The credential: `ApiKey`, `AccessToken` or `OAuth2`.
        limiter: What to wait for before each request; by default the account's bucket, which all processes of this
            user on this machine share.
        timeout: Seconds a call may spend being sent and answered, all attempts together. Waiting for a turn does
            not count (see ``max_wait``); for a call with files it bounds each read and write instead.
        retries: Attempts after the first, where another one is safe.
        patience: Seconds of refusals in a row (``Too many requests``: another client uses the account's budget) after
            which a call raises `RateLimited`. Until then it waits for another turn; a refused request counts neither
            as an attempt nor for ``timeout``.
        max_wait: Seconds to wait for a turn at most; a longer forecast raises `WaitTooLong` at once.
        coalesce: Whether identical reads that wait or are under way at one time become one request.
        tz: Time zone of the account; date-times are naive without.
        transport: An httpx transport instead of the network.

    Raises:
        InvalidCall: The account or an option makes no sense.
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
        tz: dt.tzinfo | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if account is None and not isinstance(auth, OAuth2):
            raise InvalidCall("Session", "account: only with OAuth2 does the credential know it")
        options = Options(timeout=timeout, retries=retries, patience=patience, max_wait=max_wait, coalesce=coalesce)
        connection = Connection(account, auth, limiter, transport)
        self._caller: SessionCaller
        super().__init__(SessionCaller(connection, auth, Structure(tz), options))

    def __repr__(self) -> str:
        return (
            f"<Session {self._caller.connection.origin or '(account of the token)'} {type(self._caller.auth).__name__}>"
        )

    async def __aenter__(self) -> Self:
        try:
            await self._caller.connection.open(self._caller.auth)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, those of all views included."""
        await self._caller.connection.aclose()

    @property
    def limiter(self) -> Limiter:
        """The bucket calls wait at; it knows how long the queue is."""
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
        """A view of this session that makes its calls differently and shares everything else.

        Args:
            lane: How urgent calls are: ``"interactive"``, ``"normal"`` or ``"bulk"``.
            max_wait: Seconds to wait for a turn at most; a longer forecast raises `WaitTooLong` at once.
            max_age: Seconds for which an answer to a read may be repeated from memory. A write through this session
                empties the memory.
            coalesce: Whether identical reads at one time become one request, for which the first caller's options
                hold. False sends each call, whatever ``max_age`` says.
            on_wait: Called with a `Waiting` (lane, position, ETA) when a wait begins and whenever its position changed.
            timeout: Seconds for a call, as in the constructor.
            retries: Attempts after the first.
            patience: Seconds of refusals in a row, as in the constructor.
            repeat_writes: Whether a write is sent again although the first may have been carried out.
        """
        given: dict[str, Any] = {
            "lane": lane, "max_wait": max_wait, "max_age": max_age, "coalesce": coalesce, "on_wait": on_wait,
            "timeout": timeout, "retries": retries, "patience": patience, "repeat_writes": repeat_writes,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not SAME}
        return self._view(options=attrs.evolve(self._caller.options, **changes))

    def as_user(self, who: TokenStore | Token) -> Self:
        """A view of this session on behalf of another user, who has logged in through the same application.

        It shares the connections and the account's budget; answers never go from one user to another.

        Args:
            who: Where the pair of tokens of that user is kept, or the pair itself, which is then kept in memory.

        Raises:
            InvalidCall: This session has another credential than `OAuth2`.
        """
        if not isinstance(self._caller.auth, OAuth2):
            raise InvalidCall("Session", "as_user needs OAuth2: only its application can have other users")
        return self._view(auth=self._caller.auth.of(who))

    def _view(self, **changes: Any) -> Self:
        view = copy.copy(self)
        view._caller = attrs.evolve(self._caller, **changes)
        return view

    async def call(self, action: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call any action, known to this release or not, and return the whole envelope as the service sent it.

        Args:
            action: Name of the action.
            params: Its parameters: Python values, or text for the service to read as it is. Of an action unknown to
                this release nothing is checked, and it counts as a write.

        Raises:
            InvalidCall: A known action, and parameters it cannot have.
            ApiError: The service refused.
            TransportError: The service could not be reached, or the answer got lost.
            UnexpectedReply: The answer makes no sense.
        """
        if action == DOWNLOAD.name:
            raise InvalidCall(action, "it answers with a file, not an envelope: use the method of that name")
        return await self._caller.call(as_is(ACTIONS.get(action) or unknown(action, params or {})), params or {})

    def iter_tasks(
        self,
        *,
        filter: TaskFilter | None = None,
        extra: Sequence[AllTasksExtra] = (),
        progress: Callable[[Plan], object] | None = None,
    ) -> TaskStream:
        """All tasks `get_all_tasks` would return, however many there are: ``async for task in ws.iter_tasks()``.

        Args:
            filter: Only tasks in this state.
            extra: Parts to include. In a project of more than 10 000 tasks only those that `search_tasks` knows.
            progress: Called with a `Plan` before the first call and after each one.

        On the way it raises what `get_all_tasks` raises, and `TooManyRecords` where nothing narrower can be asked.
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
        """All costs `get_costs` would return, however many there are: ``async for cost in ws.iter_costs()``.

        Args:
            datestart: First day, included.
            dateend: Last day, included.
            is_timer: Only costs entered by a timer (true) or by hand (false).
            progress: Called with a `Plan` before the first call and after each one.

        On the way it raises what `get_costs` raises, and `TooManyRecords` where nothing narrower can be asked.
        """
        return CostStream(self._caller, progress, span=Span(datestart, dateend), is_timer=is_timer)

    def watch(
        self,
        *,
        period_start: dt.timedelta = dt.timedelta(0),
        projects: Iterable[int] | None = None,
        every: float = 60.0,
        cursor: Cursor | None = None,
    ) -> EventWatch:
        """Events as they happen, without a public URL: ``async for event in ws.watch()``, in the bulk lane.

        Args:
            period_start: How far back to begin, 30 days at most; what happened a little before comes too.
            projects: Only events of these projects. However many they are, it costs one call each time.
            every: Seconds between two calls.
            cursor: Where an earlier watch (its ``cursor``) had come to; *period_start* does not count then.

        On the way it raises what `get_events` raises; the next step goes on from there. It raises `InvalidCall` for a
        cursor that is older than the 30 days the service remembers.

        Vendor page: https://worksection.com/en/faq/api-projects.html
        """
        start = cursor or cursor_at(period_start)
        return EventWatch(self.with_options(lane="bulk")._caller, start, projects, every)

    def watch_tags(self, *, every: float = 300.0) -> TagWatch:
        """Changes of the tags of all tasks, of which the service tells nobody: ``async for change in ws.watch_tags()``.

        Args:
            every: Seconds between two looks, each of which is one call where all tasks fit into an answer.
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
        """Save a stored file; it appears under its name only when it is complete.

        It goes to the disk as it comes. A connection that is cut is made again, up to ``retries`` times, each after a
        turn of its own; the rest is asked for where the service offers that, and all of it where not.

        Args:
            id_file: Number of the file.
            to: A folder, a path, or an open binary file.
            progress: Called with bytes done and bytes in all (None where the service does not say). When a file has to
                be fetched again, bytes done start again from 0.
            overwrite: Whether a file of that name may be replaced.

        Raises:
            InvalidCall: There is such a file already, no such folder, or one that cannot be written to.
            ApiError: The service refused: `NotFound` where there is no such file.
            TransportError: The file did not arrive whole.
            OSError: The disk is full, or what else keeps a file from being written.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        return await Downloader(self._caller).save(id_file, Destination(to, overwrite), progress)

    @contextlib.asynccontextmanager
    async def open_download(self, id_file: int) -> AsyncIterator[OpenDownload]:
        """Read a stored file as it comes, without saving it: ``async with ws.open_download(id_file) as file``.

        A connection that is cut is made again as in `download`; each byte is given once all the same.

        Args:
            id_file: Number of the file.

        Raises:
            ApiError: The service refused: `NotFound` where there is no such file.
            TransportError: The file did not arrive whole; raised from the iterator once that is certain.
            UnexpectedReply: The file was replaced by another one while it was read, or the answer makes no sense.

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
        """Save many stored files in a folder, one after the other; one that fails does not keep the others back.

        It returns a report instead of raising what failed, since an exception would take from the caller what did
        arrive; ``report.raise_failed()`` raises it all. One after the other, since the service gives a turn a second.

        Files of one name are all kept: ``plan.pdf``, ``plan (2).pdf``. So is what the folder had before.

        Args:
            files: Records of files, as `get_files` returns them, or their numbers.
            to: The folder.
            progress: Called with bytes done of all files, and bytes in all (None until all sizes are known: records
                have them).
            overwrite: Whether files that the folder had before may be replaced; files of one run never replace each
                other.

        Raises:
            InvalidCall: There is no such folder.

        Scope ``files_read``. Vendor page: https://worksection.com/en/faq/api-files.html
        """
        return await Downloader(self._caller).save_all(files, to, progress, overwrite=overwrite)
