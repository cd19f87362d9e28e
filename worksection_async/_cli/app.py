"""The command line ``worksection``: its commands, and what is common to them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import click
from click.exceptions import NoArgsIsHelpError

from .._transport.version import __version__
from . import _completion  # noqa: F401  # registers the shells
from ._command import App, LazyCommand
from ._exit_codes import ExitCode
from ._text import print_error

PROGRAM = "worksection"

COMMANDS = {
    "call": "Call an action and print its reply.",
    "actions": "List the actions, with their descriptions.",
    "tasks": "Print all tasks of the account, one JSON object per line.",
    "watch": "Print events when they happen, one JSON object per line.",
    "listen": "Post events to a program on this machine, as webhooks.",
    "download": "Download a file.",
    "login": "Log in with a browser and save the OAuth2 token.",
    "simulate": "Serve a simulated account until Ctrl-C.",
    "demo": "Make and check typical calls in half a minute.",
    "completion": "Print the script that completes commands in your shell.",
}


@click.group(cls=App)
@click.version_option(__version__, message="worksection-async %(version)s")
def app() -> None:
    """Command line client for Worksection.

    The account is the one of the command login, or of the environment variables WORKSECTION_ACCOUNT (a name or a URL)
    and WORKSECTION_API_KEY or WORKSECTION_ACCESS_TOKEN. Credentials are never arguments, because other users of the
    machine can see those.
    """


for name, description in COMMANDS.items():
    app.add_command(LazyCommand(name, help=description, add_help_option=False))


def run(arguments: Sequence[str] | None) -> int:
    """Run a command and return its exit code."""
    width = shutil.get_terminal_size().columns - 2  # as click does; a long word can take one character more
    try:
        code: int | None = app.main(arguments, PROGRAM, standalone_mode=False, terminal_width=width)
    except NoArgsIsHelpError as error:
        print_error(error.format_message())
        return ExitCode.USAGE
    except click.UsageError as error:
        print_error(f"{error.format_message()}\nSee `{error.ctx.command_path if error.ctx else PROGRAM} --help`.")
        return ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        print_error("Interrupted.")
        return ExitCode.INTERRUPTED
    return code or ExitCode.OK
