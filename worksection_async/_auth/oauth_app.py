"""An OAuth2 application: the authorization URL, and the exchange, refresh and identity requests.

The service returns errors with HTTP 200, so the body decides.
"""

from __future__ import annotations

import contextlib
import math
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlencode, urljoin, urlsplit

import anyio
import attrs

from .._protocol.account import origin_of
from .._protocol.envelope import Reply, open_flat
from .._protocol.request import Request
from .._protocol.service import (
    OAUTH_ACCESS_TTL_SECONDS,
    OAUTH_AUTHORIZE,
    OAUTH_ORIGIN,
    OAUTH_REFRESH,
    OAUTH_RESOURCE,
    OAUTH_TOKEN,
    Scope,
)
from .._protocol.structure import Malformed, Structure
from .._protocol.values import shown
from .._transport.clock import clock_of
from .._transport.frames import clears_locals
from .._transport.http import Http
from ..errors import AuthError, InvalidCall, UnexpectedReply, mask_secrets
from ..models import Identity
from .credentials import hides_arguments, is_secret
from .token import Token

if TYPE_CHECKING:
    import httpx

SCOPES: tuple[Scope, ...] = get_args(Scope)

BEARER = "bearer"

TIMEOUT_SECONDS = 30.0
"""Deadline of a request."""


def _origin(base_url: str) -> str:
    try:
        return origin_of(base_url)
    except InvalidCall:
        problem = "base_url must be an https URL without a path; plain http is for loopback only"
    raise InvalidCall("OAuthApp", problem)


def _is_client_id(_: object, __: object, value: str) -> None:
    with contextlib.suppress(ValueError):  # a lone surrogate cannot be a part of a URL
        if isinstance(value, str) and value.encode():
            return
    raise InvalidCall("OAuthApp", f"client_id must be the id of the application as text, got {shown(value)}")


def _is_https(_: object, __: object, value: str) -> None:
    with contextlib.suppress(ValueError):
        url = urlsplit(value if isinstance(value, str) else "")
        if url.scheme == "https" and url.hostname and not url.fragment and value.encode():
            return
    raise InvalidCall("OAuthApp", f"redirect_uri must be the registered https URL, not {shown(value)}")


def _is_link(app: OAuthApp, __: object, value: str) -> None:
    with contextlib.suppress(ValueError):
        if isinstance(value, str) and urlsplit(urljoin(app.redirect_uri, value)).scheme == "https":
            return
    raise InvalidCall("OAuthApp", f"login_url must be an https URL or a path, not {shown(value)}")


