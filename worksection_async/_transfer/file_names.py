"""Makes file names that the service sends safe for any file system."""

import itertools
import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path

from .content_disposition import ContentDisposition

MAX_NAME_BYTES = 200
"""Longer names are cut: most file systems allow 255 bytes, and a number or a prefix may be added."""

MAX_SUFFIX_CHARACTERS = 20
"""A longer text after the last full stop is treated as a part of the name, not as a file type."""

RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\..*)?")
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069<>:\"|?*]")
"""Control characters, including those that change the text direction, and characters that Windows reserves."""


def numbered(name: str) -> Iterator[str]:
    """Yield *name*, then numbered variants: ``plan.pdf``, ``plan (2).pdf``, ``plan (3).pdf``, …"""
    yield name
    suffix = _suffix(name)
    for number in itertools.count(2):
        yield f"{name.removesuffix(suffix)} ({number}){suffix}"


def safe_name(disposition: str, fallback: str = "file") -> str:
    """Return the file name of a Content-Disposition header, without any path; without a name it is *fallback*."""
    sent = ContentDisposition.parse(disposition).file_name.strip().strip('"')
    name = UNSAFE.sub("_", re.split(r"[/\\]", sent)[-1]).strip(" .")
    if not name:
        name = fallback
    if RESERVED.fullmatch(name):
        name = f"file_{name}"
    suffix = _suffix(name)
    return (_cut(name.removesuffix(suffix), MAX_NAME_BYTES - len(suffix.encode())) + suffix).rstrip(" .")


def default_name(id_file: int, media_type: str) -> str:
    """Return the name of a file that the service does not name: ``file-17694.pdf``."""
    return f"file-{id_file}{mimetypes.guess_extension(media_type) or ''}"


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _suffix(name: str) -> str:
    suffix = Path(name).suffix
    return suffix if len(suffix) <= MAX_SUFFIX_CHARACTERS else ""
