"""The log of a script: the environment variable ``WORKSECTION_LOG=debug`` sends it to stderr."""

from __future__ import annotations

import logging
import os

VARIABLE = "WORKSECTION_LOG"

logger = logging.getLogger("worksection_async")


def log_to_stderr_if_requested() -> None:
    """Log at DEBUG if the environment requests it; to stderr if the program has not configured any handler."""
    if os.environ.get(VARIABLE, "").lower() != "debug":
        return
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
