"""`plain`: the HTML of descriptions and comments as text or as Markdown."""

from __future__ import annotations

import html
import re

from ._extras import needs_extra

ELEMENTS = (
    "a abbr b big blockquote br caption center cite code col colgroup dd del details div dl dt em figcaption figure font "
    "h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strike strong sub summary sup table tbody "
    "td tfoot th thead tr tt u ul var wbr"
)
"""Elements of formatted text. A ``<`` before anything else is text: ``a <b@example.com>``, ``if x <y``, ``<script>``."""

AFTER_BRACKET = rf"/?(?:{ELEMENTS.replace(' ', '|')})(?:\s[^<>]*)?/?>|!--"

TAG = re.compile(f"<(?:{AFTER_BRACKET})", re.IGNORECASE)

NO_TAG = re.compile(f"<(?!{AFTER_BRACKET})", re.IGNORECASE)

BREAK = re.compile(r"<br\s*/?>\n", re.IGNORECASE)
"""One line break, as PHP's ``nl2br`` writes it."""

ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][\dA-Fa-f]{1,6});")


def plain(text: str | None, *, markdown: bool = False) -> str:
    """Return a description or a comment without HTML: as text, or as Markdown that renders as the text does.

    Line breaks, lists, quotes and tables are kept, links as ``name (https://…)``. A link within the account, such as a
    mention, becomes its name, and so does a link that is no web or mail address. A ``<`` that begins no element of
    formatted text is text. Texts without tags keep their line breaks.

    Args:
        text: ``text`` of a task, project or comment; None is the same as an empty text.
        markdown: Whether to return Markdown (CommonMark). Characters with a meaning in Markdown are escaped.

    Raises:
        ModuleNotFoundError: The text contains tags, or *markdown* is set, and the extra ``text`` is not installed.
    """
    if not text:
        return ""
    text = text.replace("\r\n", "\n")
    if TAG.search(text):
        source = NO_TAG.sub("&lt;", BREAK.sub("<br>", text))
    else:
        unescaped = ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if not markdown:
            return unescaped
        source = html.escape(unescaped, quote=False).replace("\n", "<br>")
    with needs_extra("text", "models.plain"):
        from ._html import to_markdown, to_text  # noqa: PLC0415  # an optional dependency
    return to_markdown(source) if markdown else to_text(source)
