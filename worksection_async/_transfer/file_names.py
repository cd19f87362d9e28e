"""Names of files that come from outside, made safe for any file system."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

LONGEST_NAME = 200
"""Bytes of a file's name, so that any file system takes it."""

LONGEST_SUFFIX = 20
"""Characters after which what follows a full stop is no file type any more, but a part of a sentence."""

RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\..*)?")
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069<>:\"|?*]")
"""Control characters, those that turn the direction of writing included, and what Windows takes for something else."""


def numbered(name: str) -> Iterator[str]:
    """*name*, and what to call others of that name: ``plan.pdf``, ``plan (2).pdf``, ``plan (3).pdf``, …"""
    yield name
    suffix = _suffix(name)
    for number in itertools.count(2):
        yield f"{name.removesuffix(suffix)} ({number}){suffix}"


def safe_name(disposition: str) -> str:
    """The file name a Content-Disposition gives, without anything that could lead elsewhere."""
    extended = re.search(r"filename\*\s*=\s*[\w-]*'[^']*'([^;\s]+)", disposition)
    plain = re.search(r'filename\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;\s]+))', disposition)
    name = unquote(extended[1]) if extended else (plain[1] or plain[2] or "") if plain else ""
    name = UNSAFE.sub("_", re.split(r"[/\\]", name)[-1]).strip(" .")
    if not name or RESERVED.fullmatch(name):
        name = f"file_{name}".rstrip("_")
    suffix = _suffix(name)
    return (_cut(name.removesuffix(suffix), LONGEST_NAME - len(suffix.encode())) + suffix).rstrip(" .")


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _suffix(name: str) -> str:
    suffix = Path(name).suffix
    return suffix if len(suffix) <= LONGEST_SUFFIX else ""
