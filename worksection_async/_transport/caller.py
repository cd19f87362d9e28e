"""The interface through which streams, watches and downloads make their calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from .._protocol.call import Action
from .._protocol.endpoints._base import ActionCaller
from ..errors import TransportError
from .attempts import Attempts
from .clock import Clock
from .http import HttpResponse

T = TypeVar("T")


class Caller(ActionCaller, Protocol):
    """Makes calls of every kind. A session gives one to streams, watches and downloads."""

    @property
    def clock(self) -> Clock:
        """The clock of the session."""
        ...

    async def fetch(
        self,
        action: Action[object],
        params: Mapping[str, object],
        read: Callable[[HttpResponse], Awaitable[T]],
        attempts: Attempts,
        failure: TransportError | None = None,
    ) -> T:
        """Call *action* and let *read* consume the response.

        Args:
            action: What to call.
            params: Its parameters.
            read: Reads the response; an error it raises counts as an error of the attempt.
            attempts: Counts the attempts, those of earlier fetches of the same file included.
            failure: The error after which the file is requested again. It is raised if no attempt is left.
        """
        ...

    def eta(self, calls: int) -> float:
        """Return the forecast of the seconds until the last of *calls* further calls can be sent."""
        ...

    def replied_at(self) -> float | None:
        """Return the time of the last reply on the service's clock (Unix seconds), or None before the first one."""
        ...