def _checked_scopes(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    is_sequence = isinstance(scopes, Iterable) and not isinstance(scopes, str | bytes)
    given = tuple(scopes) if is_sequence else ()
    unknown = [scope for scope in given if scope not in SCOPES] if is_sequence else [scopes]
    if unknown:
        raise InvalidCall("OAuthApp", f"scopes must be among {', '.join(SCOPES)}, not {shown(unknown)}")
    return given


@hides_arguments
@attrs.frozen
class OAuthApp:
    """An OAuth2 application that is registered with Worksection; users of any account can log in through it.

    Args:
        client_id: Its id.
        client_secret: Its secret; Worksection shows it only once, at the registration.
        redirect_uri: The URL to which users return, exactly as registered; HTTPS is required.
        scopes: The scopes it requests; each must be enabled for the application.
        login_url: URL or path where a login starts in your web app, such as ``"/auth/login"``: the route of
            `worksection_async.login.LoginRoutes`, or your own. `ReauthorizationRequired` sends users there.
        base_url: URL of the login service (`str`); only the simulator has another. Plain HTTP for loopback only.
        transport: An httpx transport that replaces the network. It is not closed, so that it can be shared.

    Raises:
        InvalidCall: An argument is invalid; the error does not show the secret.

    https://worksection.com/en/faq/oauth.html
    """

    client_id: str = attrs.field(validator=_is_client_id)
    client_secret: str = attrs.field(repr=False, validator=is_secret)
    redirect_uri: str = attrs.field(validator=_is_https)
    scopes: tuple[Scope, ...] = attrs.field(default=(), converter=_checked_scopes, kw_only=True)
    login_url: str | None = attrs.field(default=None, validator=attrs.validators.optional(_is_link), kw_only=True)
    base_url: str = attrs.field(default=OAUTH_ORIGIN, converter=_origin, kw_only=True)
    transport: httpx.AsyncBaseTransport | None = attrs.field(default=None, repr=False, eq=False, kw_only=True)

    def __reduce__(self) -> Any:
        raise TypeError("OAuthApp is a secret and cannot be pickled")

    def authorization_url(self, scopes: Iterable[Scope] | None = None, state: str | None = None) -> tuple[str, str]:
        """Return the URL to which to redirect a user for the login, and the state.

        Args:
            scopes: Scopes to request instead of the application's scopes.
            state: Any text; the default is 256 random bits. Store it in the user's web session and compare it, in
                constant time, with the state of the callback: this proves that the same browser started the login.
        """
        asked = self.scopes if scopes is None else _checked_scopes(scopes)
        state = secrets.token_urlsafe(32) if state is None else state
        params = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "state": state,
            "scope": ",".join(asked),
        }
        return f"{self.base_url}{OAUTH_AUTHORIZE}?{urlencode(params)}", state

    def login_start_url(self) -> str:
        """Return the URL where a user logs in: `login_url` if it is set, otherwise a new authorization URL.

        The state of that authorization URL is in the URL only: your program has to keep it for the callback.
        """
        if self.login_url is None:
            return self.authorization_url()[0]
        return urljoin(self.redirect_uri, self.login_url)

    @clears_locals
    async def exchange(self, code: str) -> Token:
        """Exchange the *code* of a callback for tokens; a code is valid once, for 10 minutes.

        Raises:
            AuthError: The service rejected the code or the application.
            TransportError: The service could not be reached, or the reply was lost.
            UnexpectedReply: The reply has an unknown form.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        return _token(await self._post(OAUTH_TOKEN, form, "access_token"), None, clock_of(self.transport).time())

    @clears_locals
    async def refresh(self, token: Token) -> Token:
        """Request the next pair. It invalidates the pair of *token*, so store the new pair before you use it.

        Raises:
            AuthError: The refresh token is invalid or has expired (after a month).
            TransportError: The service could not be reached, or the reply was lost: *token* may be invalid.
            UnexpectedReply: The reply has an unknown form: *token* may be invalid.
        """
        if token.refresh_token is None:
            raise AuthError(action_of(OAUTH_REFRESH), "the token has no refresh token")
        form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}
        return _token(await self._post(OAUTH_REFRESH, form, "access_token"), token, clock_of(self.transport).time())

    @clears_locals
    async def identity(self, token: Token) -> Identity:
        """Return the user and the account of *token*; raises what `exchange` raises."""
        body = await self._post(OAUTH_RESOURCE, {"access_token": token.access_token}, "id")
        try:
            return Structure().at("$", dict(body), Identity)
        except Malformed as exc:
            path, reason = exc.path, mask_secrets(exc.reason)
        raise UnexpectedReply(action_of(OAUTH_RESOURCE), path, reason, http_status=200)

    async def _post(self, path: str, form: Mapping[str, str], key: str) -> Mapping[str, Any]:
        credentials = {"client_id": self.client_id, "client_secret": self.client_secret}
        request = Request(
            action=action_of(path),
            method="POST",
            target=path,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            content=urlencode({**credentials, **form}, errors="replace").encode(),
        )
        http = Http(self.base_url, self.transport)
        await http.open(request.action)
        try:
            async with http.exchange(request, TIMEOUT_SECONDS) as response:
                reply = Reply(response.status, response.headers, await response.read(), clock_of(self.transport).time())
        finally:
            with anyio.CancelScope(shield=True):
                await http.aclose()
        return open_flat(request.action, reply, key)


def action_of(path: str) -> str:
    """Return the name of a request to *path* in errors, such as ``oauth2_refresh``."""
    return path.strip("/").replace("/", "_")


def _token(body: Mapping[str, Any], before: Token | None, now: float) -> Token:
    """Return the token of a reply; the reply to a refresh may omit what the login returned."""
    if (kind := str(body.get("token_type") or BEARER)).lower() != BEARER:
        raise UnexpectedReply(action_of(OAUTH_TOKEN), "$.token_type", f"not {mask_secrets(kind)}", http_status=200)
    try:
        return Token(
            access_token=body["access_token"],
            refresh_token=body.get("refresh_token") or (before.refresh_token if before else None),
            issued_at=now,
            expires_at=now + _lifetime(body.get("expires_in")),
            account_url=str(body.get("account_url") or (before.account_url if before else "")),
        )
    except ValueError:
        pass
    raise UnexpectedReply(
        action_of(OAUTH_TOKEN), "$", "the tokens contain characters that a header cannot contain", http_status=200
    )


def _lifetime(expires_in: object) -> float:
    """Return the lifetime in seconds; a day if the value is invalid. After an early end a 401 triggers the refresh."""
    if isinstance(expires_in, int | float | str):
        with contextlib.suppress(ValueError):
            seconds = float(expires_in)
            if 0 < seconds < math.inf:
                return seconds
    return float(OAUTH_ACCESS_TTL_SECONDS)
