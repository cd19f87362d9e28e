"""The command ``tasks``: stream all tasks of the account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import click
from click.shell_completion import CompletionItem

from .._protocol.actions import GET_ALL_TASKS
from .._protocol.call import prepare
from .._session.session import Session
from .._spec import load
from ._command import Command
from ._output import print_line
from ._parameters import complete_arguments, parse_arguments, write_parameters
from ._runner import run_calls


class TasksCommand(Command):
    """The command; its parameters are those of `get_all_tasks`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the parameters and the options."""
        write_parameters(formatter, GET_ALL_TASKS, load())
        super().format_options(ctx, formatter)


def complete_parameter(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the parameters of the stream."""
    return complete_arguments(GET_ALL_TASKS, incomplete)


@click.command("tasks", cls=TasksCommand)
@click.argument("arguments", metavar="[NAME=VALUE]...", nargs=-1, shell_complete=complete_parameter)
def command(arguments: Sequence[str]) -> None:
    """Print all tasks of the account, one JSON object per line, also if they do not fit into one reply.

    \b
    worksection tasks filter=active extra=text | jq .name
    """
    params = cast("dict[str, Any]", parse_arguments(GET_ALL_TASKS, arguments))
    prepare(GET_ALL_TASKS, params)  # raises InvalidCall before a session is opened

    async def stream(session: Session) -> None:
        async for task in session.iter_tasks(**params):
            print_line(task)

    run_calls(stream)
