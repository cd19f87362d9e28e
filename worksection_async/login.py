"""Users log in with their browser: what they come back with is checked, and a web app has the whole as two routes.

For a person at a terminal there is ``python -m worksection_async login``.

https://worksection.com/en/faq/oauth.html
"""

from __future__ import annotations

import hmac
import html
import logging
import re
import string
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import attrs

from ._auth.oauth_app import OAuthApp, action_of
from ._auth.token import Token
from ._protocol.service import OAUTH_AUTHORIZE, OAUTH_CODE_TTL_SECONDS, Scope
from .errors import AuthError, WorksectionError, masked
from .models import Identity

__all__ = ["BadCallback", "LoginRoutes", "OnLogin", "read_callback"]

OnLogin: TypeAlias = Callable[[Identity, Token], Awaitable[str | None]]
"""What a web app does with somebody who has logged in; it returns the path he goes on to, if any."""

Connection: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ACTION = action_of(OAUTH_AUTHORIZE)

COOKIE = "__Secure-worksection-login"
"""Browsers take a name like that from an encrypted connection only, so nobody can slip in a state on another."""

HINTS = {
    "access_denied": "The login was not allowed; begin again to allow it.",
    "invalid_scope": "Ask only for scopes that are enabled for the application.",
}
"""By the names OAuth2 (RFC 6749) has for errors."""

HINT = "Begin again; if it lasts, compare client id, redirect URI and scopes with those Worksection has registered."

logger = logging.getLogger("worksection_async")


class BadCallback(AuthError):
    """What came back does not belong to this login: begin again. The service has refused nothing."""

    def __init__(self, complaint: str) -> None:
        WorksectionError.__init__(self, ACTION, complaint, "; begin again", sent=False)
        self.code, self.message, self.details, self.http_status = None, complaint, "", 200


def read_callback(query: str, state: str) -> str:
    """The code a user came back with, for `OAuthApp.exchange`. Neither it nor the state is shown in any error.

    Args:
        query: The query of the callback, or the whole URL, such as somebody pastes.
        state: What `OAuthApp.authorization_url` returned with the address this user was sent to.

    Raises:
        BadCallback: The state is missing, or is not *state*; or the code is missing. An `AuthError`, too.
        AuthError: The service reports an error: the user did not allow it, or the application may not ask.

    https://worksection.com/en/faq/oauth.html
    """
    params = _params(query)
    if "state" in params and not _is_same(params["state"], state):
        raise BadCallback("the state is another one: this is from another login, or from somebody else")
    if any(name in params for name in ("error", "errorDescription", "error_description")):
        raise _refusal(params)  # some of them come without the state
    if "state" not in params:
        raise BadCallback("there is no state in it")
    if not params.get("code"):
        raise BadCallback("there is no code in it")
    return params["code"]


def _params(query: str) -> Mapping[str, str]:
    """Whatever comes twice is worth nothing."""
    text = re.sub(r"[\r\n\t]", "", query).strip(" \"'<>").partition("#")[0]
    before, mark, after = text.partition("?")
    if mark and "=" not in before:
        text = after
    params: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        params[name] = "" if name in params else value
    return params


def _is_same(state: str, expected: str) -> bool:
    """In constant time. No state at all is the same as none."""
    return bool(expected) and hmac.compare_digest(*(text.encode("utf-8", "replace") for text in (state, expected)))


def _refusal(params: Mapping[str, str]) -> AuthError:
    name = _shown(params.get("error", ""))
    words = _shown(params.get("errorDescription") or params.get("error_description", ""))
    details = name if words else ""
    return AuthError(ACTION, words or name or "unknown error", details=details, hint=HINTS.get(name, HINT))


def _shown(text: str) -> str:
    """*text* from anywhere, on one line and without secrets."""
    return masked("".join(char if char.isprintable() else " " for char in text[:4096])).strip()


