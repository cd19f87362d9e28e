"""A pair of OAuth2 tokens as a value. It is a secret: its repr shows no token, and only `to_json` returns them."""

from __future__ import annotations

import json
import math
from typing import Any, Self

import attrs

from .._protocol.values import shown, type_of
from ..errors import InvalidCall
from .credentials import hides_arguments, is_secret

REFRESH_MARGIN_SECONDS = 300.0
"""A token is refreshed at least this long before it expires, so that it does not expire during a call."""

REFRESH_MARGIN_SHARE = 0.1
"""Maximum of that margin as a share of the token's lifetime, for tokens with a short lifetime."""


def _is_time(_: object, field: attrs.Attribute[float], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidCall("Token", f"{field.name} must be Unix seconds, got {shown(value)}")


def _is_text(_: object, field: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str):
        raise InvalidCall("Token", f"{field.name} must be text, got {type_of(value)}")


@hides_arguments
@attrs.frozen(kw_only=True)
class Token:
    """An access token, its refresh token, and the account they belong to.

    Args:
        access_token: The token that signs calls; valid for 24 hours.
        refresh_token: The token for the next refresh; valid once. None if there is none.
        issued_at: Time when the pair was received (Unix seconds of this machine's clock).
        expires_at: Time when the access token expires (Unix seconds of the same clock).
        account_url: URL of the account; empty if unknown.

    Raises:
        InvalidCall: A value is invalid; the error shows no token.

    https://worksection.com/en/faq/oauth.html
    """

    access_token: str = attrs.field(repr=False, validator=is_secret)
    refresh_token: str | None = attrs.field(default=None, repr=False, validator=attrs.validators.optional(is_secret))
    issued_at: float = attrs.field(default=0.0, validator=_is_time)
    expires_at: float = attrs.field(validator=_is_time)
    account_url: str = attrs.field(default="", validator=_is_text)

    def is_due(self, now: float, jitter: float = 0.0) -> bool:
        """Return whether to refresh now; *jitter*, 0 to 1, moves the time up to one margin earlier."""
        if self.refresh_token is None:
            return now >= self.expires_at
        margin = min(REFRESH_MARGIN_SECONDS, max(0.0, self.expires_at - self.issued_at) * REFRESH_MARGIN_SHARE)
        return now >= self.expires_at - margin * (1 + jitter)

    def to_json(self) -> str:
        """Return all fields as JSON, including the secrets."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the token from the JSON of `to_json`; raises `InvalidCall`, which does not contain *text*."""
        try:
            return cls(**json.loads(text))
        except (RecursionError, TypeError, ValueError):
            pass
        del text  # error reports show local variables
        raise InvalidCall("Token", "the text is not a token that Token.to_json wrote")

    def __reduce__(self) -> Any:
        raise TypeError("Token is a secret and cannot be pickled; use to_json to store it")
