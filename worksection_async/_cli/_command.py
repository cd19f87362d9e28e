"""The classes of commands: help at the width of the terminal, modules that are imported when they are needed."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import click

from ..errors import ReauthorizationRequired, WorksectionError
from ._exit_codes import ExitCode, exit_code_of
from ._text import close_stdout, print_error


class Formatter(click.HelpFormatter):
    """Writes lists of names and descriptions for narrow terminals, too: a long name gets a line of its own."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write *rows*; the names take a third of the width at most."""
        super().write_dl(rows, min(col_max, self.width // 3), col_spacing)


class Context(click.Context):
    """The context of all commands."""

    formatter_class = Formatter


class Command(click.Command):
    """A command whose function returns the exit code, or None for success."""

    context_class = Context


class LazyCommand(Command):
    """A command of the help and of completion; its module is imported when it is used."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return the context of the command in the module."""
        command: click.Command = import_module(f"worksection_async._cli.{self.name}").command
        return command.make_context(info_name, args, parent, **extra)


class App(click.Group):
    """The command line; errors of calls become a message and an exit code."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature of click
        """Return the names of the commands in the order of the help."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, with descriptions that are wrapped, not cut."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].help or "") for name in self.list_commands(ctx)])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), f"{code.meaning}.") for code in ExitCode])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and return its exit code."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except WorksectionError as error:
            advice = " Run `worksection login`." if isinstance(error, ReauthorizationRequired) else ""
            print_error(f"{error}{advice}")
            return exit_code_of(error)
        except BrokenPipeError:
            close_stdout()
            return ExitCode.CLOSED_PIPE
        except OSError as exc:
            print_error(f"The output cannot be written: {exc.strerror}.")
            close_stdout()
            return ExitCode.FAILED
        return code


class FiniteFloat(click.FloatRange):
    """A number in a range; neither NaN nor infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return *value* as a number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


PORT = click.IntRange(0, 65535)
