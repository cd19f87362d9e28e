"""The API of the account: authenticate, authorize, check, carry out. There is no ``await``: a request is atomic."""

import re
from collections.abc import Callable
from typing import Any

import attrs

from ._actions import HANDLERS, ActionRequest, Download
from ._checks import check_params
from ._constants import ACTIONS, OAUTH
from ._credentials import Principal, Tokens, is_signed_by_hash, is_signed_by_header, is_signed_by_page
from ._params import Params
from ._ranges import file_reply
from ._reply import ServiceRefusal, SimulatedReply, error_reply, json_reply
from ._request import IncomingRequest
from ._world import World


@attrs.frozen
class Service:
    """Carries out the actions of the API."""

    world: World
    tokens: Tokens
    api_key: str = attrs.field(repr=False)
    clock: Callable[[], float]

    def reply(self, incoming: IncomingRequest, *, url_answers: bool = True) -> SimulatedReply:
        """Carry out the action of a request; *url_answers* is the result of the check of a new webhook's URL."""
        try:
            request = self._accept(incoming)
            result = HANDLERS[request.params.text("action")](attrs.evolve(request, url_answers=url_answers))
            return file_reply(result.file, incoming.range) if isinstance(result, Download) else json_reply(result)
        except ServiceRefusal as refused:
            return error_reply(refused)

    def new_webhook(self, incoming: IncomingRequest) -> Params | None:
        """Return the parameters of a valid ``add_webhook`` request: its URL must be called before the reply."""
        try:
            params = self._accept(incoming).params
        except ServiceRefusal:
            return None
        return params if params.text("action") == "add_webhook" else None

    def sender_of(self, incoming: IncomingRequest) -> str:
        """Return the name of the credential or user that sent a request, without any secret: for the log."""
        try:
            principal, _ = self._identify(incoming)
        except ServiceRefusal:
            return "unknown"
        return "admin key" if principal.by_key else principal.user.email

    def _accept(self, incoming: IncomingRequest) -> ActionRequest:
        principal, values = self._identify(incoming)
        action = str(values["action"])
        self._authorize(principal, action)
        params = check_params(ACTIONS[action], Params(values), self.world)
        return ActionRequest(params, principal, self.world, incoming.uploads)

    def _identify(self, incoming: IncomingRequest) -> tuple[Principal, dict[str, Any]]:
        """Return the authenticated user, and the parameters that this kind of credential can send."""
        if incoming.path.rstrip("/") == OAUTH:
            return self._token_principal(incoming), _with_action(incoming.params)
        owner = Principal(self.world.owner, by_key=True)
        if incoming.authorization:
            values = _with_action(incoming.params)
            action = str(incoming.query_params.get("action", ""))
            if is_signed_by_header(incoming.authorization, action, self.api_key, self.clock()):
                return owner, values | {"action": action}
        elif is_signed_by_hash(incoming.query, self.api_key):
            return owner, _with_action(incoming.query_params)
        elif is_signed_by_page(values := _with_action(incoming.params), self.api_key):
            return owner, _ids_of_page(values["page"]) | values
        raise ServiceRefusal("Action hash is missed or invalid")

    def _token_principal(self, incoming: IncomingRequest) -> Principal:
        scheme, _, token = incoming.authorization.partition(" ")
        if scheme.lower() != "bearer":
            token = str(incoming.query_params.get("access_token", ""))
        return self.tokens.principal(token)

    def _authorize(self, principal: Principal, action: str) -> None:
        """Raise unless the credential allows *action*. The message for a missing scope is a guess."""
        spec = ACTIONS.get(action)
        if spec is None or (spec.credential == "token" and principal.by_key):
            raise ServiceRefusal("Action is invalid")
        if spec.scope not in principal.scopes:
            raise ServiceRefusal("Access denied")


def _with_action(values: dict[str, Any]) -> dict[str, Any]:
    if not values.get("action"):
        raise ServiceRefusal("Action is required")
    return values


def _ids_of_page(page: str) -> dict[str, Any]:
    """Return the ids of the path ``/project/P/…/T/``, with which the older scheme refers to projects and tasks."""
    match = re.fullmatch(r"/project/(\d+)/(?:(?:\d+/)*(\d+)/)?", page, re.ASCII)
    ids = {"id_project": match[1], "id_task": match[2]} if match else {}
    return {name: number for name, number in ids.items() if number}