@attrs.frozen
class Answer:
    """An HTTP answer that nobody keeps and that tells no other site where it was."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)

    def having(self, name: str, value: str) -> Answer:
        """This answer with one more header."""
        return attrs.evolve(self, headers=(*self.headers, (name, value)))

    async def send(self, send: Send) -> None:
        """Give it to an ASGI server."""
        headers = [
            ("content-type", "text/html; charset=utf-8"),
            ("content-length", str(len(self.body))),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            *self.headers,
        ]
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body})


def page(status: int, title: str, *paragraphs: str, link: str = "") -> Answer:
    """A plain page; *link* leads to where one begins again."""
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(text)}</p>" for text in paragraphs)]
    if link:
        parts.append(f'<p><a href="{html.escape(link)}">Log in again</a></p>')
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    return Answer(status, f"{head}{''.join(parts)}</html>".encode("utf-8", "replace"))


class LoginRoutes:
    """Logging in through Worksection for a web app: a pure ASGI application, to be mounted in any framework.

    ``GET …/login`` sends the browser to the service, with a fresh state in a cookie that lives as long as a code does.
    ``GET …/callback`` is where it comes back to: the state is compared, the code exchanged, the service asked who it
    is, and *on_login* awaited. Mount it so that the callback is the application's ``redirect_uri``, whose last segment
    may have another name than ``callback``.

    Nothing is kept here: any process of the web app can finish what another began. Users are shown no more than they
    need; why a login failed is in a record of the logger ``worksection_async``, which has no secret in it.

    Args:
        app: The application as it is registered with Worksection.
        on_login: Called with the `Identity` of the user and his `Token`; keep the token by the account and the number
            of the user. It returns a path of this site, beginning with one slash, to send the browser to, or None for
            a page that says "You are logged in". What it raises goes on to the server.
        scopes: What to ask for instead of the application's own scopes.

    Raises:
        ValueError: A scope is unknown, or the redirect URI ends in ``/login``.

    https://worksection.com/en/faq/oauth.html
    """

    def __init__(self, app: OAuthApp, on_login: OnLogin, *, scopes: Iterable[Scope] | None = None) -> None:
        self._app = app
        self._on_login = on_login
        self._scopes = None if scopes is None else tuple(scopes)
        app.authorization_url(self._scopes)  # raises for unknown scopes now instead of later
        # Where the browser sees it. Proxies and frameworks hide from this application where it is mounted.
        self._folder, _, callback = urlsplit(app.redirect_uri).path.rpartition("/")
        if callback == "login":
            raise ValueError("redirect_uri must not end in /login: that is where logging in begins")
        self._routes = {"/login": self._depart, f"/{unquote(callback)}": self._arrive}

    def __repr__(self) -> str:
        return f"<LoginRoutes {self._app.redirect_uri}>"

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer a request, as ASGI has it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] != "http":
            raise RuntimeError(f"LoginRoutes knows nothing of {scope['type']!r}")
        else:
            await (await self._answer(scope)).send(send)

    async def _answer(self, scope: Connection) -> Answer:
        route = self._routes.get(_path(scope))
        if route is None:
            return page(404, "Not found")
        if scope["method"] != "GET":
            return page(405, "Method not allowed").having("allow", "GET")
        return await route(scope)

    async def _depart(self, _: Connection) -> Answer:
        url, state = self._app.authorization_url(self._scopes)
        return Answer(302).having("location", url).having("set-cookie", self._cookie(state, OAUTH_CODE_TTL_SECONDS))

    async def _arrive(self, scope: Connection) -> Answer:
        try:
            identity, token = await self._identified(scope)
        except BadCallback as error:  # the cookie may be that of another tab, whose login goes on
            logger.info("somebody was not logged in: %s", error)
            return _failure(error)
        except WorksectionError as error:
            logger.warning("somebody was not logged in: %s", error)
            return _failure(error).having("set-cookie", self._cookie("", 0))
        path = await self._on_login(identity, token)
        answer = _welcome(identity) if path is None else Answer(303).having("location", _local(path))
        return answer.having("set-cookie", self._cookie("", 0))

    async def _identified(self, scope: Connection) -> tuple[Identity, Token]:
        token = await self._app.exchange(read_callback(scope["query_string"].decode("latin-1"), _state(scope)))
        return await self._app.identity(token), token

    def _cookie(self, state: str, seconds: int) -> str:
        return f"{COOKIE}={state}; Path={self._folder or '/'}; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"


def _path(scope: Connection) -> str:
    """The path below where this is mounted. Some frameworks leave the root in it (as ASGI has it), some do not."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    below = path.removeprefix(root)
    return (below if below[:1] in ("", "/") else path) or "/"


def _state(scope: Connection) -> str:
    """What the cookie holds, or nothing."""
    lines = (value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"cookie")
    pairs = (pair.strip().partition("=") for line in lines for pair in line.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


def _failure(error: WorksectionError) -> Answer:
    """What the user sees of *error*: anybody can make a link with words of his own, so none of them is shown."""
    if isinstance(error, BadCallback):
        minutes = OAUTH_CODE_TTL_SECONDS // 60
        told = f"It was not begun in this browser, or more than {minutes} minutes ago, or another one was begun since."
        return page(400, "This login cannot be finished", told, link="login")
    if isinstance(error, AuthError) and error.http_status < 500:
        name = error.details or error.message
        told = f"Worksection says: {name}." if re.fullmatch(r"[a-z_]{3,40}", name) else "Worksection refused the login."
        return page(400, "You are not logged in", told, link="login")
    return page(502, "You are not logged in", "Worksection could not be asked who you are.", link="login")


def _welcome(identity: Identity) -> Answer:
    name = f"{identity.first_name} {identity.last_name}".strip() or identity.email
    return page(200, "You are logged in", f"{name} {identity.account_url}".strip())


def _local(path: str) -> str:
    """*path* for a header, if it leads to nowhere but this site."""
    if not re.match(r"/(?![/\\])", path):
        raise ValueError("on_login must return a path of this site, beginning with one slash, or None")
    return quote(path, safe=string.punctuation)
