"""The command ``actions``: list the actions of the service."""

from __future__ import annotations

import click

from .._protocol.actions import ACTIONS
from .._spec import load
from ._command import Command


@click.command("actions", cls=Command)
@click.argument("text", default="")
@click.pass_context
def command(ctx: click.Context, text: str) -> None:
    """List the actions by topic, or only those that contain TEXT in their name or description.

    `worksection call ACTION --help` shows the parameters of an action.
    """
    formatter = ctx.make_formatter()
    for group in load().groups.values():
        found = [
            (name, f"{action.doc}{' (changes the account)' if ACTIONS[name].kind == 'write' else ''}")
            for name, action in group.actions.items()
            if text.lower() in f"{name} {action.doc}".lower()
        ]
        if found:
            with formatter.section(group.title):
                formatter.write_dl(found)
    if not formatter.buffer:
        raise click.UsageError(f"No action contains {text!r}.", ctx)
    click.echo(formatter.getvalue().strip("\n"))
