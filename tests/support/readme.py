"""The commands of a README, run by a shell in the folder of the source code, as a reader would."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import attrs

from tests.support.constants import DOCS, ROOT

PATIENCE_SECONDS = 60.0
"""A test fails if something did not happen in this time; no test depends on how long it takes."""


def console_blocks(page: Path) -> list[str]:
    """Return the shell script of each console block of *page*."""
    return _scripts(page.read_text("utf-8"))


def real_account_blocks(section: str) -> list[str]:
    """Return the shell scripts that run an example with a real account."""
    _, _, text = (DOCS / "examples" / "real-accounts.md").read_text("utf-8").partition(f"\n## {section}\n")
    return _scripts(text.partition("\n## ")[0])


def _scripts(text: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return ["\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)", block, re.MULTILINE)) for block in blocks]


def missing_requirements(command: str) -> list[str]:
    """Return the packages of a ``pip install`` command that are not installed here."""
    installed = {re.sub(r"[-_.]+", "-", it.name).lower() for it in metadata.distributions()}
    wanted = [re.sub(r"\[.*", "", word) for word in shlex.split(command.removeprefix("pip install "))]
    return [name for name in wanted if name != "." and name not in installed]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a program: this one with *variables*, and with the commands of this interpreter."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}


def run(script: str, **variables: str) -> str:
    """Run *script* to its end; return its output. It fails if one of its commands fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@attrs.frozen
class Program:
    """A running program; the last line of its script is the command that does not end."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text("utf-8")

    def wait_until(self, is_true: Callable[[], object]) -> None:
        """Wait until *is_true*; fail if the program ends before, or after a minute."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_true():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def wait_for_port(self, port: int) -> None:
        self.wait_until(lambda: _accepts(port))

    def kill(self) -> None:
        """Kill it, as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_SECONDS)

    def terminate(self) -> int:
        """End it as a service manager does; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


@contextlib.contextmanager
def program(script: str, log: Path, **variables: str) -> Iterator[Program]:
    """Start *script* and yield the running program; it is killed at the end."""
    *setting, command = script.replace("\\\n", "").splitlines()
    lines = "\n".join([*setting, f"exec {command}"])
    with log.open("ab") as file:
        process = subprocess.Popen(
            ["bash", "-euc", lines], cwd=ROOT, env=environment(**variables), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield Program(process, log)
    finally:
        process.kill()
        process.wait()


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
