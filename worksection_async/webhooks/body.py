"""The body of a webhook as text: compressed bodies, and the charsets that Python knows."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import zlib
from email.message import Message
from urllib.parse import parse_qsl, unquote_plus

from .._protocol.decoding import text_of
from .._protocol.structure import Malformed

MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

GZIP_MAGIC = b"\x1f\x8b"

NOT_CHARSETS = frozenset({"idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"})
"""Text encodings of Python that are no charsets of the web; decoding "punycode" takes quadratic time."""


UNSUPPORTED_ENCODINGS = frozenset({"br", "compress", "zstd"})


class UnsupportedEncoding(Exception):
    """The body has a Content-Encoding that this package cannot read."""


def decompress(body: bytes, content_encoding: bytes, max_bytes: int) -> bytes | None:
    """Return *body* without its Content-Encoding (gzip or deflate), or None if that is longer than *max_bytes*.

    A gzip file is recognised by its first bytes, because proxies drop the header, or decompress and keep it.

    Raises:
        Malformed: The compressed body is damaged.
        UnsupportedEncoding: It has an encoding that is neither gzip nor deflate.
    """
    encodings = {name.strip() for name in content_encoding.decode("latin-1").lower().split(",")}
    if unsupported := encodings & UNSUPPORTED_ENCODINGS:
        raise UnsupportedEncoding(*unsupported)
    try:
        if body.startswith(GZIP_MAGIC):
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                body = file.read(max_bytes + 1)
        elif "deflate" in encodings and not body.lstrip().startswith((b"[", b"{")):
            body = _inflate(body, max_bytes + 1)
    except (OSError, EOFError, zlib.error) as exc:
        raise Malformed("$", f"the compressed body is damaged: {exc}") from None
    return body if len(body) <= max_bytes else None


def _inflate(body: bytes, max_bytes: int) -> bytes:
    """Decompress "deflate", which some programs send without the header of zlib; stop at *max_bytes*."""
    has_header = bool(body) and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    stream = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
    content = stream.decompress(body, max_bytes)
    if not stream.eof and len(content) < max_bytes:
        raise EOFError("it ends too early")
    return content


def charset(content_type: bytes) -> str:
    """Return the charset of a Content-Type header, or ``"utf-8"``."""
    message = Message()
    message["content-type"] = content_type.decode("latin-1")
    return message.get_content_charset("utf-8")


def _is_other_charset(encoding: str) -> bool:
    """Return whether *encoding* may be a charset other than UTF-8; Python may not know it."""
    return encoding.lower().replace("-", "_") not in NOT_CHARSETS | {"utf_8"}


def decode_text(body: bytes, encoding: str) -> str:
    """Decode *body*, by UTF-8 or UTF-16 if it has the byte order mark of one, and by UTF-8 if *encoding* is wrong.

    Raises:
        Malformed: The text has neither encoding.
    """
    if not body.startswith(MARKS) and _is_other_charset(encoding):
        with contextlib.suppress(LookupError, ValueError):  # unknown, and no text in this encoding
            return body.decode(encoding)
    try:
        return text_of(body)
    except UnicodeDecodeError:
        reason = "not UTF-8" if encoding == "utf-8" else f"neither {encoding!r:.40} nor UTF-8"
    raise Malformed("$", reason)


def form_fields(text: str, encoding: str) -> list[tuple[str, str]]:
    """Return the names and values of a form; a text without ``=`` is one value.

    Escaped bytes are UTF-8, as the standard says. If they are not, they are in *encoding*. Bytes in neither of them
    become U+FFFD, because the rest of the form can be read.
    """
    if _is_other_charset(encoding):
        for candidate in ("utf-8", encoding):
            with contextlib.suppress(LookupError, ValueError):  # unknown, and no text in this encoding
                return _unescaped_fields(text, candidate, "strict")
    return _unescaped_fields(text, "utf-8", "replace")


def _unescaped_fields(text: str, encoding: str, errors: str) -> list[tuple[str, str]]:
    if "=" not in text:
        return [("", unquote_plus(text, encoding, errors))]
    return parse_qsl(text, keep_blank_values=True, encoding=encoding, errors=errors)
