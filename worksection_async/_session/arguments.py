"""Checks of the objects that a session gets; the errors show only their types, because values can be secrets."""

from __future__ import annotations

from .._auth.credentials import Auth
from .._auth.oauth2 import OAuth2
from .._auth.oauth_app import OAuthApp
from .._auth.token import Token
from .._limits.limiter import Limiter
from .._protocol.values import type_of
from ..errors import InvalidCall


def check_objects(account: object, auth: object, limiter: object, transport: object) -> None:
    """Raise `InvalidCall` if an argument of `Session` is of another type."""
    if not isinstance(auth, Auth):
        raise InvalidCall("Session", f"auth must be {_expected_for(auth)}, got {type_of(auth)}")
    if account is None:
        _check_knows_account(auth)
    if limiter is not None and not isinstance(limiter, Limiter):
        raise InvalidCall("Session", f"limiter must be a limiter such as TokenBucket(), got {type_of(limiter)}")
    if transport is not None and (isinstance(transport, type) or not hasattr(transport, "handle_async_request")):
        raise InvalidCall("Session", f"transport must be an httpx.AsyncBaseTransport, got {type_of(transport)}")


def _check_knows_account(auth: Auth) -> None:
    if not isinstance(auth, OAuth2):
        raise InvalidCall("Session", "account: pass its name; only with OAuth2 does the credential contain it")
    if not auth.has_own_user:
        raise InvalidCall("Session", "account: pass its name; the users of a vault can belong to different accounts")


def _expected_for(auth: object) -> str:
    if isinstance(auth, OAuthApp):
        return "OAuth2(app, store), with the token store of a user, or OAuth2(app, vault=vault)"
    if isinstance(auth, Token):
        return "OAuth2(app, MemoryTokenStore(token)) or AccessToken(token.access_token)"
    return "ApiKey(key), AccessToken(token) or OAuth2(app, store)"
