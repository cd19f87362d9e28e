"""The OAuth2 paths of the service. Each request is handled without ``await``, so that it is atomic."""

import attrs

from ._consent import Consent
from ._constants import LOGIN
from ._oauth import OAuth, OAuthRefusal, TokenPair
from ._reply import Record, ServiceRefusal, SimulatedReply, error_reply, json_reply
from ._request import IncomingRequest


@attrs.frozen
class Login:
    """Answers requests to the OAuth2 paths: login page, code exchange, refresh, identity."""

    oauth: OAuth
    consent: Consent

    def reply(self, incoming: IncomingRequest) -> SimulatedReply:
        if incoming.path == LOGIN.authorize:
            return self.consent.reply(incoming)
        handlers = {LOGIN.token: self._token, LOGIN.refresh: self._refresh, LOGIN.resource: self._resource}
        form = incoming.form
        try:
            self.oauth.check_client(form.get("client_id", ""), form.get("client_secret", ""))
            return json_reply(handlers[incoming.path](form, incoming.origin))
        except ServiceRefusal as refused:
            return error_reply(refused)

    def _token(self, form: dict[str, str], origin: str) -> Record:
        _check_grant_type(form, "authorization_code")
        pair = self.oauth.exchange(form.get("code", ""), form.get("redirect_uri", ""))
        return _as_record(pair) | {"account_url": origin}

    def _refresh(self, form: dict[str, str], origin: str) -> Record:  # noqa: ARG002  # no account_url
        _check_grant_type(form, "refresh_token")
        return _as_record(self.oauth.refresh(form.get("refresh_token", "")))

    def _resource(self, form: dict[str, str], origin: str) -> Record:
        user = self.oauth.user_of(form.get("access_token", ""))
        return {
            "id": str(user.id),
            "first_name": user.first_name,
            "last_name": user.last_name,
            "email": user.email,
            "account_url": origin,
        }


def _check_grant_type(form: dict[str, str], wanted: str) -> None:
    """Raise for another grant type. The message is a guess, from the OAuth2 library that the service seems to use."""
    if form.get("grant_type") != wanted:
        message = "The authorization grant type is not supported by the authorization server."
        raise OAuthRefusal("unsupported_grant_type", message)


def _as_record(pair: TokenPair) -> Record:
    return {
        "token_type": "Bearer",
        "expires_in": int(pair.expires_in),
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
    }
