"""A person logs in with his browser, and the token is kept in a file."""

import getpass
import os
import sys
import webbrowser
from argparse import Namespace
from pathlib import Path
from threading import Thread
from typing import Any

import anyio

from .._auth.oauth_app import SCOPES, OAuthApp
from .._auth.token_stores import FileTokenStore
from ..errors import WorksectionError
from ..models import Identity
from . import _callback
from . import _words as words
from ._callback import NobodyCame

ID, SECRET = "WORKSECTION_CLIENT_ID", "WORKSECTION_CLIENT_SECRET"


class Misused(Exception):
    """What was given cannot be what is meant."""


def run(options: Namespace) -> int:
    """Log somebody in, save his token, and say who he is; returns the exit code."""
    try:
        app, path = _app(options), _path(options.store)
    except Misused as error:
        return _failure(error, 2)
    try:
        identity = anyio.run(_logged_in, app, path, options.timeout, not options.no_browser)
    except (WorksectionError, NobodyCame) as error:
        return _failure(error, 1)
    name = f"{identity.first_name} {identity.last_name}".strip()
    _callback.say("", f"You are {name} <{identity.email}>, at {identity.account_url}.", f"The token is in {path}.")
    return 0


def _failure(error: Exception, code: int) -> int:
    sys.stderr.write(f"{words.printable(str(error))}\n")
    return code


def _app(options: Namespace) -> OAuthApp:
    client_id = (options.client_id or os.environ.get(ID, "")).strip()
    if not client_id:
        raise Misused(f"Set {ID} to the number of the application, as it is registered with Worksection.")
    secret = (options.client_secret or os.environ.get(SECRET, "") or _typed_secret()).strip()
    if not secret:
        raise Misused(f"Set {SECRET} to the secret of the application.")
    scopes: Any = SCOPES if options.scopes is None else options.scopes.replace(",", " ").split()
    try:
        return OAuthApp(client_id, secret, options.redirect_uri, scopes=scopes, base_url=options.base_url)
    except ValueError as error:
        raise Misused(f"{error}.") from None


def _typed_secret() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    return getpass.getpass("Secret of the application (it is not shown): ")


def _path(store: str | None) -> Path:
    path = Path(store).expanduser() if store else _configuration() / "worksection-async" / "token.json"
    if path.is_dir():
        raise Misused(f"--store: {path} is a folder, and a file is expected.")
    return path.absolute()


def _configuration() -> Path:
    """The user's own folder for such things."""
    named = Path(os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".config"


async def _logged_in(app: OAuthApp, path: Path, timeout: float, opens_browser: bool) -> Identity:
    """Who has logged in; his token is at *path* by then.

    Raises:
        NobodyCame: Nobody has, within *timeout* seconds.
        WorksectionError: The service refuses, or cannot be reached; or the token cannot be saved.
    """
    store = FileTokenStore(path)
    async with store.lock():  # can it be written at all? Better known before somebody logs in
        pass
    url, state = app.authorization_url()
    _callback.say("Log in to Worksection at this address:", "", f"  {url}", "")
    waiting = _callback.Waiting(state)
    with _callback.reading(waiting):  # before anybody is asked to paste something
        async with _callback.listening(app.redirect_uri, waiting):
            if opens_browser:
                Thread(target=_open_browser, args=(url,), daemon=True).start()
            code = await waiting.outcome(timeout)
    token = await app.exchange(code)
    identity = await app.identity(token)
    async with store.lock():
        await store.save(token)
    return identity


def _open_browser(url: str) -> None:
    """A browser in a terminal keeps its caller until it ends, so this has a thread of its own."""
    try:
        is_open = webbrowser.open(url)
    except webbrowser.Error:
        is_open = False
    if not is_open:
        _callback.say("No browser could be opened here: open the address above yourself, on any machine.")
