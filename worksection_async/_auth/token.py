"""A pair of OAuth2 tokens as a value. It is a secret: it shows nothing, and leaves as text only when asked to."""

from __future__ import annotations

import json
import math
from typing import Any, Self

import attrs

from .credentials import is_secret

LEEWAY = 300.0
"""Seconds before its end that a token is refreshed at the latest, unless it lives for a short time only."""

LEEWAY_SHARE = 0.1


def _is_time(_: object, field: attrs.Attribute[float], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{field.name} must be Unix seconds")


@attrs.frozen(kw_only=True)
class Token:
    """An access token, the refresh token it came with, and the account they are for.

    Args:
        access_token: What calls are signed with, for 24 hours.
        refresh_token: What brings the next pair, once; None where there is none.
        issued_at: When the pair was received (Unix seconds, by the clock of the machine that did).
        expires_at: When the access token ends (Unix seconds, by the same clock).
        account_url: Address of the account the user logged into; empty where it is not known.

    https://worksection.com/en/faq/oauth.html
    """

    access_token: str = attrs.field(repr=False, validator=is_secret)
    refresh_token: str | None = attrs.field(default=None, repr=False, validator=attrs.validators.optional(is_secret))
    issued_at: float = attrs.field(default=0.0, validator=_is_time)
    expires_at: float = attrs.field(validator=_is_time)
    account_url: str = attrs.field(default="", validator=attrs.validators.instance_of(str))

    def is_due(self, now: float, early: float = 0.0) -> bool:
        """Whether it is time for the next pair; *early*, from 0 to 1, is how much sooner than necessary."""
        if self.refresh_token is None:
            return now >= self.expires_at
        leeway = min(LEEWAY, max(0.0, self.expires_at - self.issued_at) * LEEWAY_SHARE)
        return now >= self.expires_at - leeway * (1 + early)

    def to_json(self) -> str:
        """Everything, the secrets included, to be kept where nobody else can read it."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The token `to_json` made *text* of; raises `ValueError` without showing any of it."""
        try:
            return cls(**json.loads(text))
        except (RecursionError, TypeError, ValueError):
            pass
        raise ValueError("that is no token as to_json writes it")

    def __reduce__(self) -> Any:
        raise TypeError("Token is a secret and is not pickled; to_json is for keeping it")
