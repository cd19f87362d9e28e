"""Reads the envelope of a reply: returns the structured result, or raises the error that the service reports.

The body decides, not the HTTP status, because the service reports errors with status 200. The error class depends first
on the message, because one status code has several meanings.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import attrs

from .. import errors
from ..errors import ApiError, AuthError, FieldError, RateLimited, UnexpectedReply, WorksectionError, mask_secrets
from .call import Action
from .decoding import decode_json
from .service import KNOWN_ERRORS, OAUTH_REFUSALS, KnownError
from .structure import Malformed, Structure

T = TypeVar("T")

TOO_LARGE = "The file or the request is too large for the service or a proxy: send smaller or fewer files."


@attrs.frozen
class Reply:
    """A complete HTTP reply."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    received_at: float = attrs.field(repr=False)
    """Unix time in seconds."""

    def header(self, name: str) -> str:
        """Return a header; empty if it is missing."""
        return self.headers.get(name, "")


def read_reply(action: Action[T], reply: Reply, structure: Structure) -> T:
    """Return the result of *action*.

    Raises:
        ApiError: The service refused the request.
        UnexpectedReply: The reply does not have the documented format.
    """
    envelope = open_envelope(action, reply)
    try:
        return action.returns.read(envelope, structure)
    except Malformed as exc:
        failure = UnexpectedReply(action.name, exc.path, mask_secrets(exc.reason), http_status=reply.status)
    raise failure


def open_envelope(action: Action[Any], reply: Reply) -> Mapping[str, Any]:
    """Return the top level of a reply with status ok; raise the error that another reply reports."""
    body = _decoded(action.name, reply)
    if 300 <= reply.status < 400:
        raise _error_without_message(action.name, reply, "$", "a redirect")
    if not isinstance(body, dict):
        raise _error_without_message(action.name, reply, "$", "must be an object")
    if body.get("status") == "ok":
        return body
    if message := _message(body):
        raise refusal(action.name, message, body, reply)
    raise _error_without_message(action.name, reply, "$.status", "neither ok nor an error")


def open_flat(action: str, reply: Reply, key: str) -> Mapping[str, Any]:
    """Return a reply without an envelope, as OAuth2 sends them. A reply without *key* is an error and is raised.

    The error does not quote the reply: it may contain a part of a new pair of tokens.
    """
    body = _decoded(action, reply, quotes=False)
    if isinstance(body, dict) and body.get(key) and reply.status < 300:
        return body
    if not isinstance(body, dict) or not (message := _message(body)):
        raise _error_without_message(action, reply, "$", f"neither {key} nor an error", quotes=False)
    error = refusal(action, message, body, reply)
    if not isinstance(error, RateLimited):
        details = mask_secrets(str(body.get("error") or ""))
        hint = mask_secrets(str(body.get("hint") or ""))
        message = f"{error.message.removesuffix('.')}: {hint}" if hint else error.message
        retry_after = error.retry_after
        error = AuthError(action, message, details=details, http_status=reply.status)
        error.retry_after = retry_after
    raise error


def _decoded(action: str, reply: Reply, *, quotes: bool = True) -> object:
    try:
        return decode_json(reply.body)
    except (ValueError, RecursionError) as exc:
        reason = "an empty body" if isinstance(exc, json.JSONDecodeError) and not exc.doc else "not JSON"
        detail = f" ({type(exc).__name__})" if isinstance(exc, UnicodeDecodeError | RecursionError) else ""
    raise _error_without_message(action, reply, "$", reason + detail, quotes=quotes)


def _error_without_message(
    action: str, reply: Reply, path: str, reason: str, *, quotes: bool = True
) -> WorksectionError:
    """Return the error for a reply without a message; if it *quotes* the reply, it shows the beginning."""
    if reply.status == 429:
        return refusal(action, "Too many requests", {}, reply)
    if reply.status == 413:
        return refusal(action, "HTTP 413 without a message", {}, reply)
    if _is_page(reply):
        reason = "a page instead of the API: a proxy or firewall answered"
    elif reply.status in (401, 403):
        message = next(reversed(_challenge(reply)), f"HTTP {reply.status} without a message")
        details = _excerpt(reply) if quotes else ""  # such as "error code: 1020" of a content delivery network
        refuses_token = _refuses_token("", reply)
        return AuthError(action, message, details=details, refuses_token=refuses_token, http_status=reply.status)
    if 300 <= reply.status < 400:
        reason = "a redirect, which is not followed: check the account"
    error = UnexpectedReply(action, path, reason, http_status=reply.status, excerpt=_excerpt(reply) if quotes else "")
    error.retry_after = _retry_after(reply) if reply.status == 503 else None
    return error


def _is_page(reply: Reply) -> bool:
    """Return whether a reply that is not JSON comes from another server: firewalls and portals answer with HTML."""
    return reply.status == 407 or reply.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


