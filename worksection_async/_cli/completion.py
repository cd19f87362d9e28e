"""The command ``completion``: print the completion script of a shell."""

from __future__ import annotations

import click

from ._command import Command
from ._completion import SHELLS
from .app import PROGRAM, app


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def command(shell: str) -> None:
    """Print the script that completes commands, actions, parameters and their values in SHELL.

    \b
    bash, in ~/.bashrc:  eval "$(worksection completion bash)"
    zsh, in ~/.zshrc:    eval "$(worksection completion zsh)"
    fish:                worksection completion fish | source
    """
    click.echo(SHELLS[shell](app, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source(), nl=False)
