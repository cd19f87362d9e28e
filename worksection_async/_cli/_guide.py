"""The session as the demo's walk sees it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from typing import Any, TypeVar

import attrs

from .._endpoints import Endpoints
from .._limits.limiter import Limiter
from .._limits.queue import Lane
from .._protocol.call import Action
from .._session.session import Session
from .._transfer.destination import Progress
from .._transport.attempts import Attempts
from .._transport.http import HttpResponse
from ..errors import InvalidCall, TransportError
from . import _words as words

T = TypeVar("T")

Tell = Callable[[object], None]
"""To be called with what a call returned."""

Show = Callable[[str], AbstractContextManager[Tell]]
"""Shows a call, from its start to its end."""


Transfer = Callable[[str], AbstractContextManager[tuple[Tell, Progress]]]
"""Shows a call that moves bytes, and how many it has moved."""


@contextmanager
def unseen(_: str) -> Iterator[Tell]:
    """Show nothing."""
    yield lambda _: None


@contextmanager
def unmeasured(_: str) -> Iterator[tuple[Tell, Progress]]:
    """Show nothing."""
    yield lambda _: None, lambda _, __: None


@attrs.frozen
class _ShownCaller:
    """Makes the calls of a session and shows each of them meanwhile."""

    _session: Session
    _show: Show
    _read_only: bool

    async def call(self, action: Action[T], params: Mapping[str, object]) -> T:
        if self._read_only and action.kind != "read":
            raise InvalidCall(action.name, "the live demo only reads")
        with self._show(words.call(action.name, params)) as tell:
            result = await self._session._caller.call(action, params)
            tell(result)
            return result

    async def fetch(
        self,
        action: Action[Any],
        params: Mapping[str, object],
        read: Callable[[HttpResponse], Awaitable[T]],
        attempts: Attempts,
        failure: TransportError | None = None,
    ) -> T:
        return await self._session._caller.fetch(action, params, read, attempts, failure)

    def eta(self, calls: int) -> float:
        return self._session._caller.eta(calls)


class Guide(Endpoints):
    """All actions of a session, and what it takes to watch them; read-only, it lets no write through.

    Args:
        session: Where calls go.
        show: What shows them meanwhile.
        transfer: What shows those that bring files.
        read_only: Whether to refuse whatever is not known to be a read.
    """

    def __init__(
        self, session: Session, show: Show = unseen, transfer: Transfer = unmeasured, *, read_only: bool = False
    ) -> None:
        super().__init__(_ShownCaller(session, show, read_only))
        self._session = session
        self._transfer = transfer
        self._read_only = read_only

    @property
    def limiter(self) -> Limiter:
        """What calls wait for."""
        return self._session.limiter

    def aside(self, lane: Lane) -> "Guide":
        """A view that makes its calls in another lane, and does not show them."""
        return Guide(self._session.with_options(lane=lane), read_only=self._read_only)

    async def download(self, id_file: int) -> bytes:
        """The content of a stored file."""
        content = BytesIO()
        with self._transfer(words.call("download", {"id_file": id_file})) as (tell, progress):
            tell(await self._session.download(id_file, content, progress))
        return content.getvalue()
