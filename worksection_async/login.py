"""OAuth2 login in a browser: two routes for a web app, and a function that checks the callback.

At a terminal, use ``worksection login``.

https://worksection.com/en/faq/oauth.html
"""

from __future__ import annotations

import hmac
import html
import logging
import re
import string
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from ._auth.oauth_app import OAuthApp, action_of
from ._auth.token import Token
from ._protocol.service import OAUTH_AUTHORIZE, OAUTH_CODE_TTL_SECONDS, Scope
from ._transport import asgi
from .errors import AuthError, InvalidCall, WorksectionError, mask_secrets
from .models import Identity

__all__ = ["BadCallback", "LoginRoutes", "OnLogin", "read_callback"]

OnLogin: TypeAlias = Callable[[Identity, Token], Awaitable[str | None]]
"""Called after a successful login; returns the path to redirect the browser to, or None."""

ACTION = action_of(OAUTH_AUTHORIZE)

COOKIE_NAME = "__Secure-worksection-login"
"""Browsers accept the prefix ``__Secure-`` over HTTPS only, so an attacker cannot set the state over plain HTTP."""

ERROR_HINTS = {
    "access_denied": "The user did not allow the login. Start the login again to allow it.",
    "invalid_scope": "Request only scopes that are enabled for the application.",
}
"""Hints by OAuth2 error code (RFC 6749)."""

DEFAULT_HINT = (
    "Start the login again. If the error persists, compare client id, redirect URI and scopes with the application"
    " registered in Worksection."
)

PAGE_HEADERS = (
    ("content-type", "text/html; charset=utf-8"),
    # The URL of the callback contains the code: it must not be cached, or sent to another site as the referrer.
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
)

logger: logging.Logger = logging.getLogger("worksection_async")


class BadCallback(AuthError):
    """The callback does not belong to this login; start the login again. The service did not refuse anything."""

    def __init__(self, complaint: str) -> None:
        WorksectionError.__init__(self, ACTION, complaint, "; start the login again", sent=False)
        self.code: int | None = None
        self.message: str = complaint
        self.details: str = ""
        self.http_status: int = 200
        self.refuses_token: bool = False


def read_callback(query: str, state: str) -> str:
    """Check a callback and return its code, for `OAuthApp.exchange`. No error shows the code or the state.

    Args:
        query: Query string of the callback, or its whole URL, for example pasted by the user.
        state: The state that `OAuthApp.authorization_url` returned together with the URL for this user.

    Raises:
        BadCallback: The state is missing or differs from *state*, or the code is missing. It is an `AuthError`.
        AuthError: The callback reports an error: the user denied the login, or the application is not allowed to ask.

    https://worksection.com/en/faq/oauth.html
    """
    params = _parse_query(query)
    if "state" in params and not _is_same_state(params["state"], state):
        raise BadCallback("the state does not match: the callback belongs to another login")
    # Checked before a missing state: the service sends some errors without the state.
    if any(name in params for name in ("error", "errorDescription", "error_description")):
        raise _reported_error(params)
    if "state" not in params:
        raise BadCallback("the callback has no state")
    if not params.get("code"):
        raise BadCallback("the callback has no code")
    return params["code"]


def _parse_query(query: str) -> Mapping[str, str]:
    """Return the parameters of a query or URL; repeated parameters are treated as empty."""
    # Line breaks, quotes and angle brackets come along when a URL is copied from a terminal or a mail.
    text = re.sub(r"[\r\n\t]", "", query).strip(" \"'<>").partition("#")[0]
    before, mark, after = text.partition("?")
    if mark and "=" not in before:
        text = after
    params: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        params[name] = "" if name in params else value
    return params


def _is_same_state(state: str, expected: str) -> bool:
    """Compare in constant time. An empty expected state never matches."""
    return bool(expected) and hmac.compare_digest(*(text.encode("utf-8", "replace") for text in (state, expected)))


def _reported_error(params: Mapping[str, str]) -> AuthError:
    code = _printable(params.get("error", ""))
    description = _printable(params.get("errorDescription") or params.get("error_description", ""))
    details = code if description else ""
    hint = ERROR_HINTS.get(code, DEFAULT_HINT)
    return AuthError(ACTION, description or code or "unknown error", details=details, hint=hint)


def _printable(text: str) -> str:
    """Return untrusted *text* as one line without control characters and secrets."""
    return mask_secrets("".join(char if char.isprintable() else " " for char in text[:4096])).strip()


def html_response(status: int, title: str, *paragraphs: str, link: str = "") -> asgi.Response:
    """Return a plain HTML page; *link* is the URL of "Log in again"."""
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(text)}</p>" for text in paragraphs)]
    if link:
        parts.append(f'<p><a href="{html.escape(link)}">Log in again</a></p>')
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    return asgi.Response(status, f"{head}{''.join(parts)}</html>".encode("utf-8", "replace"), PAGE_HEADERS)


def _redirect(status: int, location: str) -> asgi.Response:
    return asgi.Response(status, b"", PAGE_HEADERS).with_header("location", location)


