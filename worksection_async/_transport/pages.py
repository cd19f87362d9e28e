"""The HTML pages and redirects of a login, for browsers."""

from __future__ import annotations

import html

from . import asgi

PAGE_HEADERS = (
    ("content-type", "text/html; charset=utf-8"),
    # The URL of the callback contains the code: it must not be cached, or sent to another site as the referrer.
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
)


def html_response(status: int, title: str, *paragraphs: str, link: str = "") -> asgi.Response:
    """Return a plain HTML page; *link* is the URL of "Log in again"."""
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(text)}</p>" for text in paragraphs)]
    if link:
        parts.append(f'<p><a href="{html.escape(link)}">Log in again</a></p>')
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    return asgi.Response(status, f"{head}{''.join(parts)}</html>".encode("utf-8", "replace"), PAGE_HEADERS)


def redirect(status: int, location: str) -> asgi.Response:
    """Return a redirect to the URL or path *location*."""
    return asgi.Response(status, b"", PAGE_HEADERS).with_header("location", location)
