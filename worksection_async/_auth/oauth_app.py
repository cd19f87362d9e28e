"""OAuth2 from the application's side: where users log in, and what becomes of the codes and tokens they bring back.

Four requests at most, all but the first a POST with a form. Errors come with HTTP 200; the body decides.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlencode, urlsplit

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
from .._transport.http import Http
from ..errors import AuthError, InvalidCall, UnexpectedReply, masked
from ..models import Identity
from .credentials import is_secret
from .token import Token

if TYPE_CHECKING:
    import httpx

SCOPES: tuple[Scope, ...] = get_args(Scope)

BEARER = "bearer"

TIMEOUT = 30.0
"""Seconds for a request and its answer."""


def _home(base_url: str) -> str:
    try:
        return origin_of(base_url)
    except InvalidCall:
        raise ValueError("base_url must be an https URL without a path; plain http is for loopback only") from None


def _is_https(_: object, __: object, value: str) -> None:
    url = urlsplit(value)
    if url.scheme != "https" or not url.hostname or url.fragment:
        raise ValueError(f"redirect_uri must be an https URL as it is registered, not {value!r}")


def _known(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    given = tuple(scopes)
    unknown = [scopes] if isinstance(scopes, str) else sorted(set(given) - set(SCOPES))
    if unknown:
        raise ValueError(f"scopes are {', '.join(SCOPES)}, not {unknown!r}")
    return given


@attrs.frozen
class OAuthApp:
    """An application as it is registered with Worksection; users log in through it, each into an account of his own.

    Args:
        client_id: Its number.
        client_secret: Its secret, which is shown only once, when it is registered.
        redirect_uri: Where users come back to, exactly as registered; HTTPS is required.
        scopes: What it asks for; each has to be enabled for the application, too.
        base_url: Address of the login service (`str`); only the simulator has another. Plain HTTP for loopback only.
        transport: An httpx transport instead of the network.

    Raises:
        ValueError: An argument makes no sense.

    https://worksection.com/en/faq/oauth.html
    """

    client_id: str
    client_secret: str = attrs.field(repr=False, validator=is_secret)
    redirect_uri: str = attrs.field(validator=_is_https)
    scopes: tuple[Scope, ...] = attrs.field(default=(), converter=_known, kw_only=True)
    base_url: str = attrs.field(default=OAUTH_ORIGIN, converter=_home, kw_only=True)
    transport: httpx.AsyncBaseTransport | None = attrs.field(default=None, repr=False, eq=False, kw_only=True)

    def __reduce__(self) -> Any:
        raise TypeError("OAuthApp is a secret and is not pickled")

    def authorization_url(self, scopes: Iterable[Scope] | None = None, state: str | None = None) -> tuple[str, str]:
        """Where to send a user who is to log in, and the state he has to bring back.

        Args:
            scopes: What to ask for instead of the application's own scopes.
            state: Any text; by default 256 random bits. Keep it with the user's session, and compare it (in constant
                time) to the one that comes back: only that shows that it was this user who began.
        """
        asked = self.scopes if scopes is None else _known(scopes)
        state = secrets.token_urlsafe(32) if state is None else state
        params = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "state": state,
            "scope": ",".join(asked),
        }
        return f"{self.base_url}{OAUTH_AUTHORIZE}?{urlencode(params)}", state

    async def exchange(self, code: str) -> Token:
        """The tokens for the *code* a user came back with; it is good for one attempt within 10 minutes.

        Raises:
            AuthError: The service refuses the code or the application.
            TransportError: The service could not be reached, or its answer got lost.
            UnexpectedReply: The answer makes no sense.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        return _token(await self._post(OAUTH_TOKEN, form, "access_token"), None)

    async def refresh(self, token: Token) -> Token:
        """The pair that follows *token*, whose own pair is void from then on: save this one before it is used.

        Raises:
            AuthError: The refresh token is void, or has expired (it lives for a month).
            TransportError: The service could not be reached, or its answer got lost: *token* may be void.
            UnexpectedReply: The answer makes no sense: *token* may be void.
        """
        if token.refresh_token is None:
            raise AuthError(action_of(OAUTH_REFRESH), "there is no refresh token")
        form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}
        return _token(await self._post(OAUTH_REFRESH, form, "access_token"), token)

    async def identity(self, token: Token) -> Identity:
        """Whom *token* stands for; raises what `exchange` raises."""
        body = await self._post(OAUTH_RESOURCE, {"access_token": token.access_token}, "id")
        try:
            return Structure().at("$", dict(body), Identity)
        except Malformed as exc:
            path, reason = exc.path, masked(exc.reason)
        raise UnexpectedReply(action_of(OAUTH_RESOURCE), path, reason, http_status=200)

    async def _post(self, path: str, form: Mapping[str, str], key: str) -> Mapping[str, Any]:
        credentials = {"client_id": self.client_id, "client_secret": self.client_secret}
        request = Request(
            action=action_of(path),
            method="POST",
            target=path,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            content=urlencode({**credentials, **form}).encode(),
        )
        http = Http(self.base_url, self.transport)
        await http.open()
        try:
            async with http.exchange(request, TIMEOUT) as answer:
                reply = Reply(answer.status, answer.headers, await answer.read())
        finally:
            with anyio.CancelScope(shield=True):
                await http.aclose()
        return open_flat(request.action, reply, key)


def action_of(path: str) -> str:
    """What a request to *path* is called in errors: ``oauth2_refresh``."""
    return path.strip("/").replace("/", "_")


def _token(body: Mapping[str, Any], before: Token | None) -> Token:
    """A refresh does not say all that the login said."""
    now = time.time()
    if (kind := str(body.get("token_type") or BEARER)).lower() != BEARER:
        raise UnexpectedReply(action_of(OAUTH_TOKEN), "$.token_type", f"not {masked(kind)}", http_status=200)
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
    raise UnexpectedReply(action_of(OAUTH_TOKEN), "$", "the tokens are no text a header can carry", http_status=200)


def _lifetime(expires_in: object) -> float:
    """Seconds; where the service says nothing that makes sense, it is a day, and a 401 will tell."""
    if isinstance(expires_in, int | float | str):
        with contextlib.suppress(ValueError):
            seconds = float(expires_in)
            if 0 < seconds < math.inf:
                return seconds
    return float(OAUTH_ACCESS_TTL_SECONDS)
