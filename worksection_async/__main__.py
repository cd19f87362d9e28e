"""The command line: ``python -m worksection_async demo | simulate | call | login``."""

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

EXTRAS = {"demo": "cli", "simulate": "testing", "login": "cli"}
"""What a command has to be installed with."""

REDIRECT_URI = "https://localhost:33443/callback"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 where something failed, 2 where the command made no sense."""
    options = _parser().parse_args(arguments)
    try:
        code: int = import_module(f"worksection_async._cli.{options.command}").run(options)
        sys.stdout.flush()
    except ModuleNotFoundError as exc:
        return _without_extra(options.command, exc)
    except BrokenPipeError:  # the reader has had enough; the interpreter must not flush once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worksection_async", description="Worksection from a terminal.")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_simulate(commands)
    _add_call(commands)
    _add_login(commands)
    return parser


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="see it work, and checked, in half a minute",
        description="Walk through a day's work on a simulated account, over HTTP and at the service's pace, and check "
        "every step by reading it back. Exit code 0 means that all checks passed.",
    )
    demo.add_argument(
        "--live",
        action="store_true",
        help="read, and only read, the account named by WORKSECTION_ACCOUNT and WORKSECTION_API_KEY instead",
    )
    demo.add_argument("--port", type=_port, default=0, help="of the simulator; by default any that is free")
    demo.add_argument("--rate", type=_rate, default=1.0, help=argparse.SUPPRESS)


def _add_simulate(commands: Commands) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="serve a simulated account until Ctrl-C",
        description="Serve a simulated account until Ctrl-C; this machine alone can reach it unless --host is given.",
    )
    simulate.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    simulate.add_argument("--port", type=_port, default=8010, help="port to listen on (default: %(default)s)")
    simulate.add_argument(
        "--rate", type=_rate, default=1.0, help="requests a second it allows; 0 is no limit (default: %(default)s)"
    )
    simulate.add_argument(
        "--seed", choices=["demo", "empty"], default="demo", help="what the account holds (default: %(default)s)"
    )


def _add_call(commands: Commands) -> None:
    call = commands.add_parser(
        "call",
        help="call any action and print what the service answers",
        description="Call any action and print the answer as JSON. The account is WORKSECTION_ACCOUNT (a name, or a "
        "URL), the credential WORKSECTION_API_KEY or WORKSECTION_ACCESS_TOKEN, all from the environment.",
        epilog="example: python -m worksection_async call get_tasks id_project=26 extra=text,files",
    )
    call.add_argument("action", metavar="ACTION", help="such as get_projects")
    call.add_argument(
        "params", metavar="name=value", nargs="*", help="its parameters; files and todo items by repeating the name"
    )


def _add_login(commands: Commands) -> None:
    login = commands.add_parser(
        "login",
        help="log in with a browser and keep the OAuth2 token in a file",
        description="Log in with a browser, through an OAuth2 application, and keep the token in a file that only you "
        "can read. The application is WORKSECTION_CLIENT_ID and WORKSECTION_CLIENT_SECRET from the environment; a "
        "secret that is not there is asked for. Exit code 0 means that the token is in the file.",
    )
    login.add_argument("--client-id", help="of the application, instead of WORKSECTION_CLIENT_ID")
    login.add_argument(
        "--client-secret",
        help="instead of WORKSECTION_CLIENT_SECRET; everybody on this machine can read a command line",
    )
    login.add_argument("--redirect-uri", default=REDIRECT_URI, help="as it is registered (default: %(default)s)")
    login.add_argument(
        "--scopes",
        help="what to ask for, such as projects_read,tasks_read; the application must have it (default: all)",
    )
    login.add_argument(
        "--store", metavar="PATH", help="where to keep the token (default: in your configuration folder)"
    )
    login.add_argument("--base-url", default="https://worksection.com", help="of a simulator instead of %(default)s")
    login.add_argument(
        "--timeout", type=_seconds, default=300.0, help="seconds to wait for the browser (default: %(default)g)"
    )
    login.add_argument("--no-browser", action="store_true", help="open none: you open the address, on any machine")


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"a number from 0 to 65535 expected, not {text!r}")


def _rate(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"a number of requests a second expected, not {text!r}")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"a number of seconds expected, not {text!r}")


def _without_extra(command: str, missing: ModuleNotFoundError) -> int:
    """Say what to install; a module of our own that is missing is another matter."""
    package = (missing.name or "").partition(".")[0]
    if command not in EXTRAS or package == "worksection_async":
        raise missing
    advice = f'pip install "worksection-async[{EXTRAS[command]}]"'
    print(f"{package} is not installed, and {command} needs it: {advice}", file=sys.stderr)
    return MISUSED


if __name__ == "__main__":
    sys.exit(main())
