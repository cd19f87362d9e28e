"""Decodes JSON of the service: bytes → text → Python values."""

import codecs
import json
import re
from typing import Any

_LONE_ESCAPE = re.compile(
    r"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])"  # a half without the other half
)
_ANY_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?P<lone>u[dD][89a-fA-F]\w\w)|.)",
    re.DOTALL,
)


def text_of(body: bytes) -> str:
    """Return *body* as text, without byte order marks and blanks around it: UTF-8, or UTF-16 if it has such a mark.

    Encoded lone surrogates become U+FFFD. Raises `UnicodeDecodeError` for other invalid bytes.
    """
    encoding = "utf-16" if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError:
        text = body.decode(encoding, "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.strip("\ufeff\0 \t\r\n")


def decode_json(body: bytes) -> Any:
    """Return the value of the JSON in *body*. Raises what `text_of` and `from_json` raise."""
    # A reply without escapes needs no search for surrogates; searching bytes is much faster than searching text.
    return from_json(text_of(body)) if b"\\" in body else _decode(text_of(body))


def from_json(text: str) -> Any:
    """Return the value of the JSON *text*. Lone surrogates become U+FFFD, because such text cannot be encoded again.

    Raises `ValueError`, or `RecursionError` for text that is nested too deeply.
    """
    if _LONE_ESCAPE.search(text):  # very few replies need the slow replacement
        text = _ANY_ESCAPE.sub(lambda escape: "\\ufffd" if escape["lone"] else escape[0], text)
    return _decode(text)


def _keep(members: dict[str, Any]) -> dict[str, Any]:
    return members


# The hook returns to Python once per object: without it, the C scanner holds the GIL until the whole text is decoded.
_decode = json.JSONDecoder(object_hook=_keep).decode
