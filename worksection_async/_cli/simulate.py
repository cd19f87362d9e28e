"""The command ``simulate``: serve the simulator until Ctrl-C."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import click

from .._protocol.account import is_loopback
from .._protocol.service import REQUESTS_PER_SECOND
from .._session.environment import LOGIN_REDIRECT_URI
from ..testing import Simulator
from ..testing._app import logger as request_logger
from ..testing._seeds import SEEDS
from ._command import PORT, Command, FiniteFloat
from ._exit_codes import ExitCode
from ._output import print_text
from ._text import width_of, wrapped


@click.command("simulate", cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=PORT, default=8010, show_default=True, help="Port to listen on; 0 selects a free one.")
@click.option("--rate", type=FiniteFloat(0), default=REQUESTS_PER_SECOND, show_default=True,
              help="Allowed requests per second; 0: unlimited.")  # fmt: skip
@click.option("--seed", type=click.Choice(tuple(SEEDS)), default="demo", show_default=True,
              help="Content of the account; large has more tasks than one reply can contain.")  # fmt: skip
@click.option("--redirect-uri", metavar="URL", help="Redirect URI of its OAuth2 application.")
@click.option("--log", "is_logging", is_flag=True, help="Print a line per request: action, sender, outcome.")
def command(*, host: str, port: int, rate: float, seed: Any, redirect_uri: str | None, is_logging: bool) -> ExitCode:
    """Serve a simulated account until Ctrl-C. Only this machine can reach it unless --host is set."""
    simulator = Simulator(seed=seed, rate=rate or None)
    if redirect_uri is not None:
        simulator.oauth.redirect_uri = redirect_uri
    with ExitStack() as stack:
        url = stack.enter_context(simulator.serve(host, port))
        if is_logging:
            _log_requests()
        print_text(greeting(simulator, url, rate, width_of(sys.stdout)))
        _wait_for_interrupt()
        if sys.stdout.isatty():
            print_text("\n")  # below the ^C of the terminal
    return ExitCode.OK


def _log_requests() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    request_logger.addHandler(handler)
    request_logger.setLevel(logging.INFO)
    request_logger.propagate = False


def _wait_for_interrupt() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def greeting(simulator: Simulator, url: str, rate: float, width: int | None = None) -> str:
    """Return the URL, the credentials, and commands to copy; text is wrapped at *width*, commands are not."""
    limit = f"{rate:g} per second" if rate else "none"
    is_private = is_loopback(urlsplit(url).hostname or "")
    warning = "" if is_private else "Warning: other machines can reach it, and its key is public.\n"
    local_url = url.replace("//0.0.0.0:", "//127.0.0.1:")
    introduction = (
        f"A simulated account at {url} (rate limit: {limit}).\n"
        f"Press Ctrl-C to stop it. Its API key is {simulator.api_key}.\n{warning}"
    )
    redirect = simulator.oauth.redirect_uri
    option = "" if redirect == LOGIN_REDIRECT_URI else f" \\\n    --redirect-uri {redirect}"
    return (
        f"{wrapped(introduction, width)}\n"
        f"  export WORKSECTION_ACCOUNT={local_url}\n"
        f"  export WORKSECTION_API_KEY={simulator.api_key}\n"
        "  worksection call get_projects\n"
        "\n"
        f"{wrapped('To log in with OAuth2, use its registered application:', width)}\n"
        "\n"
        f"  export WORKSECTION_CLIENT_ID={simulator.oauth.client_id}\n"
        f"  export WORKSECTION_CLIENT_SECRET={simulator.oauth.client_secret}\n"
        f"  worksection login --store simulated.json \\\n    --base-url {local_url}{option}\n"
    )