class LoginRoutes:
    """Login through Worksection for a web app: an ASGI application that can be mounted in any framework.

    ``GET …/login`` redirects the browser to the service and stores a new state in a cookie, for the lifetime of a code.
    ``GET …/callback`` compares the state, exchanges the code, requests the identity of the user and awaits
    *on_login*. Mount the application so that ``…/callback`` is the ``redirect_uri`` of *app*; the last path segment
    may have another name.

    No state is kept in this object, so another process of the web app can finish a login. The pages show users only
    what they need. The reason of a failed login is logged (logger ``worksection_async``) without secrets.

    Args:
        app: The application as registered with Worksection. Its *login_url* must be the route ``…/login``, because
            `ReauthorizationRequired` sends users there: only this route stores a state.
        on_login: Called with the `Identity` and the `Token` of the user. Store the token by account and user ID.
            Return a path of this site that begins with one slash, to redirect the browser to, or None for a page
            "You are logged in". An exception is passed on to the ASGI server.
        scopes: Scopes to request instead of those of *app*.

    Raises:
        InvalidCall: A scope is unknown, the redirect URI ends in ``/login``, or *login_url* is another route.

    https://worksection.com/en/faq/oauth.html
    """

    def __init__(self, app: OAuthApp, on_login: OnLogin, *, scopes: Iterable[Scope] | None = None) -> None:
        self._app = app
        self._on_login = on_login
        self._scopes = None if scopes is None else tuple(scopes)
        app.authorization_url(self._scopes)  # raises InvalidCall now, not at the first login, for unknown scopes
        # The path that the browser sees. It can differ from the ASGI path: proxies and frameworks rewrite that.
        self._cookie_path, _, callback = urlsplit(app.redirect_uri).path.rpartition("/")
        if callback == "login":
            raise InvalidCall("LoginRoutes", "redirect_uri must not end in /login: that route starts the login")
        login_url = urljoin(app.redirect_uri, "login")
        if app.login_url is None or app.login_start_url().partition("?")[0] != login_url:
            path = urlsplit(login_url).path
            raise InvalidCall("LoginRoutes", f"pass login_url={path!r} to OAuthApp: these routes start a login there")
        self._routes = {"/login": self._start_login, f"/{unquote(callback)}": self._finish_login}

    def __repr__(self) -> str:
        return f"<LoginRoutes {self._app.redirect_uri}>"

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:  # noqa: ARG002
        """Serve one ASGI 3 HTTP request; a WebSocket is closed."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] != "http":
            raise RuntimeError(f"LoginRoutes does not support the ASGI scope type {scope['type']!r}")
        else:
            response = await self._respond(scope)
            await response.send(scope, send)

    async def _respond(self, scope: asgi.Scope) -> asgi.Response:
        route = self._routes.get(_path_below_mount(scope))
        if route is None:
            return html_response(404, "Not found")
        if scope["method"] != "GET":
            return html_response(405, "Method not allowed").with_header("allow", "GET")
        return await route(scope)

    async def _start_login(self, _: asgi.Scope) -> asgi.Response:
        url, state = self._app.authorization_url(self._scopes)
        return _redirect(302, url).with_header("set-cookie", self._state_cookie(state, OAUTH_CODE_TTL_SECONDS))

    async def _finish_login(self, scope: asgi.Scope) -> asgi.Response:
        try:
            identity, token = await self._exchange_code(scope)
        except BadCallback as error:
            # The cookie is kept: it can belong to a login in another tab, which is still in progress.
            logger.info("login failed: %s", error)
            return _error_page(error)
        except WorksectionError as error:
            logger.warning("login failed: %s", error)
            return _error_page(error).with_header("set-cookie", self._state_cookie("", 0))
        path = await self._on_login(identity, token)
        response = _welcome_page(identity) if path is None else _redirect(303, _encode_local_path(path))
        return response.with_header("set-cookie", self._state_cookie("", 0))

    async def _exchange_code(self, scope: asgi.Scope) -> tuple[Identity, Token]:
        token = await self._app.exchange(_checked_code(scope))
        return await self._app.identity(token), token

    def _state_cookie(self, state: str, max_age_seconds: int) -> str:
        path = self._cookie_path or "/"
        return f"{COOKIE_NAME}={state}; Path={path}; Max-Age={max_age_seconds}; Secure; HttpOnly; SameSite=Lax"


def _path_below_mount(scope: asgi.Scope) -> str:
    """Return the path relative to the mount point. ASGI includes ``root_path`` in ``path``; some frameworks do not."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    below = path.removeprefix(root)
    return (below if below[:1] in ("", "/") else path) or "/"


def _checked_code(scope: asgi.Scope) -> str:
    return read_callback(scope["query_string"].decode("latin-1"), _read_state_cookie(scope))


def _read_state_cookie(scope: asgi.Scope) -> str:
    """Return the state in the cookie, or an empty string."""
    lines = (value.decode("latin-1") for value in asgi.header_values(scope, b"cookie"))
    pairs = (pair.strip().partition("=") for line in lines for pair in line.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE_NAME), "")


def _error_page(error: WorksectionError) -> asgi.Response:
    """Return the page for *error*, without text from the callback: an attacker could have written that."""
    if isinstance(error, BadCallback):
        minutes = OAUTH_CODE_TTL_SECONDS // 60
        reason = f"It was started in another browser or more than {minutes} minutes ago, or a newer login replaced it."
        return html_response(400, "This login cannot be finished", reason, link="login")
    if isinstance(error, AuthError) and error.http_status < 500:
        code = error.details or error.message
        is_code = re.fullmatch(r"[a-z_]{3,40}", code)
        reason = f"Worksection reports: {code}." if is_code else "Worksection refused the login."
        return html_response(400, "You are not logged in", reason, link="login")
    return html_response(502, "You are not logged in", "Worksection did not confirm your identity.", link="login")


def _welcome_page(identity: Identity) -> asgi.Response:
    name = f"{identity.first_name} {identity.last_name}".strip() or identity.email
    return html_response(200, "You are logged in", f"{name} {identity.account_url}".strip())


def _encode_local_path(path: str) -> str:
    """Return *path* encoded for a ``location`` header; raise ValueError if it could lead to another site."""
    # Browsers read //host and /\host as a URL of another site.
    if not re.match(r"/(?![/\\])", path):
        raise ValueError("on_login must return None or a path of this site that begins with exactly one slash")
    return quote(path, safe=string.punctuation)
