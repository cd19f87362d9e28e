"""HTML pages for browsers: no scripts, no external resources, every text escaped."""

from collections.abc import Iterable, Mapping
from html import escape

from ._reply import SimulatedReply

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_STYLE = """
:root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif; }
main { max-width: 34rem; margin: 3rem auto; padding: 0 1rem; }
select, button { font: inherit; padding: .5rem 1rem; max-width: 100%; }
button { margin: 1rem .5rem 0 0; }
code, p { overflow-wrap: anywhere; }
"""


def page(title: str, content: str, status: int = 200, error: str | None = None) -> SimulatedReply:
    """Return a page; *content* is HTML, *title* is text. *error* is the message for the request log."""
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""
    return SimulatedReply(html.encode(), status, _HEADERS, error)


def error_page(title: str, text: str) -> SimulatedReply:
    """Return a page with status 400 that explains the error of the request."""
    return page(title, f"<p>{escape(text)}</p>", 400, title)


def bullet_list(texts: Iterable[str]) -> str:
    items = "\n".join(f"<li><code>{escape(text)}</code></li>" for text in texts)
    return f"<ul>\n{items}\n</ul>"


def hidden_fields(values: Mapping[str, str]) -> str:
    return "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in values.items()
    )


def select(name: str, label: str, options: Mapping[str, str], selected: str) -> str:
    """Return a labelled drop-down list; *options* maps each value to its text."""
    items = "\n".join(
        f'<option value="{escape(value)}"{" selected" * (value == selected)}>{escape(text)}</option>'
        for value, text in options.items()
    )
    labelled = f'<p><label for="{name}">{escape(label)}</label></p>'
    return f'{labelled}\n<p><select id="{name}" name="{name}">\n{items}\n</select></p>'
