"""The service's OAuth2 paths, behind which `OAuth` remembers: one desk each, and nothing awaited in between."""

import attrs

from ._consent import Consent
from ._facts import LOGIN
from ._incoming import Incoming
from ._oauth import OAuth, OAuthRefused, Pair
from ._reply import Record, Refused, Reply, error_reply, json_reply


@attrs.frozen
class Login:
    """Where users log in and applications fetch their tokens."""

    oauth: OAuth
    consent: Consent

    def reply(self, incoming: Incoming) -> Reply:
        if incoming.path == LOGIN.authorize:
            return self.consent.reply(incoming)
        desk = {LOGIN.token: self._token, LOGIN.refresh: self._refresh, LOGIN.resource: self._resource}[incoming.path]
        form = incoming.form
        try:
            self.oauth.check_client(form.get("client_id", ""), form.get("client_secret", ""))
            return json_reply(desk(form, incoming.origin))
        except Refused as refused:
            return error_reply(refused)

    def _token(self, form: dict[str, str], origin: str) -> Record:
        _check_grant_type(form, "authorization_code")
        pair = self.oauth.exchange(form.get("code", ""), form.get("redirect_uri", ""))
        return _as_record(pair) | {"account_url": origin}

    def _refresh(self, form: dict[str, str], origin: str) -> Record:  # noqa: ARG002  # the captured reply lacks it
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
    """In the words of the library the service's other errors come from; from the service itself it was never seen."""
    if form.get("grant_type") != wanted:
        message = "The authorization grant type is not supported by the authorization server."
        raise OAuthRefused("unsupported_grant_type", message)


def _as_record(pair: Pair) -> Record:
    return {
        "token_type": "Bearer",
        "expires_in": int(pair.expires_in),
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
    }
