"""Helpers that check that secrets are not in logs, errors or representations."""

from __future__ import annotations

import functools
import logging
import pickle
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import attrs
import httpx
import pytest

import worksection_async
from tests.support.constants import KEY, TOKEN
from worksection_async.errors import WorksectionError

PACKAGE = str(Path(worksection_async.__file__).parent)

TESTS = str(Path(__file__).parents[1])


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


def texts_of_frames(error: BaseException) -> list[str]:
    """Return what error reporting tools show of the local variables of all frames, except those of the tests.

    Sentry, loguru and rich show the `repr` of each variable, and look into containers and into the fields of attrs
    classes and dataclasses.
    """
    texts = []
    for each in error_chain(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if not frame.f_code.co_filename.startswith(TESTS):
                for value in frame.f_locals.values():
                    texts += _shown(value)
    return texts


def error_chain(error: BaseException) -> list[BaseException]:
    """Return *error* and all its causes, contexts and members."""
    chain = [error]
    for each in chain:
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        chain += [other for other in (each.__cause__, each.__context__, *members) if other and other not in chain]
    return chain


def _shown(value: object, depth: int = 4) -> list[str]:
    texts = [repr(value)]
    if isinstance(value, functools.partial):
        value = [value.args, value.keywords]
    if isinstance(value, bytes | bytearray):
        texts.append(value.decode("latin-1"))
    elif depth and isinstance(value, dict):
        texts += [text for pair in value.items() for item in pair for text in _shown(item, depth - 1)]
    elif depth and isinstance(value, list | tuple | set | frozenset):
        texts += [text for item in value for text in _shown(item, depth - 1)]
    elif depth and attrs.has(cls := type(value)):
        texts += [
            text
            for field in attrs.fields(cls)
            if field.repr
            for text in _shown(getattr(value, field.name, None), depth - 1)
        ]
    return texts
