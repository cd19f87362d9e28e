"""The session of the demo, which shows each call while it is made."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from typing import TypeVar

import attrs

from .._limits.limiter import Limiter
from .._limits.queue import Lane
from .._protocol.call import Action
from .._protocol.endpoints import Endpoints
from .._session.session import Session
from .._transfer.destination import Progress
from ..errors import InvalidCall
from ._text import format_call

T = TypeVar("T")

SetResult = Callable[[object], None]
"""Receives the result of a call, to show it."""

ShowCall = Callable[[str], AbstractContextManager[SetResult]]
"""Returns a context manager that shows a call until it is finished."""

ShowTransfer = Callable[[str], AbstractContextManager[tuple[SetResult, Progress]]]
"""Returns a context manager that shows a call and the progress of its transfer."""


@contextmanager
def hide_call(_: str) -> Iterator[SetResult]:
    """Show nothing."""
    yield lambda _: None


@contextmanager
def hide_transfer(_: str) -> Iterator[tuple[SetResult, Progress]]:
    """Show nothing."""
    yield lambda _: None, lambda _, __: None


@attrs.frozen
class _ShowingCaller:
    """Makes the calls of a session, and shows each call while it is made."""

    _session: Session
    _show_call: ShowCall
    _is_read_only: bool

    async def call(self, action: Action[T], params: Mapping[str, object]) -> T:
        if self._is_read_only and action.kind != "read":
            raise InvalidCall(action.name, "the live demo only reads")
        with self._show_call(format_call(action.name, params)) as set_result:
            result = await self._session._caller.call(action, params)
            set_result(result)
            return result


class DemoSession(Endpoints):
    """The actions of a session; each call is shown while it is made.

    Args:
        session: Makes the calls.
        show_call: Shows a call.
        show_transfer: Shows a call that transfers a file.
        read_only: Refuse every action that can change something, with `InvalidCall`.
    """

    def __init__(
        self,
        session: Session,
        show_call: ShowCall = hide_call,
        show_transfer: ShowTransfer = hide_transfer,
        *,
        read_only: bool = False,
    ) -> None:
        super().__init__(_ShowingCaller(session, show_call, read_only))
        self._session = session
        self._show_transfer = show_transfer
        self._is_read_only = read_only

    @property
    def limiter(self) -> Limiter:
        """The limiter of the session."""
        return self._session.limiter

    def in_lane(self, lane: Lane) -> "DemoSession":
        """Return a view that makes its calls in *lane* and does not show them."""
        return DemoSession(self._session.with_options(lane=lane), read_only=self._is_read_only)

    async def download(self, id_file: int) -> bytes:
        """Return the content of a stored file."""
        content = BytesIO()
        with self._show_transfer(format_call("download", {"id_file": id_file})) as (set_result, progress):
            set_result(await self._session.download(id_file, content, progress))
        return content.getvalue()
