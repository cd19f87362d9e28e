"""What came back: the envelope is opened, and either an error is in it or the answer is structured.

The body decides, not the HTTP status: errors come with 200. Codes are overloaded, so the message decides first.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import attrs

from .. import errors
from ..errors import ApiError, AuthError, RateLimited, UnexpectedReply, WorksectionError, masked
from .call import Action
from .service import KNOWN_ERRORS, OAUTH_EXPIRED_TEXT, KnownError
from .structure import Malformed, Structure

T = TypeVar("T")


@attrs.frozen
class Reply:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    received_at: float = attrs.field(factory=time.time, repr=False)
    """Unix time in seconds."""


def read_reply(action: Action[T], reply: Reply, structure: Structure) -> T:
    """What *action* returns; raises `ApiError` for what the service refuses, `UnexpectedReply` for what it garbles."""
    envelope = open_envelope(action, reply)
    try:
        return action.returns.read(envelope, structure)
    except Malformed as exc:
        failure = UnexpectedReply(action.name, exc.path, masked(exc.reason), http_status=reply.status)
    raise failure


def open_envelope(action: Action[Any], reply: Reply) -> Mapping[str, Any]:
    """The top level of a reply that says it is ok."""
    body = _decoded(action.name, reply)
    if 300 <= reply.status < 400:
        raise _wordless(action.name, reply, "$", "a redirect")
    if not isinstance(body, dict):
        raise _wordless(action.name, reply, "$", "an object expected")
    if body.get("status") == "ok":
        return body
    if message := _message(body):
        raise refusal(action.name, message, body, reply)
    raise _wordless(action.name, reply, "$.status", "neither ok nor an error")


def open_flat(action: str, reply: Reply, key: str) -> Mapping[str, Any]:
    """A reply without an envelope, as OAuth2 has them: what has *key* is an answer, anything else a refusal."""
    body = _decoded(action, reply)
    if isinstance(body, dict) and body.get(key) and reply.status < 300:
        return body
    if not isinstance(body, dict) or not (message := _message(body)):
        raise _wordless(action, reply, "$", f"neither {key} nor an error")
    error = refusal(action, message, body, reply)
    if not isinstance(error, RateLimited):
        # The description says more to a person, the code of the error to a program.
        error = AuthError(action, error.message, details=masked(str(body.get("error") or "")), http_status=reply.status)
    raise error


def _decoded(action: str, reply: Reply) -> object:
    try:
        return _from_json(reply.body.decode())
    except (ValueError, RecursionError) as exc:
        reason = "no JSON" if reply.body.strip() else "an empty body"
        detail = f" ({type(exc).__name__})" if isinstance(exc, UnicodeDecodeError | RecursionError) else ""
    raise _wordless(action, reply, "$", reason + detail)


def _untouched(members: dict[str, Any]) -> dict[str, Any]:
    """Nothing but a step in Python: without one, the C scanner keeps the interpreter for as long as the text lasts."""
    return members


_from_json = json.JSONDecoder(object_hook=_untouched).decode


def _wordless(action: str, reply: Reply, path: str, reason: str) -> WorksectionError:
    """The exception for a reply without a word of the service: only the HTTP status may tell what it is about."""
    if reply.status == 429:
        return refusal(action, "Too many requests", {}, reply)
    if reply.status in (401, 403):
        return AuthError(action, f"HTTP {reply.status} without a message", http_status=reply.status)
    if 300 <= reply.status < 400:
        reason = "a redirect, which is not followed: is the account's address right?"
    error = UnexpectedReply(action, path, reason, http_status=reply.status, excerpt=_excerpt(reply))
    error.retry_after = _retry_after(reply) if reply.status == 503 else None
    return error


def _message(body: Mapping[str, Any]) -> str:
    """The service's words, under any of the names it gives them."""
    names = ("message", "errorDescription", "error_description", "error")
    unknown = "unknown error" if body.get("status") == "error" or "status_code" in body else ""
    words = [str(body[name]) for name in names if body.get(name)]
    # Of several, the one that says what to do; it has been seen under two names.
    return next((word for word in words if OAUTH_EXPIRED_TEXT in word.lower()), words[0] if words else unknown)


def refusal(action: str, message: str, body: Mapping[str, Any], reply: Reply) -> ApiError:
    """The exception for an error the service reports."""
    error = _classified(action, message, body, reply)
    if isinstance(error, RateLimited) or reply.status == 503:
        error.retry_after = _retry_after(reply)
    return error


def _classified(action: str, message: str, body: Mapping[str, Any], reply: Reply) -> ApiError:
    code, words = body.get("status_code"), masked(message)
    code = int(code) if isinstance(code, int | str) and re.fullmatch(r"\d{1,9}", str(code)) else None
    known = _known(message, code)
    facts: dict[str, Any] = {
        "code": code,
        "details": masked(str(body.get("message_details") or "")),
        "http_status": reply.status,
        "hint": known.hint if known else None,
    }
    if reply.status == 429 or (known and known.kind == RateLimited.__name__):
        return RateLimited(action, words, **facts)
    if reply.status in (401, 403) or OAUTH_EXPIRED_TEXT in message.lower():
        return AuthError(action, words, **facts)
    kind: type[ApiError] = getattr(errors, known.kind) if known else ApiError
    return kind(action, words, **facts)


def _known(message: str, code: int | None) -> KnownError | None:
    by_message = (known for known in KNOWN_ERRORS if message.lower().startswith(known.message.lower()))
    by_code = (known for known in KNOWN_ERRORS if known.default and known.code == code)
    # Where only the code matched, the hint would be about another message.
    return next(by_message, None) or next((known._replace(hint=None) for known in by_code), None)


def _retry_after(reply: Reply) -> float | None:
    """Seconds the service asks to wait, given as such or as a date (by the service's clock, if it tells its time)."""
    value = reply.headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,12}(\.\d+)?", value):
        return float(value)
    until, now = _unix_time(value), _unix_time(reply.headers.get("date", ""))
    return None if until is None else max(0.0, until - (reply.received_at if now is None else now))


def _unix_time(http_date: str) -> float | None:
    with contextlib.suppress(ValueError, OverflowError):
        date = parsedate_to_datetime(http_date)
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    return None


def _excerpt(reply: Reply) -> str:
    """The beginning of the body for a person to recognise it by, without anything that could be a credential."""
    words = reply.body[:65_536].split(maxsplit=20)[:20]  # whole ones: half a signature would not be known for one
    return masked(b" ".join(words).decode("utf-8", "replace"))[:80]
