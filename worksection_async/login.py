"""OAuth2 login in a browser: two routes for a web app, and a function that checks the callback.

At a terminal, use ``worksection login``.

https://worksection.com/en/faq/oauth.html
"""

from __future__ import annotations

import hmac
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Self, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

import attrs

from ._auth.oauth_app import OAuthApp, action_of
from ._auth.token import Token
from ._auth.token_vaults import TokenVault
from ._protocol.service import OAUTH_AUTHORIZE, OAUTH_CODE_TTL_SECONDS, Scope
from ._protocol.values import type_of
from ._transport import asgi
from ._transport.pages import html_response, redirect
from .errors import AuthError, InvalidCall, TokenStoreError, WorksectionError, mask_secrets
from .models import Identity

__all__ = ["BadCallback", "LoginRoutes", "UserOf", "read_callback"]

UserOf: TypeAlias = Callable[[asgi.Scope, Identity], str | Awaitable[str | None] | None]
"""Called after a successful login; returns the key of the visitor in the vault, or None to refuse the visitor."""

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


@attrs.frozen
class _Start:
    """How a visitor started a login. The browser keeps it in a cookie, so that any process can finish the login."""

    state: str = attrs.field(default="", repr=False)
    came_from: str = ""
    """The path of this site to which to send the visitor back; empty if it is not known."""

    def cookie(self) -> str:
        """Return the value of the cookie; the state contains no dot."""
        return f"{self.state}.{quote(self.came_from)}" if self.came_from else self.state

    @classmethod
    def from_cookie(cls, scope: asgi.Scope) -> Self:
        """Return what the cookie of the request contains; the client may have changed it."""
        lines = (value.decode("latin-1") for value in asgi.header_values(scope, b"cookie"))
        pairs = (pair.strip().partition("=") for line in lines for pair in line.split(";"))
        state, _, path = next((value for name, _, value in pairs if name == COOKIE_NAME), "").partition(".")
        return cls(state, asgi.local_path(unquote(path)))


