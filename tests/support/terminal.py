"""Programs in a pseudo-terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import attrs


@attrs.define
class Terminal:
    """A program in a pseudo-terminal, and its output so far."""

    process: subprocess.Popen[bytes]
    master: int
    slave: int
    printed: str = ""

    def until(self, pattern: str) -> str:
        """Wait until the output matches *pattern*; return the match."""
        end = time.monotonic() + 30
        while not (match := re.search(pattern, self.printed)):
            assert time.monotonic() < end, self.printed
            if select.select([self.master], [], [], 1)[0]:
                self.printed += os.read(self.master, 65536).decode()
        return match[0]

    def type(self, text: str) -> None:
        """Write *text* in pieces and read the output meanwhile, because the buffers of a terminal are small."""
        data = text.encode()
        while data:
            data = data[os.write(self.master, data[:512]) :]
            if select.select([self.master], [], [], 0)[0]:
                self.printed += os.read(self.master, 65536).decode()

    @property
    def is_canonical(self) -> bool:
        return bool(termios.tcgetattr(self.slave)[3] & termios.ICANON)


@contextmanager
def open_terminal(
    command: Sequence[str], columns: int = 80, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run *command* in a terminal of *columns* characters, with variables that are added to the environment."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**variables, "TERM": "xterm", **(environment or {})},
    ) as process:
        try:
            yield Terminal(process, master, slave)
        finally:
            process.kill()
            os.close(master)
            os.close(slave)
