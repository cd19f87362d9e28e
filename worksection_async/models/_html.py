"""Converts HTML with markdownify, which is an optional dependency; see `plain`."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from bs4 import Tag
from markdownify import MarkdownConverter

WEB = ("http", "https")

URL_CHARACTERS = "%-._~:/?#[]@!$&'*+,;="
"""Characters of URLs without those that end the URL of a link in Markdown."""

INLINE_MARKUP = ["b", "strong", "i", "em", "u", "s", "del", "ins", "sub", "sup", "code", "kbd", "samp"]


def to_markdown(source: str) -> str:
    """Return *source* as Markdown."""
    return _convert(_Markdown(heading_style="ATX", bullets="-", escape_misc=True), source)


def to_text(source: str) -> str:
    """Return *source* as text."""
    text = _convert(_Text(bullets="-", escape_asterisks=False, escape_underscores=False, strip=INLINE_MARKUP), source)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def _convert(converter: MarkdownConverter, source: str) -> str:
    # With a tag at the end, because bs4 warns about a text without tags that looks like an address or a path.
    try:
        converted = converter.convert(f"{source}<br>")
    except RecursionError:  # nested hundreds of levels deep
        converted = converter.convert(f"{re.sub(r'<[^<>]*>', ' ', source)}<br>")
    return re.sub(r"\n{3,}", "\n\n", converted.replace("\xa0", " ")).rstrip().lstrip("\n")


def _url(element: Tag, attribute: str, schemes: tuple[str, ...]) -> str:
    """Return the URL in *attribute* if it has one of *schemes*: others lead nowhere, or execute scripts."""
    url = str(element.get(attribute) or "").strip()
    try:
        return url if urlsplit(url).scheme in schemes else ""
    except ValueError:
        return ""


def _link(shown: str, url: str) -> str:
    """Return a link in Markdown; characters that would end the URL are encoded."""
    return f"[{shown}]({quote(url, safe=URL_CHARACTERS, errors='replace')})"


class _Markdown(MarkdownConverter):
    def convert_a(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        url, shown = _url(el, "href", (*WEB, "mailto")), text.strip()
        return text.replace(shown, _link(shown, url)) if url and shown else text

    def convert_img(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        url, alt = _url(el, "src", WEB), self.escape(str(el.get("alt") or ""), parent_tags)  # type: ignore[attr-defined]
        return f"!{_link(alt, url)}" if url else str(alt)


class _Text(MarkdownConverter):
    def convert_a(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        url = _url(el, "href", (*WEB, "mailto"))
        shown = text.strip()
        is_shown = not url or shown in (url, url.rstrip("/"), url.removeprefix("mailto:"))
        return text if is_shown else f"{shown} ({url})" if shown else url

    def convert_img(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return str(el.get("alt") or "")

    def convert_br(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return f"{text} " if "_inline" in parent_tags else f"\n{text}"

    def convert_hN(self, n: int, el: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: N802
        return text if "_inline" in parent_tags else f"\n\n{text.strip()}\n\n"

    def convert_pre(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return f"\n\n{text}\n\n"

    def convert_tr(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return f"{text.strip().removesuffix('|').strip()}\n"
