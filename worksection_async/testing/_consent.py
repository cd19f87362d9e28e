"""The page on which a member logs in and allows an application what it asks for, or does not.

No password is asked for: who logs in is chosen from a list. What is wrong with the application or its address is told
to the person, what is wrong with the rest to the application.
"""

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import quote, urlencode

import attrs

from ._facts import LOGIN
from ._incoming import Incoming
from ._oauth import OAuth
from ._pages import choice, complaint, hidden, listed, page
from ._reply import Reply
from .records import User
from .world import World

_CARRIED = ("client_id", "response_type", "redirect_uri", "state", "scope")
_IN_A_URL = ":/%#?=@[]!$&'()*+,;"


@attrs.frozen
class Consent:
    """Answers what browsers send to the authorization path: GET asks, POST decides."""

    oauth: OAuth
    world: World

    def reply(self, incoming: Incoming) -> Reply:
        form = incoming.form
        if refusal := self._refusal(form):
            return refusal
        if error := self._error(form):
            return _back(form, error=error)
        if incoming.method == "POST":
            return self._decided(form)
        return page("Log in to Worksection", self._question(form))

    def _refusal(self, form: Mapping[str, str]) -> Reply | None:
        """A redirect would take the user, and perhaps a code, to a stranger."""
        if (client_id := form.get("client_id", "")) != self.oauth.client_id:
            return complaint("Unknown application", f"No application is registered as {client_id!r}.")
        if (uri := form.get("redirect_uri", "")) != self.oauth.redirect_uri:
            registered = f"{self.oauth.redirect_uri!r} is registered"
            return complaint("Wrong redirect_uri", f"It is {uri!r}, and {registered}; they have to be equal.")
        return None

    def _error(self, form: Mapping[str, str]) -> str | None:
        if form.get("response_type") != "code":
            return "unsupported_response_type"
        scopes = set(_scopes(form))
        return None if scopes and scopes <= self.oauth.scopes else "invalid_scope"

    def _decided(self, form: Mapping[str, str]) -> Reply:
        if form.get("decision") == "deny":
            return _back(form, error="access_denied")
        user = self._members().get(form.get("user", ""))
        if form.get("decision") != "allow" or user is None:
            return complaint("Nothing decided", "Choose a member, and allow or deny.")
        return _back(form, code=self.oauth.issue_code(user, _scopes(form)))

    def _question(self, form: Mapping[str, str]) -> str:
        members = {number: f"{user.name} ({user.email})" for number, user in self._members().items()}
        return f"""<p><strong>{escape(self.oauth.client_id)}</strong> asks for access to this simulated account:</p>
{listed(_scopes(form))}
<form method="post" action="{LOGIN.authorize}">
{hidden({name: form[name] for name in _CARRIED if name in form})}
{choice("user", "Log in as", members, str(self.world.owner.id))}
<p>
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</p>
</form>"""

    def _members(self) -> dict[str, User]:
        return {str(user.id): user for user in self.world.users.values() if user.active}


def _scopes(form: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(re.findall(r"[^\s,]+", form.get("scope", ""))))


def _back(form: Mapping[str, str], **params: str) -> Reply:
    """Send the browser to the application."""
    uri = form["redirect_uri"]
    if "state" in form:
        params["state"] = form["state"]
    location = f"{uri}{'&' if '?' in uri else '?'}{urlencode(params)}"
    return Reply(b"", 302, {"Location": quote(location, safe=_IN_A_URL)}, params.get("error"))
