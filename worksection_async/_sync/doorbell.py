"""`Doorbell`: lets a watch look before its next look is due. `Bell` is the one of a `WebhookReceiver`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import anyio


@runtime_checkable
class Doorbell(Protocol):
    """The interface of an object that tells a watch to look at once. A `WebhookReceiver` is one.

    It carries no events: the watch reads them from the service. A call that is lost or made in vain is harmless.
    """

    async def wait(self) -> None:
        """Wait until there may be new events.

        It returns at once if the doorbell was rung after the last `wait` returned; several calls count as one. A
        cancelled `wait` must not lose a call. Each watch needs a doorbell of its own.
        """
        ...


class Bell:
    """A `Doorbell` within one event loop."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Let the present or the next `wait` return."""
        self._rung.set()

    async def wait(self) -> None:
        """Wait for `ring`."""
        await self._rung.wait()
        self._rung = anyio.Event()
