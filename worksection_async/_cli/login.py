"""The command ``login``: log in with a browser and save the token in a file."""

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
from .._session.environment import CLIENT_ID, CLIENT_SECRET, token_file
from ..errors import InvalidCall, WorksectionError
from ..models import Identity
from . import _callback
from ._callback import NoCallback
from ._text import printable


class InvalidOption(Exception):
    """An option or environment variable is missing or invalid."""


def run(options: Namespace) -> int:
    """Log in, save the token, and print the user; return the exit code."""
    try:
        app, path = _app(options), _path(options.store)
    except InvalidOption as error:
        return _fail(error, 2)
    try:
        identity = anyio.run(_log_in, app, path, options.timeout, not options.no_browser)
    except (WorksectionError, NoCallback) as error:
        return _fail(error, 1)
    name = f"{identity.first_name} {identity.last_name}".strip()
    _callback.print_lines(
        "", f"Logged in as {name} <{identity.email}> at {identity.account_url}.", f"The token is saved in {path}."
    )
    return 0


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"{printable(str(error))}\n")
    return code


def _app(options: Namespace) -> OAuthApp:
    client_id = (options.client_id or os.environ.get(CLIENT_ID, "")).strip()
    if not client_id:
        raise InvalidOption(
            f"Set {CLIENT_ID} to the client id of the OAuth2 application, as registered with Worksection."
        )
    secret = (options.client_secret or os.environ.get(CLIENT_SECRET, "") or _prompt_for_secret()).strip()
    if not secret:
        raise InvalidOption(f"Set {CLIENT_SECRET} to the client secret of the OAuth2 application.")
    scopes: Any = SCOPES if options.scopes is None else options.scopes.replace(",", " ").split()
    try:
        return OAuthApp(client_id, secret, options.redirect_uri, scopes=scopes, base_url=options.base_url)
    except InvalidCall as error:
        raise InvalidOption(f"{error.problem}.") from None


def _prompt_for_secret() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    return getpass.getpass("Client secret (input is hidden): ")


def _path(store: str | None) -> Path:
    try:
        path = (Path(store) if store else token_file()).expanduser()
    except InvalidCall as error:
        raise InvalidOption(f"{error.problem}.") from None
    if path.is_dir():
        raise InvalidOption(f"--store must be a file, but {path} is a folder.")
    return path.absolute()


async def _log_in(app: OAuthApp, path: Path, timeout: float, opens_browser: bool) -> Identity:
    """Log in, save the token at *path*, and return the user.

    Raises:
        NoCallback: No code was received within *timeout* seconds.
        WorksectionError: The service refuses or is not reachable, or the token cannot be saved.
    """
    store = FileTokenStore(path)
    async with store.lock():  # fails now, before the login, if the folder is not writable
        pass
    url, state = app.authorization_url()
    _callback.print_lines("Log in to Worksection at this address:", "", f"  {url}", "")
    waiter = _callback.CodeWaiter(state)
    with _callback.terminal_input(waiter):  # starts before the instructions, which ask for input, are printed
        async with _callback.callback_server(app.redirect_uri, waiter):
            if opens_browser:
                Thread(target=_open_browser, args=(url,), daemon=True).start()
            code = await waiter.wait(timeout)
    token = await app.exchange(code)
    identity = await app.identity(token)
    async with store.lock():
        await store.save(token)
    return identity


def _open_browser(url: str) -> None:
    """Open *url* in a browser; runs in a thread, because a text browser blocks until it is closed."""
    try:
        is_open = webbrowser.open(url)
    except webbrowser.Error:
        is_open = False
    if not is_open:
        _callback.print_lines("No browser was found: open the address above in a browser, on any machine.")
