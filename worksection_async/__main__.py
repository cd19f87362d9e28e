"""The command line: ``python -m worksection_async demo | simulate | call | login``."""

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TypeAlias

from ._session.environment import LOGIN_REDIRECT_URI

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130

EXTRAS = {"call": "text", "demo": "cli", "simulate": "testing", "login": "cli"}
"""The optional dependencies (extras) that a command needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 for success, 1 for a failure, 2 for a usage error."""
    options = _parser().parse_args(arguments)
    try:
        code: int = import_module(f"worksection_async._cli.{options.command}").run(options)
        sys.stdout.flush()
    except ModuleNotFoundError as exc:
        return _report_missing_extra(options.command, exc)
    except BrokenPipeError:
        # The interpreter flushes stdout at its exit, too: that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worksection_async", description="Command line client for Worksection."
    )
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_simulate(commands)
    _add_call(commands)
    _add_login(commands)
    return parser


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="make and check typical calls in half a minute",
        description="Make typical calls to a simulated account, over HTTP and at the rate limit of the service, and "
        "check every result by reading it back. The exit code is 0 if all checks passed.",
    )
    demo.add_argument(
        "--live",
        action="store_true",
        help="use the real account in the environment variables instead, as the command call does; read-only",
    )
    demo.add_argument("--port", type=_port, default=0, help="port of the simulator (default: a free port)")
    demo.add_argument("--rate", type=_rate, default=1.0, help=argparse.SUPPRESS)


def _add_simulate(commands: Commands) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="serve a simulated account until Ctrl-C",
        description="Serve a simulated account until Ctrl-C. Only this machine can reach it unless --host is set.",
    )
    simulate.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    simulate.add_argument("--port", type=_port, default=8010, help="port to listen on (default: %(default)s)")
    simulate.add_argument(
        "--rate", type=_rate, default=1.0, help="allowed requests per second; 0: unlimited (default: %(default)s)"
    )
    simulate.add_argument(
        "--seed",
        choices=["demo", "empty"],
        default="demo",
        help="initial content of the account (default: %(default)s)",
    )


def _add_call(commands: Commands) -> None:
    call = commands.add_parser(
        "call",
        help="call an action and print the reply",
        description="Call an action and print the reply as JSON. Set the environment variables WORKSECTION_ACCOUNT (a "
        "name or a URL) and WORKSECTION_API_KEY or WORKSECTION_ACCESS_TOKEN; without both, the token that the command "
        "login saved is used, with WORKSECTION_CLIENT_ID and WORKSECTION_CLIENT_SECRET.",
        epilog="example: python -m worksection_async call get_tasks id_project=26 extra=text,files",
    )
    call.add_argument("action", metavar="ACTION", help="name of the action, for example get_projects")
    call.add_argument(
        "params",
        metavar="name=value",
        nargs="*",
        help="parameters of the action; for several files or todo items repeat the name",
    )
    call.add_argument(
        "--unchecked", action="store_true", help="send an action or parameters that this release does not know"
    )
    call.add_argument(
        "--plain", action="store_true", help="print descriptions and comments as plain text instead of HTML"
    )


def _add_login(commands: Commands) -> None:
    login = commands.add_parser(
        "login",
        help="log in with a browser and save the OAuth2 token in a file",
        description="Log in to an OAuth2 application with a browser, and save the token in a file that only you can "
        "read. Set the environment variables WORKSECTION_CLIENT_ID and WORKSECTION_CLIENT_SECRET; without a secret the "
        "command prompts for it. The exit code is 0 if the token was saved.",
    )
    login.add_argument("--client-id", help="client id of the application (default: WORKSECTION_CLIENT_ID)")
    login.add_argument(
        "--client-secret",
        help="client secret; other users of this machine can see it, so prefer WORKSECTION_CLIENT_SECRET",
    )
    login.add_argument(
        "--redirect-uri",
        default=LOGIN_REDIRECT_URI,
        help="redirect URI of the application, as registered (default: %(default)s)",
    )
    login.add_argument(
        "--scopes",
        help="scopes of the application to request, for example projects_read,tasks_read (default: all)",
    )
    login.add_argument(
        "--store",
        metavar="PATH",
        help="file for the token (default: WORKSECTION_TOKEN_FILE, or in your configuration folder)",
    )
    login.add_argument(
        "--base-url", default="https://worksection.com", help="URL of a simulator (default: %(default)s)"
    )
    login.add_argument(
        "--timeout", type=_seconds, default=300.0, help="seconds to wait for the login (default: %(default)g)"
    )
    login.add_argument(
        "--no-browser",
        action="store_true",
        help="do not open a browser; open the printed address yourself, on any machine",
    )


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, got {text!r}")


def _rate(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number of requests per second, got {text!r}")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number of seconds, got {text!r}")


def _report_missing_extra(command: str, missing: ModuleNotFoundError) -> int:
    """Print which extra to install; raise *missing* if it is a module of this package."""
    package = (missing.name or "").partition(".")[0]
    if command not in EXTRAS or package == "worksection_async":
        raise missing
    advice = f'pip install "worksection-async[{EXTRAS[command]}]"'
    print(f"The command {command} needs {package}, which is not installed: {advice}", file=sys.stderr)
    return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
