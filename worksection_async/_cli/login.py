"""The command ``login``: log in with a browser and save the token in a file."""

import getpass
import os
import sys
import webbrowser
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import click

from .._auth.oauth_app import SCOPES, OAuthApp
from .._auth.token_stores import FileTokenStore
from .._protocol.service import OAUTH_ORIGIN
from .._session.environment import CLIENT_ID, CLIENT_SECRET, LOGIN_REDIRECT_URI, TOKEN_FILE, token_file
from .._session.saved_application import SavedApplication
from ..errors import InvalidCall
from ..models import Identity
from . import _callback
from ._callback import NoCallback
from ._command import Command, FiniteFloat
from ._exit_codes import ExitCode
from ._text import print_error


class InvalidOption(Exception):
    """An option or environment variable is missing or invalid."""


@click.command("login", cls=Command)
@click.option("--client-id", help=f"Client id of the application; the default is {CLIENT_ID}.")
@click.option("--redirect-uri", default=LOGIN_REDIRECT_URI, show_default=True,
              help="Redirect URI of the application, as registered.")  # fmt: skip
@click.option("--scopes", help="Scopes of the application to request, for example projects_read,tasks_read; "
              "the default is all.")  # fmt: skip
@click.option("--store", metavar="PATH",
              help=f"File for the token; the default is {TOKEN_FILE}, or in your configuration folder.")  # fmt: skip
@click.option("--base-url", default=OAUTH_ORIGIN, show_default=True, help="URL of a simulator.")
@click.option("--timeout", type=FiniteFloat(0, min_open=True), default=300.0, show_default=True,
              help="Seconds to wait for the login.")  # fmt: skip
@click.option("--no-browser", is_flag=True,
              help="Do not open a browser; open the printed address yourself, on any machine.")  # fmt: skip
def command(
    *,
    client_id: str | None,
    redirect_uri: str,
    scopes: str | None,
    store: str | None,
    base_url: str,
    timeout: float,
    no_browser: bool,
) -> ExitCode:
    """Log in to an OAuth2 application with a browser, and save the token in a file that only you can read.

    Set the environment variables WORKSECTION_CLIENT_ID and WORKSECTION_CLIENT_SECRET; without a secret the command
    prompts for it. The client id and the secret are saved beside the token, so that other commands can refresh it.
    """
    try:
        app, path = _app(client_id, redirect_uri, scopes, base_url), _path(store)
        identity = anyio.run(_log_in, app, path, timeout, not no_browser)
    except InvalidOption as error:
        print_error(str(error))
        return ExitCode.USAGE
    except NoCallback as error:
        print_error(str(error))
        return ExitCode.FAILED
    name = f"{identity.first_name} {identity.last_name}".strip()
    _callback.print_lines(
        "", f"Logged in as {name} <{identity.email}> at {identity.account_url}.", f"The token is saved in {path}."
    )
    return ExitCode.OK


def _app(given_id: str | None, redirect_uri: str, given_scopes: str | None, base_url: str) -> OAuthApp:
    client_id = (given_id or os.environ.get(CLIENT_ID, "")).strip()
    if not client_id:
        raise InvalidOption(
            f"Set {CLIENT_ID} to the client id of the OAuth2 application, as registered with Worksection."
        )
    secret = (os.environ.get(CLIENT_SECRET, "") or _prompt_for_secret()).strip()
    if not secret:
        raise InvalidOption(f"Set {CLIENT_SECRET} to the client secret of the OAuth2 application.")
    scopes: Any = SCOPES if given_scopes is None else given_scopes.replace(",", " ").split()
    try:
        return OAuthApp(client_id, secret, redirect_uri, scopes=scopes, base_url=base_url)
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
        SavedApplication.of(app).save(path)
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
