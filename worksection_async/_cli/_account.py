"""The account the environment names."""

import os
from typing import Any

from .._auth.credentials import AccessToken, ApiKey
from .._session.session import Session
from ..errors import InvalidCall

ACCOUNT, KEY, TOKEN = "WORKSECTION_ACCOUNT", "WORKSECTION_API_KEY", "WORKSECTION_ACCESS_TOKEN"


class Unnamed(Exception):
    """The environment names no account, or no credential that could be one."""


def session(**options: Any) -> Session:
    """A session on the account the environment names; the admin key goes before the token.

    Raises:
        Unnamed: A variable is missing, or makes no sense.
    """
    account, key, token = (os.environ.get(name, "").strip() for name in (ACCOUNT, KEY, TOKEN))
    if not account:
        raise Unnamed(f'Set {ACCOUNT} to the name of the account (such as "acme") or to its URL.')
    if not key and not token:
        raise Unnamed(f"Set {KEY} to the account's administrative key, or {TOKEN} to an OAuth2 token.")
    try:
        return Session(account, ApiKey(key) if key else AccessToken(token), **options)
    except InvalidCall as exc:
        raise Unnamed(f"{ACCOUNT}: {exc}") from None
    except ValueError as exc:
        raise Unnamed(f"{KEY if key else TOKEN}: {exc}.") from None
