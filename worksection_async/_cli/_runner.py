"""Runs the calls of a command in a session of the account in the environment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import click

from .._session.session import Session
from .._transport.call_events import CallEvent
from ._exit_codes import ExitCode
from ._journal import Journal
from ._text import print_error
from ._waiting_line import WaitingLine

T = TypeVar("T")


class Interrupted(click.ClickException):
    """Ctrl-C was pressed; the message says what was sent."""

    exit_code = ExitCode.INTERRUPTED

    def show(self, file: object = None) -> None:  # noqa: ARG002  # the signature of click
        """Print the message below the ``^C`` of the terminal."""
        print_error(f"\n{self.message}")


def run_calls(work: Callable[[Session], Awaitable[T]]) -> T:
    """Open a session, run *work* with it, and return its result.

    Raises:
        WorksectionError: A call failed, or the environment names no account.
        Interrupted: Ctrl-C was pressed.
    """
    journal, line = Journal(), WaitingLine()

    def on_call(event: CallEvent) -> None:
        journal.add(event)
        line.clear()

    async def main() -> T:
        # Not coalesced: each request is then reported before the call that sent it.
        async with Session.from_env(coalesce=False, on_call=on_call) as session:
            try:
                return await work(session.with_options(on_wait=line.show))
            finally:
                line.clear()

    try:
        return anyio.run(main)
    except KeyboardInterrupt:
        raise Interrupted(journal.summary()) from None
