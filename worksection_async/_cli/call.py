"""The command ``call``: call one action and print its reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from .._protocol.actions import ACTIONS, DOWNLOAD
from .._protocol.call import Action
from .._session.session import Session
from .._spec import load
from ..errors import InvalidCall
from ._command import Command
from ._output import OutputFormat, output_options, print_reply
from ._parameters import (
    complete_action,
    complete_arguments,
    find_action,
    parse_arguments,
    split_arguments,
    write_action_help,
)
from ._runner import run_calls


class CallCommand(Command):
    """The command; with an action, its help describes the parameters of that action."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of the command, or of the action that is given."""
        action: str | None = ctx.params.get("action")
        if action is None:
            super().format_help(ctx, formatter)
            return
        formatter.write_usage(ctx.command_path, f"{action} [NAME=VALUE]... [OPTIONS]")
        write_action_help(formatter, find_action(action), load())
        self.format_options(ctx, formatter)


def complete_parameter(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the parameters of the given action."""
    action = ACTIONS.get(ctx.params.get("action") or "")
    return [] if action is None else complete_arguments(action, incomplete)


@click.command("call", cls=CallCommand, add_help_option=False)
@click.argument("action", required=False, shell_complete=complete_action)
@click.argument("arguments", metavar="[NAME=VALUE]...", nargs=-1, shell_complete=complete_parameter)
@output_options
@click.option("--plain", is_flag=True, help="Print descriptions and comments as text instead of HTML.")
@click.option(
    "--unchecked",
    is_flag=True,
    help="Send names and values that this release does not know, as they are, and print the reply as it arrived.",
)
@click.option("--help", "is_help", is_flag=True, help="Show this message, or the parameters of ACTION, and exit.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    action: str | None,
    arguments: Sequence[str],
    output: OutputFormat,
    plain: bool,
    unchecked: bool,
    is_help: bool,
) -> None:
    """Call ACTION and print its reply.

    `worksection call ACTION --help` shows the parameters. Values are checked before anything is sent.

    \b
    worksection call get_tasks id_project=26 extra=text,files --table
    worksection call post_task id_project=26 title=Plan dateend=2026-12-31
    """
    if is_help:
        click.echo(ctx.get_help())
    elif action is None:
        raise click.UsageError("Missing argument 'ACTION'.", ctx)
    elif unchecked:
        if output != "json":
            raise click.UsageError("--unchecked prints the reply as JSON.", ctx)
        params = unchecked_params(action, arguments)
        print_reply(run_calls(lambda ws: ws.call(action, params, unchecked=True)), "json", None, is_plain=plain)
    else:
        known = find_action(action)
        reply = run_calls(_checked_call(known, arguments))
        print_reply(reply, output, known.returns.model, is_plain=plain)


def _checked_call(action: Action[Any], arguments: Sequence[str]) -> Any:
    if action is DOWNLOAD:
        raise InvalidCall(action.name, "its reply is a file: use `worksection download`")
    params = parse_arguments(action, arguments)

    async def call(session: Session) -> object:
        return await session._caller.call(action, params)

    return call


def unchecked_params(action: str, arguments: Sequence[str]) -> Mapping[str, str | list[str]]:
    """Return the texts of *arguments*: a list if a name is repeated, and for files."""
    known = ACTIONS[action].params if action in ACTIONS else {}
    return {
        name: texts if len(texts) > 1 or (name in known and known[name].is_files) else texts[0]
        for name, texts in split_arguments(action, arguments).items()
    }
