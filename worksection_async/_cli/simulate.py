"""The simulator, served until somebody stops it."""

import sys
import time
from argparse import Namespace
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

from .._protocol.account import is_loopback
from ..testing import Simulator


def run(options: Namespace) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    simulator = Simulator(seed=options.seed, rate=options.rate or None)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(simulator.serve(options.host, options.port))
        except OSError as exc:
            sys.stderr.write(f"{unheard(exc, options.host, options.port)}\n")
            return 1
        sys.stdout.write(greeting(simulator, url, options.rate))
        sys.stdout.flush()
        _wait()
    return 0


def _wait() -> None:
    """Until Ctrl-C."""
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def greeting(simulator: Simulator, url: str, rate: float) -> str:
    """Where it is, and what to type to see it work."""
    limit = f"{rate:g}/s" if rate else "none"
    is_private = is_loopback(urlsplit(url).hostname or "")
    warning = "" if is_private else "Other machines can reach it, and everybody knows its key.\n"
    nearby = url.replace("//0.0.0.0:", "//127.0.0.1:")
    return (
        f"A simulated account: {url} (limit: {limit}; Ctrl-C ends it).\n"
        f"Its API key is {simulator.api_key}.\n{warning}"
        "\n"
        f"  export WORKSECTION_ACCOUNT={nearby}\n"
        f"  export WORKSECTION_API_KEY={simulator.api_key}\n"
        "  python -m worksection_async call get_projects\n"
        "\n"
        "Its application, for users to log in through:\n"
        "\n"
        f"  export WORKSECTION_CLIENT_ID={simulator.oauth.client_id}\n"
        f"  export WORKSECTION_CLIENT_SECRET={simulator.oauth.client_secret}\n"
        f"  python -m worksection_async login --store simulated.json \\\n    --base-url {nearby}\n"
    )


def unheard(error: OSError, host: str, port: int) -> str:
    """Why nothing can be served there."""
    reason = (error.strerror or str(error)).partition(" (")[0]
    return f"The simulator cannot listen on {host}, port {port}: {reason}."
