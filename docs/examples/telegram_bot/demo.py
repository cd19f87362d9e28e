"""Runs the bot with a simulated account: ``TELEGRAM_TOKEN=… TELEGRAM_CHAT=… python demo.py [PORT]``."""

import os
import runpy
import sys
import tempfile
from pathlib import Path

from worksection_async.testing import Simulator


def main(port: int = 8010) -> None:
    """Run the bot and the simulator until Ctrl-C."""
    if not os.environ.get("TELEGRAM_TOKEN") or not os.environ.get("TELEGRAM_CHAT", "").lstrip("-").isdecimal():
        sys.exit("Set TELEGRAM_TOKEN, and TELEGRAM_CHAT to the number of your chat: README.md says where to get them.")
    sim = Simulator(rate=1.0)
    with tempfile.TemporaryDirectory() as folder, sim.serve(port=port) as url:
        os.environ |= {
            "WORKSECTION_ACCOUNT": url,
            "WORKSECTION_API_KEY": sim.api_key,
            "WORKSECTION_PROJECT": "26",
            "POSITION_FILE": f"{folder}/position.json",
            "POLL_SECONDS": "2",
        }
        runpy.run_path(str(Path(__file__).with_name("bot.py")), run_name="__main__")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