class LoginRoutes:
    """Login through Worksection for a web app: an ASGI application that can be mounted in any framework.

    ``GET …/login`` redirects the browser to the service and stores a new state in a cookie, for the lifetime of a code.
    ``GET …/callback`` compares the state, exchanges the code, requests the identity of the visitor, stores the tokens
    in *vault*, and redirects the browser to the page from which the visitor came: the parameter ``next`` of
    ``…/login`` (a path of this site), or else the page of this site that linked to it. Mount the application so that
    ``…/callback`` is the ``redirect_uri`` of *app*; the last path segment may have another name.

    No state is kept in this object, so another process of the web app can finish a login. The pages show users only
    what they need. The reason of a failed login is logged (logger ``worksection_async``) without secrets.

    Args:
        app: The application as registered with Worksection. Its *login_url* must be the route ``…/login``, because
            `ReauthorizationRequired` sends users there: only this route stores a state.
        vault: Where the tokens are stored: the vault of the session's credential, ``OAuth2(app, vault=vault)``.
        user_of: Called with the ASGI scope of the callback and the `Identity` of the visitor; it may be a coroutine
            function. It returns the visitor's key in the vault, for ``ws.as_user(key)``, and is where to remember the
            visitor: ``scope["session"]["user"] = key``. None refuses the visitor. Users of any account can log in, and
            ``identity.id`` is unique only within ``identity.account_url``: compare that, or make it a part of the key.
            An exception is passed on to the ASGI server.
        scopes: Scopes to request instead of those of *app*.

    Raises:
        InvalidCall: *vault* or *user_of* is of another type, a scope is unknown, the redirect URI ends in ``/login``,
            or *login_url* is another route.

    https://worksection.com/en/faq/oauth.html
    """

    def __init__(
        self, app: OAuthApp, vault: TokenVault, *, user_of: UserOf, scopes: Iterable[Scope] | None = None
    ) -> None:
        if isinstance(vault, type) or not isinstance(vault, TokenVault):
            raise InvalidCall("LoginRoutes", f"vault must have the method store, got {type_of(vault)}")
        if not callable(user_of):
            raise InvalidCall("LoginRoutes", f"user_of must be a function, got {type_of(user_of)}")
        self._app = app
        self._vault = vault
        self._user_of = user_of
        self._scopes = None if scopes is None else tuple(scopes)
        app.authorization_url(self._scopes)  # raises InvalidCall now, not at the first login, for unknown scopes
        # The URL that the browser sees. It can differ from the ASGI path: proxies and frameworks rewrite that.
        seen = urlsplit(app.redirect_uri)
        self._site = f"https://{seen.netloc.rpartition('@')[2].lower().removesuffix(':443')}"
        self._cookie_path, _, callback = seen.path.rpartition("/")
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

    async def _start_login(self, scope: asgi.Scope) -> asgi.Response:
        url, state = self._app.authorization_url(self._scopes)
        start = _Start(state, self._came_from(scope))
        return self._with_cookie(redirect(302, url), start.cookie(), OAUTH_CODE_TTL_SECONDS)

    def _came_from(self, scope: asgi.Scope) -> str:
        """Return the path of this site from which the visitor came, or an empty string."""
        params = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        page = asgi.header(scope, b"referer").decode("latin-1")
        paths = params.get("next", ""), page.removeprefix(self._site)  # the page of another site is no path
        return next(filter(None, map(asgi.local_path, paths)), "")

    async def _finish_login(self, scope: asgi.Scope) -> asgi.Response:
        start = _Start.from_cookie(scope)
        try:
            token = await self._app.exchange(read_callback(scope["query_string"].decode("latin-1"), start.state))
            identity = await self._app.identity(token)
        except BadCallback as error:
            # The cookie is kept: it can belong to a login in another tab, which is still in progress.
            return _failed(error, start)
        except WorksectionError as error:
            return self._without_cookie(_failed(error, start))
        return self._without_cookie(await self._welcome(scope, identity, token, start))

    async def _welcome(self, scope: asgi.Scope, identity: Identity, token: Token, start: _Start) -> asgi.Response:
        """Store the token of the visitor, and send the visitor back."""
        key = await self._key_of(scope, identity)
        if key is None:
            return html_response(403, "You are not logged in", "Your Worksection user has no access to this site.")
        store = self._vault.store(key)
        try:
            async with store.lock():  # not between the beginning and the end of a refresh, which would replace it
                await store.save(token)
        except TokenStoreError as error:
            return _failed(error, start)
        return redirect(303, start.came_from) if start.came_from else _welcome_page(identity)

    async def _key_of(self, scope: asgi.Scope, identity: Identity) -> str | None:
        key = self._user_of(scope, identity)
        if inspect.isawaitable(key):
            key = await key
        if key is not None and not isinstance(key, str):
            raise InvalidCall("LoginRoutes", f"user_of must return text or None, got {type_of(key)}")
        return key

    def _without_cookie(self, response: asgi.Response) -> asgi.Response:
        return self._with_cookie(response, "", 0)

    def _with_cookie(self, response: asgi.Response, value: str, max_age_seconds: int) -> asgi.Response:
        attributes = f"Path={self._cookie_path or '/'}; Max-Age={max_age_seconds}; Secure; HttpOnly; SameSite=Lax"
        return response.with_header("set-cookie", f"{COOKIE_NAME}={value}; {attributes}")


def _path_below_mount(scope: asgi.Scope) -> str:
    """Return the path relative to the mount point. ASGI includes ``root_path`` in ``path``; some frameworks do not."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    below = path.removeprefix(root)
    return (below if below[:1] in ("", "/") else path) or "/"


def _failed(error: WorksectionError, start: _Start) -> asgi.Response:
    """Log *error* and return its page, whose link starts the login again."""
    logger.log(logging.INFO if isinstance(error, BadCallback) else logging.WARNING, "login failed: %s", error)
    return _error_page(error, f"login?next={quote(start.came_from)}" if start.came_from else "login")


def _error_page(error: WorksectionError, link: str) -> asgi.Response:
    """Return the page for *error*, without text from the callback: an attacker could have written that."""
    if isinstance(error, BadCallback):
        minutes = OAUTH_CODE_TTL_SECONDS // 60
        reason = f"It was started in another browser or more than {minutes} minutes ago, or a newer login replaced it."
        return html_response(400, "This login cannot be finished", reason, link=link)
    if isinstance(error, TokenStoreError):
        return html_response(503, "You are not logged in", "The login could not be stored.", link=link)
    if isinstance(error, AuthError) and error.http_status < 500:
        code = error.details or error.message
        is_code = re.fullmatch(r"[a-z_]{3,40}", code)
        reason = f"Worksection reports: {code}." if is_code else "Worksection refused the login."
        return html_response(400, "You are not logged in", reason, link=link)
    return html_response(502, "You are not logged in", "Worksection did not confirm your identity.", link=link)


def _welcome_page(identity: Identity) -> asgi.Response:
    name = f"{identity.first_name} {identity.last_name}".strip() or identity.email
    return html_response(200, "You are logged in", f"{name} {identity.account_url}".strip())
