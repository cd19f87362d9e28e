"""The session of the account in the environment variables."""

import os
from typing import Any

from .._auth.credentials import AccessToken, ApiKey
from .._session.session import Session
from ..errors import InvalidCall
from ._text import problem_of

ACCOUNT, KEY, TOKEN = "WORKSECTION_ACCOUNT", "WORKSECTION_API_KEY", "WORKSECTION_ACCESS_TOKEN"


class AccountNotConfigured(Exception):
    """An environment variable is missing or invalid."""


def session(**options: Any) -> Session:
    """Return a session of the account in the environment; the admin key has priority over the token.

    Raises:
        AccountNotConfigured: An environment variable is missing or invalid.
    """
    account, key, token = (os.environ.get(name, "").strip() for name in (ACCOUNT, KEY, TOKEN))
    if not account:
        raise AccountNotConfigured(f'Set {ACCOUNT} to the name of the account (such as "acme") or to its URL.')
    if not key and not token:
        raise AccountNotConfigured(f"Set {KEY} to the account's admin API key, or {TOKEN} to an OAuth2 access token.")
    variable = KEY if key else TOKEN
    try:
        auth = ApiKey(key) if key else AccessToken(token)
        variable = ACCOUNT
        return Session(account, auth, **options)
    except InvalidCall as exc:
        raise AccountNotConfigured(f"{variable}: {problem_of(exc)}") from None
