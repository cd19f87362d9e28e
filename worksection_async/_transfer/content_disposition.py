"""The header Content-Disposition (RFC 6266 and 8187), and the deviations from it that PHP sites and proxies send.

The parser of the standard library splits the parameters, also where the quotes are missing. This module decodes the
file name.
"""

from __future__ import annotations

import contextlib
import email.errors
from collections.abc import Callable, Iterator
from email.header import decode_header, make_header
from email.message import Message
from typing import Self
from urllib.parse import unquote

import attrs

Extended = tuple[str | None, str | None, str]
"""Charset, language and value of ``filename*``; the bytes of the value are decoded as ISO-8859-1."""


@attrs.frozen
class ContentDisposition:
    """What a Content-Disposition header says about the body; an empty one says nothing."""

    type: str
    """``"attachment"``, ``"inline"``, …, in lower case; empty without a header."""
    file_name: str
    """As it was sent: it may contain a path and any character. Empty if the header contains none."""

    @classmethod
    def parse(cls, header: str) -> Self:
        if "=" in header.partition(";")[0]:  # a parameter where the type should be
            header = f"attachment; {header}"
        message = Message()
        message["content-disposition"] = header
        (type_, _), *params = message.get_params([("", "")], header="content-disposition")
        names: list[str | Extended] = [value for name, value in params if name.lower() == "filename"]
        name = next(filter(None, _decoded(names)), "")
        return cls(type_.strip().lower(), name.encode("utf-8", "replace").decode())


def _decoded(names: list[str | Extended]) -> Iterator[str]:
    """Yield the readable names; ``filename*`` comes first, even if it was sent last."""
    yield from (_decode_extended(*name) for name in names if not isinstance(name, str))
    yield from (_decode_plain(name) for name in names if isinstance(name, str))


def _decode_extended(charset: str | None, _: str | None, value: str) -> str:
    """Return the text of ``filename*``; empty if it does not have its charset: then the plain name counts."""
    if not value.isascii() and max(value) > "\xff":
        return value  # not encoded at all
    return _try(lambda: value.encode("latin-1").decode(charset or "utf-8"), "")


def _decode_plain(value: str) -> str:
    """Return the text of ``filename``, which should be plain text, but has been seen with three kinds of encoding."""
    if "=?" in value:  # RFC 2047
        return _try(lambda: str(make_header(decode_header(value))), value)
    # The bytes of UTF-8, decoded as ISO-8859-1: the fallback for all headers of a response if one is not UTF-8.
    value = _try(lambda: value.encode("latin-1").decode(), value)
    return _try(lambda: unquote(value, errors="strict"), value)


def _try(decode: Callable[[], str], fallback: str) -> str:
    with contextlib.suppress(LookupError, ValueError, email.errors.MessageError):  # LookupError: an unknown charset
        return decode()
    return fallback
