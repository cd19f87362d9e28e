"""The account and the credential in the environment variables, for `Session.from_env` and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs

from .._auth.credentials import AccessToken, ApiKey, Auth
from .._auth.oauth2 import OAuth2
from .._auth.oauth_app import OAuthApp
from .._auth.token_stores import FileTokenStore
from .._protocol.account import origin_of
from .._protocol.service import OAUTH_ORIGIN
from .._transport.paths import resolved
from ..errors import InvalidCall
from .saved_application import SavedApplication

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

ACCOUNT, API_KEY, ACCESS_TOKEN = "WORKSECTION_ACCOUNT", "WORKSECTION_API_KEY", "WORKSECTION_ACCESS_TOKEN"
CLIENT_ID, CLIENT_SECRET, TOKEN_FILE = (
    "WORKSECTION_CLIENT_ID",
    "WORKSECTION_CLIENT_SECRET",
    "WORKSECTION_TOKEN_FILE",
)

LOGIN_REDIRECT_URI = "https://localhost:33443/callback"
"""Redirect URI of the command ``login``; a refresh of its token does not send it."""


def account_in_environment(transport: httpx.AsyncBaseTransport | None) -> tuple[str | None, Auth]:
    """Return the account and the credential in the environment; the account of a stored token can be None.

    Raises:
        InvalidCall: Variables are missing or invalid; the error names them, and shows no secret.
    """
    # No local variable contains a secret: tracebacks can show them.
    account = _value(ACCOUNT) or None
    if account is not None:
        _named(ACCOUNT, lambda: origin_of(account))
    missing = [] if account else [f'set {ACCOUNT} to the name of the account (such as "acme") or to its URL']
    if (auth := _key_or_token()) is None:
        stored = token_file()
        if _exists(stored):
            return account, _stored_credential(stored, transport)
        missing.append(
            f"set {API_KEY} to the account's admin API key, or {ACCESS_TOKEN} to an OAuth2 access token, or log in "
            f"with `worksection login` (there is no token in {stored})"
        )
    if auth is None or missing:
        raise InvalidCall("Session", "; ".join(missing))
    return account, auth


def token_file() -> Path:
    """Return the path of the token that the command ``login`` stores; it can start with ``~``."""
    if given := _value(TOKEN_FILE):
        return _named(TOKEN_FILE, lambda: resolved(given, "Session"))
    folder = Path(os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", ""))
    return (folder if folder.is_absolute() else Path("~/.config")) / "worksection-async" / "token.json"


def _key_or_token() -> Auth | None:
    if _value(API_KEY):
        return _named(API_KEY, lambda: ApiKey(_value(API_KEY)))
    if _value(ACCESS_TOKEN):
        return _named(ACCESS_TOKEN, lambda: AccessToken(_value(ACCESS_TOKEN)))
    return None


def _stored_credential(stored: Path, transport: httpx.AsyncBaseTransport | None) -> OAuth2:
    """Return the stored token with its application: that of the environment, or else the one that was saved with it."""
    saved = SavedApplication.load(stored) or SavedApplication(client_id="", client_secret="", base_url=OAUTH_ORIGIN)
    client_id = _value(CLIENT_ID) or saved.client_id
    if client_id != saved.client_id:
        saved = attrs.evolve(saved, client_secret="")  # it is the secret of another application
    has_secret = bool(_value(CLIENT_SECRET) or saved.client_secret)
    missing = [name for name, is_known in ((CLIENT_ID, client_id), (CLIENT_SECRET, has_secret)) if not is_known]
    if missing:
        problem = f"set {' and '.join(missing)}, with which the token in {stored} is refreshed, or log in again"
        raise InvalidCall("Session", problem)
    app = _named(
        CLIENT_SECRET,
        lambda: OAuthApp(
            client_id,
            _value(CLIENT_SECRET) or saved.client_secret,
            LOGIN_REDIRECT_URI,
            base_url=saved.base_url,
            transport=transport,
        ),
    )
    return OAuth2(app, FileTokenStore(stored))


def _value(variable: str) -> str:
    return os.environ.get(variable, "").strip()


def _exists(path: Path) -> bool:
    try:
        return path.expanduser().exists()
    except RuntimeError:
        return False  # there is no home directory for ~
    except OSError:
        return True  # the token store reports what is wrong


def _named(variable: str, make: Callable[[], T]) -> T:
    """Return what *make* returns; its `InvalidCall` names *variable*."""
    try:
        return make()
    except InvalidCall as error:
        problem = error.problem
    raise InvalidCall("Session", f"{variable}: {problem}")