MESSAGE_NAMES = ("message", "errorDescription", "error_description", "error")


def _message(body: Mapping[str, Any]) -> str:
    """Return the message of an error, which the service sends under one of several names; empty without one."""
    unknown = "unknown error" if body.get("status") == "error" or "status_code" in body else ""
    texts = [str(body[name]) for name in MESSAGE_NAMES if body.get(name)]
    # What is wrong with a token has been seen under two names. A code, which has no spaces, explains less.
    about_token = (text for text in texts if " " in text and _is_about_token(text))
    return next(about_token, texts[0] if texts else unknown)


def _is_about_token(text: str) -> bool:
    return any(part in text.lower() for part in OAUTH_REFUSALS["access_token"])


def _challenge(reply: Reply) -> list[str]:
    """Return the error code and the description of a ``WWW-Authenticate`` header (RFC 6750), as far as it has them."""
    value = reply.header("www-authenticate")
    return [mask_secrets(text) for text in re.findall(r'\berror(?:_description)?="?([^",]+)', value)]


def refusal(action: str, message: str, body: Mapping[str, Any], reply: Reply) -> ApiError:
    """Return the error for *message*, including the wait that the service asks for."""
    error = _classify(action, message, body, reply)
    if isinstance(error, RateLimited) or reply.status == 503:
        error.retry_after = _retry_after(reply)
    return error


def _classify(action: str, message: str, body: Mapping[str, Any], reply: Reply) -> ApiError:
    code, text = body.get("status_code"), mask_secrets(message)
    code = int(code) if isinstance(code, int | str) and re.fullmatch(r"\d{1,9}", str(code)) else None
    known = _find_known_error(message, code) or _find_known_error(str(body.get("error") or ""), None)
    attributes: dict[str, Any] = {
        "code": code,
        "details": mask_secrets(str(body.get("message_details") or body.get("hint") or "")),
        "http_status": reply.status,
        "hint": known.hint if known else None,
    }
    if reply.status == 429 or (known and known.kind == RateLimited.__name__):
        return RateLimited(action, text, **attributes)
    if reply.status == 413:
        return FieldError(action, text, **{**attributes, "hint": TOO_LARGE})
    kind: type[ApiError] = getattr(errors, known.kind) if known else ApiError
    said = " ".join(str(body[name]) for name in (*MESSAGE_NAMES, "message_details", "hint") if body.get(name))
    # A known message with another meaning, such as a missing field, is not about the token.
    can_be_token = kind in (ApiError, AuthError)
    if reply.status in (401, 403) or kind is AuthError or (can_be_token and _is_about_token(said)):
        refuses_token = can_be_token and _refuses_token(said, reply)
        return AuthError(action, text, refuses_token=refuses_token, **attributes)
    return kind(action, text, **attributes)


def _refuses_token(said: str, reply: Reply) -> bool:
    """Return whether a refusal that *said* so is about the token itself, and not about its permissions."""
    said = " ".join((said, *_challenge(reply))).lower()
    if any(part in said for part in OAUTH_REFUSALS["permission"]):
        return False
    return reply.status == 401 or _is_about_token(said)


def _find_known_error(message: str, code: int | None) -> KnownError | None:
    by_message = (known for known in KNOWN_ERRORS if message.lower().startswith(known.message.lower()))
    by_code = (known for known in KNOWN_ERRORS if known.default and known.code == code)
    # If only the code matches, the hint belongs to another message.
    return next(by_message, None) or next((known._replace(hint=None) for known in by_code), None)


def _retry_after(reply: Reply) -> float | None:
    """Return ``Retry-After`` in seconds; None if it is missing, invalid or past.

    A date in it is compared with the header ``Date``, or with the local clock.
    """
    value = reply.header("retry-after")
    if re.fullmatch(r"\d{1,12}(\.\d+)?", value):
        return float(value)
    until, now = unix_time(value), unix_time(reply.header("date"))
    if until is None:
        return None
    seconds = until - (reply.received_at if now is None else now)
    return seconds if seconds >= 0 else None


def unix_time(http_date: str) -> float | None:
    """Return the time of an HTTP date in Unix seconds, or None if it is not a date."""
    with contextlib.suppress(ValueError, OverflowError):
        date = parsedate_to_datetime(http_date)
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    return None


def _excerpt(reply: Reply) -> str:
    """Return the first characters of the body, without anything that could be a credential."""
    body = reply.body[:65_536]
    if _is_page(reply):
        body = re.sub(rb"<[^>]*>", b" ", body)
    # Mask whole words before cutting: half a signature would be too short to be recognised as one.
    words = body.split(maxsplit=20)[:20]
    return mask_secrets(b" ".join(words).decode("utf-8", "replace"))[:80]
