"""The command ``simulate``: serve the simulator until Ctrl-C."""

import sys
import time
from argparse import Namespace
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

from .._protocol.account import is_loopback
from ..testing import Simulator


def run(options: Namespace) -> int:
    """Serve until Ctrl-C; return the exit code."""
    simulator = Simulator(seed=options.seed, rate=options.rate or None)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(simulator.serve(options.host, options.port))
        except OSError as exc:
            sys.stderr.write(f"{listen_error(exc, options.host, options.port)}\n")
            return 1
        sys.stdout.write(greeting(simulator, url, options.rate))
        sys.stdout.flush()
        _wait_for_interrupt()
    return 0


def _wait_for_interrupt() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def greeting(simulator: Simulator, url: str, rate: float) -> str:
    """Return the URL, the credentials, and commands to copy."""
    limit = f"{rate:g} per second" if rate else "none"
    is_private = is_loopback(urlsplit(url).hostname or "")
    warning = "" if is_private else "Warning: other machines can reach it, and its key is public.\n"
    local_url = url.replace("//0.0.0.0:", "//127.0.0.1:")
    return (
        f"A simulated account at {url} (rate limit: {limit}).\n"
        f"Press Ctrl-C to stop it. Its API key is {simulator.api_key}.\n{warning}"
        "\n"
        f"  export WORKSECTION_ACCOUNT={local_url}\n"
        f"  export WORKSECTION_API_KEY={simulator.api_key}\n"
        "  python -m worksection_async call get_projects\n"
        "\n"
        "To log in with OAuth2, use its registered application:\n"
        "\n"
        f"  export WORKSECTION_CLIENT_ID={simulator.oauth.client_id}\n"
        f"  export WORKSECTION_CLIENT_SECRET={simulator.oauth.client_secret}\n"
        f"  python -m worksection_async login --store simulated.json \\\n    --base-url {local_url}\n"
    )


def listen_error(error: OSError, host: str, port: int) -> str:
    """Return the message for a socket that cannot be opened."""
    reason = (error.strerror or str(error)).partition(" (")[0]
    return f"The simulator cannot listen on {host}, port {port}: {reason}."
