"""The page on which a member logs in and allows or denies the access that an application requests.

There are no passwords: the member is chosen from a list. A wrong ``client_id`` or ``redirect_uri`` is shown to the
user, because a redirect to an unregistered address would be unsafe. Other errors are sent to the application.
"""

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import quote, urlencode

import attrs

from ._constants import LOGIN
from ._oauth import OAuth
from ._pages import bullet_list, error_page, hidden_fields, page, select
from ._records import User
from ._reply import SimulatedReply
from ._request import IncomingRequest
from ._world import World

_FORM_FIELDS = ("client_id", "response_type", "redirect_uri", "state", "scope")
_SAFE_IN_URL = ":/%#?=@[]!$&'()*+,;"


@attrs.frozen
class Consent:
    """The authorization path: GET shows the page, POST submits the decision."""

    oauth: OAuth
    world: World

    def reply(self, incoming: IncomingRequest) -> SimulatedReply:
        form = incoming.form
        if invalid := self._invalid_client_page(form):
            return invalid
        if error := self._error(form):
            return _redirect(form, error=error)
        if incoming.method == "POST":
            return self._decide(form)
        return page("Log in to Worksection", self._form(form))

    def _invalid_client_page(self, form: Mapping[str, str]) -> SimulatedReply | None:
        """Return an error page instead of a redirect, because the address could belong to an attacker."""
        if (client_id := form.get("client_id", "")) != self.oauth.client_id:
            return error_page("Unknown application", f"No application is registered as {client_id!r}.")
        if (uri := form.get("redirect_uri", "")) != self.oauth.redirect_uri:
            registered = self.oauth.redirect_uri
            return error_page("Wrong redirect_uri", f"{registered!r} is registered, but the request has {uri!r}.")
        return None

    def _error(self, form: Mapping[str, str]) -> str | None:
        if form.get("response_type") != "code":
            return "unsupported_response_type"
        scopes = set(_scopes(form))
        return None if scopes and scopes <= self.oauth.scopes else "invalid_scope"

    def _decide(self, form: Mapping[str, str]) -> SimulatedReply:
        if form.get("decision") == "deny":
            return _redirect(form, error="access_denied")
        user = self._members().get(form.get("user", ""))
        if form.get("decision") != "allow" or user is None:
            return error_page("No decision", "Choose a member, then allow or deny.")
        return _redirect(form, code=self.oauth.issue_code(user, _scopes(form)))

    def _form(self, form: Mapping[str, str]) -> str:
        members = {number: f"{user.name} ({user.email})" for number, user in self._members().items()}
        return f"""<p><strong>{escape(self.oauth.client_id)}</strong> requests access to this simulated account:</p>
{bullet_list(_scopes(form))}
<form method="post" action="{LOGIN.authorize}">
{hidden_fields({name: form[name] for name in _FORM_FIELDS if name in form})}
{select("user", "Log in as", members, str(self.world.owner.id))}
<p>
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</p>
</form>"""

    def _members(self) -> dict[str, User]:
        return {str(user.id): user for user in self.world.users.values() if user.active}


def _scopes(form: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(re.findall(r"[^\s,]+", form.get("scope", ""))))


def _redirect(form: Mapping[str, str], **params: str) -> SimulatedReply:
    """Redirect the browser to the application, with *params* and the state in the query."""
    uri = form["redirect_uri"]
    if "state" in form:
        params["state"] = form["state"]
    location = f"{uri}{'&' if '?' in uri else '?'}{urlencode(params)}"
    return SimulatedReply(b"", 302, {"Location": quote(location, safe=_SAFE_IN_URL)}, params.get("error"))
