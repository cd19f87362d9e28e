"""Helpers that check that secrets are not in logs, errors or representations."""

from __future__ import annotations

import logging
import pickle
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import httpx
import pytest

import worksection_async
from tests.support.constants import KEY, TOKEN
from worksection_async.errors import WorksectionError

PACKAGE = str(Path(worksection_async.__file__).parent)


class Log(logging.Handler):
    """A log handler that records all texts of all log records."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.texts: list[str] = []
        self.loggers: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.loggers.add(record.name)
        self.texts += [record.getMessage(), repr(record.args), str(record.exc_text), str(record.stack_info)]
        self.texts += [f"{key}={value!r} {value!s}" for key, value in vars(record).items()]
        arguments = record.args if isinstance(record.args, tuple) else ()
        self.texts += [f"{argument!r} {argument!s} {argument}" for argument in arguments]
        if record.exc_info:
            self.texts.append(logging.Formatter().formatException(record.exc_info))


@pytest.fixture
def log() -> Iterator[Log]:
    """Record everything that is logged during the test, at every level and by every logger."""
    handler, root = Log(), logging.getLogger()
    known = [root, *(it for it in root.manager.loggerDict.values() if isinstance(it, logging.Logger))]
    known += [logging.getLogger(name) for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection")]
    before = [(logger, logger.level, logger.disabled) for logger in known]
    for logger in known:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled


def sent_secrets(raw: bytes) -> set[str]:
    """Return the secrets of a request: the hash in its query, the credential in its header."""
    found = re.findall(rb"hash=([0-9a-f]{32})|Authorization: Admin \d+_([0-9a-f]{64})|Authorization: Bearer (\S+)", raw)
    secrets = {part.decode() for match in found for part in match if part}
    assert secrets, "the request has no credential"
    return secrets


def request_bytes(request: httpx.Request) -> bytes:
    headers = b"\r\n".join(b"%s: %s" % pair for pair in request.headers.raw)
    return b"%s %s HTTP/1.1\r\n%s\r\n\r\n" % (request.method.encode(), request.url.raw_path, headers)


def assert_no_secret(texts: list[str], secrets: set[str]) -> None:
    for secret in secrets | {KEY, TOKEN}:
        for text in texts:
            assert secret not in text, f"{secret[:6]}… is in {text[:200]!r}"
            assert secret[:16] not in text, f"a part of {secret[:6]}… is in {text[:200]!r}"


def texts_of_error(error: BaseException, *, variables: bool = True) -> list[str]:
    """Return all texts of an error and its causes, including the local *variables* of functions of this package."""
    texts = []
    chain = [error]
    for each in chain:
        chain += [other for other in (each.__cause__, each.__context__) if other and other not in chain]
        texts += [str(each), repr(each), f"{each}", repr(each.args), repr(vars(each)), *map(repr, vars(each).values())]
        texts += traceback.format_exception(each)
        texts += [repr(value) for value in _locals(each.__traceback__) if variables]
        if isinstance(each, WorksectionError):
            texts += [repr(pickle.dumps(each)), repr(vars(pickle.loads(pickle.dumps(each))))]
    return texts


def _locals(tb: TracebackType | None) -> Iterator[object]:
    for frame, _ in traceback.walk_tb(tb):
        if frame.f_code.co_filename.startswith(PACKAGE):
            yield from frame.f_locals.values()
